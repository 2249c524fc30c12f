"""What the checks of the doctor compute from: rows, shared results, gradients, dead units."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Rows
from aevb.inference._batches import seeded_evaluation
from aevb.metrics import DoctorThresholds
from aevb.metrics._doctor._context import DiagnosticContext
from aevb.metrics._rate_distortion import rate_distortion_of_rows

LIMITS = DoctorThresholds(
    min_rows=5,
    importance_rows=7,
    importance_samples=3,
    latent_rows=6,
    latent_block_size=2,
    gradient_rows=4,
    elbo_draws=2,
    min_dead_unit_rows=8,
)


def rows_of(count, seed=0):
    return Rows(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)))


def normal_model(posterior=posteriors.Normal, encoder=None):
    """A model; one with an encoder of its own has no hidden units in its decoder."""
    torch.manual_seed(0)
    return VAE(
        priors.Normal(2),
        posterior(encoder or networks.MLP(3, [4]), 2),
        likelihoods.Normal(nn.Identity() if encoder else networks.MLP(2, [4]), (3,)),
    )


def context_of(rows=11, train=None, reference=None, model=None, history=(), **options):
    known = [
        None if count is None else rows_of(count, seed)
        for seed, count in enumerate((rows, train, reference))
    ]
    return DiagnosticContext(
        model or normal_model(),
        *known,
        history,
        (known[0], known[1]),
        thresholds=options.pop("thresholds", LIMITS),
        seed=3,
        **options,
    )


def epoch(number, validation):
    return SimpleNamespace(epoch=number, validation=validation)


def test_rows_and_epochs():
    assert context_of(4).has_few_rows and not context_of(5).has_few_rows
    context = context_of(6, train=9)
    assert context.fitted_rows is context.train and context_of(6).fitted_rows is not None
    assert len(context_of(6).fitted_rows) == 6
    scores = [-5.0, None, -2.0, math.nan, -2.5, math.inf]
    history = [epoch(number, score) for number, score in enumerate(scores)]
    assert context_of(history=history).best_epoch.epoch == 2
    assert context_of(history=history[1:2]).best_epoch is None
    assert context_of().best_epoch is None


def test_rates_and_latents_are_of_their_rows():
    context = context_of(11, train=9, reference=8)
    for name, rows in (
        ("rate_distortion", context.rows),
        ("train_rate_distortion", context.train),
        ("reference_rate_distortion", context.reference),
    ):
        expected = rate_distortion_of_rows(context.model, rows, 2, seed=3)
        assert getattr(context, name) == expected
    assert context.active_units.variance.shape == (2,)
    assert context_of(1).active_units is None and context_of(2).active_units is not None
    means = context.model.encode(context.rows.tensor()).detach()
    assert torch.allclose(context.posterior_means, means)
    assert len(context.train_posterior_means) == 9
    assert torch.equal(
        context.kl_per_dimension, metrics.kl_per_dimension(context.model, context.rows)
    )
    bare = context_of()
    assert bare.train_rate_distortion is bare.reference_rate_distortion is None
    assert bare.train_posterior_means is None


@pytest.mark.parametrize(
    "rows, reference, own, joined",
    [
        (7, 9, 7, None),
        (8, 9, 7, None),
        (6, 9, 6, 1),
        (2, 9, 2, 5),
        (2, 3, 2, 3),
        (2, None, 2, None),
    ],
)
def test_reference_rows_join_few_rows(rows, reference, own, joined):
    context = context_of(rows, reference=reference)
    assert len(context.importance_rows) == own
    more = context.reference_importance_rows
    assert (None if more is None else len(more)) == joined
    expected = metrics.log_likelihood(context.model, context.importance_rows, 3, seed=3)
    assert torch.equal(context.log_likelihood.per_datum, expected.per_datum)
    found = context.reference_log_likelihood
    assert (None if found is None else len(found.per_datum)) == joined


def test_models_without_a_likelihood():
    context = context_of(model=normal_model(posteriors.Dirac))
    assert context.log_likelihood is None
    assert context.mutual_information_and_marginal_kl is None


def test_information_of_evenly_spaced_rows():
    context = context_of(11)
    rows = context.rows.subset(torch.tensor([0, 2, 4, 6, 8, 10]))
    expected = metrics.latent_information(context.model, rows, seed=3)
    found = context.mutual_information_and_marginal_kl
    assert found[0].mean == pytest.approx(expected.mutual_information.mean, rel=1e-5)
    assert found[1].mean == pytest.approx(expected.marginal_kl.mean, rel=1e-5)
    decoded = context.decoded_distribution
    assert decoded.mean.shape == (6, 3)
    z = context.model.encode(rows.tensor())
    assert torch.allclose(decoded.mean, context.model.decode(z), atol=1e-6)


@pytest.mark.parametrize("count, numbers", [(3, [0, 5, 10]), (99, list(range(11)))])
def test_batches_of_evenly_spaced_rows(count, numbers):
    context = context_of(11, train=4)
    assert torch.equal(context.batch(count).x, context.rows.tensor()[numbers])
    assert len(context.batch(count, context.train).x) == min(count, 4)


def test_constant_cells_do_not_vary():
    context, x = context_of(), torch.arange(12.0).reshape(2, 2, 3)
    assert context.varying_cells(x).shape == (2, 6)
    assert context.varying_cells(x).dtype == torch.float64
    constant = torch.tensor([[1.0, math.nan, math.nan], [math.nan, 2.0, 0.0]])
    model = SimpleNamespace(constant_cells=constant)
    found = DiagnosticContext(model, None, None, None, (), (None, None)).varying_cells(x)
    assert found.tolist() == [[1.0, 2.0, 3.0], [7.0, 8.0, 9.0]]


def test_norms_of_the_gradient():
    model = normal_model()
    model.likelihood.noise.heads.head.weight.requires_grad_(False)
    context = context_of(11, model=model)
    batch = Batch(context.rows.tensor()[[0, 3, 6, 10]])
    with seeded_evaluation(model, 3), torch.enable_grad():
        bound = model.draw_terms(batch, 1).log_weight.mean()
        parts = {
            name: [p for p in getattr(model, name).parameters() if p.requires_grad]
            for name in ("posterior", "likelihood")
        }
        expected = {
            name: math.sqrt(
                sum(
                    gradient.square().sum().item()
                    for gradient in torch.autograd.grad(bound, group, retain_graph=True)
                )
            )
            for name, group in parts.items()
        }
    assert context.gradient_norms == pytest.approx(expected, rel=1e-5)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_parts_that_get_no_gradient_have_the_norm_0():
    model = normal_model()
    model.prior.register_parameter("unused", nn.Parameter(torch.ones(2)))
    norms = context_of(11, model=model).gradient_norms
    assert list(norms) == [name for name, _ in model.named_children()]
    assert norms["prior"] == 0.0 and norms["posterior"] > 0


def rectified(bias):
    """An encoder whose hidden units are 0 for every row where the bias is very negative."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    network[0].bias.data = torch.tensor(bias)
    return network


