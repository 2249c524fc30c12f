"""Gaussians and mixtures equal plain formulas."""

import math

import numpy
import pytest
import scipy.special
import scipy.stats
import torch

from aevb.distributions import _gaussian_fits as gaussians

pytestmark = pytest.mark.usefixtures("float64")


def table(rows, columns=2, seed=0):
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return x.double() @ (torch.eye(columns) + 0.6) + 0.3


def covariance_of(whitening):
    return numpy.linalg.inv(whitening.numpy() @ whitening.numpy().T)


def test_density_of_weighted_gaussians():
    whitening = torch.tensor([[[2.0, 0.0], [0.5, 1.0]], [[0.7, 0.2], [0.0, 3.0]]])
    mean, weight = torch.tensor([[0.0, 1.0], [-2.0, 0.5]]), torch.tensor([0.3, 0.7])
    found = gaussians.Gaussians(
        weight.log(), mean, whitening, torch.linalg.slogdet(whitening).logabsdet
    )
    x = table(5)
    expected = numpy.stack(
        [
            scipy.stats.multivariate_normal(mean[k].numpy(), covariance_of(whitening[k])).logpdf(x)
            + math.log(weight[k])
            for k in range(2)
        ],
        1,
    )
    numpy.testing.assert_allclose(found.log_joint(x), expected)
    numpy.testing.assert_allclose(found.log_prob(x), scipy.special.logsumexp(expected, 1))


def shrunk(x, share):
    """The Gaussian whose covariance is shrunk towards the unit matrix."""
    x = x.numpy()
    covariance = (1 - share) * numpy.cov(x.T, bias=True) + share * numpy.eye(x.shape[1])
    return scipy.stats.multivariate_normal(x.mean(0), covariance)


@pytest.mark.parametrize("rows, columns", [(12, 5), (40, 3), (400, 2)])
def test_shrinkage_is_chosen_by_every_fifth_row(rows, columns):
    x = table(rows, columns)
    held_out = [index for index in range(rows) if index % 5 == 4]
    others = [index for index in range(rows) if index % 5 != 4]
    scores = [shrunk(x[others], share).logpdf(x[held_out]).mean() for share in SHRINKAGES]
    best = SHRINKAGES[int(numpy.argmax(scores))]
    found = gaussians.fit_gaussian(x, 1e-4)
    assert found.shrinkage == best and found.floored == ()
    numpy.testing.assert_allclose(found.log_prob(x), shrunk(x, best).logpdf(x))


SHRINKAGES = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def test_directions_have_a_smallest_deviation():
    """Columns take part in a floored direction from a squared loading of a tenth."""
    angle = math.asin(math.sqrt(0.09))
    small = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    eigenvalues = torch.tensor([[1e-6, 4.0]])
    found = gaussians._gaussians(torch.zeros(1), torch.zeros(1, 2), eigenvalues, small[None], 0.1)
    assert found.floored == (0,)
    expected = small.numpy() @ numpy.diag([0.01, 4.0]) @ small.numpy().T
    numpy.testing.assert_allclose(covariance_of(found.whitening[0]), expected)
    assert found.log_det.item() == pytest.approx(-0.5 * math.log(0.04))
    wide = gaussians._gaussians(
        torch.zeros(1), torch.zeros(1, 2), torch.tensor([[0.011, 4.0]]), small[None], 0.1
    )
    assert wide.floored == ()


def test_weighted_moments_with_a_little_of_the_prior():
    x, weight = table(7), torch.rand(7, 2)
    prior = torch.tensor([[1.0, 0.2], [0.2, 2.0]])
    found = gaussians._weighted_gaussians(x, weight, prior, 1e-3)
    total = weight.sum(0).numpy() + 1e-6
    numpy.testing.assert_allclose(found.log_weight.exp(), total / total.sum())
    for k in range(2):
        w = weight[:, k].numpy()
        mean = w @ x.numpy() / total[k]
        centred = x.numpy() - mean
        covariance = (centred.T @ (centred * w[:, None]) + 0.1 * prior.numpy()) / (total[k] + 0.1)
        numpy.testing.assert_allclose(found.mean[k], mean)
        numpy.testing.assert_allclose(covariance_of(found.whitening[k]), covariance)


