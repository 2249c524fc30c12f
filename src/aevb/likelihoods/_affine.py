"""A likelihood in the units of the data, around one that works in standardised units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._conditional import Conditional
from ..distributions import Affine
from ..errors import IncompatibleError
from ._likelihood import Likelihood


class Scaled(Likelihood):
    """``x = shift + scale * y`` with ``y ~ likelihood(z)``; the log-Jacobian of the scaling is part of the density.

    ``shift`` and ``scale`` hold one number, or one per element of the event in row-major order. Raises ``IncompatibleError`` around a
    likelihood of discrete data, whose probabilities have no units.

    >>> from torch import nn
    >>> from aevb import likelihoods
    >>> inner = likelihoods.Normal(nn.Identity(), (2,), scale=1.0)
    >>> Scaled(inner, shift=[0.0], scale=[10.0])(torch.zeros(1, 3)).variance.round(decimals=3)
    tensor([[100., 100.]]...)
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, likelihood: Likelihood, shift: Sequence[float], scale: Sequence[float]
    ) -> None:
        super().__init__()
        if likelihood.discrete:
            name = type(likelihood).__name__
            raise IncompatibleError(
                f"`likelihoods.Scaled` needs a likelihood with a density, got `likelihoods.{name}`. "
                f"Use `likelihoods.{name}(...)` on the data as given."
            )
        if likelihood.allows_missing:
            raise IncompatibleError(
                "`likelihoods.Scaled` counts its Jacobian for every cell, and `likelihoods.Missing` leaves cells out. "
                "Use `likelihoods.Missing(likelihoods.Scaled(...))`."
            )
        self.factorises = likelihood.factorises
        self.likelihood: Conditional = likelihood
        self.event_shape = likelihood.event_shape
        for name, values in {"shift": shift, "scale": scale}.items():
            value = torch.tensor(values)
            self.register_buffer(
                name, value.reshape(self.event_shape if value.numel() > 1 else ()), persistent=False
            )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Affine:
        return Affine(self.likelihood(input, context), self.shift, self.scale)

    def update_state(
        self, distribution: Affine, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution.base, (value - self.shift) / self.scale, weight)
