"""The parts of a model and its best epoch in words."""

import math

from aevb.report._model_summary import best_epoch, format_component
from aevb.training._history import Epoch


def test_parts_are_written_as_calls():
    record = {
        "class": "posteriors.Normal",
        "number": 1,
        "arguments": {"network": {"foreign": "mine.Net"}, "shift": [0.5] * 9},
    }
    assert format_component(record) == (
        "Normal(network=mine.Net (user-defined), shift=[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, … 9 in all])"
    )


def test_the_best_epoch_has_the_largest_finite_validation():
    zeros = dict.fromkeys(
        (
            "step",
            "seconds",
            "bound",
            "log_likelihood",
            "kl",
            "target",
            "penalty",
            "learning_rate",
            "skipped_steps",
        ),
        0,
    )
    validation = enumerate((math.nan, -3.0, 0.0, -1.0), start=1)
    history = [
        Epoch(epoch=number, bound_name="ELBO", beta=None, validation=value, **zeros)
        for number, value in validation
    ]
    best = best_epoch(history)
    assert best is not None
    assert best.epoch == 3
    assert best_epoch(history[:1]) is None
