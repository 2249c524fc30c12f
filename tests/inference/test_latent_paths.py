"""Paths between latents: ends, lengths, refused arguments."""

import math
from types import SimpleNamespace

import pytest
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.errors import ArgumentError, DataError, IncompatibleError
from aevb.inference import LatentPath


def small(**options) -> VAE:
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        return VAE(
            priors.Normal(2), posteriors.Normal(networks.MLP(6, [8]), 2, **options), likelihood
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


def test_geodesic_is_shortest_with_even_steps():
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


def test_path_between_equal_ends_is_constant():
    model, x = small(), torch.eye(6)
    walk = inference.interpolate(model, x[0], x[0], 4, "geodesic")
    assert torch.equal(walk.z, walk.z[:1].expand(4, 2))


def test_paths_work_without_grad_mode_and_leave_no_weight_gradients():
    model, x = small(), torch.eye(6)
    with torch.no_grad():
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    assert model.training and all(parameter.grad is None for parameter in model.parameters())


def test_constrained_latents_are_refused():
    with seed_scope(0):
        likelihood = likelihoods.Bernoulli(networks.MLP(2, [8]), (6,))
        model = VAE(
            priors.Exponential(2), posteriors.Exponential(networks.MLP(6, [8]), 2), likelihood
        )
    x = torch.eye(6)
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*path=\"linear\""):
        inference.interpolate(model, x[0], x[1], 3, "geodesic")
    with pytest.raises(IncompatibleError, match=r"priors.Exponential.*Write spread=1"):
        inference.augment(model, x, spread=2.0)
    assert inference.augment(model, x).x.shape == (6, 6)


def test_invalid_paths_are_refused():
    with pytest.raises(ArgumentError, match='path="linear", path="spherical" or path="geodesic"'):
        inference.interpolate(small(), torch.zeros(6), torch.ones(6), 3, "shortest")


# exact positions


def identity(latent=2):
    """The decoder's mean is the latent, the encoder's mean is twice the row."""
    model = linear_vae(torch.eye(latent), torch.zeros(latent), 1.0).double()
    set_posterior(model, 2 * torch.eye(latent), torch.zeros(latent), torch.full((latent,), 0.5))
    return model


def walk(start, end, steps, path):
    ends = torch.tensor([start, end], dtype=torch.float64) / 2
    return inference.interpolate(identity(len(start)), *ends, steps, path)


def test_a_spherical_path_turns_evenly_while_its_length_changes_steadily():
    """From length 1 on one axis to length 3 on the other: an angle of 90 degrees."""
    found = walk((1.0, 0.0), (0.0, 3.0), 4, "spherical").z
    angle = torch.arange(4, dtype=torch.float64) * math.pi / 6
    length = 1 + 2 * torch.arange(4, dtype=torch.float64)[:, None] / 3
    torch.testing.assert_close(found, length * torch.stack([angle.cos(), angle.sin()], 1))
    a, b = torch.tensor([0.3, -1.2, 0.5]).double(), torch.tensor([1.0, 2.0, 0.1]).double()
    found = walk(a.tolist(), b.tolist(), 3, "spherical").z
    middle = a / a.norm() + b / b.norm()
    middle *= (a.norm() + b.norm()) / 2 / middle.norm()
    torch.testing.assert_close(found, torch.stack([a, middle, b]))


