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


def test_a_run_shorter_than_the_schedule_of_its_target_shortens_it():
    data = torch.ones(8, 3)
    warm = {
        "objective": objectives.ELBO(beta=objectives.Linear(steps=50)),
        "gradient": gradients.Enumerate(),
        "progress": False,
    }
    short = aevb.fit(tiny(), data, epochs=6, **warm)
    notes = {note.code: note.data for note in short.notes}
    expected = {"setting": "beta", "given": 50, "planned": 3, "steps": 6}
    assert notes["schedule_shortened"] == expected
    assert [epoch.beta for epoch in short.history] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1, 1])
    long = aevb.fit(tiny(), data, epochs=60, **warm)  # the objective keeps its own number of steps
    assert not {note.code for note in long.notes} & {"schedule_shortened", "schedules_unfinished"}
    assert long.history[25].beta == 0.5


def test_a_run_shorter_than_the_schedule_of_its_gradient_is_noted():
    model = VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(nn.Linear(3, 4), 2),
        likelihoods.Bernoulli(nn.Linear(2, 4), (3,)),
    )
    gradient = gradients.Relaxed(objectives.Exponential(steps=50))
    result = aevb.fit(model, torch.ones(8, 3), epochs=5, gradient=gradient, progress=False)
    notes = {note.code: note.data for note in result.notes}
    assert notes["schedules_unfinished"] == {"steps": 5, "schedule_steps": 50}


def test_a_fraction_needs_a_run_of_known_length():
    objective = objectives.ELBO(beta=objectives.Linear(fraction=0.5))
    settings = {"objective": objective, "gradient": gradients.Enumerate(), "progress": False}
    with pytest.raises(ArgumentError) as caught:
        aevb.fit(tiny(), torch.ones(8, 3), minutes=1, **settings)
    assert (caught.value.argument, caught.value.value) == ("fraction", 0.5)
