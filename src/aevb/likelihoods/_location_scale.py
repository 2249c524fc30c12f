"""Location and scale of a likelihood."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..distributions import from_scale, to_scale
from ..distributions._factors import Factors
from ..distributions._output_maps import LOG_SCALE_BOUND, check_bounds
from ..errors import ArgumentError, one_of
from ..networks._condition import Condition, Labels
from ._likelihood import make_heads

# data have about unit size: a smaller scale would follow rounding, and its density has no bound
MIN_OPTIMAL_SCALE = 1e-3
RUNNING_ERROR_DECAY = 0.99  # of the running error, per step


class LocationScale(nn.Module):
    """``loc`` and ``scale``, both ``[*batch, *event]``, from a latent.

    Args:
        network: Maps latents to features.
        event_shape: Shape of a row of data.
        scale: A positive number or one of five words, as in ``likelihoods.Normal``.
        latent_rank: Number of axes of a latent.
        power: Power of the error whose mean gives the optimal scale; ``None`` for families without
            a formula, which do not offer ``"optimal"``.
        name: The family's name for its scale.
        n_extra: Number of further tensors from the network.
        condition: The condition, for families that offer ``"per_class"``: one scale per element and
            class of its first label.
        scale_bound: Bound of the absolute logarithm of a learned scale.

    Raises:
        ArgumentError: ``scale`` is neither a positive number nor a known word, or the condition has
            no label.
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
        condition: Condition | None = None,
        scale_bound: float = LOG_SCALE_BOUND,
    ) -> None:
        super().__init__()
        kinds = ("shared", "per_element", "predicted", "optimal")[: 4 if power else 3]
        self.classes = _class_places(condition)
        if self.classes is not None:
            kinds += ("per_class",)
        if scale not in kinds if isinstance(scale, str) else not scale > 0:
            raise ArgumentError(
                "give a positive number or a word",
                argument=name,
                value=scale,
                suggestions=(one_of(name, kinds),),
            )
        self.kind = scale if isinstance(scale, str) else "fixed"
        check_bounds(scale_bound=scale_bound)
        self.power, self.scale_bound = power, float(scale_bound)
        self.event_shape = event_shape
        self.heads = make_heads(
            network, event_shape, 1 + n_extra + (self.kind == "predicted"), latent_rank
        )
        self.n_extra = n_extra
        shapes = {"shared": (), "per_element": event_shape}
        if self.classes is not None:
            shapes["per_class"] = (self.classes.stop - self.classes.start, *event_shape)
        shape = shapes.get(self.kind)
        self.raw = None if shape is None else nn.Parameter(torch.zeros(shape))
        self.register_buffer(
            "fixed_scale",
            torch.tensor(1.0 if isinstance(scale, str) else float(scale)),
            persistent=False,
        )
        self.register_buffer("running_error", torch.tensor(1.0), persistent=self.kind == "optimal")

    def forward(self, input: Tensor, context: Tensor | None = None) -> list[Tensor]:
        """``loc``, ``scale`` and the ``n_extra`` further tensors."""
        loc, *rest = self.heads(input, context)
        extra, predicted = rest[: self.n_extra], rest[self.n_extra :]
        if self.kind == "per_class":
            scale = to_scale(self._of_class(context), self.scale_bound)
            return [loc, scale.expand_as(loc), *extra]
        return [loc, self._scale(*predicted).expand_as(loc), *extra]

    def _of_class(self, context: Tensor | None) -> Tensor:
        """The parameter of the class of each row; 0 where it is not known."""
        assert self.raw is not None
        assert self.classes is not None
        assert context is not None
        return torch.tensordot(context[..., self.classes], self.raw, 1)

    def _scale(self, predicted: Tensor | None = None) -> Tensor:
        if predicted is not None:
            return to_scale(predicted, self.scale_bound)
        if self.raw is not None:
            return to_scale(self.raw, self.scale_bound)
        if self.kind == "optimal":
            assert self.power is not None
            return self.running_error.pow(1 / self.power).clamp(min=MIN_OPTIMAL_SCALE)
        return self.fixed_scale

    @torch.no_grad()
    def start_linear(self, factors: Factors) -> None:
        """Begin at a linear map of the latent, with a scale that does not depend on it."""
        scale, outputs = factors.noise.sqrt(), [factors.loadings]
        bias = [factors.mean, *[torch.zeros_like(scale)] * self.n_extra]
        if self.raw is not None:
            own = scale if self.kind == "per_element" else scale.log().mean().exp()
            raw = from_scale(own, self.scale_bound)
            self.raw.copy_(raw.reshape(self.raw.shape))
        elif self.kind == "predicted":
            bias.append(from_scale(scale, self.scale_bound))
        elif self.kind == "optimal":
            self.running_error.copy_(factors.noise.mean())
        outputs += [torch.zeros_like(factors.loadings)] * (len(bias) - 1)
        self.heads.start_linear(torch.cat(outputs), torch.cat(bias))

    @torch.no_grad()
    def update_state(self, loc: Tensor, x: Tensor, weight: Tensor | None = None) -> None:
        """Move the running error towards ``mean |x - loc|^power`` of this batch.

        The maximum-likelihood scale is a power of this mean. Missing cells do not count.
        """
        if self.kind != "optimal" or self.power is None:
            return
        error = (x - loc).abs().pow(self.power)
        if weight is not None:
            error = (weight * error.flatten(2).nanmean(2)).sum(0)
        self.running_error.lerp_(
            error.nanmean().to(self.running_error.dtype), 1 - RUNNING_ERROR_DECAY
        )


def _class_places(condition: Condition | None) -> slice | None:
    """The places of the first label in the context; ``None`` without a label."""
    start = 0
    for variable in () if condition is None else condition.variables:
        if isinstance(variable, Labels):
            return slice(start, start + variable.width)
        start += variable.width
    return None


def check_unit(unit: float) -> float:
    """Return ``unit``, or raise an ``ArgumentError`` if it is not a positive number."""
    if not 0 < unit < math.inf:
        raise ArgumentError(
            "give the mean of the data, a positive number", argument="unit", value=unit
        )
    return float(unit)
