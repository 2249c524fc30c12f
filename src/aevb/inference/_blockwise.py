"""Encode, decode and sample any number of rows in blocks, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._hardware import single_thread
from .._memory import default_block_size, explain_out_of_memory
from .._row_noise import RowNoise, draw_seed
from ..errors import ArgumentError, DataError
from ..models import VAE
from ..models._eval_mode import eval_mode

# number of weights below which synchronisation of threads costs more than they save
SINGLE_THREAD_MAX_WEIGHTS = 1 << 16


class SliceableRows(Protocol):
    """Rows that can be sliced: a tensor, an array or rows of a data set."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Any: ...


def encode(
    model: VAE,
    x: SliceableRows,
    context: Tensor | None = None,
    *,
    sample: bool = False,
    seed: int | None = None,
    block_size: int | None = None,
) -> Tensor:
    """Encode rows: posterior means, or posterior draws.

    The draw of a row depends on the row and the seed only.

    Args:
        model: The model.
        x: Rows ``[N, *event]``: a tensor, an array or rows of a data set, which may stay in a file.
        context: Context ``[N, C]`` of a conditional model.
        sample: Whether to draw from the posterior.
        seed: Seed of the draws; by default the default random stream draws a seed.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Latents ``[N, *latent]`` on the CPU.

    Raises:
        DataError: There are no rows.
        OutOfMemoryError: A block is too large.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(9, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
        ... )
        >>> encode(model, torch.zeros(100_000, 9)).shape
        torch.Size([100000, 2])
    """
    seed = draw_seed(model.device) if seed is None else seed

    def encode_block(x: Tensor, context: Tensor | None) -> Tensor:
        with RowNoise.from_rows(model.to_model_input(x), context, seed=seed).samples():
            return model.encode(x, context, sample=sample)

    return map_blocks(model, encode_block if sample else model.encode, x, context, block_size)


def decode(
    model: VAE, z: SliceableRows, context: Tensor | None = None, *, block_size: int | None = None
) -> Tensor:
    """Decode latents to expected data.

    Args:
        model: The model.
        z: Latents ``[N, *latent]``.
        context: Context ``[N, C]`` of a conditional model.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Expected data ``[N, *event]`` on the CPU.

    Raises:
        DataError: There are no rows.
        OutOfMemoryError: A block is too large.
    """
    return map_blocks(model, model.decode, z, context, block_size)


def reconstruct(
    model: VAE, x: SliceableRows, context: Tensor | None = None, *, block_size: int | None = None
) -> Tensor:
    """Reconstruct rows: ``decode(encode(x))``.

    Args:
        model: The model.
        x: Rows ``[N, *event]``.
        context: Context ``[N, C]`` of a conditional model.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Expected data ``[N, *event]`` on the CPU.

    Raises:
        DataError: There are no rows.
        OutOfMemoryError: A block is too large.
    """
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
    """Draw data from the model, as ``VAE.sample``.

    Args:
        model: The model.
        n: Number of draws.
        context: Context ``[n, C]`` of a conditional model.
        mean: Whether to return expected data; otherwise draws of the likelihood.
        block_size: Number of rows per pass; ``None``: by their size.
        dtype: Type of the result; ``torch.uint8`` takes a quarter of the memory for integers from 0
            to 255.

    Returns:
        Data ``[n, *event]`` on the CPU.

    Raises:
        ArgumentError: ``n`` is below 1.
        OutOfMemoryError: A block is too large.
    """
    if n < 1:
        raise ArgumentError("it must be at least 1", argument="n", value=n)
    size = _resolve_block_size(model, block_size)
    parts = (
        model.sample(len(rows), _slice_context(context, rows), mean=mean)
        for rows in _iter_ranges(n, size)
    )
    return _collect_blocks(model, parts, n, size, dtype)


def map_blocks(
    model: VAE,
    function: Callable[[Tensor, Tensor | None], Tensor],
    rows: SliceableRows,
    context: Tensor | None,
    block_size: int | None,
) -> Tensor:
    """Apply ``function(x, context)`` to blocks of rows; returns one tensor on the CPU."""
    if len(rows) == 0:
        raise DataError("there are no rows", suggestions=("Give at least one row",))
    size = _resolve_block_size(model, block_size)
    parts = (
        function(_as_tensor(rows[block.start : block.stop]), _slice_context(context, block))
        for block in _iter_ranges(len(rows), size)
    )
    return _collect_blocks(model, parts, len(rows), size)


def _collect_blocks(
    model: VAE, parts: Iterable[Tensor], total: int, size: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Collect blocks in one tensor on the CPU, allocated once."""
    result, start = torch.empty(0), 0
    with (
        eval_mode(model),
        _limit_threads(model),
        explain_out_of_memory("going through the rows", "Take fewer rows in all", block=size),
    ):
        for part in parts:
            if start == 0:
                result = torch.empty((total, *part.shape[1:]), dtype=dtype or part.dtype)
            result[start : start + len(part)] = part
            start += len(part)
    return result


def _iter_ranges(total: int, size: int) -> Iterator[range]:
    return (range(start, min(start + size, total)) for start in range(0, total, size))


def _slice_context(context: Tensor | None, rows: range) -> Tensor | None:
    return None if context is None else context[rows.start : rows.stop]


def _as_tensor(part: Any) -> Tensor:
    return part if isinstance(part, Tensor) else torch.tensor(part)


def _resolve_block_size(model: VAE, block_size: int | None) -> int:
    if block_size is not None and block_size < 1:
        raise ArgumentError("it must be at least 1", argument="block_size", value=block_size)
    return block_size or default_block_size(math.prod(model.event_shape))


def _limit_threads(model: nn.Module) -> AbstractContextManager[None]:
    """Use one thread for a small network inside the block."""
    return single_thread(
        sum(parameter.numel() for parameter in model.parameters()) < SINGLE_THREAD_MAX_WEIGHTS
    )
