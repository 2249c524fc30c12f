"""A prior of codes in their own units, around one in standardised units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._conditional import Unconditional
from ..distributions import Affine
from ..errors import ArgumentError, IncompatibleError


class Scaled(Unconditional):
    """``z = shift + scale * u`` with ``u ~ prior``, over codes ``[D]``; the log-Jacobian of the scaling is part of the density.

    Codes of an autoencoder may have any size; what learns their distribution wants them to have about unit size. Raises
    ``ArgumentError`` for shifts or scales that are not one number for each code, or scales that are not positive, and
    ``IncompatibleError`` around discrete codes, which have no units.

    >>> from aevb import priors
    >>> Scaled(priors.Normal(2), shift=[1.0, 0.0], scale=[10.0, 0.1])().stddev
    tensor([10.0000,  0.1000])
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, prior: Unconditional, shift: Sequence[float], scale: Sequence[float]
    ) -> None:
        super().__init__()
        p = prior()
        if p.support is not None and p.support.is_discrete:
            raise IncompatibleError(
                f"`priors.Scaled` needs a prior with a density, got `priors.{type(prior).__name__}`. Use it as it is."
            )
        self.lazy_networks, self.prior = prior.lazy_networks, prior
        for name, values in {"shift": shift, "scale": scale}.items():
            if tuple(p.event_shape) != (len(values),):
                raise ArgumentError(
                    f"`{name}` holds {len(values)} numbers, and codes have shape {tuple(p.event_shape)}; give one for each."
                )
            self.register_buffer(name, torch.tensor(values), persistent=False)
        if not bool((self.scale > 0).all()):
            raise ArgumentError(f"`scale` holds {self.scale.min().item()}; give positive numbers.")

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Affine:
        return Affine(self.prior(input, context), self.shift, self.scale)
