"""The direct call of the fused kernel against Adam in four lines."""

import pytest
import torch
from torch import nn
from torch.optim import Adam, AdamW

from aevb.training._engine._fused_adam import FusedAdamUpdate, is_plain_adam
from aevb.training._optimisers import make_update

MAKERS = {
    "fused": lambda p: Adam(p, fused=True),
    "every option": lambda p: Adam(p, fused=True, weight_decay=0.5, maximize=True),
    "not fused": lambda p: Adam(p, fused=False),
    "default": lambda p: Adam(p),
    "amsgrad": lambda p: Adam(p, fused=True, amsgrad=True),
    "decoupled": lambda p: Adam(p, fused=True, decoupled_weight_decay=True),
    "AdamW": lambda p: AdamW(p, fused=True),
    "two groups": lambda p: Adam([{"params": [each]} for each in p], fused=True),
}


@pytest.mark.parametrize("name", MAKERS)
def test_which_optimisers_have_the_direct_call(name):
    weights = [torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)]
    optimizer, plain = MAKERS[name](weights), name in ("fused", "every option")
    assert is_plain_adam(optimizer) is plain
    assert isinstance(make_update(optimizer), FusedAdamUpdate) is plain


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("skipped", [(), (0,), (1, 2), (3,)])
def test_steps_are_those_of_the_algorithm(maximize, decay, skipped):
    """Unequal shapes, an unused parameter, a rate that changes, a large epsilon."""
    make = torch.Generator().manual_seed(0)
    start = [
        torch.randn(shape, dtype=torch.float64, generator=make) for shape in ((3,), (2,), (1, 2))
    ]
    weights = [nn.Parameter(t.clone()) for t in start]
    beta1, beta2, eps = 0.8, 0.95, 0.05
    optimizer = Adam(weights, 0.1, (beta1, beta2), eps, decay, fused=True, maximize=maximize)
    update = make_update(optimizer)
    expected = [start[0], start[2]]
    first, second, count = [0.0, 0.0], [0.0, 0.0], 0
    for step in range(5):
        rate = optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
        raw = [torch.randn(t.shape, dtype=torch.float64, generator=make) for t in expected]
        bad = step in skipped
        update(weights, [raw[0] / (not bad), None, raw[1]], torch.tensor(bad))
        if not bad:
            count += 1
            for i, weight in enumerate(expected):
                g = (-1 if maximize else 1) * raw[i] + decay * weight
                first[i] = beta1 * first[i] + (1 - beta1) * g
                second[i] = beta2 * second[i] + (1 - beta2) * g**2
                root = (second[i] / (1 - beta2**count)) ** 0.5 + eps
                expected[i] = weight - rate * first[i] / (1 - beta1**count) / root
        found = [weights[0], weights[2]]
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a.detach(), b, rtol=1e-9, atol=1e-12)
        assert torch.equal(weights[1], start[1])
        assert {optimizer.state[w]["step"].item() for w in found} == {count}
    assert weights[1] not in optimizer.state
    assert all(weight.grad is None for weight in weights)
    for i, weight in enumerate(found):  # where a checkpoint finds them
        torch.testing.assert_close(optimizer.state[weight]["exp_avg"], first[i])
        torch.testing.assert_close(optimizer.state[weight]["exp_avg_sq"], second[i])
