"""How much of a codebook is in use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..distributions import Quantised
from ..distributions.quantised import perplexity
from ..errors import IncompatibleError
from ..memory import enough_memory
from ..models import VAE
from .sweep import blocks, dtype_of, evaluating, rows_of


@dataclass(frozen=True)
class CodebookUsage:
    """Which entries the codes of some data are."""

    counts: Tensor  # [tables, size] int64: how often each entry occurs

    @property
    def size(self) -> int:
        """Entries in all."""
        return self.counts.numel()

    @property
    def dead(self) -> int:
        """Entries that no datum uses."""
        return int((self.counts == 0).sum())

    @property
    def perplexity(self) -> Tensor:
        """As many entries, all used alike, would tell as much of a datum: ``exp(-sum f log f)`` of the shares ``f``, ``[tables]``."""
        return perplexity(self.counts.double())


def codebook_usage(model: VAE, x: Any, *, block: int = 1024) -> CodebookUsage:
    """Count the entries of the codebook that data ``[N, *event]`` use.

    Raises ``IncompatibleError`` for a model whose posterior has no codebook.
    """
    data, counts = rows_of(model, x), []
    with evaluating(model, seed=0), enough_memory("in an evaluation", block=block):
        for batch in blocks(data, block, dtype_of(model)):
            q = model.infer(batch)
            if not isinstance(q, Quantised):
                raise IncompatibleError(f"`posteriors.{type(model.posterior).__name__}` has no codebook whose use could be counted.")
            counts.append(q.counts().cpu())
    return CodebookUsage(torch.stack(counts).sum(0))
