"""Initial weights: seed, precision, device and the saved record."""

import pytest
import torch
from torch import nn

import aevb
from aevb import VAE, likelihoods, networks, posteriors, priors
from aevb._persistence import from_config, to_config
from aevb.errors import ArgumentError

BUILT = {
    "mlp": lambda **options: networks.MLP(6, [5, 5], **options),
    "conv encoder": lambda **options: networks.ConvEncoder((3, 2), [4], 1, **options),
    "conv decoder": lambda **options: networks.ConvDecoder(6, (3, 2), [4], **options),
    "res-net": lambda **options: networks.ResNet((3, 2), [4, 5], **options),
    "res-net decoder": lambda **options: networks.ResNetDecoder(6, (3, 2), [5, 4], **options),
    "made": lambda **options: networks.MADE(6, [5], **options),
    "gru": lambda **options: networks.GRU(1, 5, **options),
    "sequence": lambda **options: networks.SequenceConv(1, [4], **options),
    "sets": lambda **options: networks.DeepSets(1, [4], [4], **options),
    "embedding": lambda **options: networks.Embed(nn.Identity(), 4, 3, **options),
    "pixels": lambda **options: networks.PixelCNN((3, 2), 1, 2, **options),
}


def weights(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", BUILT)
class TestInitialWeights:
    def test_a_seed_determines_the_weights_and_leaves_other_streams_alone(self, name):
        state = torch.get_rng_state()
        first, second, other = (weights(BUILT[name](seed=seed)) for seed in (3, 3, 4))
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(first, second) and not torch.equal(first, other)
        assert not torch.equal(weights(BUILT[name]()), weights(BUILT[name]())), (
            "without a seed the next draws of the default stream"
        )

    def test_precision(self, name):
        wide = BUILT[name](seed=3, dtype="float64")
        assert {p.dtype for p in wide.parameters()} == {torch.float64}
        assert torch.equal(weights(wide).float(), weights(BUILT[name](seed=3))), "the same weights"
        assert torch.equal(weights(BUILT[name](seed=3, dtype=torch.float64)), weights(wide))

    def test_seed_and_precision_are_saved_and_the_device_is_not(self, name):
        record = to_config(BUILT[name](seed=3, dtype=torch.float64, device="cpu"))
        assert (
            record["arguments"]["seed"] == 3
            and record["arguments"]["dtype"] == "float64"
            and "device" not in record["arguments"]
        )
        if name != "embedding":  # the embedding wraps a network of torch
            again = from_config(record)
            assert (
                torch.equal(weights(again), weights(BUILT[name](seed=3, dtype="float64")))
                and to_config(again) == record
            )

    @pytest.mark.parametrize(
        "wrong",
        [{"dtype": "float16"}, {"dtype": torch.bfloat16}, {"seed": -1}, {"device": "abacus"}],
    )
    def test_impossible_settings_are_refused(self, name, wrong):
        with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}` is"):
            BUILT[name](**wrong)


def test_a_model_has_the_widest_precision_of_its_parts():
    network = networks.MLP(4, [5], dtype="float64", seed=0)
    model = VAE(
        priors.Mixture(2, 3),
        posteriors.Normal(network, 2),
        likelihoods.Bernoulli(networks.MLP(2, [5]), (4,)),
    )
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert (
        aevb.fit(model, (torch.rand(16, 4) < 0.5).float(), epochs=1, progress=False)
        .history[0]
        .skipped_steps
        == 0
    )
