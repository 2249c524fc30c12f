"""Prior of latents in their own units, around a prior in standardised units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._conditional import Unconditional
from .._registry import register
from ..distributions import Affine
from ..errors import ArgumentError, IncompatibleError
from ..notes import Part, message
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="scaled latents",
        needs="another prior, in standardised units",
        instead=message("Build it in Python, by {part}", part=Part("priors.Scaled")),
        use_when="a prior is fitted to the latents of an autoencoder",
        cost="none",
        avoid_when="latents have about unit size",
    )
)
class Scaled(Unconditional):
    """``z = shift + scale * u`` with ``u ~ prior``, over latents ``[D]``.

    The log-Jacobian of the scaling is part of the density. The latents of an autoencoder may have
    any size; a model that learns their distribution needs about unit size.

    Args:
        prior: The prior of ``u``.
        shift: One number per latent variable.
        scale: One positive number per latent variable.

    Raises:
        ArgumentError: ``shift`` or ``scale`` has another length, or a scale is not positive.
        IncompatibleError: ``prior`` is discrete, and probabilities have no units.

    Example:
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
            part = Part(f"priors.{type(prior).__name__}")
            raise IncompatibleError(
                message("{part} gives probabilities, which have no units to scale", part=part),
                argument="prior",
                suggestions=(message("Use {part} without scaling", part=part),),
            )
        self.lazy_networks, self.prior = prior.lazy_networks, prior
        for name, values in {"shift": shift, "scale": scale}.items():
            if tuple(p.event_shape) != (len(values),):
                raise ArgumentError(
                    f"give one number per latent variable, for the shape {tuple(p.event_shape)}",
                    argument=name,
                    value=values,
                )
            self.register_buffer(name, torch.tensor(values), persistent=False)
        if not bool((self.scale > 0).all()):
            raise ArgumentError("give positive numbers", argument="scale", value=scale)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Affine:
        return Affine(self.prior(input, context), self.shift, self.scale)
