"""Batches of rows, and what an evaluation reads from the terms of a batch."""

from contextlib import suppress
from types import SimpleNamespace

import pytest
import torch

from aevb import VAE, data, likelihoods, networks, posteriors, priors
from aevb.data import Rows
from aevb.errors import ArgumentError
from aevb.inference._batches import (
    iter_batches,
    model_dtype,
    network_precision,
    rate_and_distortion,
    seeded_evaluation,
)
from aevb.networks import set_precision
from aevb.networks._heads import MixedPrecisionModule


@pytest.mark.parametrize("size", [1, 2, 4, 5, 6])
def test_batches_are_consecutive_rows(size):
    x = torch.arange(10.0).reshape(5, 2)
    rows = Rows.from_array(x.numpy())
    batches = list(iter_batches(rows, size))
    assert [len(batch.x) for batch in batches] == [
        min(size, 5 - start) for start in range(0, 5, size)
    ]
    assert torch.equal(torch.cat([batch.x for batch in batches]), x)
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(5))
    assert all(batch.dataset_size == 5 and batch.context is None for batch in batches)


def test_batches_have_the_type_of_the_weights():
    digits = data.load("digits").test
    labelled = digits.with_label(networks.Condition([networks.Labels("digit", range(10))]), 3)
    assert labelled.context is not None
    batch = next(iter_batches(labelled, 4, torch.float64))
    assert batch.x.dtype == batch.context.dtype == torch.float64
    assert torch.equal(batch.context, labelled.context[:4].double())
    assert next(iter_batches(digits, 4)).x.dtype == torch.float32


def model():
    return VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), (3,)),
    )


def test_the_type_of_a_model():
    assert model_dtype(model().double()) == torch.float64
    assert model_dtype(torch.nn.Identity()) == torch.float32  # of no weights at all


@pytest.mark.parametrize("outer", [None, torch.bfloat16])
def test_the_precision_of_networks_is_restored(outer):
    vae = model()
    set_precision(vae, outer)
    parts = [part for part in vae.modules() if isinstance(part, MixedPrecisionModule)]
    assert parts
    for name, inner in (("float32", None), ("bfloat16", torch.bfloat16)):
        with suppress(KeyError), network_precision(vae, name):
            assert {part.precision for part in parts} == {inner}
            raise KeyError
        assert {part.precision for part in parts} == {outer}
    with pytest.raises(ArgumentError), network_precision(vae, "float16"):
        pass


def test_an_evaluation_changes_no_state():
    vae = model().train()
    before = torch.get_rng_state()
    drawn = []
    for seed in (3, 3, 4):
        with seeded_evaluation(vae, seed):
            assert not vae.training and not torch.is_grad_enabled()
            drawn.append(torch.rand(()).item())
    assert vae.training and torch.is_grad_enabled() and torch.equal(before, torch.get_rng_state())
    assert drawn[0] == drawn[1] != drawn[2]


LIKELIHOOD = torch.tensor([[-1.0, -2.0], [-3.0, -6.0]])
POSTERIOR, PRIOR = torch.tensor([[5.0, 1.0], [3.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])


@pytest.mark.parametrize(
    "kl, has_density, rate",
    [
        (None, True, [3.0, 1.0]),
        (torch.tensor([0.5, 0.25]), True, [0.5, 0.25]),
        (torch.tensor([[1.0, 2.0], [3.0, 6.0]]), True, [2.0, 4.0]),
        (torch.tensor([0.5, 0.25]), False, None),
    ],
)
def test_rate_and_distortion_of_each_row(kl, has_density, rate):
    """The exact divergence where it is known, averaged over the draws of a hierarchy."""
    terms = SimpleNamespace(
        log_likelihood=LIKELIHOOD, log_posterior=POSTERIOR, log_prior=PRIOR, kl=kl
    )
    vae = SimpleNamespace(posterior=SimpleNamespace(has_density=has_density))
    rates, distortion = rate_and_distortion(vae, terms)
    assert distortion.tolist() == [2.0, 4.0] and distortion.dtype == rates.dtype == torch.float64
    assert rates.isnan().all() if rate is None else rates.tolist() == rate
    assert rates.shape == (2,)
