"""Numbers that are missing because of their own value, against integrals by quadrature."""

import math

import pytest
import torch
from torch.distributions import Normal

from aevb import VAE, inference, metrics, networks, posteriors, priors
from aevb.distributions._columns import NumberCells
from aevb.distributions._self_masked import SelfMaskedCells
from aevb.likelihoods import Columns
from aevb.networks import Column

GRID = torch.linspace(-40, 40, 400_001, dtype=torch.float64)
MISSING = torch.tensor([math.nan], dtype=torch.float64)


def exact(loc, scale, slope, offset):
    """P(missing), and mean and variance of a missing number, by a fine sum."""
    loc, scale = torch.tensor([loc, scale], dtype=torch.float64)
    weight = Normal(loc, scale).log_prob(GRID).exp() * torch.sigmoid(slope * GRID + offset)
    weight *= GRID[1] - GRID[0]
    total = weight.sum()
    mean = (weight * GRID).sum() / total
    return total.item(), mean.item(), ((weight * (GRID - mean) ** 2).sum() / total).item()


def cells(loc, scale, slope, offset):
    loc, scale, slope, offset = (
        torch.tensor([x], dtype=torch.float64) for x in (loc, scale, slope, offset)
    )
    return SelfMaskedCells(NumberCells(Normal(loc, scale), torch.zeros(1)), slope, offset)


@pytest.mark.parametrize(
    "parameters, tolerance",
    [
        ((0.4, 0.8, 1.5, -0.3), 1e-8),
        ((-1.0, 0.3, -3.0, 2.0), 1e-8),
        ((0.0, 1.0, 4.0, -8.0), 1e-6),
        ((0.2, 1.0, 10.0, -5.0), 1e-3),  # the grid sees the threshold
        ((3.0, 2.0, 0.0, -1.0), 1e-8),
    ],
)
def test_a_missing_number_is_integrated_out(parameters, tolerance):
    probability, mean, variance = exact(*parameters)
    p = cells(*parameters)
    assert p.log_prob(MISSING).exp().item() == pytest.approx(probability, rel=tolerance)
    given = p.given_missing(MISSING)
    assert given.mean.item() == pytest.approx(mean, abs=tolerance)
    assert given.variance.item() == pytest.approx(variance, rel=max(tolerance, 1e-7))
    torch.manual_seed(0)
    drawn = given.sample((20_000,))
    assert drawn.mean().item() == pytest.approx(mean, abs=5 * (variance / 20_000) ** 0.5)
    # draws are uniform within a step of a quarter deviation: 1/192 of a squared scale
    wide = variance + parameters[1] ** 2 * 0.25**2 / 12
    assert drawn.var().item() == pytest.approx(wide, rel=0.06)  # about 5 errors of 20,000 draws
    at = torch.tensor([0.3], dtype=torch.float64)
    observed = p.log_prob(at) - p.numbers.log_prob(at)
    total = observed.exp() + torch.sigmoid(p.slope * at + p.offset)
    assert total.item() == pytest.approx(1.0, abs=1e-12)


def model() -> VAE:
    """``y = 0.9 z + 0.3 + 0.5 e``, missing with the log-odds ``2 y - 1``; the posterior is wide."""
    column = Column("y", "continuous", "normal", shift=0.0, scale=1.0, missing=0.5)
    decoder = Columns(torch.nn.Identity(), [column], masking="either")
    width = networks.Columns.width([column])
    encoder = networks.Columns(networks.MLP(width, []), [column])
    net = VAE(priors.Normal(1), posteriors.Normal(encoder, 1), decoder).double()
    (group,) = decoder.groups
    with torch.no_grad():
        for parameter in net.posterior.parameters():
            parameter.zero_()
        head = decoder.heads.head
        head.weight.fill_(0.9)
        head.bias.fill_(0.3)
        group.raw.fill_(_inverse_scale(0.5))
        group.slope_raw.fill_(math.atanh(2 / 20))
        group.offset_raw.fill_(-1 / 20)
    return net


def _inverse_scale(scale: float) -> float:
    from aevb.distributions import from_scale

    return from_scale(torch.tensor(scale, dtype=torch.float64)).item()


def test_a_linear_gaussian_model_has_the_exact_likelihood_and_imputation():
    net, total = model(), (0.9**2 + 0.5**2) ** 0.5
    x = torch.tensor([[math.nan], [0.7], [-1.1]], dtype=torch.float64)
    probability, mean, variance = exact(0.3, total, 2.0, -1.0)
    expected = [math.log(probability)] + [
        Normal(0.3, total).log_prob(y).item() + math.log1p(-1 / (1 + math.exp(1 - 2 * y.item())))
        for y in x[1:, 0]
    ]
    found = metrics.log_likelihood(net, x, samples=20_000, seed=0).per_datum
    # weights of draws from the prior vary by less than their mean: 5 errors of 20,000 draws
    assert found.tolist() == pytest.approx(expected, abs=0.03)
    filled = inference.impute(net, x[:1], 20_000, seed=0)
    assert filled.x.item() == pytest.approx(mean, abs=0.03)
    assert filled.spread.item() == pytest.approx(variance**0.5, rel=0.03)
    low, high = filled.low.item(), filled.high.item()
    below = Normal(0.3, total).log_prob(GRID).exp() * torch.sigmoid(2 * GRID - 1)
    share = below[(low < GRID) & (high > GRID)].sum() / below.sum()
    assert share.item() == pytest.approx(0.9, abs=0.02)


def test_a_cell_that_is_unknown_is_not_taken_to_be_missing():
    net = model()
    rows = inference.condition(net, [], n=4000, seed=0).x
    assert rows.mean().item() == pytest.approx(0.3, abs=0.1)  # P(y), not P(y | missing): 0.85
