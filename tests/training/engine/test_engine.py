"""The plain and the accelerated engine take the same steps."""

from functools import partial

import pytest
import torch

import aevb
from aevb import likelihoods, networks, objectives, posteriors, priors
from aevb._compilation import Compiler
from aevb._hardware import ENGINE_VARIABLE, uses_plain_engine
from aevb._matmul import use_onednn_linear
from aevb._random import seed_scope
from aevb.training import adam
from aevb.training._engine._cuda_graph import GraphCapture
from aevb.training._engine._fused_adam import FusedAdamUpdate
from aevb.training._optimisers import make_update

DATA = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
SETTINGS = {
    "epochs": 5,
    "batch_size": 16,
    "ema": 0.9,
    "clip_norm": 5.0,
    "validation": DATA[:16],
    "progress": False,
}


def model(seed: int = 0) -> aevb.VAE:
    with seed_scope(seed):
        return aevb.VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(6, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [6], "optimal"),
        )


def train(**options) -> aevb.FitResult:
    objective = objectives.ELBO(beta=objectives.Linear(steps=12))
    return aevb.fit(model(), DATA, objective=objective, **SETTINGS | options)


def numbers(result: aevb.FitResult) -> list[dict]:
    return [epoch.to_reproducible_dict() for epoch in result.history]


@pytest.fixture
def plain_engine(monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, "plain")


def test_eager_steps_are_bit_identical_to_plain_steps(monkeypatch):
    fast = train(compile=False)
    monkeypatch.setenv(ENGINE_VARIABLE, "plain")
    plain = train(compile=False)
    assert numbers(fast) == numbers(plain)
    for a, b in zip(fast.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_compiled_steps_equal_plain_steps_to_rounding(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager", options=None))
    torch._dynamo.reset()
    compiled = train(compile=True)
    monkeypatch.setenv(ENGINE_VARIABLE, "plain")
    plain = train(compile=True)
    for a, b in zip(compiled.history, plain.history, strict=True):
        assert a.bound == pytest.approx(b.bound, rel=1e-5)


def test_stacked_steps_equal_plain_steps_to_rounding(monkeypatch):
    def fit_two() -> list[aevb.FitResult]:
        return aevb.fit_many([model(0), model(1)], DATA, seed=[0, 1], compile=False, **SETTINGS)

    stacked = fit_two()
    monkeypatch.setenv(ENGINE_VARIABLE, "plain")
    plain = fit_two()
    for a, b in zip(stacked, plain, strict=True):
        assert a.notes[0].code == "stacked"
        assert b.notes[0].code == "trained_separately"
        for epoch, other in zip(a.history, b.history, strict=True):
            assert epoch.bound == pytest.approx(other.bound, rel=1e-5)


@pytest.mark.usefixtures("plain_engine")
def test_plain_engine_disables_every_acceleration():
    optimizer = adam()([torch.zeros(2, requires_grad=True)])
    assert uses_plain_engine()
    assert not Compiler(True, 10**9).enabled
    assert not GraphCapture(torch.device("cuda"), True, optimizer).enabled
    assert not isinstance(make_update(optimizer), FusedAdamUpdate)
    with use_onednn_linear() as mode:
        assert mode is None
