"""Convolutional networks: any size, context, independence of rows, refused arguments."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.errors import ArgumentError
from aevb.networks import ConvDecoder, ConvEncoder


def conv_vae(event_shape, channels=(2, 3), residual=0):
    encoder = ConvEncoder(event_shape, channels, residual)
    decoder = ConvDecoder(2, event_shape, channels[::-1], residual)
    return VAE(
        priors.Normal(2), posteriors.Normal(encoder, 2), likelihoods.Bernoulli(decoder, event_shape)
    )


class TestConvolutions:
    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(
        st.integers(1, 40),
        st.integers(1, 40),
        st.integers(1, 4),
        st.booleans(),
        st.integers(0, 1),
        st.integers(1, 3),
    )
    def test_any_size_and_any_number_of_channels(
        self, height, width, channels, named, residual, stages
    ):
        event_shape = (channels, height, width) if named or channels > 1 else (height, width)
        model = conv_vae(event_shape, (2, 3, 2)[:stages], residual)
        assert model.sample(2).shape == (2, *event_shape)
        assert model.reconstruct(torch.zeros(3, *event_shape)).shape == (3, *event_shape)

    @pytest.mark.parametrize(
        "event_shape", [(1, 1), (1, 300), (300, 17), (3, 17, 300), (4, 2, 1), (28, 28), (64, 64)]
    )
    def test_named_sizes_train(self, event_shape):
        model = conv_vae(event_shape)
        batch = Batch(model.sample(2))
        gradients.Pathwise()(model, objectives.ELBO(), batch).loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    def test_every_pixel_of_an_odd_image_is_decoded_from_its_own_position(self):
        """Each output depends on the code; the crop cuts no input away."""
        decoder = ConvDecoder(2, (5, 7), (4, 4), activation="tanh")
        z = torch.randn(1, 2, requires_grad=True)
        image = decoder(z)
        assert image.shape == (1, 4, 5, 7)
        for i in range(5):
            for j in range(7):
                assert (
                    torch.autograd.grad(image[0, :, i, j].sum(), z, retain_graph=True)[0]
                    .abs()
                    .sum()
                    > 0
                )

    def test_residual_blocks_start_as_the_identity(self):
        block = networks._conv.ResidualBlock(3, "relu")
        x = torch.randn(2, 3, 5, 4)
        assert (block(x) == x).all()

    @pytest.mark.parametrize("event_shape", [(5,), (1, 2, 3, 4), (0, 3)])
    def test_event_shapes_other_than_images_are_refused(self, event_shape):
        with pytest.raises(ArgumentError) as caught:
            ConvEncoder(event_shape)
        assert caught.value.argument == "event_shape" and caught.value.value == event_shape

    def test_categories_of_images_come_from_convolutions(self):
        likelihood = likelihoods.Categorical(ConvDecoder(2, (6, 4), (4, 4)), (6, 4), categories=5)
        assert likelihood(torch.zeros(3, 2)).log_prob(torch.full((3, 6, 4), 4.0)).shape == (3,)
        assert (
            isinstance(likelihood.heads.head, nn.Conv2d) and likelihood.heads.head.out_channels == 5
        )

    def test_spatial_latents(self):
        """A 1x1 convolution where the code is an image of the features' size."""
        posterior = posteriors.Normal(ConvEncoder((8, 12), (4, 4)), latent=(2, 2, 3))
        decoder = nn.Sequential(
            nn.ConvTranspose2d(2, 3, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1),
        )
        model = VAE(
            priors.Normal((2, 2, 3)),
            posterior,
            likelihoods.Bernoulli(decoder, (8, 12), latent_rank=3),
        )
        assert isinstance(posterior.heads.head, nn.Conv2d)
        terms = gradients.Pathwise()(model, objectives.IWAE(3), Batch(model.sample(5))).terms
        assert terms.z.shape == (3, 5, 2, 2, 3) and terms.log_weight.shape == (3, 5)


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


class TestResNet:
    @pytest.mark.parametrize("shape", [(1, 1), (300, 17), (3, 7, 5), (2, 1, 9)])
    def test_any_size_trains(self, shape):
        encoder, decoder = (
            networks.ResNet(shape, [3, 4, 2], 1),
            networks.ResNetDecoder(2, shape, [2, 4, 3], 1),
        )
        model = VAE(
            priors.Normal(2), posteriors.Normal(encoder, 2), likelihoods.Bernoulli(decoder, shape)
        )
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        batch = Batch(model.sample(2))
        for _ in range(
            2
        ):  # blocks that start at zero pass on no gradient before their first update
            optimizer.zero_grad()
            gradients.Pathwise()(model, objectives.ELBO(), batch).loss.backward()
            optimizer.step()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    def test_sides_are_halved_between_stages_and_doubled_back(self):
        assert networks.ResNet((3, 9, 5), [4, 6, 8])(torch.zeros(2, 3, 9, 5)).shape == (2, 8, 3, 2)
        assert networks.ResNetDecoder(3, (3, 9, 5), [8, 6, 4])(torch.zeros(2, 3)).shape == (
            2,
            4,
            9,
            5,
        )

    def test_features_of_a_row_do_not_depend_on_other_rows(self):
        network, x = networks.ResNet((6, 6), [4, 4]).train(), torch.randn(5, 6, 6)
        assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-6)

    @pytest.mark.parametrize(
        "name, options", [("channels", {"channels": []}), ("blocks", {"blocks": 0})]
    )
    def test_impossible_sizes_are_refused(self, name, options):
        with pytest.raises(ArgumentError) as caught:
            networks.ResNet((4, 4), **options)
        assert caught.value.argument == name and caught.value.value == options[name]

    @pytest.mark.parametrize("name", ["conv encoder", "conv decoder", "res-net", "res-net decoder"])
    def test_context_reaches_the_features(self, name):
        network = BUILT[name](context=2)
        x = torch.randn(5, 6) if "decoder" in name else torch.randn(5, 3, 2)
        with_context = network(x, torch.ones(5, 2))
        assert with_context.shape == BUILT[name]()(x).shape and not torch.allclose(
            with_context, network(x, torch.zeros(5, 2))
        )
