"""Checks of the model: each condition on both sides of its threshold."""

import math
from types import SimpleNamespace

import numpy
import pytest
import torch
from tests.linear import linear_vae, set_posterior
from torch import nn
from torch.distributions import Bernoulli, Categorical, Independent, Normal, Poisson

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Column
from aevb.metrics import ActiveUnits, DoctorThresholds
from aevb.metrics._doctor import _model_checks as checks
from aevb.metrics._estimate import Estimate

LIMITS = DoctorThresholds()


def code(result):
    return result.finding and result.finding.code


def context_of(**changes):
    fields = {
        "thresholds": LIMITS,
        "has_few_rows": False,
        "history": [],
        "seed": 0,
        "rate_distortion": SimpleNamespace(rate=Estimate(4.0, 0.0)),
        "model": SimpleNamespace(
            posterior=SimpleNamespace(has_density=True),
            condition=None,
            probe=lambda: (None, Independent(Normal(torch.zeros(2), torch.ones(2)), 1)),
        ),
    }
    return SimpleNamespace(**fields | changes)


@pytest.mark.parametrize("value, found", [(1.0, False), (math.nan, True), (-math.inf, True)])
def test_weights_are_finite(value, found):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))
    model.register_buffer("counts", torch.zeros(2, dtype=torch.int64))
    model[0].weight.data[1, 0] = value
    result = checks.finite_weights(model)
    assert (result is not None) == found
    assert not found or code(result) == "weights_not_finite"


# the decoder's noise


@pytest.mark.parametrize("missing", [False, True])
def test_eigenvalues_in_units_of_the_noise(missing):
    x = torch.randn(30, 3, dtype=torch.float64) * torch.tensor([1.0, 4.0, 0.5]) + 7
    unit = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    if missing:
        x[:10, 1], x[:, 2] = math.nan, math.nan
    values = numpy.ma.masked_invalid(x.numpy())
    centred = ((values - values.mean(0)) / unit.numpy()).filled(0.0)
    share = numpy.clip((~numpy.isnan(x.numpy())).mean(0), 1 / 30, None)
    covariance = centred.T @ centred / 30 / numpy.sqrt(numpy.outer(share, share))
    expected = numpy.linalg.eigvalsh(covariance)[::-1]
    found = checks._covariance_eigenvalues(x, unit)
    numpy.testing.assert_allclose(found, expected, atol=1e-12)


def noise_context(x, variance, scale=0.5, **changes):
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(networks.MLP(2), 1),
        likelihoods.Normal(networks.MLP(1), (2,), scale=scale),
    )
    decoded = Normal(torch.zeros(5, 2), torch.tensor(variance).expand(5, 2).sqrt())
    return context_of(
        model=model,
        decoded_distribution=decoded,
        fitted_rows=None,
        batch=lambda count, rows: Batch(x[:count]),
        varying_cells=lambda values: values.double(),
        **changes,
    )


@pytest.mark.parametrize("scale", [0.5, "shared"])
@pytest.mark.parametrize(
    "ratio, found, directions", [(0.9, True, 0), (1.1, False, 0), (1.7, False, 1)]
)
def test_noise_above_the_largest_eigenvalue(ratio, found, directions, scale):
    """Directions count from ``(1 + sqrt(2 / 50))^2 = 1.44``."""
    angle = torch.arange(50.0) * 2 * math.pi / 50
    x = torch.stack([angle.cos() * math.sqrt(2 * ratio), angle.sin() * 0.1], 1)
    result = checks._decoder_scale(noise_context(2 * x, [4.0, 4.0], scale))
    assert code(result) == ("decoder_scale_too_large" if found else None)
    assert result.numbers == {
        "largest_eigenvalue": pytest.approx(ratio, rel=1e-5),
        "directions": directions,
    }
    if found:
        fixed = "per_element" in str(result.finding.recommendation)
        assert fixed == (scale == 0.5)


def test_noise_needs_rows_of_real_numbers():
    rows = torch.randn(20, 2)
    assert checks._decoder_scale(noise_context(rows, [1.0, 1.0])) is not None
    assert checks._decoder_scale(noise_context(rows[:19], [1.0, 1.0])) is None
    none = noise_context(rows, [1.0, 1.0])
    none.varying_cells = lambda values: values[:, :0].double()
    assert checks._decoder_scale(none) is None


