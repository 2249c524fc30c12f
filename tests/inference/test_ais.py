"""Annealed importance sampling: unbiased weights, and bounds around the true value."""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.catalogue import make_vae
from tests.linear import evidence, exact_vae, linear_vae, set_posterior, true_posterior
from torch import nn
from torch.distributions import Normal

from aevb import VAE, Batch, inference, likelihoods, metrics, networks, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import AISOptions, _ais, annealed_importance_sampling

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
    assert (
        result.method == "annealing" and result.samples == 8 and 0.5 < result.acceptance_rate < 0.8
    )
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
    result = metrics.log_likelihood(
        model, model.sample(6), 4, "annealing", annealing=AISOptions(20)
    )
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
        metrics.log_likelihood(model, x, 16, "annealing", annealing=AISOptions(60), max_pairs=rows)
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
        metrics.log_likelihood(model, x, 4, "annealing"),
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
            "annealing",
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
        lambda m: metrics.log_likelihood(m, torch.zeros(1, 4), method="annealing"),
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
        model, torch.zeros(20, 6), samples, "annealing", annealing=AISOptions(3), max_pairs=rows
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


# exact truths of single steps


def unequal_rows():
    model = loose()
    x = model.sample(3)
    return model, Batch(x)


def test_chains_between_equal_distributions_have_the_evidence_as_every_weight():
    """Where q is the posterior, ``log p(x, z) - log q(z)`` is ``log p(x)`` at every point."""
    weight, offset, scale = torch.randn(4, 2), torch.randn(4), 0.7
    model = exact_vae(weight, offset, scale)
    z, p = model.sample_joint(3)
    x = p.sample()
    truth = evidence(weight, offset, scale, x)
    for temperatures, schedule in ((1, "linear"), (2, "sigmoid"), (4, "sigmoid")):
        result = annealed_importance_sampling(
            model, Batch(x), 5, AISOptions(temperatures, schedule=schedule), z=z, max_pairs=6
        )
        for value in (result.lower, result.log_mean, result.upper):
            torch.testing.assert_close(value, truth)
        torch.testing.assert_close(result.effective_sample_size, torch.full((3,), 5.0))
        assert result.log_mean_error.max() < 1e-6


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_one_step_weighs_draws_from_the_start_and_the_exact_draw(start):
    model, batch = unequal_rows()
    z = torch.randn(3, 3)
    result = annealed_importance_sampling(model, batch, 4, AISOptions(1, start), z=z, seed=2)
    first = model.infer(batch) if start == "posterior" else model.prior()
    with RowNoise.from_batch(batch, 2, None).samples(4):
        drawn = first.sample((4,) if start == "posterior" else (4, 3))

    def log_ratio(z):
        joint = model.likelihood(z).log_prob(batch.x) + model.prior().log_prob(z)
        return (joint - first.log_prob(z)).detach()

    torch.testing.assert_close(result.lower, log_ratio(drawn).mean(0))
    torch.testing.assert_close(result.log_mean, log_ratio(drawn).logsumexp(0) - math.log(4))
    torch.testing.assert_close(result.upper, log_ratio(z[None])[0])
    alone = annealed_importance_sampling(model, batch, 1, AISOptions(1, start), seed=2)
    torch.testing.assert_close(alone.lower, log_ratio(drawn)[0])
    assert alone.acceptance.shape == (3,) and alone.acceptance.isnan().all()
    assert alone.log_mean_error.isnan().all() and alone.upper is None


@pytest.mark.parametrize("max_pairs", [1, 3, 6, 11, 100])
def test_chains_do_not_depend_on_their_blocks(max_pairs):
    model, batch = unequal_rows()
    z, done = torch.randn(3, 3), []
    options = {"annealing": AISOptions(3, leapfrogs=1), "z": z, "seed": 4}
    together = annealed_importance_sampling(model, batch, 5, **options)
    found = annealed_importance_sampling(
        model, batch, 5, **options, max_pairs=max_pairs, on_progress=done.append
    )
    for name in ("lower", "log_mean", "upper", "effective_sample_size", "acceptance"):
        torch.testing.assert_close(getattr(found, name), getattr(together, name), msg=name)
    assert ((found.acceptance > 0) & (found.acceptance <= 1)).all()
    block = max(1, max_pairs // 3)
    counts = [3 * min(block, 5 - start) for start in range(0, 5, block)]
    forward = [count for count in counts for _ in range(3)]
    backward = [count for count in counts for _ in range(2)]
    assert done == [12] * 22 + forward + backward
    assert sum(done) == options["annealing"].total_moves(3, 5, bidirectional=True)


class Script:
    """A path whose states after each proposal are known."""

    def __init__(self, temperatures, rows=2):
        self.annealing, self.size = AISOptions(temperatures, acceptance=0.6), rows
        self.betas = [(level / temperatures) ** 2 for level in range(temperatures + 1)]
        self.bijector, self.moves = SimpleNamespace(inv=lambda z: z + 100), []
        self.acceptance = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.8, 0.2]])

    def state(self, name):
        rows = torch.tensor([1.0, -3.0]).expand(4, 2)
        return SimpleNamespace(log_density=torch.zeros(4, 2), log_ratio=name * rows)

    def initial_state(self, chains):
        return self.state(10.0)

    def evaluate(self, u, level):
        self.moves.append((level, u.tolist()))
        return self.state(10.0)

    def propose(self, state, level, step):
        self.moves.append((level, step.tolist()))
        return SimpleNamespace(state=self.state(float(level)), acceptance=self.acceptance)


