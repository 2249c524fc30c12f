"""Learning rates by formula, parameter groups, and updates that are skipped or undone."""

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam

from aevb import Recipe
from aevb.errors import NumericalError
from aevb.training import WarmupCosine, adam
from aevb.training._optimisers import (
    base_learning_rates,
    build_optimizer,
    constant_schedule,
    make_update,
    set_learning_rates,
)
from aevb.types import ParameterGroup


@pytest.mark.parametrize("total", [1, 5, 40, 200, 5000, math.inf])
@pytest.mark.parametrize("warmup, final", [(0, 0.01), (7, 0.25), (1000, 0.0)])
def test_the_rate_rises_along_a_line_and_falls_along_half_a_cosine(warmup, final, total):
    schedule, rise = WarmupCosine(warmup, final), min(warmup, total / 10)
    for step in (0, 1, 3, 6, 7, 8, 19, 20, 21, 39, 40, 41, 499, 500, 999, 1000, 4999, 5000, 9000):
        if step < rise:
            expected = (step + 1) / max(rise, 1)
        else:
            share = min(1.0, (step - rise) / max(1, total - rise))
            expected = final + (1 - final) / 2 * (1 + math.cos(math.pi * share))
        assert schedule(step, total) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_landmarks_of_the_rate():
    schedule = WarmupCosine(4, 0.2)
    values = [schedule(step, 44) for step in (0, 1, 3, 4, 24, 44, 60)]
    assert values == pytest.approx([0.25, 0.5, 1.0, 1.0, 0.6, 0.2, 0.2], rel=1e-12)
    # a run of 5 steps warms up for half a step, and one of 20 for two
    assert schedule(0, 5) == 1.0 and schedule(0, 20) == 0.5 and schedule(1, 20) == 1.0
    assert constant_schedule(5, 3) == 1.0


def test_adam_passes_its_settings_on():
    weight = torch.zeros(2, requires_grad=True)
    settings = adam(0.3, (0.8, 0.95), 1e-3, fused=False)([weight]).defaults
    names = ("lr", "betas", "eps", "fused")
    assert [settings[name] for name in names] == [0.3, (0.8, 0.95), 1e-3, False]
    settings = adam()([weight]).defaults
    assert [settings[name] for name in names] == [1.5e-3, (0.9, 0.999), 1e-8, True]


class Groups(nn.Module):
    """An objective with a frozen parameter, one of its own, and two groups."""

    def __init__(self) -> None:
        super().__init__()
        self.own, self.first, self.second, self.third, self.frozen = (
            nn.Parameter(torch.full((i + 1,), float(i)), requires_grad=i < 4) for i in range(5)
        )

    def parameter_groups(self):
        return (
            ParameterGroup((self.first,), 0.25, (0.5, 0.75)),
            ParameterGroup((self.second, self.third), 3.0),
        )


def groups_of(factory):
    model, gradient, objective = nn.Linear(2, 1), nn.Bilinear(1, 1, 1), Groups()
    optimizer = build_optimizer(Recipe(model, objective, gradient), factory)
    sizes = [[tuple(p.shape) for p in group["params"]] for group in optimizer.param_groups]
    model_and_gradient = [tuple(p.shape) for part in (model, gradient) for p in part.parameters()]
    # the order of the parts is model, objective, gradient
    assert sizes == [[*model_and_gradient[:2], (1,), *model_and_gradient[2:]], [(2,)], [(3,), (4,)]]
    return optimizer


def test_each_group_of_the_objective_has_its_rate_and_betas():
    optimizer = groups_of(adam(0.5))
    assert base_learning_rates(optimizer) == [0.5, 0.125, 1.5]
    assert [group["betas"] for group in optimizer.param_groups] == [
        (0.9, 0.999),
        (0.5, 0.75),
        (0.9, 0.999),
    ]
    optimizer = groups_of(lambda parameters: SGD(parameters, lr=2.0))
    assert base_learning_rates(optimizer) == [2.0, 0.5, 6.0]
    assert all("betas" not in group for group in optimizer.param_groups)


