"""Heads: from the features of a network to the parameters of a distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ArgumentError


class MixedPrecisionModule(nn.Module):
    """Base class of modules that can run in low precision (``set_precision``)."""

    def __init__(self) -> None:
        super().__init__()
        self.precision: torch.dtype | None = None

    def autocast(self, x: Tensor) -> torch.autocast:
        """Autocast context with the precision of the module, on the device of ``x``."""
        return torch.autocast(x.device.type, self.precision, enabled=self.precision is not None)


class Heads(MixedPrecisionModule):
    """A network with a linear map from its features to parameters of given shapes.

    The map is a 1x1 convolution where the features are an image ``[N, C, H, W]`` and every
    parameter is an image of this size; otherwise it is a linear layer on the flattened features. It
    is created at the first call, so that a user's network does not have to declare its output.
    Parameters are float32 or better, also with a network in low precision.

    Args:
        network: Network from inputs ``[N, ...]`` to features ``[N, ...]``.
        shapes: Shapes of the parameters of one row.
        input_ndim: Number of axes of one input; ``None``: all axes except the first. Further
            leading axes are merged into one for the network.

    Raises:
        ArgumentError: At a call, the features have no row axis.

    Example:
        >>> loc, raw = Heads(nn.Identity(), (2,), (2,), input_ndim=1)(torch.zeros(7, 5, 3))
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
        """Apply the head to features.

        Args:
            features: Features ``[N, ...]`` of as many rows as ``batch_shape`` holds.
            batch_shape: Batch shape of the parameters.

        Returns:
            The parameters ``[*batch, *shape]``.
        """
        if self.head is None:
            self.head = self._build_head(features)
        flat = self.apply_head(features)
        parts = flat.split([self._parameter_width(shape) for shape in self.shapes], dim=1)
        return [
            part.reshape(*batch_shape, *shape)
            for part, shape in zip(parts, self.shapes, strict=True)
        ]

    @property
    def linear_inputs(self) -> int:
        """Number of the last features that are the input of the network; 0 without a skip."""
        return find_linear_inputs(self.network) if isinstance(self.head, nn.Linear) else 0

    @torch.no_grad()
    def start_linear(self, weight: Tensor, bias: Tensor) -> None:
        """Set the head to a linear map of the input: the weights of hidden features become 0.

        Args:
            weight: Weights of the first inputs of the skip, ``[parameters, inputs]``.
            bias: Biases of all parameters, ``[parameters]``.
        """
        assert isinstance(self.head, nn.Linear), "a network with a skip has a linear head"
        start = self.head.in_features - self.linear_inputs
        self.head.weight.zero_()
        self.head.weight[:, start : start + weight.shape[1]] = weight.to(self.head.weight)
        self.head.bias.copy_(bias)

    def features(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the input of the head.

        Args:
            x: Inputs ``[*batch, *input]``.
            context: Context ``[*batch, C]``, broadcast over the batch.

        Returns:
            Features ``[N, C, H, W]`` for a convolutional head, otherwise ``[N, F]``, with one row
            per element of the batch.
        """
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
                f"the features of the network have shape {tuple(features.shape)}; return one row "
                "per datum, [N, features]",
                argument="network",
            )
        return features if self._is_image(features) else features.flatten(1)

    def apply_head(self, features: Tensor) -> Tensor:
        """Apply the linear map.

        Args:
            features: Features ``[N, ...]``.

        Returns:
            ``[N, parameters]`` or ``[N, parameters, H, W]``, float32 or better.
        """
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
        with torch.no_grad():  # each parameter is initialised as a linear map of its own
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


def find_linear_inputs(network: object) -> int:
    """Number of the last features that are the input of a network, inside its wrappers."""
    inputs = 0
    while isinstance(network, nn.Module):
        inputs = getattr(network, "linear_inputs", 0)
        network = getattr(network, "network", None)
    return inputs


def set_precision(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Set the precision of all networks and heads of a model (autocast); densities keep theirs.

    Args:
        model: The model, changed in place.
        dtype: Precision, as ``torch.bfloat16``; ``None``: no autocast.
    """
    for module in model.modules():
        if isinstance(module, MixedPrecisionModule):
            module.precision = dtype
