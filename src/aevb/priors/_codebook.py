"""Priors over the entries of a posterior's codebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor

from .._conditional import Conditional, Unconditional
from .._registry import register
from ..distributions import BaseCodebook, CodebookDistribution
from ..errors import ArgumentError, IncompatibleError
from ..notes import Argument, Part, message
from ._registration import PriorRegistration


class CodebookPosterior(Conditional, ABC):
    """A posterior whose latents are entries of a codebook."""

    @abstractmethod
    def codebook(self) -> BaseCodebook:
        """The current entries."""


@register(
    PriorRegistration(
        title="entries of a codebook",
        paper="van den Oord et al. 2017",
        support="discrete",
        needs="a codebook that it shares with the posterior",
        instead=message("Use {preset}", preset=Argument("preset", "vq_vae")),
        use_when="the posterior is quantised",
        cost="none; a learned prior over codes needs fit_prior",
        avoid_when="the posterior is continuous",
    )
)
class Codebook(Unconditional):
    """Prior over the entries of the codebook of a posterior, which it shares with the model.

    The uniform prior of van den Oord et al., Neural discrete representation learning (2017), costs
    a quantised posterior ``codes log size`` nats for every row.

    Args:
        posterior: The quantised posterior of the model.
        prior: A prior over one-hot codes, such as ``priors.Autoregressive((codes, size))``;
            ``None`` for the uniform prior.

    Raises:
        IncompatibleError: ``posterior`` has no codebook.
        ArgumentError: ``prior`` is over codes of another shape.

    Example:
        >>> from torch import nn
        >>> from aevb import posteriors
        >>> Codebook(posteriors.VectorQuantised(nn.Identity(), latent=(4, 8), size=16))().sample(
        ...     (3,)
        ... ).shape
        torch.Size([3, 4, 8])
    """

    def __init__(self, posterior: Conditional, prior: Unconditional | None = None) -> None:
        super().__init__()
        if not isinstance(posterior, CodebookPosterior):
            raise IncompatibleError(
                message(
                    "{part} has no codebook", part=Part(f"posteriors.{type(posterior).__name__}")
                ),
                argument="posterior",
                suggestions=(message("Use {part}", part=Part("posteriors.VectorQuantised")),),
            )
        book = posterior.codebook()
        if prior is not None and tuple(prior().event_shape) != (book.n_codes, book.n_entries):
            raise ArgumentError(
                f"the prior is over codes of shape {tuple(prior().event_shape)}, and a row has "
                f"{book.n_codes} codes out of {book.n_entries} entries",
                argument="prior",
                suggestions=(
                    message(
                        "Build the prior with {latent}",
                        latent=Argument("latent", (book.n_codes, book.n_entries)),
                    ),
                ),
            )
        self.posterior, self.prior = posterior, prior

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> CodebookDistribution:
        return CodebookDistribution(
            self.posterior.codebook(), None if self.prior is None else self.prior(input, context)
        )


def check_no_codebook(where: str, parts: Iterable[Conditional]) -> None:
    """Raise ``IncompatibleError`` for a part with a codebook, which trains as a posterior only."""
    for part in parts:
        if isinstance(part, CodebookPosterior):
            raise IncompatibleError(
                message(
                    "{part} learns its codebook as the posterior of a model and not inside {where}",
                    part=Part(f"posteriors.{type(part).__name__}"),
                    where=where,
                ),
                suggestions=(
                    message("Use {part} for discrete latents", part=Part("posteriors.Categorical")),
                ),
            )
