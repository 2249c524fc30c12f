"""From data to codes, from codes to data, and new data, for any number of rows: a block at a time, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._hardware import single_thread
from .._memory import default_block_size, explain_out_of_memory
from ..errors import ArgumentError, DataError
from ..models import VAE
from ..models._eval_mode import eval_mode

SINGLE_THREAD_MAX_WEIGHTS = (
    1 << 16
)  # weights; below, threads wait for each other longer than they work, and on a busy machine many times as long


class SliceableRows(Protocol):
    """Rows by slices: a tensor, an array, rows of a data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any: ...


def encode(
    model: VAE,
    x: SliceableRows,
    context: Tensor | None = None,
    *,
    sample: bool = False,
    block_size: int | None = None,
) -> Tensor:
    """Codes ``[N, *latent]`` on the CPU of data ``[N, *event]``: the posterior's means, or draws from it.

    ``x`` may be a tensor, an array, or rows of a data set, which may stay in a file. ``block_size`` rows go through the network at once (chosen
    by their size by default). Draws come from the default random stream.

    Raises ``DataError`` for no rows, and ``OutOfMemoryError`` for a block that is too large.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(networks.MLP(9, [8]), 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
    ... )
    >>> encode(model, torch.zeros(100_000, 9)).shape
    torch.Size([100000, 2])
    """
    return map_blocks(
        model, lambda x, context: model.encode(x, context, sample=sample), x, context, block_size
    )


def decode(
    model: VAE, z: SliceableRows, context: Tensor | None = None, *, block_size: int | None = None
) -> Tensor:
    """Expected data ``[N, *event]`` on the CPU given codes ``[N, *latent]``."""
    return map_blocks(model, model.decode, z, context, block_size)


def reconstruct(
    model: VAE, x: SliceableRows, context: Tensor | None = None, *, block_size: int | None = None
) -> Tensor:
    """``decode(encode(x))``, ``[N, *event]`` on the CPU."""
    return map_blocks(model, model.reconstruct, x, context, block_size)


def sample(
    model: VAE,
    n: int,
    context: Tensor | None = None,
    *,
    mean: bool = False,
    block_size: int | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """``n`` data ``[n, *event]`` on the CPU, as ``VAE.sample`` draws them.

    ``dtype`` is that of the result: ``torch.uint8`` takes a quarter of the memory where all draws are whole numbers 0 to 255.

    Raises ``ArgumentError`` for ``n < 1``.
    """
    if n < 1:
        raise ArgumentError(f"`n` is {n}; ask for at least 1 sample.")
    size = _resolve_block_size(model, block_size)
    parts = (
        model.sample(len(places), _slice_context(context, places), mean=mean)
        for places in _iter_ranges(n, size)
    )
    return _collect_blocks(model, parts, n, size, dtype)


def map_blocks(
    model: VAE,
    function: Callable[[Tensor, Tensor | None], Tensor],
    rows: SliceableRows,
    context: Tensor | None,
    block_size: int | None,
) -> Tensor:
    """What ``function(x, context)`` makes of rows, a block at a time, as one tensor on the CPU."""
    if len(rows) == 0:
        raise DataError("there are no rows: give at least one.")
    size = _resolve_block_size(model, block_size)
    parts = (
        function(_as_tensor(rows[places.start : places.stop]), _slice_context(context, places))
        for places in _iter_ranges(len(rows), size)
    )
    return _collect_blocks(model, parts, len(rows), size)


def _collect_blocks(
    model: VAE, parts: Iterable[Tensor], total: int, size: int, dtype: torch.dtype | None = None
) -> Tensor:
    """The parts as one tensor on the CPU, which is made once: nothing is held twice."""
    result, start = torch.empty(0), 0
    with (
        eval_mode(model),
        _limit_threads(model),
        explain_out_of_memory("going through the rows", "take fewer rows in all", block=size),
    ):
        for part in parts:
            if start == 0:
                result = torch.empty((total, *part.shape[1:]), dtype=dtype or part.dtype)
            result[start : start + len(part)] = part
            start += len(part)
    return result


def _iter_ranges(total: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, total)) for start in range(0, total, size))


def _slice_context(context: Tensor | None, places: range) -> Tensor | None:
    return None if context is None else context[places.start : places.stop]


def _as_tensor(part: Any) -> Tensor:
    return part if isinstance(part, Tensor) else torch.tensor(part)


def _resolve_block_size(model: VAE, block_size: int | None) -> int:
    if block_size is not None and block_size < 1:
        raise ArgumentError(f"`block_size` is {block_size}; give at least 1.")
    return block_size or default_block_size(math.prod(model.event_shape))


def _limit_threads(model: nn.Module) -> AbstractContextManager[None]:
    """One thread for a small network inside the block."""
    return single_thread(
        sum(parameter.numel() for parameter in model.parameters()) < SINGLE_THREAD_MAX_WEIGHTS
    )