def test_rates_are_set_as_numbers_and_in_tensors_that_stay():
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = SGD([{"params": [w], "lr": 1.0} for w in weights])
    kept = optimizer.param_groups[1]["lr"] = torch.tensor(1.0)
    set_learning_rates(optimizer, [2.0, 5.0], 0.25)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[1]["lr"] is kept and kept.item() == 1.25
    assert base_learning_rates(optimizer) == [0.5, 1.25]


FACTORIES = {
    "fused": lambda parameters: Adam(parameters, lr=0.1, fused=True, weight_decay=0.3),
    "amsgrad": lambda parameters: Adam(parameters, lr=0.1, fused=True, amsgrad=True),
    "plain": lambda parameters: Adam(parameters, lr=0.1, fused=False),
    "unbounded": lambda parameters: Adam(parameters, lr=0.1, eps=0.0),
    "SGD": lambda parameters: SGD(parameters, lr=0.1, momentum=0.5),
    "one fused group": lambda parameters: mixed(parameters),
}


def mixed(parameters) -> Adam:
    """Adam with a fused and a plain group."""
    parameters = list(parameters)
    optimizer = Adam(parameters[:1], lr=0.1, fused=True)
    optimizer.add_param_group({"params": parameters[1:], "fused": False})
    return optimizer


@pytest.mark.parametrize("engine", ["", "plain"])
@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_an_update_is_the_step_of_the_optimiser_and_a_skipped_one_changes_nothing(
    factory, engine, monkeypatch
):
    monkeypatch.setenv("AEVB_ENGINE", engine)
    start = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([[3.0]])
    ours, reference = ([nn.Parameter(t.clone()) for t in start] for _ in range(2))
    optimizer = factory(ours)
    if len({group.get("fused") for group in optimizer.param_groups}) > 1:
        plain = Adam(reference, lr=0.1, fused=False)
    else:
        plain = factory(reference)
    update = make_update(optimizer)
    for step, bad in enumerate((False, True, False, False)):
        gradients = [torch.full_like(t, 0.5 * step - 0.7) + t.detach() for t in reference]
        before = [t.detach().clone() for t in ours]
        update(ours, [g * torch.nan for g in gradients] if bad else gradients, torch.tensor(bad))
        if bad:
            assert all(map(torch.equal, before, ours))
            continue
        for parameter, gradient in zip(reference, gradients, strict=True):
            parameter.grad = gradient
        plain.step()
        for a, b in zip(ours, reference, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("lost", [0, 1])
def test_an_update_that_overflows_is_undone_and_raised(lost):
    weights = [nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([3.0]))]
    update = make_update(SGD(weights, lr=8.0))
    gradients = [torch.ones(2), torch.ones(1)]
    gradients[lost][0] = 1e38
    with pytest.raises(NumericalError, match="8 "):
        update(weights, gradients, torch.tensor(False))
    assert [t.tolist() for t in weights] == [[1.0, -2.0], [3.0]]
    update(weights, [torch.ones(2), torch.ones(1)], torch.tensor(False))
    assert [t.tolist() for t in weights] == [[-7.0, -10.0], [-5.0]]


class Failing(SGD):
    """An optimiser that changes a weight and fails."""

    def step(self):
        self.param_groups[0]["params"][0].data += 1
        raise RuntimeError(self.message)


@pytest.mark.parametrize("message, error", [("value overflows", NumericalError), ("lost", None)])
def test_errors_of_an_optimiser_are_its_own_unless_a_number_does_not_fit(message, error):
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = Failing([weight], lr=8.0)
    optimizer.message = message
    with pytest.raises(error or RuntimeError) as caught:
        make_update(optimizer)([weight], [torch.ones(1)], torch.tensor(False))
    assert type(caught.value) is (error or RuntimeError)
    assert weight.item() == (1.0 if error else 2.0)