@pytest.mark.parametrize(
    "a, b",
    [
        ((1.0, 2.0), (2.0, 4.0)),
        ((1.0, 2.0), (-2.0, -4.0)),
        ((0.0, 0.0), (1.0, 2.0)),
        ((1.0, 2.0), (0.0, 0.0)),
        ((0.3, 0.1), (0.3, 0.1)),
    ],
)
def test_latents_without_a_unique_arc_are_joined_by_a_line(a, b):
    found = walk(a, b, 5, "spherical").z
    torch.testing.assert_close(found, walk(a, b, 5, "linear").z)
    share = torch.linspace(0, 1, 5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(found, (1 - share) * torch.tensor(a) + share * torch.tensor(b))


@pytest.mark.parametrize("path", ["linear", "spherical", "geodesic"])
def test_two_steps_are_the_ends(path):
    found = walk((1.0, 0.0), (0.0, 3.0), 2, path)
    ends = torch.tensor([[1.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    torch.testing.assert_close(found.z, ends, atol=1e-12, rtol=0)  # rounding of sines
    torch.testing.assert_close(found.x, ends, atol=1e-12, rtol=0)
    torch.testing.assert_close(found.step_lengths, torch.tensor([math.sqrt(10)]).double())


@pytest.mark.parametrize("steps", [1, 0, -1, 2.5])
def test_a_path_has_at_least_two_points(steps):
    with pytest.raises(ArgumentError) as caught:
        walk((1.0, 0.0), (0.0, 3.0), steps, "linear")
    assert caught.value.argument == "steps"


@pytest.mark.parametrize("name", ["start", "end"])
def test_ends_have_the_shape_of_a_row(name):
    ends = {"start": torch.zeros(6), "end": torch.ones(6), name: torch.zeros(1, 6)}
    with pytest.raises(DataError) as caught:
        inference.interpolate(small(), **ends)
    assert caught.value.argument == name


def test_lengths_of_steps_count_all_elements():
    x = torch.zeros(3, 2, 2)
    x[1] = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    x[2] = torch.tensor([[1.0, 2.0], [2.0, 0.0]])
    assert LatentPath(torch.zeros(3, 1), x).step_lengths.tolist() == [5.0, 4.0]


@pytest.mark.parametrize("path", ["linear", "geodesic"])
def test_the_context_of_a_path_changes_evenly(path):
    condition = networks.Condition([networks.Labels("kind", ["a", "b", "c"])])

    def network(size):
        return networks.ConditionedNetwork(networks.MLP(size, [8], context=3), condition)

    model = VAE(
        priors.Normal(2),
        posteriors.Normal(network(4), 2),
        likelihoods.Normal(network(2), (4,), scale=1.0),
    ).double()
    x, context = torch.randn(2, 4).double(), torch.eye(3).double()[[2, 0]]
    found = inference.interpolate(model, *x, 5, path, context=context)
    torch.testing.assert_close(found.z[[0, 4]], model.encode(x, context))
    share = torch.arange(5).double()[:, None] / 4
    between = torch.cat([share, torch.zeros(5, 1), 1 - share], 1).double()
    torch.testing.assert_close(found.x, model.decode(found.z, between))
    labelled = inference.interpolate(model, *x, 5, path, label=["c", "a"])
    assert torch.equal(labelled.z, found.z) and torch.equal(labelled.x, found.x)
    if path == "linear":
        torch.testing.assert_close(found.z, torch.lerp(*model.encode(x, context), share))


# one variable at a time


def test_a_traverse_sets_one_variable():
    model, z = identity(3), torch.tensor([1.0, 2.0, 3.0]).double()
    for dimension in range(3):
        found = inference.traverse(model, z, dimension, [-1.0, 5.0])
        expected = z.repeat(2, 1)
        expected[0, dimension], expected[1, dimension] = -1.0, 5.0
        assert torch.equal(found.z, expected)
        torch.testing.assert_close(found.x, expected)
    assert torch.equal(z, torch.tensor([1.0, 2.0, 3.0]).double())
    for dimension in (-1, 3):
        with pytest.raises(ArgumentError) as caught:
            inference.traverse(model, z, dimension, [0.0])
        assert (caught.value.argument, caught.value.value) == ("dimension", dimension)


def test_the_variables_of_a_latent_with_axes_are_counted_in_rows():
    decoder = SimpleNamespace(decode=lambda z, context, label: z)
    z = torch.arange(6.0).reshape(2, 3)
    found = inference.traverse(decoder, z, 4, torch.tensor([-1.0, -2.0, -3.0]))
    assert found.z.tolist() == [[[0, 1, 2], [3, n, 5]] for n in (-1, -2, -3)]
