"""Compatibility of schedules with the length of a run, before training."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

import aevb
from aevb import VAE, gradients, likelihoods, objectives, posteriors, priors
from aevb.errors import ArgumentError
from aevb.objectives import Schedule


@dataclass(frozen=True)
class Wave(Schedule):
    """A schedule that oscillates without end."""

    def __call__(self, step: int) -> float:
        return 0.5 + 0.5 * (step % 2)

    @property
    def final_schedule_step(self) -> None:
        return None


def tiny():
    return VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(nn.Linear(3, 4), 2),
        likelihoods.Bernoulli(nn.Linear(2, 4), (3,)),
    )


@pytest.mark.parametrize(
    "options, setting",
    [
        ({"objective": objectives.ELBO(beta=Wave()), "gradient": gradients.Enumerate()}, "beta"),
        ({"objective": objectives.ELBO(), "gradient": gradients.Relaxed(Wave())}, "temperature"),
    ],
)
def test_patience_needs_a_schedule_with_an_end(options, setting):
    data = torch.ones(8, 3)
    with pytest.raises(ArgumentError, match=f"`{setting}` never ends"):
        aevb.fit(tiny(), data, epochs=1, patience=3, progress=False, **options)
    assert len(aevb.fit(tiny(), data, epochs=1, progress=False, **options).history) == 1


def test_run_shorter_than_its_schedules_is_noted():
    data = torch.ones(8, 3)
    warm = {
        "objective": objectives.ELBO(beta=objectives.Linear(steps=50)),
        "gradient": gradients.Enumerate(),
        "progress": False,
    }
    notes = {note.code: note.data for note in aevb.fit(tiny(), data, epochs=5, **warm).notes}
    assert notes["schedules_unfinished"] == {"steps": 5, "schedule_steps": 50}
    codes = {note.code for note in aevb.fit(tiny(), data, epochs=60, **warm).notes}
    assert "schedules_unfinished" not in codes