@pytest.mark.parametrize(
    "bias, share", [([9.0] * 4, 0.0), ([-99.0, 9.0, 9.0, 9.0], 0.25), ([-99.0] * 4, 1.0)]
)
def test_share_of_dead_units(bias, share):
    context = context_of(8, model=normal_model(encoder=rectified(bias)))
    assert context.dead_unit_share == pytest.approx(share)
    assert context_of(7, model=context.model).dead_unit_share is None
    assert context_of(7, train=8, model=context.model).dead_unit_share == pytest.approx(share)
    assert not context.model.posterior.heads.network[1]._forward_hooks
    smooth = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    assert context_of(8, model=normal_model(encoder=smooth)).dead_unit_share is None


def test_units_of_images_are_channels():
    """A channel lives where any pixel of any row activates it."""
    convolution = nn.Conv2d(1, 3, 1)
    convolution.weight.data.zero_()
    convolution.weight.data[2] = 1.0
    convolution.bias.data = torch.tensor([-1.0, 1.0, 0.0])
    encoder = nn.Sequential(nn.Unflatten(1, (1, 1, 3)), convolution, nn.ReLU(), nn.Flatten())
    context = context_of(8, model=normal_model(encoder=encoder))
    assert context.dead_unit_share == pytest.approx(1 / 3)
