"""How much of a codebook is in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .._memory import explain_out_of_memory
from .._registry import register
from ..distributions import QuantisedDirac
from ..distributions._quantised import perplexity
from ..errors import IncompatibleError
from ..models import VAE
from ._number import MetricRegistration, Number

if TYPE_CHECKING:
    from ._evaluation import EvaluationContext
from ..inference._batches import iter_batches, model_dtype, seeded_evaluation
from ..inference._inputs import as_model_rows


@dataclass(frozen=True)
class CodebookUsage:
    """How often some rows use each entry of a codebook.

    Args:
        counts: Number of occurrences of each entry, ``[tables, size]`` int64.
    """

    counts: Tensor

    @property
    def size(self) -> int:
        """Number of entries of all tables."""
        return self.counts.numel()

    @property
    def unused_entries(self) -> int:
        """Number of entries that no row uses."""
        return int((self.counts == 0).sum())

    @property
    def perplexity(self) -> Tensor:
        """Number of equally used entries with the same entropy, for each table, ``[tables]``.

        ``exp(-sum_k f_k log f_k)`` of the shares ``f_k`` of the entries.
        """
        return perplexity(self.counts.double())


def codebook_usage(model: VAE, x: Any, *, block_size: int = 1024) -> CodebookUsage:
    """Count the codebook entries that data use.

    Args:
        model: A model with a vector-quantised posterior.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        block_size: Number of rows that are encoded at once.

    Returns:
        The counts.

    Raises:
        IncompatibleError: The posterior has no codebook.
        DataError: A row has another shape, or lies outside the likelihood's support.
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
                    f"`posteriors.{type(model.posterior).__name__}` has no codebook"
                )
            counts.append(q.entry_counts().cpu())
    return CodebookUsage(torch.stack(counts).sum(0))


@register(
    MetricRegistration(
        name="codebook",
        title="Use of the codebook",
        paper="van den Oord et al. (2017)",
        use_when="the posterior is vector-quantised: unused entries are wasted capacity",
        cost="one pass through the encoder",
        order=50,
    )
)
def _codebook_numbers(context: EvaluationContext) -> Iterator[Number]:
    usage = context.codebook_usage
    if usage is None:
        return
    worth, used = usage.perplexity.tolist(), usage.size - usage.unused_entries
    yield Number(
        "codebook",
        "codebook",
        used,
        text=f"{used} of {usage.size}",
        meaning="Codebook entries that at least one row uses.",
        details={
            "entries": usage.size,
            "used_entries": used,
            "unused_entries": usage.unused_entries,
            "perplexity": worth,
        },
    )
    yield Number(
        "codebook.mean_perplexity",
        "perplexity",
        sum(worth) / len(worth),
        text=", ".join(f"{value:.1f}" for value in worth),
        meaning="Number of equally used entries that would carry as much information, for each "
        "table of the codebook.",
    )
