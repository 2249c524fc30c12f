"""Paths between codes on decoders whose shortest paths are known, and decoded neighbours."""

import math

import pytest
import torch
from tests import catalogue
from torch import Tensor, nn

from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.distributions._support import has_real_support
from aevb.errors import ArgumentError, IncompatibleError
from aevb.inference._geodesic import geodesic


class Polar(nn.Module):
    """Radius and angle to the plane: its metric is flat, its straight lines are not those of the codes."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([z[..., 0] * z[..., 1].cos(), z[..., 0] * z[..., 1].sin()], -1)


class Globe(nn.Module):
    """Latitude and longitude to the unit sphere, whose shortest paths are great circles."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack(
            [z[..., 0].cos() * z[..., 1].cos(), z[..., 0].cos() * z[..., 1].sin(), z[..., 0].sin()],
            -1,
        )


def decoded_by(network: nn.Module, size: int, latent: int = 2) -> VAE:
    """A model in float64 whose decoder's mean is this function of the code."""
    likelihood = likelihoods.Normal(network, (size,), scale=1.0)
    model = VAE(
        priors.Normal(latent),
        posteriors.Normal(networks.MLP(size, [4], seed=0), latent),
        likelihood,
    )
    with torch.no_grad():
        model.decode(
            torch.zeros(1, latent)
        )  # heads of a network of unknown width are made when it is first used
        likelihood.noise.heads.head.weight.copy_(torch.eye(size))
        likelihood.noise.heads.head.bias.zero_()
    return model.double()


def codes(*values: tuple[float, ...]) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def small(**options) -> VAE:
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        return VAE(
            priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2, **options), likelihood
        )


# What L-BFGS leaves of an energy in units of its start is below 1e-10 (its tolerance): places are right to the root of that, 1e-5.
NEAR = 2e-5


def test_the_shortest_path_of_a_flat_metric_is_straight_in_the_data():
    model, ends = decoded_by(Polar(), 2), codes((1.0, 0.0), (2.0, 2.0))
    x = model.decode(geodesic(model, *ends, steps=9))
    straight = torch.lerp(
        *model.decode(torch.stack(ends)), torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    )
    torch.testing.assert_close(x, straight, atol=NEAR, rtol=0)


def test_the_shortest_path_on_a_sphere_is_a_great_circle():
    model, ends = decoded_by(Globe(), 3), codes((0.8, 0.0), (0.8, 2.2))
    x = model.decode(geodesic(model, *ends, steps=9))
    first, last = model.decode(torch.stack(ends))
    angle = torch.acos(first @ last)
    share = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]
    circle = (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * last) / torch.sin(
        angle
    )
    torch.testing.assert_close(x, circle, atol=NEAR, rtol=0)


def test_where_the_metric_is_the_same_everywhere_the_shortest_path_is_the_straight_one():
    model, ends = decoded_by(nn.Linear(2, 3).double(), 3), codes((1.0, -2.0), (0.5, 3.0))
    line = torch.lerp(*ends, torch.linspace(0, 1, 5, dtype=torch.float64)[:, None])
    torch.testing.assert_close(geodesic(model, *ends, steps=5), line, atol=NEAR, rtol=0)


def test_a_unit_makes_an_element_count_less():
    """With a unit of a million for height, only the way round the axis counts, and the shortest path of a pole's shadow is straight."""
    model, ends = decoded_by(Globe(), 3), codes((0.8, 0.0), (0.8, 2.2))
    x = model.decode(geodesic(model, *ends, steps=9, unit=torch.tensor([1.0, 1.0, 1e6])))[:, :2]
    torch.testing.assert_close(
        x,
        torch.lerp(x[0], x[-1], torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]),
        atol=1e-4,
        rtol=0,
    )


@pytest.mark.parametrize("path", ["linear", "spherical", "geodesic"])
def test_the_ends_of_every_path_are_the_reconstructions(path):
    model, x = small().double(), torch.eye(6, dtype=torch.float64)
    walk = inference.interpolate(model, x[0], x[3], 7, path)
    torch.testing.assert_close(
        walk.x[[0, -1]], model.reconstruct(x[[0, 3]]), atol=1e-12, rtol=0
    )  # rounding of sines of whole turns
    torch.testing.assert_close(walk.x, model.decode(walk.z))
    assert walk.step_lengths.shape == (6,)


