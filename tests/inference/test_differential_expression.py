"""Differential expression: closed forms, and the rate of false discoveries."""

import math

import pytest
import torch
from torch import nn

from aevb import VAE, Batch, likelihoods, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import DifferentialExpression, differential_expression

DRAWS = 4000


class First(nn.Module):
    """The first column of the rows as the mean of the latent, with the deviation ``scale``."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return torch.stack([x[:, 0], torch.full_like(x[:, 0], self.scale)], 1)


def counts_model(deviation):
    """Poisson rates ``(1, 1, e^z)``, with a posterior at the first column of a row."""
    model = VAE(
        priors.Normal(1), posteriors.Normal(First(0.0), 1), likelihoods.Poisson(nn.Identity(), (3,))
    )
    head = model.likelihood.heads.head
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        head.bias.zero_()
        encoder = model.posterior.heads.head
        encoder.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
        encoder.bias.copy_(torch.tensor([0.0, deviation]))
    return model


ROWS = torch.tensor([[0.0, 0.0, 0.0]] * 5 + [[2.0, 0.0, 0.0]] * 5)
FIRST, SECOND = torch.arange(5, 10), torch.arange(5)


def test_fold_changes_without_uncertainty_are_exact():
    model = counts_model(-60.0)  # the smallest deviation that the posterior has
    found = differential_expression(model, ROWS, FIRST, SECOND, pairs=DRAWS)
    low, high = model.likelihood(torch.tensor([[0.0], [2.0]])).mean.detach()
    exact = (high / high.sum()).log2() - (low / low.sum()).log2()
    assert exact[2] > 1  # of rates e^0 and e^2
    # the smallest deviation of a posterior is below 0.01, and the means are over 4,000 pairs
    assert torch.allclose(found.log2_fold_change, exact.double(), atol=1e-3)
    assert found.probability.tolist() == [1.0, 1.0, 1.0]
    assert found.found().all()


def test_the_probability_is_that_of_the_posterior():
    """With deviations s, the sign of the difference of latents 2 and 0 is normal."""
    model = counts_model(2.0)
    q = model.infer(Batch(ROWS[:1]))
    deviation = q.stddev.item()
    found = differential_expression(model, ROWS, FIRST, SECOND, mode="vanilla", pairs=DRAWS)
    exact = 0.5 * (1 + math.erf(2 / (math.sqrt(2) * deviation) / math.sqrt(2)))
    error = math.sqrt(exact * (1 - exact) / DRAWS)
    assert abs(found.probability[2].item() - exact) < 5 * error  # five standard errors
    assert found.bayes_factor[2].item() == pytest.approx(
        math.log(found.probability[2] / (1 - found.probability[2]))
    )


def test_one_group_against_itself_has_no_difference():
    model = counts_model(-60.0)
    found = differential_expression(model, ROWS, SECOND, SECOND, pairs=200)
    assert not found.found().any() and found.log2_fold_change.abs().max() < 0.05


def test_groups_may_be_masks_and_a_seed_repeats_the_answer():
    model = counts_model(0.0)
    mask = torch.arange(10) >= 5
    first = differential_expression(model, ROWS, mask, ~mask, pairs=300, seed=1)
    second = differential_expression(model, ROWS, FIRST, SECOND, pairs=300, seed=1)
    other = differential_expression(model, ROWS, FIRST, SECOND, pairs=300, seed=2)
    assert torch.equal(first.probability, second.probability)
    assert not torch.equal(first.log2_fold_change, other.log2_fold_change)


def test_the_expected_share_of_false_discoveries_is_bounded():
    probability = torch.tensor([0.5, 1.0, 0.9, 0.96, 0.2], dtype=torch.float64)
    zero = torch.zeros(5)
    found = DifferentialExpression(probability, zero, zero, "change")
    assert found.found(0.05).tolist() == [False, True, True, True, False]  # mean of 0, .04, .1
    assert found.found(0.03).tolist() == [False, True, False, True, False]
    assert found.found(0.2).tolist() == [True, True, True, True, False]
    vanilla = DifferentialExpression(torch.tensor([0.01, 0.5, 0.99]), zero, zero, "vanilla")
    assert vanilla.found(0.05).tolist() == [True, False, True]
    for rate in (0.0, 1.0, -0.1):
        with pytest.raises(ArgumentError) as caught:
            found.found(rate)
        assert caught.value.argument == "false_discovery_rate"


@pytest.mark.parametrize(
    "settings, argument",
    [
        ({"first": torch.zeros(10, dtype=torch.bool)}, "first"),
        ({"second": torch.tensor([10])}, "second"),
        ({"second": torch.tensor([-1])}, "second"),
        ({"delta": 0.0}, "delta"),
        ({"pseudocount": -1.0}, "pseudocount"),
        ({"pairs": 0}, "pairs"),
        ({"mode": "other"}, "mode"),
        ({"batches": [{"batch": "a"}]}, "label"),
    ],
)
def test_settings_out_of_range_are_refused(settings, argument):
    settings = {"first": FIRST, "second": SECOND} | settings
    with pytest.raises(ArgumentError) as caught:
        differential_expression(counts_model(0.0), ROWS, **settings)
    assert caught.value.argument == argument


def test_a_density_has_no_expression():
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(nn.Identity(), 1),
        likelihoods.Normal(nn.Identity(), (1,)),
    )
    with pytest.raises(IncompatibleError):
        differential_expression(model, torch.zeros(4, 1), torch.arange(2), torch.arange(2, 4))


def test_uncertainty_alone_is_no_change():
    """Two draws of one wide posterior differ often, and half of the time in each direction."""
    model = counts_model(2.0)
    found = differential_expression(model, ROWS, SECOND, SECOND, pairs=DRAWS, delta=0.1)
    # one half, but for the pairs within delta; five standard errors
    assert 0.4 < found.probability[2] < 0.5 + 5 * 0.5 / math.sqrt(DRAWS)