@pytest.mark.parametrize(
    "distribution, real, binary",
    [
        (Normal(torch.zeros(3, 2), 1.0), True, False),
        (Bernoulli(torch.full((3, 2), 0.5)), False, True),
        (Poisson(torch.ones(3, 2)), False, False),
        (torch.distributions.Uniform(torch.zeros(3, 2), 1.0), False, False),
        (torch.distributions.Gamma(torch.ones(3, 2), 1.0), False, False),
        (torch.distributions.Binomial(2, torch.full((3, 2), 0.5)), False, False),
        (Categorical(torch.ones(3, 2, 2)), False, True),
        (torch.distributions.Uniform(torch.full((3, 2), -2e4), 0.0), False, False),
        # whole numbers and a half beyond 10,000
        (torch.distributions.Uniform(torch.full((3, 2), -10000.7), 10000.7), True, False),
        (torch.distributions.Uniform(torch.full((3, 2), -9999.7), 10000.7), False, False),
    ],
)
def test_supports_of_likelihoods(distribution, real, binary):
    if isinstance(distribution, Categorical):
        distribution = SimpleNamespace(support=distribution.support, mean=torch.zeros(3, 2))
    context = context_of(decoded_distribution=distribution)
    assert (checks._is_real(context), checks._is_binary(context)) == (real, binary)
    unknown = SimpleNamespace(support=None, mean=torch.zeros(3, 2))
    assert not checks._is_in_support(context_of(decoded_distribution=unknown), 1.0)


# latents


@pytest.mark.parametrize(
    "rate, active, few, found",
    [
        (0.04, 2, False, True),
        (0.06, 2, False, False),
        (0.06, 0, False, True),
        (0.06, 1, False, False),
        (0.04, 0, True, False),
    ],
)
@pytest.mark.parametrize("kl", [[0.5, 0.009, 0.011], None])
def test_collapse_of_the_posterior(rate, active, few, found, kl):
    context = context_of(
        active_units=ActiveUnits(active, torch.ones(3)),
        kl_per_dimension=None if kl is None else torch.tensor(kl),
        rate_distortion=SimpleNamespace(rate=Estimate(rate, 0.0)),
        has_few_rows=few,
    )
    result = checks._active_latents(context)
    assert code(result) == ("posterior_collapse" if found else None)
    numbers = {"active": float(active), "rate": rate}
    assert result.numbers == numbers | (
        {} if kl is None else {"kl_per_dimension": pytest.approx(kl)}
    )
    assert result.value.startswith(f"{active} of 3") and (", 2 " in result.value) == bool(kl)


def test_collapse_is_of_posteriors_with_a_density():
    units, without = ActiveUnits(0, torch.ones(3)), SimpleNamespace(has_density=False)
    assert checks._active_latents(context_of(active_units=None, kl_per_dimension=None)) is None
    context = context_of(
        active_units=units, kl_per_dimension=None, model=SimpleNamespace(posterior=without)
    )
    assert checks._active_latents(context) is None


@pytest.mark.parametrize("used, found", [(3, True), (4, False), (8, False)])
def test_most_of_the_codebook_is_unused(used, found, monkeypatch):
    from aevb.distributions import QuantisedDirac

    counts = torch.tensor([[5] * used + [0] * (8 - used)])
    monkeypatch.setattr(checks, "codebook_usage", lambda *args: metrics.CodebookUsage(counts))
    quantised = object.__new__(QuantisedDirac)
    context = context_of(
        model=SimpleNamespace(probe=lambda: (None, quantised)), fitted_rows=[1, 2, 3]
    )
    result = checks._codebook_use(context)
    assert code(result) == ("codebook_mostly_unused" if found else None)
    assert result.numbers == {"unused_entries": float(8 - used)}
    assert not found or "size=64" in str(result.finding.recommendation)
    assert checks._codebook_use(context_of()) is None


# the bound