def test_no_path_is_shorter_and_its_steps_are_even():
    with seed_scope(1):
        decoder, x = networks.MLP(3, [16, 16], activation="tanh"), torch.randn(2, 12).double()
        model = VAE(
            priors.Normal(3),
            posteriors.Normal(networks.MLP(12, [8]), 3),
            likelihoods.Normal(decoder, (12,), scale=1.0),
        ).double()
    with torch.no_grad():
        model.posterior.heads.head.weight.mul_(
            20
        )  # ends far apart, where the decoder is not linear any more
        model.likelihood.noise.heads.head.weight.mul_(5)
    length = {
        path: inference.interpolate(model, x[0], x[1], 49, path).step_lengths
        for path in ("linear", "spherical", "geodesic")
    }
    assert (
        length["geodesic"].sum() < 0.97 * length["linear"].sum()
        and length["geodesic"].sum() < length["spherical"].sum()
    )
    spread = {path: (steps.std() / steps.mean()).item() for path, steps in length.items()}
    assert (
        spread["geodesic"] < 0.1 < 0.2 < spread["linear"]
    )  # at the least energy all steps are equal; measured 0.04, and 0.29


def test_ends_that_are_one_stay_where_they_are():
    model, x = small(), torch.eye(6)
    walk = inference.interpolate(model, x[0], x[0], 4, "geodesic")
    assert torch.equal(walk.z, walk.z[:1].expand(4, 2))


def test_gradients_may_be_off_and_weights_stay_clean():
    model, x = small(), torch.eye(6)
    with torch.no_grad():
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_codes_that_cannot_move_freely_are_refused():
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        model = VAE(
            priors.Exponential(2), posteriors.Exponential(networks.MLP(6, [8]), 2), likelihood
        )
    x = torch.eye(6)
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*path=\"linear\""):
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*spread=1"):
        inference.augment(model, x, spread=2.0)
    assert inference.augment(model, x).x.shape == (6, 6)


def test_data_without_a_slope_are_refused():
    class Flat(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.detach()

    model = decoded_by(Flat(), 2).requires_grad_(False)
    with pytest.raises(IncompatibleError, match="no slope"):
        geodesic(model, *codes((0.0, 0.0), (1.0, 1.0)), steps=3)


def test_a_path_that_is_none_is_refused():
    with pytest.raises(ArgumentError, match='use "linear", "spherical" or "geodesic"'):
        inference.interpolate(small(), torch.zeros(6), torch.ones(6), 3, "shortest")


def test_neighbours_are_decoded_draws_of_the_posterior():
    """Linear decoder and known posterior: their mean is the reconstruction, their variance that of the draws through the decoder."""
    model = decoded_by(nn.Identity(), 2)
    x = torch.tensor([[0.3, -0.5], [1.0, 2.0]], dtype=torch.float64)
    q, copies = model.posterior(x), 20_000
    for spread in (1.0, 0.5):
        with seed_scope(0):
            made = inference.augment(model, x, copies, spread)
        assert torch.equal(made.source_rows[:4], torch.tensor([0, 1, 0, 1]))
        each = made.x.reshape(copies, 2, 2)
        error = (
            5 * spread * q.stddev.max() / math.sqrt(copies)
        )  # five standard errors of a mean; of a deviation they are smaller
        assert (each.mean(0) - model.reconstruct(x)).abs().max() < error
        assert (each.std(0) - spread * q.stddev).abs().max() < error
    # six rows are multiplied in another order than two
    assert torch.allclose(inference.augment(model, x, 3, spread=0.0).x, model.reconstruct(x).repeat(3, 1), atol=1e-12)


def test_neighbours_can_be_drawn_as_data():
    with seed_scope(0):
        made = inference.augment(small(), torch.eye(6), 2, mean=False)
    assert set(made.x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", catalogue.PRIORS)
def test_supports_of_all_real_numbers_are_told(name):
    bounded = (
        "bernoulli",
        "categorical",
        "log-normal",
        "exponential",
        "gamma",
        "beta",
        "dirichlet",
        "logistic-normal",
        "sphere",
        "ball",
    )
    bounded += ("wrapped", "autoregressive", "product")
    assert has_real_support(catalogue.PRIORS[name]()(None)) == (not name.startswith(bounded))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"copies": 0}, "`copies` is 0"),
        ({"spread": -1.0}, "`spread` is -1"),
        ({"spread": math.nan}, "nan"),
    ],
)
def test_numbers_of_neighbours_that_are_none_are_refused(options, said):
    with pytest.raises(ArgumentError, match=said):
        inference.augment(small(), torch.eye(6), **options)
