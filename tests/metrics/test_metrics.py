"""Metrics accept only data that the model supports.

Their standard errors are calibrated.
"""

import math

import pytest
import scipy.stats
import torch
from tests.catalogue import make_vae
from tests.linear import linear_vae, scalar_vae, set_posterior, true_posterior
from torch import nn

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, priors
from aevb.data import load
from aevb.errors import ArgumentError, DataError, IncompatibleError, NumericalError
from aevb.inference import AISOptions, importance_weights
from aevb.inference import _importance as importance
from aevb.inference._pareto import pareto_k, tail_length


def bernoulli() -> VAE:
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    )


@pytest.mark.parametrize(
    "measure",
    [
        metrics.log_likelihood,
        metrics.rate_distortion,
        metrics.active_units,
        metrics.kl_per_dimension,
    ],
)
@pytest.mark.parametrize(
    "x, words",
    [
        (
            torch.full((4, 6), 255.0),
            "row 0 of `x` holds 255, outside the support of `likelihoods.Bernoulli`",
        ),
        (torch.full((4, 6), 0.5), r"holds 0.5, outside.*ContinuousBernoulli"),
        (torch.full((4, 6), torch.nan), "row 0 of `x` holds NaN"),
        (torch.zeros(4, 5), r"`x` has events of shape \(5,\)"),
        (torch.zeros(0, 6), "`x` has no rows"),
    ],
)
def test_unsupported_data_are_refused(measure, x, words):
    with pytest.raises(DataError, match=words):
        measure(bernoulli(), x)


def test_a_variance_over_one_row_is_refused():
    with pytest.raises(DataError, match="at least 2"):
        metrics.active_units(bernoulli(), torch.zeros(1, 6))


def test_metrics_leave_random_state_and_model_unchanged():
    """With random binarisation, dropout and running means, in a model that is being trained."""
    rows = load((torch.arange(384).reshape(64, 6) % 17).byte(), binarise="dynamic").train
    noisy = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Bernoulli(noisy, (6,)),
    ).train()
    before, buffers = torch.get_rng_state(), [buffer.clone() for buffer in model.buffers()]
    assert metrics.log_likelihood(model, rows, samples=3) is not None
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(now, then) for now, then in zip(model.buffers(), buffers, strict=True))
    assert model.training


# error bars


@pytest.mark.usefixtures("float64")
def test_standard_errors_are_calibrated():
    """2,000 repetitions with new data.

    The 95 % interval covers the known E log p(x) at its nominal rate.
    """
    weight, offset, scale = torch.randn(8, 2), torch.randn(8), torch.full((8,), 0.5)
    model, (gain, shift, covariance) = (
        linear_vae(weight, offset, scale),
        true_posterior(weight, offset, scale),
    )
    set_posterior(model, gain, shift, 1.2 * covariance.diagonal().sqrt())
    rows, repeats, samples = 200, 2000, 8
    truth = -metrics.linear_gaussian(model).evidence().entropy().item()
    x = model.sample(rows * repeats)
    blocks = [
        importance_weights(model, Batch(part), samples, max_pairs=1 << 20).log_mean
        for part in x.split(50_000)
    ]
    estimates = torch.cat(blocks).reshape(repeats, rows)
    errors = estimates.std(1) / math.sqrt(rows)
    first = metrics.Estimate.from_values(estimates[7])  # the same sums in another order
    assert (first.mean, first.standard_error) == pytest.approx(
        (estimates[7].mean().item(), errors[7].item()), rel=1e-12
    )
    bias = (estimates.flatten() - metrics.exact_log_likelihood(model, x)).mean()
    assert abs(bias) < 0.1 * errors.mean()
    coverage = ((estimates.mean(1) - truth).abs() < 1.96 * errors).double().mean().item()
    assert 0.935 < coverage < 0.965  # three standard errors of 2,000 coins


