"""The use of a codebook while it learns."""

from __future__ import annotations

import torch

from .._registry import register
from ..distributions import QuantisedDirac
from ..distributions._quantised import perplexity
from ..errors import IncompatibleError
from ..models import VAE
from ..notes import Part, message
from ..types import Terms
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm


@register(
    PenaltyRegistration(objective="ELBO()", use_when="the use of a codebook is logged", cost="none")
)
class CodebookMonitor(Penalty):
    """Log how much of a codebook a batch uses; adds nothing to the loss.

    ``perplexity`` is the number of equally used entries with the same entropy; ``unused`` the share
    of entries that no datum of the batch uses. Both are means over several codebooks. A batch
    cannot use more entries than it has codes: ``metrics.codebook_usage`` counts over all data.

    Raises:
        IncompatibleError: The posterior has no codebook.

    Example:
        >>> CodebookMonitor().metric_names
        ('perplexity', 'unused')
    """

    takes_weights = True

    def __init__(self) -> None:
        super().__init__(perplexity=0.0, unused=0.0)

    def check(self, model: VAE) -> None:
        if not isinstance(model.probe()[1], QuantisedDirac):
            raise IncompatibleError(
                "`objectives.CodebookMonitor` counts entries of a codebook, and "
                f"`posteriors.{type(model.posterior).__name__}` has none",
                suggestions=(message("Use {elbo} alone", elbo=Part("objectives.ELBO")),),
            )

    @torch.no_grad()
    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        assert isinstance(terms.q, QuantisedDirac)
        counts = terms.q.entry_counts(terms.batch.weight).to(terms.z.dtype)
        return PenaltyTerm((perplexity(counts).mean(), (counts == 0).to(counts.dtype).mean()))
