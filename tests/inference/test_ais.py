"""Annealed importance sampling: unbiased weights, and bounds around the true value."""

import math

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import linear_vae, set_posterior, true_posterior
from torch import nn
from torch.distributions import Normal

from aevb import VAE, Batch, inference, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import AISOptions, annealed_importance_sampling

pytestmark = pytest.mark.usefixtures("float64")

# p(z) = N(0, 1), p(x|z) = N(z, 0.5^2) at x = 1.3: p(z|x) = N(1.04, 0.2)
TRUTH = -1.7065103088617777


def scalar(rows):
    """The conjugate model, copies of x, and exact posterior draws; q is the prior."""
    model = linear_vae(torch.ones(1, 1), torch.zeros(1), 0.5)
    set_posterior(model, torch.zeros(1, 1), torch.zeros(1), torch.ones(1))
    return model, torch.full((rows, 1), 1.3), 1.04 + math.sqrt(0.2) * torch.randn(rows, 1)


def loose(times=1.5, size=6, latent=3):
    """A linear-Gaussian model; q has the right means, no correlations and too wide deviations."""
    weight, offset, scale = torch.randn(size, latent), torch.randn(size), torch.rand(size) + 0.4
    model = linear_vae(weight, offset, scale)
    gain, shift, covariance = true_posterior(weight, offset, scale)
    set_posterior(model, gain, shift, times * covariance.diagonal().sqrt())
    return model


@pytest.mark.usefixtures("replicates")
@pytest.mark.parametrize("start", ["prior", "posterior"])
@pytest.mark.parametrize("schedule", ["linear", "sigmoid"])
def test_bounds_enclose_the_true_value(start, schedule):
    """50 temperatures; each row is a repetition. Another implementation gave -1.854 and -1.584."""
    model, x, z = scalar(1500)
    result = annealed_importance_sampling(
        model, Batch(x), 1, AISOptions(50, start, schedule=schedule), z=z
    )
    for bound, low, high in ((result.lower, -1.91, TRUTH), (result.upper, TRUTH, -1.56)):
        error = bound.std() / math.sqrt(1500)
        assert low - 5 * error < bound.mean() < high + 5 * error
        assert (
            bound.mean() - TRUTH
        ).abs() > 5 * error  # the bounds are apart, so the sides are progress apart
    w = result.log_mean.exp()
    assert abs(w.mean() - math.exp(TRUTH)) < 5 * w.std() / math.sqrt(1500)


@pytest.mark.usefixtures("replicates")
def test_weights_are_unbiased_however_few_the_temperatures():
    """From a q with 0.8 of the posterior deviation; transitions widen it."""
    model, x, _ = scalar(8000)
    set_posterior(
        model, torch.zeros(1, 1), torch.tensor([1.04]), torch.tensor([0.8 * math.sqrt(0.2)])
    )
    for temperatures in (1, 2, 5):
        w = annealed_importance_sampling(
            model, Batch(x), 1, AISOptions(temperatures)
        ).log_mean.exp()
        assert abs(w.mean() - math.exp(TRUTH)) < 5 * w.std() / math.sqrt(8000)


def test_one_temperature_is_importance_sampling():
    model = loose()
    x = model.sample(5)
    torch.manual_seed(1)
    result = annealed_importance_sampling(model, Batch(x), 4000, AISOptions(1))
    exact = metrics.exact_log_likelihood(model, x)
    assert (
        (result.log_mean - exact).abs() < 0.15
    ).all()  # the effective size is above 1000: 5 errors are 0.15
    assert result.acceptance.isnan().all()


def test_bounds_tighten_with_more_temperatures():
    """The gaps fall as one over the number of temperatures, and the exact value lies between."""
    model = loose()
    z, p = model.sample_joint(48)
    x = p.sample()
    truth, gaps = metrics.exact_log_likelihood(model, x), []
    for temperatures in (15, 120):
        result = annealed_importance_sampling(model, Batch(x), 16, AISOptions(temperatures), z=z)
        below, above = truth - result.lower, result.upper - truth
        for side in (below, above):
            assert side.mean() > -5 * side.std() / math.sqrt(48)
        gaps.append((result.upper - result.lower).mean().item())
    assert 3 < gaps[0] / gaps[1] < 25 and gaps[1] < 0.2  # 8 where both were perfect


def test_bounds_of_simulated_data_are_tight():
    model = loose(1.2)
    result = metrics.bidirectional_monte_carlo(
        model, n=16, samples=8, annealing=AISOptions(150), seed=3
    )
    assert result.method == "ais" and result.samples == 8 and 0.5 < result.acceptance_rate < 0.8
    assert result.bound_gap.standard_error < 0.05
    assert abs(result.bound_gap.mean) < 4 * result.bound_gap.standard_error
    assert result.bound_gap.mean == pytest.approx(
        result.upper_bound.mean - result.lower_bound.mean, abs=1e-12
    )
    assert (
        result.lower_bound.mean
        < result.mean
        < result.upper_bound.mean + result.bound_gap.standard_error
    )


