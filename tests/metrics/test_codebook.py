"""Use of a codebook, counted by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.errors import IncompatibleError
from aevb.metrics import CodebookUsage
from aevb.metrics import _codebook as codebook

COUNTS = torch.tensor([[3, 0, 1, 4], [2, 2, 2, 2]])


def test_entries_in_use():
    usage = CodebookUsage(COUNTS)
    shares = (3 / 8, 1 / 8, 4 / 8)
    entropy = -sum(share * math.log(share) for share in shares)
    assert (usage.size, usage.unused_entries) == (8, 1)
    assert usage.perplexity.tolist() == pytest.approx([math.exp(entropy), 4.0])


def test_numbers_of_a_codebook():
    usage = CodebookUsage(COUNTS)
    used, worth = codebook._codebook_numbers(SimpleNamespace(codebook_usage=usage))
    assert (used.value, str(used)) == (7, "7 of 8")
    assert used.to_dict() == {
        "entries": 8,
        "used_entries": 7,
        "unused_entries": 1,
        "perplexity": pytest.approx(usage.perplexity.tolist()),
    }
    assert worth.value == pytest.approx(usage.perplexity.mean().item())
    assert list(codebook._codebook_numbers(SimpleNamespace(codebook_usage=None))) == []


def test_models_without_a_codebook_are_refused():
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    with pytest.raises(IncompatibleError):
        metrics.codebook_usage(model, torch.zeros(4, 3))
