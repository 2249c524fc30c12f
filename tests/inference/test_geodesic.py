"""Geodesics on decoders whose shortest paths are known."""

import math

import pytest
import torch
from torch import Tensor, nn

from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.inference._geodesic import _minimise_energy, _SineCurve, geodesic


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


# the curve


@pytest.mark.parametrize("segments", [1, 2, 3, 8])
def test_waves_have_equal_weights_in_the_energy_of_a_flat_space(segments):
    """``n sum |z_{i+1} - z_i|^2 = |b - a|^2 (1 + n^2 / 2 sum c^2)``: sines are orthogonal."""
    a, b = codes((1.0, -2.0), (4.0, 2.0))  # 5 apart
    curve = _SineCurve.from_endpoints(a, b, segments)
    coefficients = torch.randn(segments - 1, 2, dtype=torch.float64)
    points = curve(coefficients)
    energy = segments * points.diff(dim=0).square().sum()
    expected = 25 * (1 + segments**2 / 2 * coefficients.square().sum())
    torch.testing.assert_close(energy, expected)
    torch.testing.assert_close(points[[0, -1]], torch.stack([a, b]))
    line = torch.lerp(a, b, torch.linspace(0, 1, segments + 1, dtype=torch.float64)[:, None])
    torch.testing.assert_close(curve(curve.straight_line), line)
    assert curve.straight_line.shape == (segments - 1, 2)


def test_waves_are_sines_of_the_position():
    a, b = codes((0.0, 0.0), (0.0, 2.0))
    curve = _SineCurve.from_endpoints(a, b, 6)
    for k in range(1, 6):
        bend = curve.straight_line
        bend[k - 1, 0] = 1.0
        wave = torch.sin(math.pi * k * curve.positions) / math.sin(math.pi * k / 12)
        torch.testing.assert_close(curve(bend)[:, 0], wave, atol=1e-14, rtol=0)


def test_latents_with_axes_keep_their_shape():
    a, b = torch.zeros(2, 3, dtype=torch.float64), torch.ones(2, 3, dtype=torch.float64)
    curve = _SineCurve.from_endpoints(a, b, 4)
    bend = curve.straight_line
    assert bend.shape == (3, 6) and curve(bend).shape == (5, 2, 3)
    bend[:, 4] = 1.0
    moved = (curve(bend) - curve(curve.straight_line)).abs().sum(0) > 0
    assert moved.tolist() == [[False] * 3, [False, True, False]]


@pytest.mark.parametrize(
    "steps, points", [(2, 49), (3, 49), (6, 51), (11, 51), (48, 95), (49, 49), (60, 60)]
)
def test_a_curve_has_at_least_48_segments_a_whole_number_per_step(steps, points):
    model, ends, seen = decoded_by(nn.Identity(), 2), codes((1.0, -2.0), (0.5, 3.0)), []
    forward = model.likelihood.forward
    model.likelihood.forward = lambda z, c=None: (seen.append(len(z)), forward(z, c))[1]
    found = geodesic(model, *ends, steps=steps)
    assert set(seen) == {points} and found.shape == (steps, 2)
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    torch.testing.assert_close(found, torch.lerp(*ends, share), atol=NEAR, rtol=0)


def test_the_minimum_of_a_quadratic_energy():
    """``2 + |c - m|^2`` has the minimum ``m``; a start that is a minimum is kept."""
    goal = torch.tensor([[0.3, -2.0], [40.0, 0.001]], dtype=torch.float64)
    found = _minimise_energy(lambda c: 2 + (c - goal).square().sum(), torch.zeros_like(goal))
    torch.testing.assert_close(found, goal, atol=1e-6, rtol=0)
    assert not found.requires_grad
    assert torch.equal(_minimise_energy(lambda c: 2 + (c - goal).square().sum(), goal), goal)
    # short paths, whose energy is small, bend as well
    found = _minimise_energy(lambda c: 1e-9 * (2 + (c - goal).square().sum()), 0 * goal)
    torch.testing.assert_close(found, goal, atol=1e-6, rtol=0)
    # no energy: the line is kept
    start = torch.ones_like(goal)
    assert torch.equal(_minimise_energy(lambda c: 0 * c.sum(), start), start)


def test_a_path_may_turn_with_its_context():
    """The decoder adds a ramp of the context: latents bend so that the data stay straight."""

    class Shifted(nn.Module):
        def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
            assert context is not None
            return z + torch.stack([torch.zeros_like(context[:, 0]), context[:, 0].square()], -1)

    model, ends = decoded_by(nn.Identity(), 2), codes((0.0, 0.0), (1.0, 0.0))
    plain, shifted, seen = model.likelihood.forward, Shifted(), []

    def forward(z: Tensor, context: Tensor | None = None):
        seen.append(context)
        return plain(shifted(z, context))

    model.likelihood.forward = forward
    context = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    found = geodesic(model, *ends, steps=5, context=context)
    ramp = 1 + 2 * torch.linspace(0, 1, 49, dtype=torch.float64)[:, None]
    torch.testing.assert_close(seen[0], ramp)
    x = found + torch.stack([torch.zeros(5).double(), (1 + torch.arange(5) / 2.0) ** 2], -1)
    straight = torch.lerp(x[0], x[-1], torch.linspace(0, 1, 5, dtype=torch.float64)[:, None])
    torch.testing.assert_close(x, straight, atol=NEAR, rtol=0)
