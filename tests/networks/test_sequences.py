"""Networks for sequences and sets: padding, order, context, refused arguments."""

import math

import pytest
import torch

from aevb import networks
from aevb._persistence import from_config, to_config
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
    def test_padding_does_not_change_the_features(self, name, context):
        network, context_args = SEQUENCES[name](context), [torch.randn(1, context)] * bool(context)
        x = torch.randn(1, 6, 3)
        filled = torch.cat([x, torch.full((1, 4, 3), math.nan)], 1)
        # sums of the same numbers, and zeros
        assert torch.allclose(network(filled, *context_args), network(x, *context_args), atol=1e-14)

    def test_every_length_has_finite_features_and_gradients(self, name, context):
        """Lengths down to zero."""
        network, context_args = SEQUENCES[name](context), [torch.randn(4, context)] * bool(context)
        x = torch.randn(4, 6, 3)
        for row, length in enumerate((6, 3, 1, 0)):
            x[row, length:] = math.nan
        x[0, 2, 1] = math.nan  # a missing cell in an observed step
        features = network(x, *context_args)
        features.square().sum().backward()
        assert features.shape == (4, 5) and features.isfinite().all()
        assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("name", ["sum", "mean", "max"])
def test_the_order_of_a_set_does_not_change_the_features(name):
    network, x = SEQUENCES[name](0), torch.randn(4, 6, 3)
    x[0, 2:4] = math.nan
    assert torch.allclose(network(x), network(x[:, torch.randperm(6)]), atol=1e-14)


def test_the_order_of_a_sequence_changes_the_features():
    for name in ("gru", "conv"):
        network, x = SEQUENCES[name](0), torch.randn(4, 6, 3)
        assert not torch.allclose(network(x), network(x.flip(1)), atol=1e-3)


class TestEmbed:
    def test_tokens_become_rows_of_the_table(self):
        network = networks.Embed(torch.nn.Identity(), vocabulary=4, width=2)
        vectors = network(torch.tensor([[3.0, math.nan]]))[0]
        assert torch.equal(vectors[0], network.table[3]) and vectors[1].isnan().all()


REFUSED = {
    "inputs": lambda: networks.GRU(0, 4),
    "width": lambda: networks.Embed(networks.GRU(4, 4), 5, 0),
    "channels": lambda: networks.SequenceConv(3, [4, 0]),
    "kernel": lambda: networks.SequenceConv(3, [4], kernel=4),
    "pool": lambda: networks.DeepSets(3, pool="median"),
    "activation": lambda: networks.MADE(3, activation="glu"),
    "parameters": lambda: networks.MADE(3, parameters=0),
}


@pytest.mark.parametrize("name", REFUSED)
def test_invalid_arguments_are_refused(name):
    with pytest.raises(ArgumentError) as caught:
        REFUSED[name]()
    assert caught.value.argument == name


def test_inputs_other_than_sequences_are_refused():
    with pytest.raises(ArgumentError, match=r"sequences \[N, T, 3\]"):
        networks.GRU(3, 4)(torch.zeros(5, 7, 2))


def test_a_saved_network_is_restored():
    record = to_config(networks.Embed(networks.FillMissing(networks.MADE(3, [4], 2)), 5, 3))
    assert to_config(from_config(record)) == record


def test_convolutions_without_pooling_keep_the_features_of_every_step():
    network = networks.SequenceConv(2, [4, 3], pool="none", seed=0)
    pooled = networks.SequenceConv(2, [4, 3], seed=0)
    x = torch.randn(5, 6, 2, generator=torch.Generator().manual_seed(0))
    x[0, 4:] = torch.nan
    features = network(x).unflatten(1, (3, 6))
    assert (features[0, :, 4:] == 0).all()
    torch.testing.assert_close(features[1:].mean(2), pooled(x)[1:])
    torch.testing.assert_close(features[0, :, :4].mean(1), pooled(x)[0])


def test_frames_of_a_video_are_steps():
    network = networks.SequenceConv(12, [4], seed=0)
    x = torch.randn(5, 6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(x), network(x.flatten(2)))
