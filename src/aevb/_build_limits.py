"""Limits for building an architecture from a file, so that its sizes are checked before memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ._memory import physical_memory

CONSTRUCTORS = frozenset(
    {
        torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.normal, torch.ones,
        torch.rand, torch.randint, torch.randn, torch.randperm, torch.zeros,
    }
)  # fmt: skip
LAYERS = frozenset(
    {
        F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
        F.interpolate, F.linear,
    }
)  # fmt: skip
SMALL = 1 << 20  # elements of a tensor that is never refused: 4 MiB of float32
COPIES = 8  # of the weights, which initialisation may need, and of a row
DRAWS = 32  # of weights that a Bayesian layer keeps; its buffers are not saved
CALLS_PER_TENSOR = 30


class BuildLimits(TorchFunctionMode):
    """Refuse tensors that no weights of a file account for; entered while a model is built.

    Args:
        sizes: Number of elements of each tensor in the weights file.
        row_elements: Number of elements of a row of the data, which networks are probed with.

    Raises:
        ValueError: A tensor would be too large, or there would be too many.

    Example:
        >>> with BuildLimits([8], row_elements=4):
        ...     torch.nn.Linear(10**9, 10**9)
        Traceback (most recent call last):
            ...
        ValueError: it has a tensor of 1,000,000,000,000,000,000 elements, and its weights have 8
    """

    def __init__(self, sizes: Sequence[int], row_elements: int = 0) -> None:
        super().__init__()
        self.weights = sum(sizes)
        half = (physical_memory() or 1 << 34) // 8  # elements that fill half of the memory
        row_elements = min(row_elements, half // 8)
        self.largest = max(SMALL, DRAWS * max(sizes, default=0), COPIES * row_elements)
        self.activation = min(max(SMALL, self.weights, 1024 * row_elements), half)
        wanted = DRAWS * (SMALL + self.weights + COPIES * row_elements)
        self.elements = min(wanted, max(COPIES * self.weights, half))
        self.calls = CALLS_PER_TENSOR * (len(sizes) + 50)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Check the size of the result, then call the function."""
        kwargs = kwargs or {}
        if func in CONSTRUCTORS and "out" not in kwargs:
            self._count(_constructed_elements(func, args, kwargs))
        elif func in LAYERS:
            self._check(_layer_elements(func, args, kwargs), self.activation)
        return func(*args, **kwargs)

    def _count(self, elements: int) -> None:
        self._check(elements, self.largest)
        self.calls -= 1
        self.elements -= elements
        if self.calls < 0 or self.elements < 0:
            raise ValueError(f"it has far more tensors than its {self.weights:,} weights fill")

    def _check(self, elements: int, limit: int) -> None:
        if elements > limit:
            raise ValueError(
                f"it has a tensor of {elements:,} elements, and its weights have {self.weights:,}"
            )


def _constructed_elements(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> int:
    """The number of elements of a new tensor."""
    if func in (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn):
        size = kwargs.get("size", args[0] if args and not isinstance(args[0], int) else args)
        return math.prod(map(int, size))
    given = {name: value for name, value in kwargs.items() if name != "generator"}
    return func(*args, **given | {"device": "meta"}).numel()


def _layer_elements(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The number of elements of the result of a layer."""

    def on_meta(value: Any) -> Any:
        return value.detach().to("meta") if isinstance(value, Tensor) else value

    moved = {name: on_meta(value) for name, value in kwargs.items()}
    return func(*map(on_meta, args), **moved).numel()
