"""Cells that are jointly normal given ``z``, where the model is a known Gaussian."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from aevb import VAE, data, inference, likelihoods, networks, posteriors, presets, priors
from aevb.data import CellCondition
from aevb.networks import Column

D, N = 3, 400
GENERATOR = torch.Generator().manual_seed(0)
MIX = torch.tensor([[1.0, 0.9, 0.2], [0.0, 0.3, 0.5], [0.0, 0.0, 0.4]]).double()
ROWS = torch.randn(N, D, generator=GENERATOR, dtype=torch.float64) @ MIX


def whitened() -> VAE:
    spec = data.load(ROWS.numpy()).spec
    return presets.table_vae(spec, latent=D, hidden=[4]).model.double()


def columns() -> VAE:
    table = [Column(f"x{i}", "continuous", "normal") for i in range(D)]
    encoder = networks.MLP(networks.Columns.width(table), [4], skip=True)
    decoder = networks.MLP(D, [4], skip=True)
    return VAE(
        priors.Normal(D),
        posteriors.Normal(networks.Columns(encoder, table, whiten=True), D),
        likelihoods.Columns(decoder, table, whiten=True),
    ).double()


@pytest.fixture(params=[whitened, columns])
def model(request) -> VAE:
    built = request.param()
    built.initialise_from_data(ROWS)
    return built.eval()


@pytest.fixture
def gaussian() -> MultivariateNormal:
    centred = ROWS - ROWS.mean(0)
    return MultivariateNormal(ROWS.mean(0), centred.T @ centred / N)


def conditional(gaussian: MultivariateNormal, known: list[int], x: torch.Tensor, cell: int):
    """The Gaussian of a cell given the cells ``known`` of rows."""
    covariance, mean = gaussian.covariance_matrix, gaussian.mean
    slopes = torch.linalg.solve(covariance[known][:, known], covariance[known, cell])
    variance = covariance[cell, cell] - slopes @ covariance[known, cell]
    loc = mean[cell] + (x[:, known] - mean[known]) @ slopes
    return Normal(loc, variance.sqrt().expand_as(loc))


def test_the_score_and_its_parts_are_those_of_the_gaussian(model, gaussian):
    x = ROWS[:20]
    found = inference.explain(model, x, samples=50)
    assert (found.log_p - gaussian.log_prob(x)).abs().max() < 1e-6  # the posterior is exact
    assert (found.expected.sum(1) - found.kl - found.log_p).abs().max() < 1e-9


def test_cells_are_scored_given_all_others_and_the_latent(model):
    """By the densities of rows that differ in one cell, integrated on a grid."""
    x, z = ROWS[:4], torch.randn(4, D, generator=GENERATOR, dtype=torch.float64)
    with torch.no_grad():
        p = model.likelihood(z)
        score, usual = p.conditional_log_prob(x)
        for cell in range(D):
            grid = x.expand(20_001, 4, D).clone()
            grid[:, :, cell] = torch.linspace(-10, 10, 20_001).double()[:, None]
            joint = p.log_prob(grid)
            log_mass = joint.logsumexp(0) + math.log(1e-3)
            assert (p.log_prob(x) - log_mass - score[:, cell]).abs().max() < 1e-6
            density = (joint - log_mass).exp() * 1e-3
            expected = (density * (joint - log_mass)).sum(0)
            assert (usual[:, cell] - expected).abs().max() < 1e-6


def test_imputed_cells_are_conditional_on_the_observed_ones(model, gaussian):
    if not model.capabilities.missing_values:
        pytest.skip("the data have no missing cells")
    x = ROWS[:10].clone()
    x[:, 1] = torch.nan
    found = inference.impute(model, x, samples=4000, draws=50)
    exact = conditional(gaussian, [0, 2], x, 1)
    # the posterior of complete rows is too narrow for these: its weights have heavy tails
    error = (found.x[:, 1] - exact.mean).square().mean().sqrt()
    assert error < 0.5 * exact.stddev[0]
    assert found.spread[:, 1].mean() == pytest.approx(exact.stddev[0].item(), rel=0.3)
    assert torch.equal(found.draws[:, :, 0], x[:, 0].expand(50, 10))


def test_rows_are_drawn_given_values_and_ranges(model, gaussian):
    value, low = 0.5, 0.2
    given = [CellCondition(0, ((value, value),)), CellCondition(1, ((low, math.inf),))]
    found = inference.condition(model, given, 2000, samples=20_000)
    row = torch.tensor([[value, 0.0, 0.0]]).double()
    second = conditional(gaussian, [0], row, 1)
    above = 1 - second.cdf(torch.tensor(low).double())
    first = Normal(gaussian.mean[0], gaussian.covariance_matrix[0, 0].sqrt())
    expected = first.log_prob(row[0, 0]) + above.log()
    assert found.log_density == pytest.approx(expected.item(), abs=6 * found.log_density_error)
    assert (found.x[:, 0] == value).all()
    assert (found.x[:, 1] >= low).all()
    # the third cell given the first two, whose residual has no correlation with them
    third = conditional(gaussian, [0, 1], found.x.double(), 2)
    residual = found.x[:, 2].double() - third.mean
    effective = min(2000.0, found.effective_sample_size)
    assert residual.mean().abs() < 6 * third.stddev[0] / math.sqrt(effective)
    assert residual.std() == pytest.approx(third.stddev[0].item(), rel=6 / math.sqrt(effective))
