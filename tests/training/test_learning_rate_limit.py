"""An update never makes the weights non-finite, whatever the learning rate and the executor."""

import math

import pytest
import torch
from torch.optim import SGD, Adam, AdamW, NAdam, RMSprop

import aevb
from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._skipped_steps import MAX_UPDATES, learning_rate_limit
from aevb.errors import NumericalError
from aevb.training import adam
from aevb.training._optimisers import constant_schedule

X = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))


def small():
    torch.manual_seed(0)
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(4, [8]), 2),
        likelihoods.Normal(networks.MLP(2, [8]), [4]),
    )


def is_finite(model):
    return all(parameter.isfinite().all() for parameter in model.parameters())


OPTIMISERS = {
    "fused Adam": adam(3e38),
    "Adam": adam(3e38, fused=False),
    "AdamW": lambda parameters: AdamW(parameters, lr=3e38),
    "fused AdamW": lambda parameters: AdamW(parameters, lr=3e38, fused=True),
    "NAdam": lambda parameters: NAdam(parameters, lr=3e38),
    "SGD": lambda parameters: SGD(parameters, lr=3e38),
    "RMSprop": lambda parameters: RMSprop(parameters, lr=3e38),
}


@pytest.mark.parametrize("engine", ["", "plain"])
@pytest.mark.parametrize("optimizer", OPTIMISERS.values(), ids=OPTIMISERS)
def test_a_rate_that_would_overflow_ends_the_run_before_the_weights_change(
    optimizer, engine, monkeypatch
):
    monkeypatch.setenv("AEVB_ENGINE", engine)
    model = small()
    before = [parameter.clone() for parameter in model.parameters()]
    settings = {"lr_schedule": constant_schedule, "batch_size": 32, "progress": False}
    with pytest.raises(NumericalError, match="3e\\+38"):
        aevb.fit(model, X, optimizer=optimizer, epochs=1, compile=False, **settings)
    assert all(map(torch.equal, before, model.parameters()))


def test_a_schedule_that_grows_is_caught_at_its_step():
    model = small()
    with pytest.raises(NumericalError, match="1e\\+35"):
        aevb.fit(
            model,
            X,
            epochs=3,
            batch_size=32,
            optimizer=adam(1e-3),
            lr_schedule=lambda step, total: 1e38 if step == 5 else 1.0,
            progress=False,
        )
    assert is_finite(model)


def test_a_stacked_model_stops_and_the_others_continue():
    models = [small(), small()]
    lost, other = aevb.fit_many(
        models,
        X,
        optimizer=[adam(3e38), adam(1e-3)],
        lr_schedule=constant_schedule,
        epochs=2,
        batch_size=32,
        progress=False,
    )
    assert (lost.stop_reason, other.stop_reason) == ("not finite", "epochs")
    assert any(note.code == "stacked" for note in other.notes)
    (note,) = [note for note in lost.notes if note.code == "not_finite"]
    assert note.data["learning_rate"] == 3e38
    assert is_finite(models[0]) and len(other.history) == 2


def test_refinement_names_a_rate_that_would_overflow():
    with pytest.raises(NumericalError, match="3e\\+38"):
        inference.refine(small(), X[:4], steps=2, lr=3e38)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.5)])
def test_no_update_of_adam_exceeds_its_bound(betas):
    """The largest updates come from gradients that grow at the rate ``beta2 / beta1``."""
    weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = Adam([weight], lr=1.0, betas=betas, eps=1e-20)
    limit = learning_rate_limit(optimizer) * MAX_UPDATES / torch.finfo(weight.dtype).max
    ratio, largest = betas[1] / max(betas[0], 1e-3), 0.0
    for step in range(200):
        weight.grad = torch.full_like(weight, ratio ** (step - 200))
        old = weight.item()
        optimizer.step()
        largest = max(largest, abs(weight.item() - old))
    assert largest <= 1 / limit
    assert (
        largest > 0.04 / limit
    )  # the bound has the right order: 0.07, 0.7 and 0.7 of it are possible


def test_optimisers_without_a_bound_have_no_limit():
    weight = torch.zeros(1, requires_grad=True)
    half = torch.zeros(1, dtype=torch.float16, requires_grad=True)
    unbounded = [
        SGD([weight], lr=1.0),
        Adam([weight], betas=(0.99, 0.9)),
        Adam([weight], eps=0.0),
        Adam([weight], weight_decay=100.0),
        Adam([half]),
    ]
    assert [learning_rate_limit(each) for each in unbounded] == [None] * 5
    decayed = AdamW([weight], weight_decay=0.1)
    assert learning_rate_limit(decayed) == pytest.approx(20.0)
    assert 1e27 < learning_rate_limit(Adam([weight])) < math.inf