@pytest.mark.parametrize("steps", [0, 1, 2, 7])
def test_steps_of_expectation_maximisation(steps):
    x, generator = table(30), torch.Generator().manual_seed(3)
    weight = gaussians._initial_weights(x, 3, generator)
    prior = torch.from_numpy(numpy.cov(x.numpy().T, bias=True) / 3)  # 3^(2 / 2 columns)
    expected = gaussians._weighted_gaussians(x, weight, prior, 1e-3)
    for _ in range(steps):
        joint = expected.log_joint(x)
        weight = torch.softmax(joint, 1)
        expected = gaussians._weighted_gaussians(x, weight, prior, 1e-3)
    found = gaussians._maximise_expectation(x, 3, 1e-3, steps, 3)
    numpy.testing.assert_allclose(found.log_prob(x), expected.log_prob(x), rtol=1e-9)


def test_the_first_centres_are_far_apart():
    """Each group of close rows is one component, whatever the seed."""
    corners = torch.tensor([[0.0, 0.0], [100.0, 0.0], [0.0, 90.0]])
    x = corners.repeat_interleave(torch.tensor([5, 9, 2]), 0) + 0.1 * torch.randn(16, 2)
    for seed in range(5):
        weight = gaussians._initial_weights(x, 3, torch.Generator().manual_seed(seed))
        assert sorted(weight.sum(0).tolist()) == [2, 5, 9]
        assert (weight.sum(1) == 1).all()
        groups = [weight[start:stop].argmax(1).unique() for start, stop in ((0, 5), (5, 14))]
        assert [len(group) for group in groups] == [1, 1]


@pytest.mark.parametrize("rows, fitted", [(9, False), (10, True), (25, True)])
def test_mixtures_need_as_many_rows_as_parameters(rows, fitted):
    """Two components in two columns have 10 parameters."""
    mixture = gaussians.fit_mixture(table(rows), [2], 1e-3)
    assert (mixture is not None) == fitted
    if fitted:
        expected = gaussians._maximise_expectation(table(rows), 2, 1e-3, 50, 0)
        assert torch.equal(mixture.mean, expected.mean)


@pytest.mark.parametrize(
    "scores, best, fits",
    [
        ([1.0, 2.0, 3.0, 4.0], 8, 4),
        ([1.0, 2.0, 1.5, 1.0], 2, 4),
        ([3.0, 2.0, 1.5, 9.0], 1, 3),  # two in a row are worse
        ([3.0, 2.0, 4.0, 3.5], 4, 4),
        ([2.0, 2.0, 2.0, 9.0], 1, 3),
    ],
)
def test_candidates_until_two_are_worse(scores, best, fits, monkeypatch):
    sizes, tried = dict(zip((1, 2, 4, 8), scores, strict=True)), []

    class Fitted:
        def __init__(self, x, components, *options):
            tried.append((len(x), components))
            self.components = components

        def log_prob(self, x):
            return torch.full((len(x),), sizes[self.components])

    monkeypatch.setattr(gaussians, "_maximise_expectation", Fitted)
    found = gaussians.fit_mixture(table(100), (1, 2, 4, 8), 1e-3)
    assert found.components == best
    assert tried == [*((80, size) for size in (1, 2, 4, 8)[:fits]), (100, best)]


def test_a_background_takes_rows_far_from_narrow_components():
    """Two narrow clusters and a tenth of the rows anywhere: held-out rows want a background."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    narrow = torch.arange(300) % 11 > 0
    x[narrow] = x[narrow].sign() + 1e-3 * x[narrow]
    plain = gaussians.fit_mixture(x, (4,), 1e-3, prior_rows=(1e-5,))
    found = gaussians.fit_mixture(x, (4,), 1e-3, prior_rows=(1e-5,), backgrounds=(0.1, 1e-3))
    assert len(plain.log_weight) == 4 and len(found.log_weight) == 5
    assert torch.allclose(found.log_weight[-1].exp(), torch.tensor(0.1).double())
    assert abs(found.log_weight.logsumexp(0)) < 1e-12
    assert torch.allclose(found.mean[-1], x.mean(0))
    assert torch.allclose(found.covariance[-1], torch.cov(x.T, correction=0))
    fresh = torch.randn(100, 2, generator=generator, dtype=torch.float64)
    assert found.log_prob(fresh).mean() > plain.log_prob(fresh).mean() + 1