def test_real_data_have_no_upper_bound():
    model = loose()
    result = metrics.log_likelihood(model, model.sample(6), 4, "ais", annealing=AISOptions(20))
    assert (
        result.upper_bound is None
        and result.bound_gap is None
        and result.lower_bound.mean < result.mean
    )
    assert "4 annealed chains" in str(result)


def test_estimates_agree_for_any_block_size():
    """In blocks of 2 rows or all rows: other draws, the same value; equal for equal seeds."""
    model = loose()
    x = model.sample(4)
    truth = metrics.exact_log_likelihood(
        model, x.float().double()
    )  # rows are stored in single precision
    runs = [
        metrics.log_likelihood(model, x, 16, "ais", annealing=AISOptions(60), max_pairs=rows)
        for rows in (32, 32, 1024)
    ]
    assert torch.equal(runs[0].per_datum, runs[1].per_datum)
    for run in runs:  # 5 standard errors of 16 chains
        assert run.per_datum_error.max() < 0.2
        assert ((run.per_datum - truth).abs() < 5 * run.per_datum_error).all()


def test_empty_cells_are_left_out():
    model = loose()
    holed = VAE(
        model.prior,
        posteriors.Normal(networks.FillMissing(networks.MLP(12)), 3),
        likelihoods.Missing(model.likelihood),
    )
    set_posterior(holed, torch.zeros(3, 12), torch.zeros(3), torch.ones(3))
    x = model.sample(4)
    x[torch.rand(4, 6) < 0.4] = torch.nan
    result = annealed_importance_sampling(holed, Batch(x), 200, AISOptions(20))
    assert ((result.log_mean - metrics.exact_log_likelihood(holed, x)).abs() < 0.2).all()


@pytest.mark.parametrize("family", ["gamma", "beta", "dirichlet", "flow-maf", "student-t"])
def test_latents_of_every_continuous_support_move(family):
    """Compared with importance sampling with many draws, which uses no transforms."""
    model = make_vae(family, "normal-fixed").eval()
    x = model.sample(3)
    with torch.no_grad():
        many = inference.importance_weights(model, Batch(x), 20_000, max_pairs=100_000)
        result = annealed_importance_sampling(model, Batch(x), 64, AISOptions(30, "prior"))
    error = (1 / many.effective_sample_size + 1 / result.effective_sample_size).sqrt()
    assert (error < 0.25).all() and ((many.log_mean - result.log_mean).abs() < 5 * error).all()


def test_few_discrete_states_are_summed():
    model = make_vae("bernoulli", "bernoulli")
    x = model.sample(5)
    for result in (
        metrics.log_likelihood(model, x, 4, "ais"),
        metrics.bidirectional_monte_carlo(model, 5),
    ):
        assert (
            result.method == "exact"
            and result.bound_gap.mean == 0
            and result.lower_bound == result.value
        )


@pytest.mark.parametrize(
    "model, argument, part, instead",
    [
        (lambda: make_vae("dirac"), "posterior", "posteriors.Dirac", None),
        (lambda: make_vae("von-mises-fisher"), "method", "priors.Sphere", 'method="importance"'),
        (lambda: make_vae("product"), "method", "priors.Product", 'method="importance"'),
        (
            lambda: VAE(
                priors.Normal(2),
                posteriors.Exponential(nn.Flatten(), 2),
                likelihoods.Normal(nn.Identity(), (4,), scale=1.0),
            ),
            "annealing",
            "posteriors.Exponential",
            'start="prior"',
        ),
    ],
)
def test_models_whose_chains_cannot_move_are_refused(model, argument, part, instead):
    built = model()
    with pytest.raises(IncompatibleError) as caught:
        annealed_importance_sampling(
            built, Batch(torch.zeros(2, *built.event_shape)), 2, AISOptions(5)
        )
    assert caught.value.argument == argument and part in str(caught.value)
    assert instead is None or instead in str(caught.value.suggestions[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"temperatures": 0},
        {"leapfrogs": 0},
        {"acceptance": 1.0},
        {"start": "posteriors"},
        {"schedule": "geometric"},
    ],
)
def test_impossible_options_are_refused(settings):
    with pytest.raises(ArgumentError) as caught:
        AISOptions(**settings)
    assert {caught.value.argument: caught.value.value} == settings


def test_no_chains_are_refused():
    with pytest.raises(ArgumentError, match="`chains` is 0"):
        annealed_importance_sampling(loose(), Batch(torch.zeros(1, 6)), 0)


@pytest.mark.parametrize("both", [False, True])
def test_reported_progress_sums_to_the_total(both):
    model, annealing, progress = loose(), AISOptions(7), []
    if both:
        metrics.bidirectional_monte_carlo(
            model, 5, 3, annealing=annealing, max_pairs=6, on_progress=progress.append
        )
    else:
        metrics.log_likelihood(
            model,
            model.sample(5),
            3,
            "ais",
            annealing=annealing,
            max_pairs=6,
            on_progress=progress.append,
        )
    assert sum(progress) == annealing.total_moves(5, 3, both)


