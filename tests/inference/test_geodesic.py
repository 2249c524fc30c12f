"""Geodesics on decoders whose shortest paths are known."""

import pytest
import torch
from torch import Tensor, nn

from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.inference._geodesic import geodesic


class Polar(nn.Module):
    """Polar coordinates: the metric is flat, but straight lines differ from those of latents."""

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
    """A model in float64 whose decoder's mean is this function of the latent."""
    likelihood = likelihoods.Normal(network, (size,), scale=1.0)
    model = VAE(
        priors.Normal(latent),
        posteriors.Normal(networks.MLP(size, [4], seed=0), latent),
        likelihood,
    )
    with torch.no_grad():
        model.decode(
            torch.zeros(1, latent)
        )  # heads of a network of unknown width are initialised on the first call
        likelihood.noise.heads.head.weight.copy_(torch.eye(size))
        likelihood.noise.heads.head.bias.zero_()
    return model.double()


def codes(*values: tuple[float, ...]) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


# L-BFGS leaves less than 1e-10 of the initial energy (its tolerance): positions are right to 1e-5.
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


def test_geodesic_of_a_constant_metric_is_straight():
    model, ends = decoded_by(nn.Linear(2, 3).double(), 3), codes((1.0, -2.0), (0.5, 3.0))
    line = torch.lerp(*ends, torch.linspace(0, 1, 5, dtype=torch.float64)[:, None])
    torch.testing.assert_close(geodesic(model, *ends, steps=5), line, atol=NEAR, rtol=0)


def test_unit_scales_the_weight_of_an_element():
    """With a unit of a million for height, the projection to the plane becomes straight."""
    model, ends = decoded_by(Globe(), 3), codes((0.8, 0.0), (0.8, 2.2))
    x = model.decode(geodesic(model, *ends, steps=9, unit=torch.tensor([1.0, 1.0, 1e6])))[:, :2]
    torch.testing.assert_close(
        x,
        torch.lerp(x[0], x[-1], torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]),
        atol=1e-4,
        rtol=0,
    )


def test_data_without_a_slope_are_refused():
    class Flat(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.detach()

    model = decoded_by(Flat(), 2).requires_grad_(False)
    with pytest.raises(IncompatibleError, match="no slope in the latent"):
        geodesic(model, *codes((0.0, 0.0), (1.0, 1.0)), steps=3)