def test_forward_chains_add_the_gain_of_each_step_before_its_move():
    path, sizes, done = Script(4), [torch.full((2,), float(n)) for n in range(4)], []
    result = _ais._run_forward(path, sizes, 4, done.append)
    # betas 0, 1/16, 4/16, 9/16, 1; states 10 (the start), 1, 2 and 3 (after the move at that level)
    total = (1 * 10 + 3 * 1 + 5 * 2 + 7 * 3) / 16
    assert result.log_weight.tolist() == [[total, -3 * total]] * 4
    assert path.moves == [(level, [float(level)] * 2) for level in (1, 2, 3)]
    assert result.acceptance.tolist() == pytest.approx([0.8, 0.2]) and done == [8] * 4


def test_backward_chains_add_the_gain_of_each_step_after_its_move():
    path, sizes, done = Script(4), [torch.full((2,), float(n)) for n in range(4)], []
    result = _ais._run_backward(path, sizes, torch.zeros(4, 2), done.append)
    total = (7 * 10 + 5 * 3 + 3 * 2 + 1 * 1) / 16
    assert result.log_weight.tolist() == [[total, -3 * total]] * 4
    start, *moves = path.moves
    assert start == (4, [[100.0, 100.0]] * 4)  # the exact draw in unconstrained coordinates
    assert moves == [(level, [float(level)] * 2) for level in (3, 2, 1)] and done == [8] * 3


@pytest.mark.parametrize("temperatures", [1, 2, 5])
def test_pilots_adapt_the_step_of_each_temperature(temperatures):
    """Of constant acceptance ``a``, each move multiplies the step by ``exp(0.1 (a - 0.6))``."""
    path, done = Script(temperatures), []
    steps = _ais._tune_step_sizes(path, done.append)
    moves = torch.arange(20, 20 + temperatures)[:, None]
    expected = 0.5 * torch.exp(0.1 * moves * torch.tensor([0.2, -0.4]))
    torch.testing.assert_close(torch.stack(steps), expected)
    levels = [level for level, _ in path.moves]
    assert levels == [min(1, temperatures - 1)] * 20 + list(range(1, temperatures))
    assert done == [8] * len(levels)  # 4 pilots of 2 rows
    used = [step for _, step in path.moves]
    assert used[0] == [0.5, 0.5] and used[1] == pytest.approx(
        (0.5 * torch.exp(0.1 * torch.tensor([0.2, -0.4]))).tolist()
    )


def positive_model():
    """Exponential latents, which move as ``u = log z``: ``log |dz/du| = u``."""
    return VAE(
        priors.Exponential(2),
        posteriors.Exponential(networks.MLP(4, [4], seed=0), 2),
        likelihoods.Normal(networks.MLP(2, [4], seed=0), (4,), scale=0.7),
    ).eval()


