"""Priors over the entries of a posterior's codebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor

from .._conditional import Conditional, Unconditional
from ..distributions import BaseCodebook, CodebookDistribution
from ..errors import ArgumentError, IncompatibleError


class CodebookPosterior(Conditional, ABC):
    """A posterior whose values are entries of a codebook."""

    @abstractmethod
    def codebook(self) -> BaseCodebook:
        """The entries as they are now."""


class Codebook(Unconditional):
    """The entries of the codebook of ``posterior``, which it shares with the model: all equally probable, or codes drawn from ``prior``.

    ``prior`` is one over one-hot codes ``(codes, size)``, as ``priors.Autoregressive((codes, size))``; ``None`` is the uniform prior of van
    den Oord et al. (2017), to which a quantised posterior diverges by ``codes log size``, whatever the datum. Raises ``IncompatibleError``
    for a posterior without a codebook, and ``ArgumentError`` for a prior over other codes.

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
                f"`priors.Codebook` needs a posterior that has a codebook, got `posteriors.{type(posterior).__name__}`; "
                "use `posteriors.VectorQuantised(...)`."
            )
        book = posterior.codebook()
        if prior is not None and tuple(prior().event_shape) != (book.n_codes, book.n_entries):
            raise ArgumentError(
                f"`prior` is over codes of shape {tuple(prior().event_shape)}, and the codebook has {book.n_codes} codes of {book.n_entries} "
                f"entries per datum; build it with latent=({book.n_codes}, {book.n_entries})."
            )
        self.posterior, self.prior = posterior, prior

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> CodebookDistribution:
        return CodebookDistribution(
            self.posterior.codebook(), None if self.prior is None else self.prior(input, context)
        )


def check_no_codebook(where: str, parts: Iterable[Conditional]) -> None:
    """Raise ``IncompatibleError`` for a part with a codebook, which learns as the posterior of a model and in no other place."""
    for part in parts:
        if isinstance(part, CodebookPosterior):
            raise IncompatibleError(
                f"`posteriors.{type(part).__name__}` learns its codebook as the posterior of a model, not inside of {where}. "
                "Use `posteriors.Categorical(...)` for discrete codes there."
            )
