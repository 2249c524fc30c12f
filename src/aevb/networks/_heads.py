"""From features to the parameters of a family."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError


class MixedPrecisionModule(nn.Module):
    """A module that may run in low precision (``set_precision``)."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: torch.dtype | None = None

    def autocast(self, x: Tensor) -> torch.autocast:
        """The precision of what is computed inside the block, on the device of ``x``."""
        return torch.autocast(x.device.type, self.precision, enabled=self.precision is not None)


class Heads(MixedPrecisionModule):
    """A network and the one linear map that turns its features into parameter tensors of the shapes asked for.

    The map is a 1x1 convolution where the features have image shape ``[N, C, H, W]`` and every parameter is an image of that size,
    else a linear layer on the flattened features. It is made at the first call, when the features are first seen: a network of one's
    own needs to say nothing about itself. ``rank`` counts the axes of one input (``None``: all but the first); further leading axes
    are folded into one before the network sees them, and unfolded after.

    Networks may run in low precision (``set_precision``); parameters come out in float32 or better.

    >>> loc, raw = Heads(nn.Identity(), (2,), (2,), rank=1)(torch.zeros(7, 5, 3))
    >>> loc.shape
    torch.Size([7, 5, 2])
    """

    def __init__(
        self, network: nn.Module, *shapes: Sequence[int], input_ndim: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.shapes = [tuple(shape) for shape in shapes]
        self.input_ndim = input_ndim
        self.head: nn.Module | None = None

    def forward(self, x: Tensor, context: Tensor | None = None) -> list[Tensor]:
        return self.to_parameters(
            self.features(x, context),
            x.shape[: 1 if self.input_ndim is None else x.dim() - self.input_ndim],
        )

    def to_parameters(self, features: Tensor, batch_shape: Sequence[int]) -> list[Tensor]:
        """The parameters ``[*batch, *shape]`` that features ``[N, ...]`` of as many rows hold."""
        if self.head is None:
            self.head = self._build_head(features)
        flat = self.apply_head(features)
        parts = flat.split([self._parameter_width(shape) for shape in self.shapes], dim=1)
        return [
            part.reshape(*batch_shape, *shape)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """What the head is given: ``[N, C, H, W]`` for a convolution, else ``[N, F]``, with ``N`` rows for all leading axes of ``x``."""
        batch = x.shape[: 1 if self.input_ndim is None else x.dim() - self.input_ndim]
        rows = x if len(batch) == 1 else x.flatten(0, len(batch) - 1) if batch else x.unsqueeze(0)
        with self.autocast(x):
            features = (
                self.network(rows)
                if context is None
                else self.network(rows, self._expand_context(context, batch))
            )
        if features.dim() < 2:
            raise ArgumentError(
                f"the network's features have shape {tuple(features.shape)}; return one row per datum: [N, features]."
            )
        return features if self._is_image(features) else features.flatten(1)

    def apply_head(self, features: Tensor) -> Tensor:
        """The head's output ``[N, parameters]`` or ``[N, parameters, H, W]``, float32 or better."""
        assert self.head is not None
        with self.autocast(features):
            flat = self.head(features)
        return flat.to(torch.promote_types(flat.dtype, torch.float32))

    def _is_image(self, features: Tensor) -> bool:
        return features.dim() == 4 and all(
            shape[-2:] == features.shape[-2:] for shape in self.shapes
        )

    def _build_head(self, features: Tensor) -> nn.Module:
        as_image = self._is_image(features)
        widths = [math.prod(shape[:-2]) if as_image else math.prod(shape) for shape in self.shapes]
        inputs = features.shape[1] if as_image else math.prod(features.shape[1:])
        head: nn.Conv2d | nn.Linear = (
            nn.Conv2d(inputs, sum(widths), 1) if as_image else nn.Linear(inputs, sum(widths))
        )
        with torch.no_grad():  # each parameter starts as if it had a map of its own
            nn.init.zeros_(head.bias if head.bias is not None else torch.zeros(0))
            for part in head.weight.split(widths):
                nn.init.xavier_uniform_(part)
        weights = next(self.network.parameters(), None)
        return head.to(
            features.device,
            torch.promote_types(features.dtype, torch.float32)
            if weights is None
            else weights.dtype,
        )

    def _parameter_width(self, shape: tuple[int, ...]) -> int:
        return math.prod(shape[:-2]) if isinstance(self.head, nn.Conv2d) else math.prod(shape)

    @staticmethod
    def _expand_context(context: Tensor, batch: torch.Size) -> Tensor:
        return context.expand(*batch, context.shape[-1]).reshape(-1, context.shape[-1])


def set_precision(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Run every network of the model in ``dtype`` (autocast); heads included, densities not."""
    for module in model.modules():
        if isinstance(module, MixedPrecisionModule):
            module.precision = dtype
