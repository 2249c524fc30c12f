"""PixelCNN likelihoods: receptive fields, normalisation, draws and training."""

import itertools
import math

import pytest
import torch
from tests.refusals import refused

import aevb
from aevb import VAE, Batch, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb.distributions import IntegerCategorical
from aevb.distributions._autoregressive_image import IMAGE_MOMENT_SAMPLES
from aevb.errors import ArgumentError, DataError, IncompatibleError

pytestmark = pytest.mark.usefixtures("float64")

# event shape, output, levels, layers, kernel
KINDS = {
    "bits": ((3, 3), "bernoulli", 2, 2, 3),
    "a line": ((1, 5), "bernoulli", 2, 3, 3),
    "a column": ((5, 1), "bernoulli", 2, 3, 3),
    "one cell": ((1, 1), "categorical", 4, 1, 3),
    "wide kernel": ((3, 3), "bernoulli", 2, 1, 5),
    "two channels": ((2, 2, 2), "bernoulli", 2, 2, 3),
    "three channels": ((3, 1, 2), "logistic_mixture", 3, 2, 3),
    "levels of two channels": ((2, 1, 2), "categorical", 3, 2, 3),
}


def pixels(name, features=4):
    event, output, levels, layers, kernel = KINDS[name]
    with aevb._random.seed_scope(4):
        likelihood = likelihoods.Pixel(
            networks.MLP(2, [6], "tanh"), event, output, levels, 2, features, layers, kernel
        )
        likelihood(torch.zeros(1, 2))
        for (
            parameter
        ) in likelihood.parameters():  # weights at which pixels depend on each other strongly
            torch.nn.init.normal_(parameter, std=0.7)
    return likelihood


def images(name):
    """All possible images, ``[n, 1, *event]``."""
    event, _, levels, *_ = KINDS[name]
    values = itertools.product(range(levels), repeat=math.prod(event))
    return torch.tensor(list(values), dtype=torch.float64).reshape(-1, 1, *event)


@pytest.mark.parametrize("name", KINDS)
class TestDensity:
    def test_all_images_together_have_probability_one(self, name):
        p = pixels(name)(torch.randn(3, 2))
        # some thousand exponentials of sums, each right to rounding
        assert torch.allclose(p.log_prob(images(name)).exp().sum(0), torch.ones(3), atol=1e-12)

    def test_cells_depend_on_preceding_cells_alone(self, name):
        """The influence of every cell on masked parameters is exactly 0."""
        likelihood = pixels(name)
        event = KINDS[name][0]
        count = math.prod(event)
        place = (
            torch.arange(count)
            .reshape(event if len(event) == 3 else (1, *event))
            .movedim(0, -1)
            .flatten()
        )
        order = torch.empty(count, dtype=torch.long)
        order[place] = torch.arange(count)  # when each cell is drawn: rows, columns, then channels
        net, condition = likelihood.pixel_cnn, torch.randn(1, 4, *event[-2:])
        x = images(name)[-1].clone()
        base = net(x, condition)
        for cell in range(count):
            moved = x.flatten().clone()
            moved[cell] = 0.0
            influence = (net(moved.reshape(x.shape), condition) - base).abs().sum(2).flatten()
            assert (influence[order <= order[cell]] == 0).all()
            after = (
                order == order[cell] + 1
            )  # the next cell depends on it if it is in the receptive field
            assert (
                not after.any()
                or event[-1] == 1
                or order[cell] % (count // event[-2]) == count // event[-2] - 1
                or influence[after].item() > 0
            )

    def test_draws_follow_the_density(self, name):
        likelihood = pixels(name)
        p = likelihood(torch.randn(1, 2))
        every = images(name)
        exact = p.log_prob(every).exp().flatten()
        drawn = p.sample((4000,)).flatten(1)
        counts = (
            (drawn[:, None] == every.flatten(1)).all(-1).double().mean(0)
            if len(every) <= 100
            else None
        )
        if counts is None:  # too many images: their moments instead
            mean = (exact[:, None] * every.flatten(1)).sum(0)
            error = drawn.std(0) / math.sqrt(len(drawn))
            assert ((drawn.mean(0) - mean).abs() <= 5 * error + 1e-9).all()
            return
        # five standard errors of a frequency
        assert (
            (counts - exact).abs() <= 5 * (exact * (1 - exact) / len(drawn)).sqrt() + 1e-9
        ).all()

    def test_draws_use_the_parameters_of_one_pass(self, name):
        """One pass over the whole image gives each cell the parameters of its draw."""
        likelihood = pixels(name)
        p = likelihood(torch.randn(2, 2))
        parameters_of_draws = []
        cells = p.cell_distribution

        def noted(parameters):
            parameters_of_draws.append(parameters)
            return cells(parameters)

        p.cell_distribution = noted
        x = p.sample()
        p.cell_distribution = cells
        whole = likelihood.pixel_cnn(x, p.condition)
        channels, height, width = p.image_shape
        places = itertools.product(range(height), range(width), range(channels))
        for part, (row, column, channel) in zip(parameters_of_draws, places, strict=True):
            # the same sums in another order
            assert torch.allclose(
                part[:, channel, :, 0, 0], whole[:, channel, :, row, column], atol=1e-12
            )

    def test_mean_and_variance_approximate_the_exact_values(self, name):
        p = pixels(name)(torch.randn(1, 2))
        every = images(name)
        mass = p.log_prob(every).exp().reshape(-1, *[1] * (every.dim() - 1))
        mean = (mass * every).sum(0)
        variance = (mass * (every - mean) ** 2).sum(0)
        # averages of 16 conditional means: five standard errors of the cell's own deviation
        assert ((p.mean - mean).abs() <= 5 * (variance / IMAGE_MOMENT_SAMPLES).sqrt() + 1e-9).all()
        assert torch.equal(p.mean, p.mean) and (p.variance >= 0).all()


def test_pixels_without_neighbours_equal_the_factorised_likelihood():
    """With masked weights of 0 only the latent determines each pixel."""
    likelihood = likelihoods.Pixel(networks.MLP(2, [6]), (3, 3), "categorical", 4, features=4)
    z = torch.randn(5, 2)
    p = likelihood(z)
    torch.nn.init.zeros_(likelihood.pixel_cnn.horizontal.head.weight)
    logits = likelihood.pixel_cnn.horizontal.condition_skip(p.condition)
    x = torch.randint(0, 4, (5, 3, 3)).double()
    assert torch.allclose(
        likelihood(z).log_prob(x),
        IntegerCategorical(logits.movedim(1, -1)).log_prob(x).sum((1, 2)),
        atol=1e-13,
    )


def test_autoregressive_pixels_learn_local_structure():
    """Stripes of random phase: autoregressive pixels need no latent."""
    phase = torch.randint(0, 2, (256, 1, 1))
    x = ((torch.arange(4)[None, None, :] + phase) % 2).expand(-1, 3, -1).double()
    with aevb._random.seed_scope(0):
        model = VAE(
            priors.Normal(1),
            posteriors.Normal(networks.MLP(12, [4]), 1),
            likelihoods.Pixel(networks.MLP(1, [4]), (3, 4), features=6, layers=1),
        )
    fitted = aevb.fit(
        model,
        x,
        epochs=80,
        batch_size=64,
        optimizer=aevb.training.adam(2e-2),
        progress=False,
        compile=False,
    ).model
    value = aevb.metrics.log_likelihood(fitted, x[:64], 10).mean
    # one coin flip remains, ln 2; errors of training of 12 pixels are some tenths of a nat
    assert -math.log(2) - 0.5 < value <= -math.log(2) + 0.1


def test_every_parameter_has_a_gradient_and_importance_weights_agree_with_the_density():
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(4, [4]), 2),
        likelihoods.Pixel(networks.MLP(2, [4]), (2, 2), features=3),
    )
    batch = Batch(model.sample(6))
    gradients.Pathwise()(model, objectives.IWAE(3), batch).loss.backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in model.parameters())
    z = torch.randn(3, 6, 2)
    assert torch.allclose(
        model.likelihood.log_likelihood_function(batch.x)(z),
        model.likelihood(z).log_prob(batch.x),
        atol=1e-12,
    )


