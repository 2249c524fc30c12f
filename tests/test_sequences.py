"""Networks for sequences, sets, empty cells and masked layers: what they must not see changes nothing."""

import math

import pytest
import torch

import aevb
from aevb import networks
from aevb.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("float64")

SEQUENCES = {
    "gru": lambda context: networks.GRU(3, 5, layers=2, context=context),
    "conv": lambda context: networks.SequenceConv(3, [4, 5], kernel=3, context=context),
    "sum": lambda context: networks.DeepSets(3, [4], [5], pool="sum", context=context),
    "mean": lambda context: networks.DeepSets(3, [4], [5], context=context),
    "max": lambda context: networks.DeepSets(3, [4], [5], pool="max", context=context),
}


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("name", SEQUENCES)
class TestSequences:
    def test_how_far_a_sequence_was_filled_up_changes_nothing(self, name, context):
        network, beside = SEQUENCES[name](context), [torch.randn(1, context)] * bool(context)
        x = torch.randn(1, 6, 3)
        filled = torch.cat([x, torch.full((1, 4, 3), math.nan)], 1)
        # sums of the same numbers, and zeros
        assert torch.allclose(network(filled, *beside), network(x, *beside), atol=1e-14)

    def test_every_length_has_finite_features_and_gradients(self, name, context):
        """Down to none at all."""
        network, beside = SEQUENCES[name](context), [torch.randn(4, context)] * bool(context)
        x = torch.randn(4, 6, 3)
        for row, length in enumerate((6, 3, 1, 0)):
            x[row, length:] = math.nan
        x[0, 2, 1] = math.nan  # one cell of a step that is there
        features = network(x, *beside)
        features.square().sum().backward()
        assert features.shape == (4, 5) and features.isfinite().all()
        assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_the_order_of_a_set_changes_nothing(name):
    network, x = SEQUENCES[name](0), torch.randn(4, 6, 3)
    x[0, 2:4] = math.nan
    assert torch.allclose(network(x), network(x[:, torch.randperm(6)]), atol=1e-14)


def test_the_order_of_a_sequence_does():
    for name in ("gru", "conv"):
        network, x = SEQUENCES[name](0), torch.randn(4, 6, 3)
        assert not torch.allclose(network(x), network(x.flip(1)), atol=1e-3)


class TestMADE:
    @pytest.mark.parametrize("hidden", [(), (7,), (6, 5)])
    @pytest.mark.parametrize("parameters", [1, 2])
    def test_outputs_see_the_inputs_before_them_and_the_context(self, hidden, parameters):
        network = networks.MADE(4, hidden, parameters, activation="tanh", context=2)
        x, context = torch.randn(4), torch.randn(2)
        slopes, beside = torch.autograd.functional.jacobian(
            lambda x, c: network(x[None], c[None])[0], (x, context)
        )
        earlier = torch.ones(4, 4).tril(-1).bool()
        seen = (slopes != 0).any(1) if parameters > 1 else (slopes != 0).squeeze(1)
        assert not seen[~earlier].any() and seen[1:, 0].all() and (beside != 0).any()

    def test_shapes(self):
        assert networks.MADE(6, [8], parameters=3)(torch.zeros(5, 2, 3)).shape == (5, 6, 3)


class TestResidual:
    def test_layers_of_one_width_add_their_input(self):
        network = networks.MLP(3, [3, 5, 5], activation="tanh", residual=True)
        first, widening, activation, last = network.layers
        x = torch.randn(4, 3)
        middle = activation(widening(x + torch.tanh(first[0](x))))
        assert torch.allclose(network(x), middle + torch.tanh(last[0](middle)), atol=1e-14)


class TestFillAndFlag:
    def test_images(self):
        for shape, channels in (((5, 4), 2), ((3, 5, 4), 6)):
            network = networks.FillMissing(networks.ConvEncoder((channels, 5, 4), [2]))
            assert network(torch.full((7, *shape), math.nan)).isfinite().all()

    def test_an_empty_cell_is_told_from_one_that_holds_the_fill(self):
        network = networks.FillMissing(networks.MLP(4, [8]), fill=0.5)
        x = torch.tensor([[0.5, 1.0]])
        assert not torch.allclose(network(x), network(torch.tensor([[math.nan, 1.0]])))


class TestEmbed:
    def test_tokens_become_rows_of_the_table(self):
        network = networks.Embed(torch.nn.Identity(), vocabulary=4, width=2)
        vectors = network(torch.tensor([[3.0, math.nan]]))[0]
        assert torch.equal(vectors[0], network.table[3]) and vectors[1].isnan().all()


REFUSED = {
    "inputs": lambda: networks.GRU(0, 4),
    "width": lambda: networks.Embed(networks.GRU(4, 4), 5, 0),
    "channels[1]": lambda: networks.SequenceConv(3, [4, 0]),
    "kernel": lambda: networks.SequenceConv(3, [4], kernel=4),
    "pool": lambda: networks.DeepSets(3, pool="median"),
    "activation": lambda: networks.MADE(3, activation="glu"),
    "parameters": lambda: networks.MADE(3, parameters=0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_no_run_could_use(name):
    with pytest.raises(ArgumentError, match=rf"`{name.replace('[', '.')[:8]}"):
        REFUSED[name]()


def test_what_is_no_sequence_is_refused():
    with pytest.raises(ArgumentError, match=r"sequences \[N, T, 3\]"):
        networks.GRU(3, 4)(torch.zeros(5, 7, 2))


def test_a_saved_network_is_built_again():
    record = aevb._persistence.to_config(
        networks.Embed(networks.FillMissing(networks.MADE(3, [4], 2)), 5, 3)
    )
    assert aevb._persistence.to_config(aevb._persistence.from_config(record)) == record
