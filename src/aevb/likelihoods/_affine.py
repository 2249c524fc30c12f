"""Likelihood of data in their own units, around a likelihood of standardised data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._registry import register
from ..distributions import Affine
from ..distributions._factors import Factors
from ..errors import IncompatibleError
from ..notes import Part, message
from ._likelihood import Likelihood
from ._linear_cells import LinearCells
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="scaled data",
        needs="another likelihood, in standardised units",
        instead=message(
            "Build it in Python, by {part}",
            part=Part("likelihoods.Scaled", {"likelihood": Part("likelihoods.Normal")}),
        ),
        use_when="data are not of about unit size",
        cost="none",
        avoid_when="data are discrete",
    )
)
class Scaled(Likelihood):
    """Likelihood of ``x = shift + scale * y`` with ``y ~ likelihood(z)``.

    The log-Jacobian of the scaling is part of the density, so that densities are in the units of
    the data.

    Args:
        likelihood: The likelihood of the standardised data ``y``.
        shift: One number, or one per element of the event in row-major order.
        scale: One number, or one per element of the event in row-major order.
        offset: For data whose digits float32 would lose, as ``x = offset + shift + scale * y``: the
            model receives and gives ``x - offset``, which ``Rows`` and the methods of ``VAE``
            subtract and add in float64. One number, or one per column.

    Raises:
        IncompatibleError: ``likelihood`` gives probabilities, which have no units, or it
            accepts missing cells.

    Example:
        >>> from torch import nn
        >>> from aevb import likelihoods
        >>> inner = likelihoods.Normal(nn.Identity(), (2,), scale=1.0)
        >>> Scaled(inner, shift=[0.0], scale=[10.0])(torch.zeros(1, 3)).variance.round(decimals=3)
        tensor([[100., 100.]]...)
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        likelihood: Likelihood,
        shift: Sequence[float],
        scale: Sequence[float],
        offset: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.data_offset = None if offset is None else tuple(map(float, offset))
        if likelihood.measure != "density":
            part = Part(f"likelihoods.{type(likelihood).__name__}")
            raise IncompatibleError(
                message("{part} gives probabilities, which have no units to scale", part=part),
                argument="likelihood",
                suggestions=(message("Use {part} on the unscaled data", part=part),),
            )
        if likelihood.allows_missing:
            raise IncompatibleError(
                "the Jacobian of the scaling has a factor for every cell, and this likelihood "
                "leaves cells out",
                argument="likelihood",
                suggestions=(
                    message(
                        "Use {missing}",
                        missing=Part(
                            "likelihoods.Missing", {"likelihood": Part("likelihoods.Scaled")}
                        ),
                    ),
                ),
            )
        self.factorises = likelihood.factorises
        self.likelihood: Likelihood = likelihood
        self.event_shape = likelihood.event_shape
        for name, values in {"shift": shift, "scale": scale}.items():
            value = torch.tensor(values)
            self.register_buffer(
                name, value.reshape(self.event_shape if value.numel() > 1 else ()), persistent=False
            )

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        self.likelihood.initialise_from_data((x - self.shift) / self.scale, context)

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        return self.likelihood.linear_cells((x - self.shift) / self.scale)

    def start_linear(self, factors: Factors) -> None:
        self.likelihood.start_linear(factors)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Affine:
        return Affine(self.likelihood(input, context), self.shift, self.scale)

    def update_state(
        self, distribution: Affine, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution.base, (value - self.shift) / self.scale, weight)