def test_row_with_zero_density_is_reported():
    """The squared distance of the row overflows single precision.

    Likelihood 0 at every code.
    """
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(6, [8]), 2),
        likelihoods.Normal(networks.MLP(2, [8]), (6,), scale=1.0),
    )
    x = torch.zeros(5, 6)
    x[3] = 1e22
    estimates = metrics.log_likelihood(model, x, samples=30)
    assert estimates.mean == -math.inf and math.isnan(estimates.standard_error)
    assert (
        estimates.zero_density_rows.tolist() == [3]
        and estimates.per_datum[[0, 1, 2, 4]].isfinite().all()
    )
    assert "row 3" in str(estimates) and math.isnan(estimates.pareto_k[3])


def test_nan_likelihood_is_refused_with_its_row():
    model = bernoulli()
    metrics.log_likelihood(model, torch.zeros(1, 6), 1)  # initialises the lazy heads
    with torch.no_grad():
        model.likelihood.heads.head.bias.fill_(torch.nan)
    with pytest.raises(NumericalError, match=r"log p\(x\) of row 0 is not a number"):
        metrics.log_likelihood(model, torch.zeros(2, 6), 3)


# importance weights


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_k_recovers_the_tail_shape(shape):
    """Weights whose tail is generalised Pareto with a known shape.

    Compared with scipy's maximum-likelihood fit.
    """
    torch.manual_seed(3)
    uniform = torch.rand(20_000, 40, dtype=torch.float64)
    log_weight = (((uniform**-shape - 1) / shape) + 1).log().sort(0, descending=True).values
    length = tail_length(20_000)
    estimates = pareto_k(log_weight[: length + 1])
    # of the maximum of the likelihood: (1 + k) / sqrt(M); the prior pulls by (0.5 - k) * 10 / M
    error = (1 + shape) / math.sqrt(length)
    assert ((estimates - shape).abs() < 5 * error).all() and abs(
        estimates.mean() - shape
    ) < 5 * error / math.sqrt(40) + 0.02
    weights = log_weight[: length + 1, 0].exp()
    fitted = scipy.stats.genpareto.fit((weights[:-1] - weights[-1]).numpy(), floc=0)[0]
    assert estimates[0].item() == pytest.approx(fitted, abs=0.05)


def test_weights_without_a_tail():
    same = torch.zeros(30, 2, dtype=torch.float64)
    none = torch.full((30, 1), -torch.inf, dtype=torch.float64)
    assert (
        (pareto_k(same) == 0).all()
        and pareto_k(none).isnan().all()
        and pareto_k(same[:3]).isnan().all()
    )


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("samples", [1, 40, 64, 100])
def test_weight_summary_does_not_depend_on_blocks(samples, monkeypatch):
    log_weight = 3 * torch.randn(samples, 5)
    log_weight[::3, 4] = -torch.inf
    whole = importance.WeightAccumulator(5, samples, torch.device("cpu"))
    whole.add(log_weight)
    monkeypatch.setattr(importance, "MAX_BUFFERED_WEIGHTS", 80)  # 16 draws at a time
    pieces = importance.WeightAccumulator(5, samples, torch.device("cpu"))
    assert pieces.capacity == 16
    for part in log_weight.split(7):
        pieces.add(part)
    first, second = whole.result(), pieces.result()
    assert torch.allclose(
        first.log_mean, torch.logsumexp(log_weight, 0) - math.log(samples), rtol=1e-12
    )
    for name in ("log_mean", "effective_sample_size", "elbo", "pareto_k", "curve"):
        assert torch.allclose(
            getattr(first, name), getattr(second, name), rtol=1e-10, equal_nan=True
        ), name
    assert len(first.curve) == len(importance.group_sizes(samples))
    assert torch.equal(first.curve[-1], first.log_mean) and torch.allclose(
        first.curve[0], first.elbo, rtol=1e-12
    )


