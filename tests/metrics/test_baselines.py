"""Classical models of the data: exact densities, and their place beside the model."""

from __future__ import annotations

import itertools
import json
import math

import pytest
import torch
from torch import nn

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb.data import Rows
from aevb.distributions._gaussian_fits import fit_gaussian, fit_mixture
from aevb.metrics import BaselineLimits, Baselines, doctor, evaluate, fit_baselines
from aevb.metrics._baselines._frequencies import fit_frequencies, fit_latent_classes

FLOOR = BaselineLimits().scale_floor


def normal_rows(n: int, factor: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Draws from ``N(0, factor factor^T)`` in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, len(factor), dtype=torch.float64, generator=generator) @ factor.T


def standard_model(columns: int) -> aevb.VAE:
    """A model with exactly ``log p(x) = log N(x; 0, I)``: decoder and encoder ignore the input."""
    decoder, encoder = nn.Linear(1, 2), nn.Linear(columns, 2)
    model = aevb.VAE(
        priors.Normal(1),
        posteriors.Normal(encoder, 1),
        likelihoods.Normal(decoder, (columns,), scale=1.0),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model.eval()


def fitted(x: torch.Tensor, **limits) -> Baselines:
    return fit_baselines(standard_model(x.shape[1]), x, limits=BaselineLimits(**limits))


def score(baselines: Baselines, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return baselines.log_prob(Rows.from_array(x))


def test_a_gaussian_is_the_maximum_likelihood_fit_and_close_to_the_truth():
    """Nearly singular covariances must not be shrunk: condition number 1e4."""
    factor = torch.tensor([[1.0, 0.0], [0.9999, 0.01]], dtype=torch.float64)
    x, held_out = normal_rows(4000, factor), normal_rows(2000, factor, seed=1)
    found = fit_gaussian(x, FLOOR)
    exact = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0))
    truth = torch.distributions.MultivariateNormal(torch.zeros(2).double(), factor @ factor.T)
    torch.testing.assert_close(found.log_prob(held_out), exact.log_prob(held_out))
    # half the number of parameters per training row, 5 / 8000, is the expected excess
    excess = (truth.log_prob(held_out) - found.log_prob(held_out)).mean().item()
    assert abs(excess) < 5e-3


def test_a_mixture_finds_clusters_and_comes_close_to_their_density():
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [1.5, 1.5], [-1.5, 1.5]], dtype=torch.float64)
    which = torch.randint(3, (3000,), generator=generator)
    x = centres[which] + 0.2 * torch.randn(3000, 2, dtype=torch.float64, generator=generator)
    found = fit_mixture(x[:2000], (2, 3, 5), FLOOR)
    assert found is not None and len(found.log_weight) >= 3
    components = torch.distributions.Normal(centres, 0.2)
    truth = components.log_prob(x[2000:, None]).sum(2).logsumexp(1) - math.log(3)
    # three components have 17 parameters: an excess of 17 / 4000, and as much noise
    assert abs((truth - found.log_prob(x[2000:])).mean()) < 0.03


def test_units_of_the_data_change_log_densities_by_their_logarithm():
    x = normal_rows(400, torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)).float()
    unit = torch.tensor([1000.0, 0.01])
    plain, scaled = score(fitted(x), x), score(fitted(x * unit + 5), x * unit + 5)
    assert set(plain) == set(scaled) == {"independent", "gaussian", "mixture"}
    for name, values in plain.items():
        expected = values.mean() - unit.log().sum()
        assert scaled[name].mean().item() == pytest.approx(expected.item(), abs=0.02), name


def test_constant_columns_add_nothing():
    x = normal_rows(300, torch.eye(2).double()).float()
    wide = torch.cat([x, torch.full((300, 1), 7.0)], 1)
    narrow, other = score(fitted(x), x), score(fitted(wide), wide)
    for name, values in narrow.items():
        torch.testing.assert_close(other[name], values, rtol=0, atol=1e-9)


def test_equal_columns_have_a_floor_that_is_named():
    x = normal_rows(300, torch.eye(2).double()).float()
    found = fitted(torch.cat([x, x[:, :1]], 1))
    details = {member.name: member for member in found.members}
    assert details["gaussian"].details["columns_at_floor"] == ["column 1", "column 3"]
    assert details["gaussian"].caveat and not details["independent"].caveat
    values = score(found, torch.cat([x, x[:, :1]], 1))["gaussian"]
    # the difference of the equal columns has no spread, and its density that of the floor
    spike = -math.log(FLOOR * math.sqrt(2 * math.pi))
    alone = score(fitted(x), x)["gaussian"]
    # the sum of the equal columns has a standard deviation of sqrt 2, in place of 1
    expected = alone.mean() + spike - 0.5 * math.log(2)
    assert values.mean().item() == pytest.approx(expected.item(), abs=0.02)


def test_more_columns_than_rows_are_shrunk():
    x = normal_rows(60, torch.eye(100).double())
    found = fit_gaussian(x, FLOOR)
    assert found.shrinkage >= 0.1
    held_out = normal_rows(200, torch.eye(100).double(), seed=1)
    truth = -0.5 * held_out.square().sum(1) - 50 * math.log(2 * math.pi)
    assert (truth - found.log_prob(held_out)).mean() < 20  # a singular fit is 1e5 nats below