class TestRefused:
    def test_missing_cells_are_refused(self):
        with refused(IncompatibleError, "likelihood", "likelihoods.Pixel", "likelihoods.Bernoulli"):
            likelihoods.Missing(likelihoods.Pixel(networks.MLP(2), (2, 2)))

    @pytest.mark.parametrize("value", [2.0, 0.5, -1.0])
    def test_values_outside_of_the_support(self, value):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(4), 2),
            likelihoods.Pixel(networks.MLP(2), (2, 2)),
        )
        with pytest.raises(
            DataError, match=f"holds {value:g}, outside the support of `likelihoods.Pixel`"
        ):
            aevb.fit(model, torch.full((8, 2, 2), value), epochs=1, progress=False)

    @pytest.mark.parametrize(
        "name, build",
        {
            "output": lambda: likelihoods.Pixel(networks.MLP(2), (2, 2), "normal"),
            "levels": lambda: likelihoods.Pixel(networks.MLP(2), (2, 2), "bernoulli", 17),
            "levels`": lambda: likelihoods.Pixel(networks.MLP(2), (2, 2), "categorical", 1),
            "components": lambda: likelihoods.Pixel(
                networks.MLP(2), (2, 2), "logistic_mixture", 17, components=0
            ),
            "kernel": lambda: likelihoods.Pixel(networks.MLP(2), (2, 2), kernel=4),
            "layers": lambda: likelihoods.Pixel(networks.MLP(2), (2, 2), layers=0),
            "event_shape": lambda: likelihoods.Pixel(networks.MLP(2), (4,)),
        }.items(),
    )
    def test_invalid_arguments_are_refused_by_name(self, name, build):
        with pytest.raises(ArgumentError, match=f"`{name}"):
            build()

    def test_presets_refuse_data_other_than_images_of_levels(self):
        with refused(ArgumentError, "likelihood", "pixel_vae", 'preset="vae"'):
            aevb.presets.preset("pixel_vae", aevb.data.load(torch.randn(50, 4).numpy()).spec)