@pytest.mark.usefixtures("replicates")
def test_curve_rises_from_elbo_to_estimate():
    """At K = 1, 2, 16 and 64 the published gaps of a Gaussian proposal.

    NaN-free, rising, each within its noise.
    """
    model = scalar_vae()
    x = torch.full((3000, 1), 0.625)
    estimates = metrics.log_likelihood(model, x, samples=64)
    truth = metrics.exact_log_likelihood(model, x[:1]).item()
    assert estimates.convergence_curve.samples == (1, 2, 4, 8, 16, 32, 64)
    gap = {
        k: truth - value.mean
        for k, value in zip(
            estimates.convergence_curve.samples, estimates.convergence_curve.values, strict=True
        )
    }
    for k, known in ((1, 0.046279), (2, 0.019087), (16, 0.002077), (64, 0.000511)):
        error = estimates.convergence_curve.values[
            estimates.convergence_curve.samples.index(k)
        ].standard_error
        assert abs(gap[k] - known) < 5 * error + 2e-5
    assert list(gap.values()) == sorted(gap.values(), reverse=True)


@pytest.mark.usefixtures("float64", "replicates")
def test_a_defensive_mixture_bounds_the_weights_of_a_narrow_posterior():
    """A proposal of a third of the posterior's deviation has weights without a variance.

    With a tenth of draws from the prior, the variance is finite.
    """
    model = scalar_vae()
    set_posterior(model, torch.zeros(1, 1), torch.tensor([0.3]), torch.tensor([0.25]))
    x = torch.full((4000, 1), 0.625)
    truth = metrics.exact_log_likelihood(model, x[:1]).exp()
    plain, safe = (importance_weights(model, Batch(x), 50, defensive=share) for share in (0.0, 0.1))
    estimate = safe.log_mean.exp()
    assert abs(estimate.mean() - truth) < 5 * estimate.std() / math.sqrt(4000)
    assert estimate.var() < 0.2 * plain.log_mean.exp().var()
    tails = [
        importance_weights(
            model, Batch(x[:50]), 2000, max_pairs=100_000, defensive=share
        ).pareto_k.median()
        for share in (0.0, 0.1)
    ]
    assert tails[1] < 0.5 < 0.7 < tails[0]


@pytest.mark.usefixtures("float64")
def test_defensive_mixture_weights_average_to_one():
    """The mean of any function is kept in blocks of any size.

    Here of 1, whose weights average to the ratio of the densities, 1.
    """
    model = make_vae("normal-full", "missing-bernoulli").eval()
    x = torch.full((400, 2, 2), torch.nan)
    model = VAE(model.prior, posteriors.NonAmortised(model.posterior, 400), model.likelihood)
    batch = Batch(x, index=torch.arange(400), dataset_size=400)
    for rows in (400, 4000):
        w = importance_weights(model, batch, 30, max_pairs=rows, defensive=0.21).log_mean.exp()
        assert abs(w.mean() - 1) < 5 * w.std() / math.sqrt(400)


