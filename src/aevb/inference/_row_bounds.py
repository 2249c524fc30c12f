"""The ELBO of each row."""

from __future__ import annotations

import torch
from torch import Tensor

from .._row_noise import RowNoise
from ..data import Rows
from ..models import VAE
from ._batches import iter_batches, model_dtype, rate_and_distortion, seeded_evaluation

BLOCK_ROWS = 1024


def row_bounds(model: VAE, rows: Rows, samples: int = 1, seed: int = 0) -> Tensor:
    """The ELBO of each row; its reconstruction term for a posterior without a density.

    Args:
        model: The model.
        rows: Rows on its device.
        samples: Draws from the posterior per row.
        seed: Seed of the draws; a draw depends on its row, and not on others.

    Returns:
        Nats ``[N]``, float64, on the device.
    """
    found = []
    with seeded_evaluation(model, seed):
        for batch in iter_batches(rows, BLOCK_ROWS, model_dtype(model)):
            q, noise = model.infer(batch), RowNoise.from_batch(batch, seed, model.constant_cells)
            with noise.samples(samples):
                terms = model.terms(batch, q.sample((samples,)), q, exact_kl=True)
            rate, distortion = rate_and_distortion(model, terms)
            found.append(-torch.where(rate.isnan(), 0.0, rate) - distortion)
    return torch.cat(found).double()