def test_frequencies_are_probabilities():
    generator = torch.Generator().manual_seed(0)
    levels = torch.randint(5, (200, 1), generator=generator).double()
    levels[:10] = math.nan
    total = fit_frequencies(levels, 8).log_prob(torch.arange(8.0).double()[:, None]).exp().sum()
    assert total.item() == pytest.approx(1)
    counts = torch.poisson(torch.full((200, 1), 30.0), generator=generator).double()
    grid = torch.arange(3000.0).double()[:, None]
    assert fit_frequencies(counts, None).log_prob(grid).exp().sum().item() == pytest.approx(1)


def test_latent_classes_are_probabilities_and_learn_dependence():
    generator = torch.Generator().manual_seed(0)
    bit = torch.randint(2, (500, 1), generator=generator).double()
    x = torch.cat([bit, bit, 1 - bit], 1)
    model = fit_latent_classes(x, 2, (2, 4))
    grid = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3))).double()
    assert model.log_prob(grid).exp().sum().item() == pytest.approx(1, abs=1e-5)  # float32
    assert model.log_prob(x).mean().item() == pytest.approx(-math.log(2), abs=0.02)
    assert model.log_prob(torch.full((1, 3), 2.0)).isneginf().all()  # no such level


def test_a_gaussian_of_levels_bounds_a_probability():
    x = torch.randint(4, 12, (300, 1), generator=torch.Generator().manual_seed(0)).float()
    model = aevb.VAE(
        priors.Normal(1),
        posteriors.Normal(networks.MLP(1, [4]), 1),
        likelihoods.Categorical(networks.MLP(1, [4]), (1,), categories=16),
    )
    grid = torch.arange(-20.0, 40.0)[:, None]
    found = fit_baselines(model, torch.cat([x, torch.tensor([[15.0]])]))
    assert {"independent", "gaussian", "mixture", "tree"} == {
        member.name for member in found.members
    }
    gaussian = next(member for member in found.members if member.name == "gaussian")
    assert 0.9 < gaussian.log_prob(grid.double()).exp().sum() <= 1


def test_missing_cells_leave_independent_columns():
    x = normal_rows(300, torch.eye(2).double()).float()
    x[::3, 1] = math.nan
    found = fitted(x)
    assert [member.name for member in found.members] == ["independent"] and found.joint_reason
    values = score(found, x)["independent"]
    assert values.isfinite().all()
    alone = score(fitted(x[:, :1]), x[:, :1])["independent"]
    torch.testing.assert_close(values[::3], alone[::3])
    complete = fitted(normal_rows(300, torch.eye(2).double()).float())
    assert set(score(complete, x)) == {"independent"}


@pytest.mark.parametrize("columns", [3, 0], ids=["constant", "few rows"])
def test_data_without_a_baseline_have_a_reason(columns):
    x = torch.ones(50, 3) if columns else torch.randn(5, 3)
    assert fitted(x).members == () and fitted(x).joint_reason


def test_the_fit_does_not_draw_from_the_global_generator():
    x = normal_rows(100, torch.eye(2).double()).float()
    model, before = standard_model(2), torch.get_rng_state()
    first = fit_baselines(model, x)
    assert torch.equal(torch.get_rng_state(), before)
    for name, values in score(first, x).items():
        assert torch.equal(values, score(fitted(x), x)[name])


def test_evaluation_has_the_baselines_and_the_paired_difference():
    x = normal_rows(600, torch.tensor([[1.0, 0.0], [0.9, 0.4]], dtype=torch.float64)).float()
    model = standard_model(2)
    baselines = fit_baselines(model, x[:400])
    result = evaluate(model, x[400:], samples=5, baselines=baselines)
    best = score(baselines, x[400:])[result["baselines"].details["best"]]
    own = torch.distributions.Normal(0.0, 1.0).log_prob(x[400:].double()).sum(1)
    difference = result["baselines.difference"]
    assert difference.value == pytest.approx((own - best).mean().item(), abs=1e-4)
    expected = (own - best).std().item() / math.sqrt(200)
    assert difference.standard_error == pytest.approx(expected, rel=1e-3)
    record = json.loads(json.dumps(result.to_dict()))["baselines"]
    assert {"best", "independent", "gaussian", "difference"} <= set(record)
    assert evaluate(model, x[400:], samples=5).get("baselines").value is None


def test_a_model_that_loses_to_a_baseline_is_the_first_finding():
    """Log p(x) of both columns as independent, where they are nearly equal."""
    x = normal_rows(600, torch.tensor([[1.0, 0.0], [0.99, 0.14]], dtype=torch.float64)).float()
    report = doctor(standard_model(2), x[400:], train=x[:400])
    first = report.findings[0]
    assert first.code == "baseline_better"
    check = next(check for check in report.checks if check.finding is first)
    # entropy of the correlation: -log sqrt(1 - r^2)
    correlation = torch.corrcoef(x.T)[0, 1].item()
    assert check.numbers["gain"] == pytest.approx(0.5 * math.log(1 - correlation**2), abs=0.1)


def test_a_model_that_is_the_truth_is_not_beaten():
    x = normal_rows(1200, torch.eye(2).double()).float()
    report = doctor(standard_model(2), x[1000:], train=x[:1000])
    assert "baseline_better" not in [finding.code for finding in report.findings]
    assert any("gain" in check.numbers for check in report.checks)
