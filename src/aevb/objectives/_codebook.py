"""What is to be seen of a codebook while it learns."""

from __future__ import annotations

import torch

from ..distributions import QuantisedDirac
from ..distributions._quantised import perplexity
from ..errors import IncompatibleError
from ..models import VAE
from ..types import Terms
from ._penalised import Penalty, PenaltyTerm


class CodebookMonitor(Penalty):
    """Logs how much of a codebook a batch uses, and asks for nothing.

    ``perplexity`` is the number of entries that, all used alike, would tell as much; ``unused`` the share of entries that no datum of the
    batch became. Of several codebooks both are means. A batch cannot use more entries than it has codes: ``metrics.codebook_usage`` counts
    over all data. Raises ``IncompatibleError`` for a posterior without a codebook.

    >>> CodebookUsage().measures
    ('perplexity', 'unused')
    """

    def __init__(self) -> None:
        super().__init__(perplexity=0.0, unused=0.0)

    def check(self, model: VAE) -> None:
        if not isinstance(model.probe()[1], QuantisedDirac):
            raise IncompatibleError(
                f"`objectives.CodebookUsage` counts entries of a codebook, and `posteriors.{type(model.posterior).__name__}` has none. "
                "Use `objectives.ELBO()` alone."
            )

    @torch.no_grad()
    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        assert isinstance(terms.q, QuantisedDirac)
        counts = terms.q.entry_counts().to(terms.z.dtype)
        return PenaltyTerm((perplexity(counts).mean(), (counts == 0).to(counts.dtype).mean()))