@pytest.mark.parametrize(
    "measure, error, words",
    [
        (
            lambda: importance_weights(bernoulli(), Batch(torch.zeros(1, 6)), 5, defensive=1.0),
            ArgumentError,
            "`defensive` is 1.0",
        ),
        (
            lambda: importance_weights(bernoulli(), Batch(torch.zeros(1, 6)), 1, defensive=0.5),
            ArgumentError,
            "`samples` is 1; with defensive=0.5 .* at least 2",
        ),
        (
            lambda: importance_weights(
                gamma_on_reals(), Batch(torch.zeros(1, 4)), 5, defensive=0.5
            ),
            IncompatibleError,
            r"`posteriors\.Gamma` has none at some",
        ),
        (
            lambda: metrics.log_likelihood(bernoulli(), torch.zeros(1, 6), 5, "exactly"),
            ArgumentError,
            '`method` is "exactly"',
        ),
        (
            lambda: metrics.log_likelihood(bernoulli(), torch.zeros(1, 6), method="exact"),
            IncompatibleError,
            "code of few states|Normal",
        ),
        (
            lambda: metrics.log_likelihood(bernoulli(), torch.zeros(1, 6), 0),
            ArgumentError,
            "`samples` is 0",
        ),
        (
            lambda: metrics.log_likelihood(bernoulli(), torch.zeros(1, 6), 2.5, "annealing"),
            ArgumentError,
            "`samples` is 2.5; give a whole",
        ),
        (
            lambda: metrics.log_likelihood(bernoulli(), torch.zeros(1, 6), 5, "exact"),
            ArgumentError,
            r'`samples` is 5; method="exact" draws no samples',
        ),
        (
            lambda: metrics.log_likelihood(
                bernoulli(), torch.zeros(1, 6), 5, "annealing", defensive=0.1
            ),
            ArgumentError,
            '`defensive` is 0.1; it belongs to method="importance"',
        ),
        (
            lambda: metrics.log_likelihood(
                bernoulli(), torch.zeros(1, 6), 5, annealing=AISOptions(3)
            ),
            ArgumentError,
            r"`annealing` is AISOptions\(temperatures=3",
        ),
        (lambda: metrics.bidirectional_monte_carlo(bernoulli(), 0), ArgumentError, "`n` is 0"),
        (
            lambda: metrics.bidirectional_monte_carlo(bernoulli(), 2, True),
            ArgumentError,
            "`samples` is True; give a whole number",
        ),
        (
            lambda: metrics.log_likelihood(make_vae("dirac"), torch.zeros(1, 2, 2), 5),
            IncompatibleError,
            r"got `posteriors\.Dirac`",
        ),
    ],
)
def test_models_without_importance_weights_are_refused(measure, error, words):
    with pytest.raises(error, match=words):
        measure()


def gamma_on_reals():
    return VAE(
        priors.Normal(2),
        posteriors.Gamma(nn.Identity(), 2),
        likelihoods.Normal(nn.Identity(), (4,), scale=1.0),
    )


# codes of few states


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("family", ["bernoulli", "categorical"])
def test_sums_over_few_states_are_the_truth(family):
    """The bound and the gap, each by its own sum, add up to the evidence, which adds up to 1 over
    all data.
    """
    model = make_vae(family, "bernoulli").eval()
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).reshape(-1, 2, 2)
    evidence = metrics.exact_log_likelihood(model, every, max_pairs=7)
    assert evidence.exp().sum().item() == pytest.approx(1, abs=1e-12)
    parts = metrics.decomposition(model, every)
    assert (
        torch.allclose(parts.log_likelihood, parts.elbo + parts.gap, atol=1e-12)
        and (parts.gap > 0).all()
    )
    assert torch.allclose(parts.log_likelihood, evidence, atol=1e-12)
    exact = metrics.log_likelihood(model, every, method="exact")
    many = metrics.log_likelihood(model, every, samples=2000)
    error = (1 / many.effective_sample_size) ** 0.5
    assert (
        exact.lower_bound == exact.upper_bound == exact.value
        and ((exact.per_datum - many.per_datum).abs() < 6 * error).all()
    )
    assert many.lower_bound.mean == pytest.approx(parts.elbo.mean().item(), abs=0.05)


# supports, precision and doors


