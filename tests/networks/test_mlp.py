"""Fully connected networks: flattening, context, residual layers, refused arguments."""

import pytest
import torch

from aevb import networks
from aevb.errors import ArgumentError
from aevb.networks import MLP, ConvEncoder
from aevb.networks._activations import ACTIVATIONS


class TestMLP:
    def test_events_are_flattened_and_batches_are_not(self):
        assert MLP(6, [4])(torch.zeros(5, 2, 3)).shape == (5, 4)
        assert MLP(6, [4])(torch.zeros(7, 5, 6)).shape == (7, 5, 4)

    def test_context_is_appended(self):
        network = MLP(3, [4], context=2)
        x, context = torch.randn(5, 3), torch.randn(5, 2)
        assert (network(x, context) == network.layers(torch.cat([x, context], -1))).all()

    @pytest.mark.parametrize(
        "build",
        [
            lambda: MLP(0, [4]),
            lambda: MLP(3, [4, 0]),
            lambda: MLP(3, [4], activation="sharp"),
            lambda: MLP(3, [4])(torch.zeros(5, 4)),
            lambda: ConvEncoder((4, 4), activation="sharp"),
        ],
        ids=["inputs", "hidden", "activation", "shape", "activation of a convolution"],
    )
    def test_invalid_arguments_are_refused(self, build):
        with pytest.raises(ArgumentError):
            build()

    @pytest.mark.parametrize("name", ACTIVATIONS)
    def test_activations_have_finite_values_and_slopes(self, name):
        x = torch.tensor(
            [-1e4, -1.0, -0.0, 0.0, 1.0, 1e4], requires_grad=True
        )  # an even number: a gate takes half of them
        y = ACTIVATIONS[name]()(x)
        y.sum().backward()
        assert y.isfinite().all() and x.grad.isfinite().all()


pytestmark = pytest.mark.usefixtures("float64")


class TestResidual:
    def test_layers_of_one_width_add_their_input(self):
        network = networks.MLP(3, [3, 5, 5], activation="tanh", residual=True)
        first, widening, activation, last = network.layers
        x = torch.randn(4, 3)
        middle = activation(widening(x + torch.tanh(first[0](x))))
        assert torch.allclose(network(x), middle + torch.tanh(last[0](middle)), atol=1e-14)


class TestSkip:
    def test_the_last_features_are_the_input_and_its_context(self):
        network = MLP(2, [3], context=1, dropout=0.5, skip=True)
        x, context = torch.randn(4, 2), torch.randn(4, 1)
        features = network(x, context)
        assert features.shape == (4, 6)
        assert torch.equal(features[:, 3:], torch.cat([x, context], 1))
        assert network.linear_inputs == 3