def estimate(gap, effective=50.0, reliable=1.0):
    return SimpleNamespace(
        mean=-10.0 + gap,
        lower_bound=Estimate(-10.0, 0.1),
        effective_sample_size=effective,
        reliable_fraction=reliable,
        samples=100,
    )


@pytest.mark.parametrize(
    "gap, rate, effective, reliable, few, found",
    [
        (2.1, 4.0, 50.0, 1.0, False, "posterior_too_simple"),
        (1.9, 3.0, 50.0, 1.0, False, None),  # 2 nats
        (2.1, 4.4, 50.0, 1.0, False, None),  # half of the rate
        (2.1, 0.04, 50.0, 1.0, False, None),  # collapsed
        (2.1, 4.0, 50.0, 1.0, True, None),
        (0.5, 4.0, 1.9, 0.0, False, "log_likelihood_loose"),
        (0.5, 4.0, 2.1, 0.0, False, None),
        (0.5, 4.0, 1.9, 0.1, False, None),
        (0.5, 4.0, 1.9, None, False, None),
        (0.5, 4.0, 1.9, 0.0, True, None),
        (2.1, 4.0, 1.9, 0.0, False, "posterior_too_simple"),
    ],
)
def test_gap_of_the_bound(gap, rate, effective, reliable, few, found):
    context = context_of(
        log_likelihood=estimate(gap, effective, reliable),
        rate_distortion=SimpleNamespace(rate=Estimate(rate, 0.0)),
        has_few_rows=few,
    )
    result = checks._bound_tightness(context)
    assert code(result) == found
    assert result.numbers == pytest.approx({"gap": gap, "effective_samples": effective})
    if found == "log_likelihood_loose":
        assert "samples=5000" in str(result.finding.recommendation)
    assert checks._bound_tightness(context_of(log_likelihood=None)) is None


@pytest.mark.parametrize("condition, full", [(None, False), (object(), False), (None, True)])
def test_richer_posteriors_are_recommended_for_plain_ones(condition, full):
    q = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    q = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2)) if full else q
    model = SimpleNamespace(condition=condition, probe=lambda: (None, q))
    finding = checks._poor_posterior(context_of(model=model), 3.0, 4.0)
    text = str(finding.recommendation)
    assert "iwae" in text and ("iaf_vae" in text) == (condition is None and not full)


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, True),
        ({"beta": 1.0}, True),
        ({"beta": 2.0}, False),
        ({"validation_name": "IWAE"}, False),
        ({"target": -100.00009}, True),
        ({"target": -100.00011}, False),
        ({"target": -99.99989}, False),
        ({"target": 0.1 + 9e-7, "bound": 0.1}, True),  # relative to 1 at least
        ({"target": 0.1 + 1.1e-6, "bound": 0.1}, False),
    ],
)
def test_training_of_the_elbo(changes, expected):
    fields = {"beta": None, "validation_name": "ELBO", "bound": -100.0, "target": -100.0}
    last = SimpleNamespace(**fields | changes)
    other = SimpleNamespace(**fields | {"beta": 3.0})
    assert checks._maximises_elbo(context_of(history=[other, last])) == expected
    assert not checks._maximises_elbo(context_of(history=[other, last], has_few_rows=True))
    assert checks._maximises_elbo(context_of())
    assert not checks._maximises_elbo(context_of(has_few_rows=True))


# outputs


@pytest.mark.parametrize("wrong, found", [(1, False), (2, True)])
def test_confident_mistakes(wrong, found):
    """2 of 1,500 values are more than a thousandth; a probability of 2e-4 is no mistake."""
    x = torch.zeros(300, 5)
    mean = torch.full((300, 5), 0.9998)
    mean[0, :wrong], x[0, :wrong] = 0.99995, 0.0
    mean[1:], mean[2, 2], x[2, 2] = 0.2, 0.00005, 0.0
    context = context_of(decoded_distribution=Bernoulli(mean), batch=lambda count: Batch(x[:count]))
    result = checks._saturated_outputs(context)
    assert code(result) == ("outputs_saturated" if found else None)
    assert result.numbers == {"share": pytest.approx(wrong / 1500)}
    context.has_few_rows = True
    assert checks._saturated_outputs(context) is None
    real = context_of(decoded_distribution=Normal(mean, 1.0))
    assert checks._saturated_outputs(real) is None


