"""The five ways to hold the scale of a location-scale likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..distributions import to_scale
from ..errors import ArgumentError
from ._likelihood import make_heads

MIN_OPTIMAL_SCALE = 1e-3  # data have about unit size: an optimal scale below this would only chase rounding, and its density has no upper bound
RUNNING_ERROR_DECAY = 0.99  # of the running error, per step


class LocationScale(nn.Module):
    """``loc`` and ``scale``, both ``[*batch, *event]``, from a latent variable.

    ``power`` is that of the error whose mean sets the scale's optimum; ``None`` for families where no formula does, which have no
    ``"optimal"``. ``name`` is what the family calls its scale, ``n_extra`` counts the tensors that it wants from the network beside.
    """

    running_error: Tensor
    fixed_scale: Tensor

    def __init__(
        self,
        network: nn.Module,
        event_shape: tuple[int, ...],
        scale: float | str,
        latent_rank: int,
        power: int | None = None,
        name: str = "scale",
        n_extra: int = 0,
    ) -> None:
        super().__init__()
        kinds = ("shared", "per_element", "predicted", "optimal")[: 4 if power else 3]
        if isinstance(scale, str) and scale not in kinds:
            raise ArgumentError(
                f"`{name}` is {scale!r}; give a positive number or one of {', '.join(kinds)}."
            )
        if not isinstance(scale, str) and not scale > 0:
            raise ArgumentError(f"`{name}` is {scale}; give a positive number.")
        self.kind = scale if isinstance(scale, str) else "fixed"
        self.power = power
        self.event_shape = event_shape
        self.heads = make_heads(
            network, event_shape, 1 + n_extra + (self.kind == "predicted"), latent_rank
        )
        self.n_extra = n_extra
        self.raw = (
            nn.Parameter(torch.zeros(event_shape if self.kind == "per_element" else ()))
            if self.kind in kinds[:2]
            else None
        )
        self.register_buffer(
            "fixed_scale",
            torch.tensor(1.0 if isinstance(scale, str) else float(scale)),
            persistent=False,
        )
        self.register_buffer("running_error", torch.tensor(1.0), persistent=self.kind == "optimal")

    def forward(self, input: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """``loc``, ``scale`` and what is wanted beside."""
        loc, *rest = self.heads(input, context)
        further, predicted = rest[: self.n_extra], rest[self.n_extra :]
        return [loc, self._scale(*predicted).expand_as(loc), *further]

    def _scale(self, predicted: Tensor | None = None) -> Tensor:
        if predicted is not None:
            return to_scale(predicted)
        if self.raw is not None:
            return to_scale(self.raw)
        if self.kind == "optimal":
            assert self.power is not None
            return self.running_error.pow(1 / self.power).clamp(min=MIN_OPTIMAL_SCALE)
        return self.fixed_scale

    @torch.no_grad()
    def update_state(self, loc: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        """Move the held error towards that of this batch: ``mean |x - loc|^power``, the scale's maximum-likelihood value.

        Empty cells (NaN) have no error.
        """
        if self.kind != "optimal" or self.power is None:
            return
        missed = (x - loc).abs().pow(self.power)
        if weight is not None:
            missed = (weight * missed.flatten(2).nanmean(2)).sum(0)
        self.running_error.lerp_(
            missed.nanmean().to(self.running_error.dtype), 1 - RUNNING_ERROR_DECAY
        )


def check_unit(unit: float) -> float:
    """``unit``, or an error where it is no size."""
    if not 0 < unit < math.inf:
        raise ArgumentError(
            f"`unit` is {unit}; give about the mean of the data, a positive number."
        )
    return float(unit)