def bounded(prior, posterior) -> VAE:
    return VAE(
        prior,
        posterior(networks.MLP(4, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (4,), scale=1.0),
    ).eval()


def test_a_posterior_that_leaves_the_prior_has_no_weights():
    """Outside of its support a density of torch is still a number.

    The estimate would lie nats above the true value.
    """
    with pytest.raises(IncompatibleError) as refused:
        metrics.log_likelihood(
            bounded(priors.Exponential(2), posteriors.Normal), torch.zeros(2, 4), 10
        )
    assert refused.value.argument == "posterior"
    assert "draws of `posteriors.Normal`" in str(refused.value)
    assert "`priors.Exponential` has no mass" in str(refused.value)
    assert refused.value.suggestions


def test_unreachable_codes_make_all_weights_unreliable():
    estimates = metrics.log_likelihood(
        bounded(priors.Normal(2), posteriors.Exponential), torch.zeros(5, 4), 100
    )
    assert estimates.reliable_fraction == 0 and estimates.pareto_k.isposinf().all()


def test_the_exact_value_of_a_model_in_single_precision():
    """784 dimensions and 40 latent variables with noise of 0.1.

    Formulas in single precision are off by a tenth of a nat.
    """
    model = linear_vae(torch.randn(784, 40) * 0.3, torch.zeros(784), 0.1).float()
    set_posterior(model, torch.randn(40, 784) * 0.01, torch.zeros(40), torch.full((40,), 0.5))
    x = torch.randn(5, 784).float()
    weight = model.likelihood.noise.heads.head.weight.double()
    truth = torch.distributions.MultivariateNormal(
        torch.zeros(784).double(), weight @ weight.T + 0.01 * torch.eye(784).double()
    )
    estimates, parts = metrics.exact_log_likelihood(model, x), metrics.decomposition(model, x)
    # the scale 0.1 is itself stored in single precision: 6e-8 of 784 squares of size 100
    assert (
        estimates.dtype == torch.float64
        and (estimates - truth.log_prob(x.double())).abs().max() < 0.01
    )
    assert (parts.log_likelihood - parts.elbo - parts.gap).abs().max() < 1e-6  # of 1e5 nats


@pytest.mark.parametrize(
    "x, options, error, words",
    [
        (torch.full((2, 4), 0.5), {}, DataError, "outside the support"),
        (torch.full((2, 4), math.nan), {}, DataError, "NaN"),
        (torch.zeros(2, 5), {}, DataError, "shape"),
        (torch.zeros(0, 4), {}, DataError, "no rows"),
        (torch.zeros(2, 4), {"max_pairs": 0}, ArgumentError, "`max_pairs` is 0"),
    ],
    ids=["support", "NaN", "shape", "none", "rows"],
)
def test_exact_log_likelihood_refuses_unsupported_models(x, options, error, words):
    model = VAE(
        priors.Bernoulli(3),
        posteriors.Bernoulli(nn.Flatten(), 3),
        likelihoods.Bernoulli(nn.Identity(), (4,)),
    )
    for measure in (metrics.exact_log_likelihood, metrics.decomposition):
        with pytest.raises(error, match=words):
            measure(model, x, **options)


def test_exact_log_likelihood_uses_evaluation_mode():
    noisy = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5))
    model = VAE(
        priors.Bernoulli(2),
        posteriors.Bernoulli(nn.Flatten(), 2),
        likelihoods.Bernoulli(noisy, (4,)),
    ).train()
    x = torch.zeros(3, 4).numpy()
    assert (
        torch.equal(metrics.exact_log_likelihood(model, x), metrics.exact_log_likelihood(model, x))
        and model.training
    )


def test_few_autoregressive_bits_are_summed_over():
    model = make_vae("autoregressive", "bernoulli")
    x = model.sample(3)
    truth = metrics.log_likelihood(model, x, method="exact")
    sampled = metrics.log_likelihood(model, x, 4000)
    assert truth.method == "exact" and ((truth.per_datum - sampled.per_datum).abs() < 0.1).all()


def test_too_many_states_are_refused_with_their_number():
    many = VAE(
        priors.Bernoulli(13),
        posteriors.Bernoulli(nn.Flatten(), 13),
        likelihoods.Bernoulli(nn.Identity(), (4,)),
    )
    with pytest.raises(IncompatibleError, match=r"8,192, more than 4,096"):
        metrics.exact_log_likelihood(many, torch.zeros(1, 4))
