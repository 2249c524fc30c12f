"""Encode, decode and sample any number of rows in blocks, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from .._hardware import single_thread
from .._memory import MAX_ROWS_PER_BLOCK, default_block_size, explain_out_of_memory
from .._row_noise import RowNoise, draw_seed, share_moment_noise
from ..data import Rows
from ..errors import ArgumentError, DataError, check_counts
from ..models import VAE, first_member
from ..models._eval_mode import eval_mode
from ..types import Batch
from ._batches import iter_batches, model_dtype
from ._inputs import TrainedModel, as_table, resolve_input, resolve_model, to_source

# number of weights below which synchronisation of threads costs more than they save
SINGLE_THREAD_MAX_WEIGHTS = 1 << 16
BLOCK_ROWS = {"cpu": 1 << 12}  # whose activations stay in the cache


def encode(
    model: VAE | TrainedModel,
    x: Any = None,
    context: Tensor | None = None,
    *,
    sample: bool = False,
    seed: int | None = None,
    block_size: int | None = None,
) -> Tensor:
    """Encode rows: posterior means, or posterior draws; of an ensemble, those of its first member.

    The draw of a row depends on the row and the seed only.

    Args:
        model: The model, or a run.
        x: Rows ``[N, *event]``: an array, a tensor or a list, ``Rows``, a data frame of numbers, a
            path, or a ``Dataset``, of which the test rows count. For a run, data that it reads;
            its test rows by default.
        context: Context ``[N, C]`` of a conditional model, unless the rows have their own.
        sample: Whether to draw from the posterior.
        seed: Seed of the draws; by default the default random stream draws a seed.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Latents ``[N, *latent]`` on the CPU.

    Raises:
        DataError: The data cannot be read, or the model cannot take them: another shape, values
            that are not finite, or values outside the likelihood's support.
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
    model, rows = resolve_input(model, x, needs_context=context is None)
    model = first_member(model)
    seed = draw_seed(model.device) if seed is None else seed

    def encode_block(batch: Batch) -> Tensor:
        q = model.infer(batch)
        if not sample:
            return q.mean
        with RowNoise.from_batch(batch, seed, model.constant_cells).samples():
            return q.sample()

    return map_batches(model, encode_block, rows, context, block_size)


def decode(
    model: VAE | TrainedModel,
    z: Any,
    context: Tensor | None = None,
    *,
    block_size: int | None = None,
) -> Any:
    """Decode latents to expected data; those of an ensemble by its first member.

    Args:
        model: The model, or a run.
        z: Latents ``[N, *latent]``: an array, a tensor or a list, or a data frame with a column for
            each variable.
        context: Context ``[N, C]`` of a conditional model.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Expected data ``[N, *event]`` on the CPU; of a run, in the form of its data, which is a
        data frame where these have columns of several kinds.

    Raises:
        DataError: There are no rows, or they have another shape or are not finite.
        OutOfMemoryError: A block is too large.
    """
    net, z = first_member(resolve_model(model)), as_table(z, "z", "inference.decode")
    if len(z) == 0:
        raise DataError("`z` has no rows", argument="z", suggestions=("Give at least one",))
    if not z.isfinite().all():
        raise DataError("`z` holds NaN or infinity", argument="z")
    context, size = net.resolve_context(len(z), context), _resolve_block_size(net, block_size)
    parts = (
        net.decode(z[block.start : block.stop], _slice_context(context, block))
        for block in _iter_ranges(len(z), size)
    )
    return to_source(model, _collect_blocks(net, parts, len(z), size))


def reconstruct(
    model: VAE | TrainedModel,
    x: Any = None,
    context: Tensor | None = None,
    *,
    block_size: int | None = None,
    like: Any = None,
) -> Any:
    """Reconstruct rows: ``decode(encode(x))``.

    Args:
        model: The model, or a run.
        x: As for ``encode``.
        context: As for ``encode``.
        block_size: Number of rows per pass; ``None``: by their size.
        like: The data frame of the rows, where ``x`` is none; its identifiers are kept.

    Returns:
        Expected data as of ``decode``; a data frame is of the library of ``x`` or ``like``.

    Raises:
        DataError: As for ``encode``.
        OutOfMemoryError: A block is too large.
    """
    net, rows = resolve_input(model, x, needs_context=context is None)
    net = first_member(net)

    def reconstruct_block(batch: Batch) -> Tensor:
        return net.decode(net.infer(batch).mean, batch.context)

    made = map_batches(net, reconstruct_block, rows, context, block_size)
    return to_source(model, made, x if like is None else like)


def sample(
    model: VAE | TrainedModel,
    n: int,
    context: Tensor | None = None,
    *,
    mean: bool = False,
    block_size: int | None = None,
    dtype: torch.dtype | None = None,
) -> Any:
    """Draw data from the model, as ``VAE.sample``.

    Args:
        model: The model, or a run.
        n: Number of draws.
        context: Context ``[n, C]`` of a conditional model.
        mean: Whether to return expected data; otherwise draws of the likelihood.
        block_size: Number of rows per pass; ``None``: by their size.
        dtype: Type of the result; ``torch.uint8`` takes a quarter of the memory for integers from 0
            to 255.

    Returns:
        Data as of ``decode``.

    Raises:
        ArgumentError: ``n`` is below 1.
        OutOfMemoryError: A block is too large.
    """
    net = resolve_model(model)
    check_counts(n=n)
    size = _resolve_block_size(net, block_size)
    parts = (
        net.sample(len(rows), _slice_context(context, rows), mean=mean)
        for rows in _iter_ranges(n, size)
    )
    return to_source(model, _collect_blocks(net, parts, n, size, dtype))


def map_batches(
    model: VAE,
    function: Callable[[Batch], Tensor],
    rows: Rows,
    context: Tensor | None,
    block_size: int | None,
) -> Tensor:
    """Apply a function to batches of checked rows, without gradients; one tensor on the CPU.

    A ``context`` takes the place of that of the rows.
    """
    size = _resolve_block_size(model, block_size)
    whole = model.resolve_context(len(rows), rows.context if context is None else context)

    def parts() -> Iterator[Tensor]:
        batches = iter_batches(rows, size, model_dtype(model))
        for block, batch in zip(_iter_ranges(len(rows), size), batches, strict=True):
            with torch.no_grad():
                yield function(Batch(batch.x, _slice_context(whole, block)))

    return _collect_blocks(model, parts(), len(rows), size)


def _collect_blocks(
    model: VAE, parts: Iterable[Tensor], total: int, size: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Collect blocks in one tensor on the CPU, allocated once."""
    result, start = torch.empty(0), 0
    with (
        eval_mode(model),
        share_moment_noise(),
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


def _resolve_block_size(model: VAE, block_size: int | None) -> int:
    if block_size is not None and block_size < 1:
        raise ArgumentError("it must be at least 1", argument="block_size", value=block_size)
    most = BLOCK_ROWS.get(model.device.type, MAX_ROWS_PER_BLOCK)
    return block_size or default_block_size(math.prod(model.event_shape), max_rows=most)


def _limit_threads(model: nn.Module) -> AbstractContextManager[None]:
    """Use one thread for a small network inside the block."""
    return single_thread(
        sum(parameter.numel() for parameter in model.parameters()) < SINGLE_THREAD_MAX_WEIGHTS
    )
