"""Use of a codebook, counted by hand."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb import VAE, Batch, likelihoods, metrics, networks, posteriors, presets, priors
from aevb.data import load
from aevb.errors import IncompatibleError
from aevb.metrics import CodebookUsage
from aevb.metrics import _codebook as codebook

COUNTS = torch.tensor([[3, 0, 0, 4, 1], [2, 2, 2, 2, 2]])


def test_entries_in_use():
    usage = CodebookUsage(COUNTS)
    shares = (3 / 8, 4 / 8, 1 / 8)
    entropy = -sum(share * math.log(share) for share in shares)
    assert (usage.size, usage.unused_entries) == (10, 2)
    assert usage.perplexity.tolist() == pytest.approx([math.exp(entropy), 5.0])


def test_numbers_of_a_codebook():
    usage = CodebookUsage(COUNTS)
    used, worth = codebook._codebook_numbers(SimpleNamespace(codebook_usage=usage))
    assert (used.value, str(used)) == (8, "8 of 10")
    assert used.to_dict() == {
        "entries": 10,
        "used_entries": 8,
        "unused_entries": 2,
        "perplexity": pytest.approx(usage.perplexity.tolist()),
    }
    assert worth.value == pytest.approx(usage.perplexity.mean().item())
    assert list(codebook._codebook_numbers(SimpleNamespace(codebook_usage=None))) == []


@pytest.mark.parametrize("block", [7, 1024])
def test_entries_are_counted_over_all_rows(block):
    data = load("digits")
    torch.manual_seed(0)
    model = presets.vq_vae(data.spec, latent=2, hidden=[8], size=16).model.eval()
    rows = data.test.subset(torch.arange(30))
    with torch.no_grad():
        counts = model.infer(Batch(rows.tensor())).entry_counts()
    found = metrics.codebook_usage(model, rows, block_size=block)
    assert torch.equal(found.counts, counts) and (found.counts.sum(1) % 30 == 0).all()


def test_models_without_a_codebook_are_refused():
    model = VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3), 2),
        likelihoods.Normal(networks.MLP(2), (3,)),
    )
    with pytest.raises(IncompatibleError):
        metrics.codebook_usage(model, torch.zeros(4, 3))
