"""Training curves and KL per latent variable."""

import numpy as np
import torch
from tests.plots.axes import legend_texts

from aevb import plots
from aevb.training._history import Epoch


def epoch(number, **values):
    """An epoch whose bound rises by 1 nat per epoch."""
    defaults = {
        "epoch": number,
        "step": number,
        "seconds": 1.0,
        "bound": -5.0 + number,
        "bound_name": "IWAE-5",
        "log_likelihood": -4.0,
        "kl": 1.0,
        "target": -5.0,
        "penalty": 0.0,
        "learning_rate": 1e-3,
        "beta": None,
        "skipped_steps": 0,
        "validation": -6.0,
        "validation_log_likelihood": -4.5,
        "validation_kl": 1.5,
    }
    return Epoch(**(defaults | values))


def test_bars_are_sorted_and_idle_ones_are_grey():
    ax = plots.kl_per_dimension(torch.tensor([0.5, 0.0, 2.0]), torch.tensor([True, False, True]))
    assert [bar.get_height() for bar in ax.patches] == [2.0, 0.5, 0.0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["2", "0", "1"]
    assert ax.patches[2].get_facecolor() != ax.patches[0].get_facecolor()


def test_curves_name_the_training_bound_and_the_validation_bound():
    ax = plots.training_curves([epoch(i) for i in range(1, 4)], ["bound"])
    assert legend_texts(ax) == ["training: IWAE-5", "validation: ELBO"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [-4, -3, -2])
    assert len(plots.training_curves([epoch(1), epoch(2)]).child_axes) == 3
    loose = plots.training_curves(
        [epoch(i, bound_name="Renyi(-1)-3", bound_kind="neither") for i in (1, 2)], ["bound"]
    )
    assert legend_texts(loose)[0] == "training: Renyi(-1)-3, no bound"


def test_an_autoencoder_has_one_curve_under_its_name():
    name = "reconstruction log-likelihood"
    history = [
        epoch(i, kl=None, validation_kl=None, bound_name=name, validation_name=name)
        for i in range(1, 4)
    ]
    ax = plots.training_curves(history)
    assert ax.get_title() == name
    assert legend_texts(ax) == ["training", "validation"]