@pytest.mark.parametrize("start", ["prior", "posterior"])
@pytest.mark.parametrize("model", [positive_model, lambda: loose(size=4, latent=2)])
def test_tempered_densities_are_geometric_mixtures(model, start):
    model, x = model(), torch.randn(3, 4)
    path = _ais._AnnealingPath(model, Batch(x), AISOptions(4, start, schedule="linear"))
    positive = isinstance(model.prior, priors.Exponential)
    q = model.infer(Batch(x)) if start == "posterior" else model.prior()

    def log_density(u, beta):
        z = u.exp() if positive else u
        joint = model.likelihood(z).log_prob(x) + model.prior().log_prob(z)
        mixed = (1 - beta) * q.log_prob(z) + beta * joint
        return (mixed + u.sum(-1) if positive else mixed), joint - q.log_prob(z)

    u, moved = torch.randn(5, 3, 2), []
    for level, beta in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
        point = u.clone().requires_grad_()
        value, ratio = log_density(point, beta)
        (gradient,) = torch.autograd.grad(value.sum(), point)
        # a chain that cannot move has the same state under the next temperature
        moved = path.propose(path.evaluate(u, 4 - level), level, torch.zeros(3)).state
        for state in (path.evaluate(u, level), moved):
            torch.testing.assert_close(state.z, u)
            torch.testing.assert_close(state.log_density, value.detach())
            torch.testing.assert_close(state.gradient, gradient)
            torch.testing.assert_close(state.log_ratio, ratio.detach())


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_proposals_are_scaled_by_precisions_between_start_and_posterior(start, monkeypatch):
    model, batch = unequal_rows()
    noise = RowNoise.from_batch(batch, 1, None)
    with noise.samples(64):
        path = _ais._AnnealingPath(model, batch, AISOptions(4, start, 7, schedule="linear"))
    with noise.samples(64):
        q = model.infer(batch)
        drawn = [(q if start == "posterior" else model.prior()).sample(
            (64,) if start == "posterior" else (64, 3)), q.sample((64,))]  # fmt: skip
    first, last = (1 / draws.var(0) for draws in drawn)
    seen = []
    monkeypatch.setattr(
        _ais, "hmc_transition", lambda f, s, step, n, scale: seen.append((step, n, scale))
    )
    state, step = path.evaluate(torch.randn(2, 3, 3), 0), torch.rand(3)
    for level in range(5):
        path.propose(state, level, step)
        mixed = ((4 - level) * first + level * last) / 4
        torch.testing.assert_close(seen[-1][2], mixed.rsqrt())
    assert all(one[0] is step and one[1] == 7 for one in seen)


def test_variables_without_spread_have_a_finite_precision():
    model, batch = unequal_rows()
    path = _ais._AnnealingPath(model, batch, AISOptions(2))
    narrow = Normal(torch.zeros(3, 3), torch.full((3, 3), 1e-320))
    precision = path._precision(narrow)
    assert (precision == torch.finfo(torch.float64).tiny ** -0.5).all()


def test_chains_from_the_prior_need_no_parameters_of_the_rows():
    """The scale at the end is then that of the prior; with row numbers that of the posterior."""
    plain = loose()
    batch = Batch(plain.sample(2), index=torch.arange(2), dataset_size=2)
    free = posteriors.NonAmortised(plain.posterior, 2)
    with torch.no_grad():
        free.table.entries.fill_(-0.02)  # scales of about exp(-1)
    model = VAE(plain.prior, free, plain.likelihood).eval()
    path = _ais._AnnealingPath(model, Batch(batch.x), AISOptions(2, "prior"))
    assert path.start is path.prior and (path.end_precision < 3).all()  # of 64 standard normals
    known = _ais._AnnealingPath(model, batch, AISOptions(2, "prior"))
    assert known.start is known.prior and (known.end_precision > 3.5).all()  # of exp(2) = 7.4


def test_schedules():
    assert AISOptions(4, schedule="linear").betas().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    curve = AISOptions(2).betas()
    assert curve.tolist() == [0.0, 0.5, 1.0] and curve.dtype == torch.float64
    logistic = [1 / (1 + math.exp(-4 * (2 * t / 5 - 1))) for t in range(6)]
    expected = [(value - logistic[0]) / (logistic[5] - logistic[0]) for value in logistic]
    assert AISOptions(5).betas().tolist() == pytest.approx(expected, abs=1e-12)
    assert AISOptions(1, leapfrogs=1, acceptance=1e-9).betas().tolist() == [0.0, 1.0]
    with pytest.raises(ArgumentError):
        AISOptions(acceptance=0.0)


@pytest.mark.parametrize(
    "chains, pairs, rows",
    [(16, 1024, 64), (2, 1024, 256), (4, 16, 4), (5, 16, 3), (50, 8, 1), (3, 2, 1), (100, 3, 1)],
)
def test_rows_of_a_block(chains, pairs, rows):
    """Four pilots per row, too; chains beyond the limit run in turn."""
    assert _ais.ais_block_size(chains, pairs) == rows


def test_supports_must_agree_for_chains_from_the_posterior():
    decoder = likelihoods.Normal(networks.MLP(2, [4]), (4,), scale=1.0)
    narrow = VAE(priors.Normal(2), posteriors.Exponential(networks.MLP(4, [4]), 2), decoder)
    wide = VAE(priors.Exponential(2), posteriors.Normal(networks.MLP(4, [4]), 2), decoder)
    for model in (narrow, wide):
        _ais.check_ais(model, AISOptions(start="prior"))
        with pytest.raises(IncompatibleError) as caught:
            _ais.check_ais(model, AISOptions(start="posterior"))
        assert caught.value.argument == "annealing"
