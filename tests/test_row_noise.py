"""Random numbers by row: what they depend on, and that they have the right distributions."""

import math
import threading

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Dirichlet,
    Exponential,
    Gamma,
    Independent,
    Laplace,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
)

from aevb._random import seed_scope
from aevb._row_noise import RowNoise, draw_loop

X = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, float("nan")]])
DRAWS, ROWS = 400, 250


def noise_of(rows: int = ROWS) -> RowNoise:
    return RowNoise.from_rows(torch.arange(rows * 2.0).reshape(rows, 2), seed=0)


def draw(distribution, draws: int = DRAWS, rows: int = ROWS) -> torch.Tensor:
    """``[draws, rows, *batch]`` draws of a distribution, each row with its own noise."""
    with noise_of(rows).samples(draws):
        return distribution.expand((rows, *distribution.batch_shape)).sample((draws,))


class TestKeys:
    def draws(self, x, context=None, seed=0, start=0):
        with RowNoise.from_rows(x, context, seed=seed).samples(2, start):
            return torch.randn(2, len(x), 3)

    def test_depend_on_the_values_of_the_row_alone(self):
        together, order = self.draws(X), torch.tensor([2, 0, 1])
        assert torch.equal(self.draws(X[order]), together[:, order])
        assert torch.equal(self.draws(X[1:]), together[:, 1:])
        assert torch.equal(self.draws(X.double()), together)

    def test_rows_seeds_samples_and_contexts_differ(self):
        base = self.draws(X)
        assert len(base.flatten().unique()) == base.numel()
        for other in (
            self.draws(X, seed=1),
            self.draws(X, seed=-1),
            self.draws(X, start=2),
            self.draws(X, context=torch.zeros(3, 1)),
            self.draws(X.flip(1)),
        ):
            assert not (other == base).any()

    def test_zeros_and_missing_cells_have_one_key(self):
        twice = torch.tensor([[0.0, math.nan], [-0.0, -math.nan]])
        drawn = self.draws(twice)
        assert torch.equal(drawn[:, 0], drawn[:, 1])

    def test_fork_and_large_seeds(self):
        with RowNoise.from_rows(X, seed=2**64 + 5).fork(1).samples(2):
            assert not (torch.randn(2, 3, 3) == self.draws(X, seed=5)).any()
        assert torch.equal(self.draws(X, seed=2**64 + 5), self.draws(X, seed=5))


class TestScope:
    @pytest.mark.parametrize(
        "shape, row",
        [
            ((4, 3, 2), lambda z: z[:, 1]),
            ((12, 2), lambda z: z.reshape(4, 3, 2)[:, 1]),
            ((4, 6), lambda z: z.reshape(4, 3, 2)[:, 1]),
            ((5, 4, 3, 2), lambda z: z[:, :, 1]),
            ((5, 12), lambda z: z.reshape(5, 4, 3)[:, :, 1]),
            ((4, 3), lambda z: z[:, 1]),
        ],
    )
    def test_finds_the_row_in_every_layout(self, shape, row):
        """The row alone, in two blocks of samples, has the draws that it has in the batch."""
        noise = RowNoise.from_rows(X, seed=0)
        alone = RowNoise.from_rows(X[1:2], seed=0)
        with noise.samples(4):
            torch.rand(4, 3)
            expected = row(torch.randn(shape))
        axis = 1 if shape[0] == 5 else 0
        parts = []
        for start in (0, 2):
            shorter = list(shape)
            shorter[axis] //= 2 if shape[axis] == 4 else 6
            if shape[axis] == 4:
                shorter[axis + 1] //= 3
            with alone.samples(2, start):
                torch.rand(2, 1)
                drawn = torch.randn(shorter)
            parts.append(drawn.reshape(*shape[:axis], 2, *expected.shape[axis + 1 :]))
        assert torch.equal(torch.cat(parts, axis), expected)

    def test_draws_of_all_rows_do_not_depend_on_them(self):
        with RowNoise.from_rows(X, seed=0).samples(4):
            first = torch.randn(7)
        with RowNoise.from_rows(X[:2], seed=0).samples(5):
            assert torch.equal(torch.randn(7), first)

    def test_other_streams_stay_as_they_are(self):
        torch.manual_seed(3)
        expected = torch.randn(2)
        torch.manual_seed(3)
        generator = torch.Generator().manual_seed(3)
        with RowNoise.from_rows(X, seed=0).samples():
            torch.randn(1, 3)
            assert torch.equal(torch.randn(2, generator=generator), expected)
            with seed_scope(3):
                assert torch.equal(torch.randn(2), expected)
            other = []
            thread = threading.Thread(target=lambda: other.append(torch.randn(2)))
            thread.start()
            thread.join()
        assert torch.equal(other[0], expected)

    def test_the_length_of_a_loop_changes_no_later_draw(self):
        drawn = []
        for length in (1, 5):
            with RowNoise.from_rows(X, seed=0).samples(2):
                with draw_loop():
                    first, *_ = [torch.randn(2, 3) for _ in range(length)]
                drawn.append((first, torch.randn(2, 3)))
        assert torch.equal(drawn[0][0], drawn[1][0])
        assert torch.equal(drawn[0][1], drawn[1][1])
        assert not (drawn[0][0] == drawn[0][1]).any()


