"""Networks and heads: any size, any network of one's own, any precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import catalogue
from torch import nn

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.errors import ArgumentError
from aevb.networks import MLP, ConvDecoder, ConvEncoder, Heads, Standardise, set_precision
from aevb.networks._activations import ACTIVATIONS


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

    def test_every_pixel_of_an_odd_image_is_decoded_from_its_own_place(self):
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
        block = networks.conv.ResidualBlock(3, "relu")
        x = torch.randn(2, 3, 5, 4)
        assert (block(x) == x).all()

    @pytest.mark.parametrize("event_shape", [(5,), (1, 2, 3, 4), (0, 3)])
    def test_what_is_no_image_is_refused(self, event_shape):
        with pytest.raises(ArgumentError, match="event_shape"):
            ConvEncoder(event_shape)

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
    def test_arguments_that_no_run_could_use(self, build):
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


class TestStandardise:
    def test_per_element_follows_the_shape_of_the_event(self):
        door = Standardise(nn.Identity(), [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0])
        assert (
            door(torch.tensor([[[0.0, 3.0], [6.0, 11.0]]]))
            == torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
        ).all()


class TestHeads:
    def test_leading_axes_are_folded_and_unfolded(self):
        heads = Heads(catalogue.Flat(3), (2,), (4, 5), input_ndim=1)
        x = torch.randn(7, 6, 3)
        first, second = heads(x)
        assert first.shape == (7, 6, 2) and second.shape == (7, 6, 4, 5)
        # rounding of a matrix product in another order
        assert torch.allclose(heads(x[2, 3])[1], second[2, 3], atol=1e-6)

    def test_context_goes_with_its_row(self):
        heads = Heads(MLP(3, [4], context=2), (1,), input_ndim=1)
        x, context = torch.randn(7, 6, 3), torch.randn(6, 2)
        (together,) = heads(x, context)
        (alone,) = heads(x[5, 1:2], context[1:2])
        assert torch.allclose(together[5, 1], alone[0], atol=1e-6)

    def test_each_parameter_starts_as_if_it_had_a_map_of_its_own(self):
        heads = Heads(nn.Identity(), (3,), (500,), input_ndim=1)
        heads(torch.zeros(1, 7))
        bound = (6 / (7 + 3)) ** 0.5  # Glorot and Bengio: 7 inputs, 3 outputs
        small = heads.head.weight[:3].abs().max()
        assert 0.5 * bound < small <= bound and heads.head.bias.abs().sum() == 0

    def test_a_network_without_weights_keeps_the_precision_of_its_input(self):
        assert (
            Heads(nn.Identity(), (2,))(torch.zeros(3, 4, dtype=torch.float64))[0].dtype
            == torch.float64
        )

    def test_features_without_rows_are_refused(self):
        class Scalar(nn.Module):
            def forward(self, x):
                return x.sum()

        with pytest.raises(ArgumentError, match="one row per datum"):
            Heads(Scalar(), (2,))(torch.zeros(3, 4))


class TestPrecision:
    def test_networks_in_bfloat16_leave_densities_in_float32(self):
        """Of a whole model; each family by itself obeys the law of this name."""
        model = catalogue.make_vae()
        batch = catalogue.make_batch(model)
        set_precision(model, torch.bfloat16)
        seen = []
        heads = next(module for module in model.likelihood.modules() if isinstance(module, Heads))
        heads.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        terms = model.draw_terms(batch, 3)
        assert seen == [torch.bfloat16]
        densities = [
            terms.log_likelihood,
            terms.log_prior,
            terms.log_posterior,
            terms.z,
            terms.reconstruction.mean,
        ]
        assert all(value.dtype == torch.float32 for value in densities)
        set_precision(model, None)
        model.draw_terms(batch, 3)
        assert seen[-1] == torch.float32

    def test_bfloat16_is_close_and_trains(self):
        model = catalogue.make_vae("normal-diagonal", "bernoulli")
        batch = catalogue.make_batch(model)
        exact = model.likelihood(torch.ones(1, 2)).log_prob(batch.x)
        set_precision(model, torch.bfloat16)
        # 8 bits of mantissa: 1/256 per logit of about unit size, four of them
        assert torch.allclose(
            model.likelihood(torch.ones(1, 2)).log_prob(batch.x), exact, atol=0.05
        )
        gradients.Pathwise()(model, objectives.ELBO(), batch).loss.backward()
        assert all(
            p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters()
        )


BUILT = {
    "mlp": lambda **made: networks.MLP(6, [5, 5], **made),
    "conv encoder": lambda **made: networks.ConvEncoder((3, 2), [4], 1, **made),
    "conv decoder": lambda **made: networks.ConvDecoder(6, (3, 2), [4], **made),
    "res-net": lambda **made: networks.ResNet((3, 2), [4, 5], **made),
    "res-net decoder": lambda **made: networks.ResNetDecoder(6, (3, 2), [5, 4], **made),
    "made": lambda **made: networks.MADE(6, [5], **made),
    "gru": lambda **made: networks.GRU(1, 5, **made),
    "sequence": lambda **made: networks.SequenceConv(1, [4], **made),
    "sets": lambda **made: networks.DeepSets(1, [4], [4], **made),
    "embedding": lambda **made: networks.Embed(nn.Identity(), 4, 3, **made),
    "pixels": lambda **made: networks.PixelCNN((3, 2), 1, 2, **made),
}


def weights(network):
    return torch.cat([parameter.flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("name", BUILT)
class TestMade:
    def test_a_seed_is_the_weights_and_moves_no_other_stream(self, name):
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

    def test_all_three_are_in_the_record_but_the_place(self, name):
        record = aevb._persistence.to_config(BUILT[name](seed=3, dtype=torch.float64, device="cpu"))
        assert (
            record["arguments"]["seed"] == 3
            and record["arguments"]["dtype"] == "float64"
            and "device" not in record["arguments"]
        )
        if name != "embedding":  # whose network is one of torch's own
            again = aevb._persistence.from_config(record)
            assert (
                torch.equal(weights(again), weights(BUILT[name](seed=3, dtype="float64")))
                and aevb._persistence.to_config(again) == record
            )

    @pytest.mark.parametrize(
        "wrong",
        [{"dtype": "float16"}, {"dtype": torch.bfloat16}, {"seed": -1}, {"device": "abacus"}],
    )
    def test_what_no_weights_are_made_of_is_refused(self, name, wrong):
        with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}` is"):
            BUILT[name](**wrong)


def test_a_model_lives_in_one_precision_the_widest_of_its_parts():
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
        ):  # blocks that add nothing at first pass no slope on before they have moved
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

    def test_what_a_datum_gives_does_not_depend_on_the_others(self):
        network, x = networks.ResNet((6, 6), [4, 4]).train(), torch.randn(5, 6, 6)
        assert torch.allclose(network(x)[2:3], network(x[2:3]), atol=1e-6)

    @pytest.mark.parametrize(
        "name, options", [("channels", {"channels": []}), ("blocks", {"blocks": 0})]
    )
    def test_arguments_that_no_run_could_use(self, name, options):
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            networks.ResNet((4, 4), **options)

    @pytest.mark.parametrize("name", ["conv encoder", "conv decoder", "res-net", "res-net decoder"])
    def test_context_reaches_the_features(self, name):
        network = BUILT[name](context=2)
        x = torch.randn(5, 6) if "decoder" in name else torch.randn(5, 3, 2)
        told = network(x, torch.ones(5, 2))
        assert told.shape == BUILT[name]()(x).shape and not torch.allclose(
            told, network(x, torch.zeros(5, 2))
        )
