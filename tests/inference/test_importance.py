"""Importance weights against sums over all of them at once, and models with known evidence."""

import math

import numpy as np
import pytest
import torch
from tests.catalogue import make_quantised, make_vae
from tests.linear import evidence, exact_vae, linear_vae, set_posterior
from torch.distributions import Independent, Normal

from aevb import VAE, Batch, likelihoods, networks, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference import _importance, importance_weights
from aevb.inference._importance import Proposal, RunningLogSums, WeightAccumulator, group_sizes
from aevb.inference._pareto import pareto_k, tail_length

pytestmark = pytest.mark.usefixtures("float64")
CPU = torch.device("cpu")


def accumulate(log_weight, *, feed):
    """All weights, in blocks of ``feed``."""
    made = WeightAccumulator(log_weight.shape[1], len(log_weight), CPU)
    for part in log_weight.split(feed):
        made.add(part)
    return made.result()


def group_means(log_weight, size):
    """The log of the mean weight of each whole group of neighbours, averaged over the groups."""
    groups = np.exp(log_weight[: len(log_weight) // size * size]).reshape(-1, size, 2).mean(1)
    return np.log(groups).mean(0)


@pytest.mark.parametrize("capacity", [1, 2, 4, 1 << 22])
@pytest.mark.parametrize("samples", [1, 2, 3, 7, 8, 9, 16, 31, 32])
def test_accumulated_weights_are_those_of_all_at_once(samples, capacity, monkeypatch):
    """Buffers of 1, 2, 4 and all weights, filled exactly, partly and over their end."""
    monkeypatch.setattr(_importance, "MAX_BUFFERED_WEIGHTS", 2 * capacity + 1)
    log_weight = 2 * torch.randn(samples, 2) + torch.tensor([0.0, -3.0])
    plain, weight = log_weight.numpy(), log_weight.exp().numpy()
    for feed in (1, 3, samples):
        found = accumulate(log_weight, feed=feed)
        expected = {
            "log_mean": np.log(weight.mean(0)),
            "effective_sample_size": weight.sum(0) ** 2 / (weight**2).sum(0),
            "elbo": plain.mean(0),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(found, name), value, rtol=1e-11, err_msg=name)
        sizes = group_sizes(samples)
        curve = [group_means(plain, size) for size in sizes]
        np.testing.assert_allclose(found.curve, np.stack(curve), rtol=1e-11)
        assert found.samples == samples and found.distortion.isnan().all()
        if samples == 1:
            assert found.elbo_error.isnan().all() and found.log_mean_error.isnan().all()
        else:
            error = plain.std(0, ddof=1) / math.sqrt(samples)
            np.testing.assert_allclose(found.elbo_error, error, rtol=1e-9)
            relative = weight.std(0, ddof=1) / math.sqrt(samples) / weight.mean(0)
            np.testing.assert_allclose(found.log_mean_error, relative, rtol=1e-9)
        largest = log_weight.sort(0, descending=True).values[: tail_length(samples) + 1]
        torch.testing.assert_close(found.pareto_k, pareto_k(largest), equal_nan=True)
    assert found.pareto_k.isfinite().all() == (samples >= 25)


@pytest.mark.parametrize(
    "limit, size, capacity", [(12, 3, 4), (11, 3, 2), (48, 3, 16), (2, 3, 1), (1, 1, 1), (2, 1, 2)]
)
def test_a_buffer_is_the_largest_power_of_two_that_fits(limit, size, capacity, monkeypatch):
    monkeypatch.setattr(_importance, "MAX_BUFFERED_WEIGHTS", limit)
    for samples in (1, 3, 100):
        made = WeightAccumulator(size, samples, CPU)
        assert made.capacity == capacity and len(made.buffer) == min(capacity, samples)


def test_sums_do_not_overflow_and_rows_of_likelihood_zero_stay_zero():
    log_weight = torch.tensor([[900.0, -math.inf, -math.inf], [901.0, -math.inf, -2000.0]])
    for feed in (1, 2):
        found = accumulate(log_weight, feed=feed)
        mean = 900 + math.log((1 + math.e) / 2)
        assert found.log_mean.tolist() == pytest.approx([mean, -math.inf, -2000 - math.log(2)])
        size = (1 + math.e) ** 2 / (1 + math.e**2)
        assert found.effective_sample_size.tolist() == pytest.approx([size, 0.0, 1.0])
        assert found.curve[:, 1].tolist() == [-math.inf] * 2


def test_errors_of_equal_weights_are_zero_and_of_large_ones_exact():
    """Squares around the first peak do not cancel: of 1e8 + noise, 8 digits of it are left."""
    noise = torch.randn(50, 1)
    found = accumulate(torch.cat([1e8 + noise, torch.full((50, 1), 0.1)], 1), feed=7)
    error = (noise.std() / math.sqrt(50)).item()
    # the mean of 1e8 is rounded to 1e-8 of a deviation of 1
    assert found.elbo_error.tolist() == pytest.approx([error, 0.0], rel=1e-6, abs=1e-12)
    assert found.log_mean_error[1].item() == pytest.approx(0.0, abs=1e-7)


def test_running_sums_return_the_factor_of_earlier_sums():
    sums = RunningLogSums(2, CPU)
    first, scaled = sums.add(torch.tensor([[1.0, -math.inf], [3.0, -math.inf]]))
    assert first.tolist() == [0.0, 0.0] and scaled[:, 0].tolist() == [math.exp(-2), 1.0]
    shift, scaled = sums.add(torch.tensor([[5.0, 7.0]]))
    assert shift.tolist() == [math.exp(-2), 0.0] and scaled.tolist() == [[1.0, 1.0]]
    shift, scaled = sums.add(torch.tensor([[4.0, 7.0]]))
    assert shift.tolist() == [1.0, 1.0] and scaled.tolist() == [[math.exp(-1), 1.0]]


# weights of a model

WEIGHT, OFFSET, SCALE = torch.tensor([[0.8], [-0.4]]).double(), torch.tensor([0.3, 1.0]), 0.6
X = torch.tensor([[0.1, 0.9], [1.5, -0.2], [-0.7, 1.4]], dtype=torch.float64)


def wide_model():
    model = linear_vae(WEIGHT, OFFSET.double(), SCALE)
    gain = torch.tensor([[0.5, -0.1]])
    set_posterior(model, gain, torch.tensor([0.1]), torch.tensor([1.2]))
    return model


def densities(z):
    """``log p(x|z)``, ``log p(z)`` and ``log q(z|x)``, ``[K, B]`` each."""
    mean = z @ WEIGHT.T + OFFSET
    likelihood = Independent(Normal(mean, SCALE), 1).log_prob(X)
    centre = X @ torch.tensor([0.5, -0.1]) + 0.1
    return likelihood, Normal(0.0, 1.0).log_prob(z[..., 0]), Normal(centre, 1.2).log_prob(z[..., 0])


def drawn(model, samples, defensive=0):
    """The draws that the seed 3 makes."""
    batch = Batch(X)
    with RowNoise.from_batch(batch, 3, None).samples(samples):
        proposal = Proposal(model.infer(batch), model.prior(), defensive, samples)
        return proposal.draw(0, samples)


@pytest.mark.parametrize("max_pairs", [1, 3, 7, 12, 30, 1000])
@pytest.mark.parametrize("from_prior", [0, 3])
def test_weights_of_a_model_are_ratios_of_densities(from_prior, max_pairs):
    model, samples, done = wide_model(), 10, []
    with torch.no_grad():
        likelihood, prior, posterior = densities(drawn(model, samples, from_prior))
    share = from_prior / samples
    mixture = (share * prior.exp() + (1 - share) * posterior.exp()).log()
    log_weight = likelihood + prior - mixture
    found = importance_weights(
        model, Batch(X), samples, max_pairs=max_pairs, defensive=share, seed=3,
        on_progress=done.append,
    )  # fmt: skip
    expected = accumulate(log_weight, feed=samples)
    for name in ("log_mean", "effective_sample_size", "elbo", "elbo_error", "curve"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), msg=name)
    torch.testing.assert_close(found.distortion, -likelihood.mean(0))
    block = max(1, max_pairs // 3)
    assert done == [3 * min(block, samples - start) for start in range(0, samples, block)]


def test_weights_of_the_exact_posterior_are_the_evidence():
    model = exact_vae(WEIGHT, OFFSET.double(), SCALE)
    found, truth = importance_weights(model, Batch(X), 30), evidence(WEIGHT, OFFSET, SCALE, X)
    for value in (found.log_mean, found.elbo, *found.curve):
        torch.testing.assert_close(value, truth)
    torch.testing.assert_close(found.effective_sample_size, torch.full((3,), 30.0))
    assert found.elbo_error.max() < 1e-12


# the mixture with the prior


@pytest.mark.parametrize("n, samples", [(1, 2), (1, 7), (3, 10), (6, 7), (5, 5), (4, 8)])
def test_draws_from_the_prior_are_spread_evenly(n, samples):
    """Of the first ``k`` draws, ``k n / samples`` come from the prior, rounded down."""
    q, batched = Normal(torch.zeros(2), 1.0), Normal(torch.full((2,), 1e6), 1.0)
    numbers = torch.arange(1, samples + 1)
    for p in (Normal(1e6, 1.0), batched):
        proposal = Proposal(q, p, n, samples)
        for block in (1, 2, samples):
            parts = [
                proposal.draw(start, min(block, samples - start))
                for start in range(0, samples, block)
            ]
            from_prior = torch.cat(parts) > 5e5
            assert (from_prior.cumsum(0) == (numbers * n // samples)[:, None]).all()


def test_events_of_several_axes_come_whole_from_one_side():
    q = Independent(Normal(torch.zeros(2, 3, 4), 1.0), 2)
    p = Independent(Normal(torch.full((3, 4), 1e6), 1.0), 2)
    z = Proposal(q, p, 1, 2).draw(0, 4)
    far = (z > 5e5).flatten(2)
    assert z.shape == (4, 2, 3, 4) and (far.all(2) == far.any(2)).all()
    assert far.all(2).tolist() == [[False] * 2, [True] * 2] * 2


@pytest.mark.parametrize(
    "samples, fraction, expected",
    [
        (1, 0.0, 0), (10, 0.0, 0), (10, 0.3, 3), (2, 0.01, 1), (2, 0.99, 1), (10, 0.97, 9),
        (100, 0.001, 1), (3, 0.5, 2),
    ],
)  # fmt: skip
def test_the_prior_draws_at_least_one_and_not_all(samples, fraction, expected):
    assert _importance._count_prior_draws(wide_model(), samples, fraction) == expected


@pytest.mark.parametrize(
    "samples, fraction, argument",
    [(10, 1.0, "defensive"), (10, -0.01, "defensive"), (1, 0.5, "samples"), (0, 0.0, "samples")],
)
def test_impossible_mixtures_are_refused(samples, fraction, argument):
    with pytest.raises(ArgumentError) as caught:
        importance_weights(wide_model(), Batch(X), samples, defensive=fraction)
    assert caught.value.argument == argument


def with_supports(prior, posterior):
    return VAE(
        prior(2),
        posterior(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,), scale=1.0),
    )


def test_a_posterior_that_misses_a_part_of_the_prior_is_never_reliable():
    positive = with_supports(priors.Normal, posteriors.Exponential)
    assert _importance.check_importance_sampling(positive, "sampling")
    assert not _importance.check_importance_sampling(wide_model(), "sampling")
    found = importance_weights(positive, Batch(X.new_zeros(2, 3)), 30)
    assert (found.pareto_k == math.inf).all() and found.log_mean.isfinite().all()
    with pytest.raises(IncompatibleError) as caught:
        importance_weights(positive, Batch(X.new_zeros(2, 3)), 30, defensive=0.5)
    assert caught.value.argument == "defensive"


@pytest.mark.parametrize(
    "model",
    [
        lambda: with_supports(priors.Exponential, posteriors.Normal),
        lambda: make_vae("dirac"),
        lambda: make_quantised("vector"),
    ],
    ids=["support", "dirac", "quantised"],
)
def test_posteriors_without_weights_are_refused(model):
    with pytest.raises(IncompatibleError) as caught:
        _importance.check_importance_sampling(model(), "sampling")
    assert caught.value.argument == "posterior"


def two_stage(samples):
    second = priors.TwoStage(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(2, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (2,)),
        samples=samples,
    )
    return VAE(
        second,
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,)),
    )


@pytest.mark.parametrize("samples", [2, 5])  # 2 is also the number of samples of a block
def test_the_draws_of_an_estimated_density_follow_the_seed(samples):
    model, x = two_stage(samples), torch.randn(3, 3)
    assert _importance.has_stochastic_density(model)
    assert not _importance.has_stochastic_density(wide_model())
    found = [
        importance_weights(model, Batch(rows), 6, seed=1, max_pairs=pairs).log_mean
        for rows, pairs in ((x, 100), (x, 6), (x[1:], 100))
    ]
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0][1:], found[2])


def test_standard_errors_need_two_weights():
    size = torch.tensor([1.0, 2.0, 2.0 + 1e-12])
    assert _importance.log_mean_error(size, 1).isnan().all()
    # of two weights 1 and 0, sd / mean / sqrt(2) = 1; equal weights have no error
    assert _importance.log_mean_error(size, 2).tolist() == [1.0, 0.0, 0.0]


def test_the_default_seed_comes_from_the_random_stream():
    model, found = wide_model(), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(importance_weights(model, Batch(X), 5).log_mean)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_latents_are_drawn_together_where_they_are_few_numbers(monkeypatch):
    counts, draw = [], _importance.Proposal.draw

    def counted(self, start, count):
        counts.append(count)
        return draw(self, start, count)

    monkeypatch.setattr(_importance.Proposal, "draw", counted)
    model, x = wide_model(), torch.randn(2, 2)
    size = 2 * model.latent_shape[0]
    for limit, expected in ((10 * size, [10, 10, 5]), (size - 1, [1] * 25)):
        counts.clear()
        monkeypatch.setattr(_importance, "MAX_ELEMENTS_PER_BLOCK", limit)
        importance_weights(model, Batch(x), 25, seed=0, max_pairs=2)
        assert counts == expected
