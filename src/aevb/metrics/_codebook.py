"""How much of a codebook is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from ..distributions import QuantisedDirac
from ..distributions._quantised import perplexity
from ..errors import IncompatibleError
from ..models import VAE
from ._blocks import as_model_rows, iter_batches, model_dtype, seeded_evaluation


@dataclass(frozen=True)
class CodebookUsage:
    """Which entries the codes of some data are."""

    counts: Tensor  # [tables, size] int64: how often each entry occurs

    @property
    def size(self) -> int:
        """Entries in all."""
        return self.counts.numel()

    @property
    def n_dead(self) -> int:
        """Entries that no datum uses."""
        return int((self.counts == 0).sum())

    @property
    def perplexity(self) -> Tensor:
        """As many entries, all used alike, would tell as much of a datum: ``exp(-sum f log f)`` of the shares ``f``, ``[tables]``."""
        return perplexity(self.counts.double())


def codebook_usage(model: VAE, x: Any, *, block_size: int = 1024) -> CodebookUsage:
    """Count the entries of the codebook that data ``[N, *event]`` use.

    Raises ``IncompatibleError`` for a model whose posterior has no codebook.
    """
    data, counts = as_model_rows(model, x), []
    with (
        seeded_evaluation(model, seed=0),
        explain_out_of_memory("in an evaluation", block=block_size),
    ):
        for batch in iter_batches(data, block_size, model_dtype(model)):
            q = model.infer(batch)
            if not isinstance(q, QuantisedDirac):
                raise IncompatibleError(
                    f"`posteriors.{type(model.posterior).__name__}` has no codebook whose use could be counted."
                )
            counts.append(q.entry_counts().cpu())
    return CodebookUsage(torch.stack(counts).sum(0))