def test_the_likeliest_value_of_a_binary_column_is_no_confident_mistake():
    columns = tuple(Column(name, "binary", "bernoulli", levels=(0, 1)) for name in "ab")
    x = torch.randint(0, 2, (100, 2), generator=torch.Generator().manual_seed(0)).float()
    with torch.no_grad():
        decoded = likelihoods.Columns(networks.MLP(1, [4]), columns)(torch.zeros(100, 1))
    context = context_of(decoded_distribution=decoded, batch=lambda count: Batch(x[:count]))
    assert checks._saturated_outputs(context) is None


# the aggregate posterior


@pytest.mark.parametrize(
    "moments, rate, rows, found",
    [
        (1.1, 4.0, 21, True),
        (0.9, 2.0, 21, False),
        (1.1, 5.0, 21, False),
        (1.1, 4.0, 20, False),
        (None, 4.0, 21, False),
    ],
)
def test_latents_unlike_the_prior(moments, rate, rows, found, monkeypatch):
    monkeypatch.setattr(checks, "_moment_kl", lambda context: moments)
    context = context_of(
        mutual_information_and_marginal_kl=(Estimate(1.5, 0.1), Estimate(0.75, 0.1)),
        rows=range(rows),
        posterior_means=torch.zeros(rows, 2),
        rate_distortion=SimpleNamespace(rate=Estimate(rate, 0.0)),
    )
    result = checks._aggregate_posterior(context)
    assert code(result) == ("latents_unlike_prior" if found else None)
    numbers = {"information": 1.5, "aggregate": 0.75}
    assert result.numbers == numbers | ({} if moments is None else {"moments": moments})
    context.mutual_information_and_marginal_kl = None
    assert checks._aggregate_posterior(context) is None


@pytest.mark.parametrize("rows, most", [(150, 150), (400, 200)])
@pytest.mark.parametrize("below, limited", [(0.6, False), (0.4, True)])
def test_information_is_limited_by_the_rows(rows, most, below, limited, monkeypatch):
    monkeypatch.setattr(checks, "_moment_kl", lambda context: None)
    information = Estimate(math.log(most) - below, 0.1)
    context = context_of(
        mutual_information_and_marginal_kl=(information, Estimate(0.75, 0.1)),
        rows=range(rows),
        posterior_means=torch.zeros(rows, 2),
    )
    value = checks._aggregate_posterior(context).value
    assert f"({most} rows at most" in value.replace("of ", "")
    assert ("at most 0.75" in value) == limited


@pytest.mark.usefixtures("float64")
def test_divergence_of_the_moments():
    model = linear_vae(torch.randn(3, 2), torch.zeros(3), 0.5)
    gain, shift = torch.randn(2, 3), torch.tensor([0.4, -1.0])
    spread = torch.tensor([0.5, 1.5])
    set_posterior(model, gain, shift, spread)
    x = torch.randn(9, 3)
    means = (x @ gain.T + shift).numpy()
    variance = means.var(0, ddof=1) + spread.numpy() ** 2
    expected = 0.5 * (variance + means.mean(0) ** 2 - 1 - numpy.log(variance)).sum()
    context = context_of(model=model, batch=lambda count: Batch(x[:count]))
    assert checks._moment_kl(context) == pytest.approx(expected)
    context.batch = lambda count: Batch(x[:2])
    assert math.isfinite(checks._moment_kl(context))
    context.batch = lambda count: Batch(x[:1])
    assert checks._moment_kl(context) is None


@pytest.mark.parametrize("mean, scale", [(0.1, 1.0), (0.0, 1.1)])
def test_moments_are_compared_with_a_standard_normal_alone(mean, scale, monkeypatch):
    model = linear_vae(torch.randn(3, 2), torch.zeros(3), 0.5)
    prior = Independent(Normal(torch.tensor([0.0, mean]), torch.tensor([1.0, scale])), 1)
    monkeypatch.setattr(model.prior, "forward", lambda *args, **options: prior)
    context = context_of(model=model, batch=lambda count: Batch(torch.randn(9, 3)))
    assert checks._moment_kl(context) is None