CONTINUOUS = {
    "normal": Normal(torch.tensor(1.0), torch.tensor(2.0)),
    "laplace": Laplace(torch.tensor(0.0), torch.tensor(1.0)),
    "exponential": Exponential(torch.tensor(3.0)),
    "student": StudentT(torch.tensor(9.0)),
    "gamma-0.05": Gamma(torch.tensor(0.05), torch.tensor(1.0)),
    "gamma-0.9": Gamma(torch.tensor(0.9), torch.tensor(2.0)),
    "gamma-30": Gamma(torch.tensor(30.0), torch.tensor(2.0)),
    "beta": Beta(torch.tensor(0.5), torch.tensor(2.0)),
    "poisson-0.3": Poisson(torch.tensor(0.3)),
    "poisson-40": Poisson(torch.tensor(40.0)),
    "poisson-3e5": Poisson(torch.tensor(3e5)),
    "negative-binomial": NegativeBinomial(torch.tensor(3.0), torch.tensor(0.6)),
    "bernoulli": Bernoulli(torch.tensor(0.2)),
    "dirichlet": Dirichlet(torch.tensor([0.3, 1.0, 4.0])),
    "one-hot": OneHotCategorical(torch.tensor([0.2, 0.0, 0.8])),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_draws_have_the_mean_and_the_variance_of_their_distribution(name):
    p = CONTINUOUS[name]
    drawn = draw(p).double().flatten(0, 1)
    for power, stated in ((1, p.mean.double()), (2, p.variance.double() + p.mean.double() ** 2)):
        values = drawn**power
        error = values.std(0) / math.sqrt(len(values))
        # five standard errors, and the rounding of float32 parameters
        assert ((values.mean(0) - stated).abs() <= 5 * error + 1e-6 * stated.abs()).all()
    assert p.support.check(draw(p)).all()


@pytest.mark.parametrize("name", ["normal", "laplace", "gamma-0.9", "gamma-30", "exponential"])
def test_draws_follow_the_distribution_function(name):
    """Kolmogorov's distance of 100,000 draws is below 2.5 / sqrt(n) but for a chance of 1e-5."""
    drawn = draw(CONTINUOUS[name]).double().flatten()
    levels = CONTINUOUS[name].cdf(drawn).sort().values
    grid = torch.arange(1, len(levels) + 1, dtype=torch.float64) / len(levels)
    assert (levels - grid).abs().max() < 2.5 / math.sqrt(len(levels))


def test_counts_follow_the_probabilities():
    for rate in (0.3, 4.0, 40.0):
        p = Poisson(torch.tensor(rate))
        drawn = draw(p).flatten()
        k = torch.arange(int(rate + 6 * math.sqrt(rate)) + 1.0)
        expected = p.log_prob(k).exp()
        observed = (drawn[:, None] == k).double().mean(0)
        error = (expected * (1 - expected) / len(drawn)).sqrt()
        assert ((observed - expected).abs() <= 5 * error + 1e-5).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_in_every_axis_are_uncorrelated(dtype):
    with noise_of().samples(40):
        z = torch.randn(40, ROWS, 6, dtype=dtype).double()
        u = torch.rand(40, ROWS, 6, dtype=dtype).double()
        second = torch.randn(40, ROWS, 6, dtype=dtype).double()
    assert u.min() >= 0 and u.max() < 1
    pairs = [(z, second), (z.square() - 1, second.square() - 1), (z, u - 0.5)]
    pairs += [(z.roll(1, axis), z) for axis in range(3)]
    pairs += [(z[..., 0] ** 2 - 1, z[..., 3] ** 2 - 1)]  # both draws of one word
    for a, b in pairs:
        product = a * b
        assert product.mean().abs() < 5 * product.std() / math.sqrt(product.numel())


def test_both_precisions_have_the_same_noise():
    drawn = []
    for dtype in (torch.float32, torch.float64):
        with noise_of().samples(4):
            drawn.append(torch.randn(4, ROWS, 3, dtype=dtype).double())
    assert (drawn[0] - drawn[1]).abs().max() < 1e-5  # six digits of a draw below 7


def test_implicit_gradients_are_those_of_torch():
    for p in (Gamma, Beta):
        a = torch.tensor([0.4, 2.0, 9.0], dtype=torch.float64, requires_grad=True)
        with noise_of(3).samples(2):
            z = p(a, torch.ones_like(a)).rsample((2,))
        (slope,) = torch.autograd.grad(z.sum(), a)
        cdf = p(a.detach(), torch.ones(3, dtype=torch.float64))
        assert slope.isfinite().all() and (slope > 0).all()
        if p is Gamma:
            density = cdf.log_prob(z.detach()).exp()
            step = 1e-5
            rise = Gamma(a.detach() + step, 1.0).cdf(z.detach())
            fall = Gamma(a.detach() - step, 1.0).cdf(z.detach())
            implicit = (-(rise - fall) / (2 * step) / density).sum(0)
            assert torch.allclose(slope, implicit, rtol=1e-3)  # the accuracy of torch's formula


def test_categories_of_several_variables_belong_to_their_row():
    p = Independent(Categorical(torch.rand(3, 4, 5)), 1)
    with RowNoise.from_rows(X, seed=0).samples(6):
        together = p.sample((6,))
    alone = Independent(Categorical(p.base_dist.probs[2:]), 1)
    with RowNoise.from_rows(X[2:], seed=0).samples(2, start=4):
        assert torch.equal(alone.sample((2,))[:, 0], together[4:, 2])