def test_a_row_with_likelihood_zero_has_weight_zero():
    """Two values that no latent explains: every initial likelihood is 0 in double precision."""
    model = linear_vae(torch.ones(1, 1), torch.zeros(1), 1e-160)
    result = annealed_importance_sampling(
        model, Batch(torch.tensor([[1e10], [-1e10]])), 2, AISOptions(3, "prior")
    )
    assert (result.log_mean == -torch.inf).all() and Normal(0.0, 1.0).log_prob(torch.zeros(())) < 0


# what bounds need to be bounds


def two_stage():
    """A two-stage prior, whose density is an estimate."""
    second = priors.TwoStage(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(2, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (2,)),
        samples=2,
    )
    return VAE(
        second,
        posteriors.Normal(networks.MLP(4, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (4,)),
    )


def test_a_density_that_is_an_estimate_has_no_annealed_bounds():
    """Chains and weights use the density: the upper bound could lie below the true value."""
    for measure in (
        lambda m: metrics.bidirectional_monte_carlo(m, 2),
        lambda m: metrics.log_likelihood(m, torch.zeros(1, 4), method="ais"),
    ):
        with pytest.raises(
            IncompatibleError, match=r"`priors.TwoStage` is an estimate.*method=\"importance\""
        ):
            measure(two_stage())
    with pytest.raises(IncompatibleError, match="Write defensive=0"):
        metrics.log_likelihood(two_stage(), torch.zeros(1, 4), 10, defensive=0.5)


@pytest.mark.parametrize("samples, rows", [(50, 8), (3, 2), (1, 100)])
def test_max_pairs_limits_the_decoder_batch_size(samples, rows, monkeypatch):
    """Applies to chains, pilot chains, simulated data and importance samples."""
    model, seen = loose(), []
    forward = model.likelihood.forward
    monkeypatch.setattr(
        model.likelihood,
        "forward",
        lambda z, context=None: (seen.append(z[..., 0].numel()), forward(z, context))[1],
    )
    metrics.bidirectional_monte_carlo(model, 20, samples, annealing=AISOptions(3), max_pairs=rows)
    metrics.log_likelihood(
        model, torch.zeros(20, 6), samples, "ais", annealing=AISOptions(3), max_pairs=rows
    )
    assert max(seen) <= max(rows, 4)  # each row has four pilot chains


def test_chains_in_blocks_count_like_chains_together():
    model = loose()
    x = model.sample(3)
    truth = metrics.exact_log_likelihood(model, x)
    result = annealed_importance_sampling(model, Batch(x), 64, AISOptions(60), max_pairs=30)
    assert (
        result.chains == 64
        and ((result.log_mean - truth).abs() < 0.1).all()
        and (result.effective_sample_size > 20).all()
    )


@pytest.mark.parametrize(
    "prior, posterior",
    [
        (
            lambda: priors.Product([priors.Normal(2), priors.LogNormal(1)]),
            lambda: product(posteriors.Normal, posteriors.LogNormal),
        ),
        (
            lambda: priors.WrappedNormal(3),
            lambda: posteriors.WrappedNormal(networks.MLP(4, [4]), 3),
        ),
    ],
    ids=["product", "ball"],
)
def test_constrained_latents_move_in_unconstrained_coordinates(prior, posterior):
    """Compared with importance sampling, half from the prior: tails of q are too thin."""
    model = VAE(
        prior(), posterior(), likelihoods.Normal(networks.MLP(3, [4]), (4,), scale=1.0)
    ).eval()
    x = model.sample(3)
    with torch.no_grad():
        many = inference.importance_weights(
            model, Batch(x), 20_000, max_pairs=100_000, defensive=0.5
        )
        result = annealed_importance_sampling(model, Batch(x), 64, AISOptions(60, "prior"))
    error = (1 / many.effective_sample_size + 1 / result.effective_sample_size).sqrt()
    assert (error < 0.3).all() and ((many.log_mean - result.log_mean).abs() < 5 * error).all()


def product(*families):
    return posteriors.Product(
        [family(networks.MLP(4, [4]), size) for family, size in zip(families, (2, 1), strict=True)]
    )


def test_chains_from_the_prior_accept_a_posterior_with_another_support():
    model = VAE(
        priors.Exponential(2),
        posteriors.Normal(networks.MLP(4, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (4,), scale=1.0),
    )
    result = annealed_importance_sampling(
        model.eval(), Batch(model.sample(3)), 16, AISOptions(30, "prior")
    )
    assert result.log_mean.isfinite().all()


def test_a_label_for_an_unconditional_model_is_refused():
    model = loose()
    with pytest.raises(IncompatibleError, match="label"):
        metrics.bidirectional_monte_carlo(model, 2, label="x")
