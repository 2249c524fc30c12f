"""Random numbers by row: a draw depends on the row, the seed and the number of the sample only.

It does not depend on the other rows of the batch, on the size or the order of batches, or on the
process that evaluates the row, so that a permuted, split or repeated set of rows gives the same
numbers, up to the rounding of matrix products, whose last digit may change with the shape of a
batch. Equal rows have equal draws.

The generator is SplitMix64 (Steele et al., Fast splittable pseudorandom number generators, 2014).
The key of its stream is a hash of the values of the row, of the seed, of the number of the sample
and of the number of the draw within the sample; the counter is the place in the event. Inside
``RowNoise.samples`` the random functions of torch that ``_DRAWS`` lists take their numbers from
there, whatever distribution calls them.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .types import Batch

ItemT = TypeVar("ItemT")
_INCREMENT = -7046029254386353131  # of SplitMix64: 2^64 / golden ratio, modulo 2^64
_FACTORS = (-4658895280553007687, -7723592293110705685)
_MISSING = -1.5e38  # every NaN is hashed as this number
_DRAW_STRIDE = 1 << 20  # draws of one loop of unknown length
# what torch's own distributions call, without a public name
_GAMMA: Any = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
_GAMMA_SLOPE: Any = torch._standard_gamma_grad  # pyright: ignore[reportPrivateImportUsage]
_DIRICHLET: Any = torch._sample_dirichlet  # pyright: ignore[reportPrivateImportUsage]
_POISSON_EXPANSION = 1e4  # rate above which quantiles come from the Cornish-Fisher expansion


class _Active(threading.local):
    """What this thread draws from; ``None``: torch's generators."""

    draws: _Draws | None = None
    shares_moments = False


_active = _Active()


@contextmanager
def _activate(draws: _Draws | None) -> Iterator[None]:
    outer, _active.draws = _active.draws, draws
    try:
        yield
    finally:
        _active.draws = outer


def suspend_row_noise() -> AbstractContextManager[None]:
    """Draw from torch's generators inside the block."""
    return _activate(None)


@dataclass(frozen=True)
class RowNoise:
    """The random numbers of the rows of a batch.

    Args:
        keys: One key per row, int64 ``[B]``, in which the seed has a part.
        seed_key: The key of the seed, ``[1]``, for draws that all rows share.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        >>> with RowNoise.from_rows(x, seed=0).samples(4):
        ...     both = torch.randn(4, 2, 3)
        >>> with RowNoise.from_rows(x[1:], seed=0).samples(2, start=2):
        ...     alone = torch.randn(2, 1, 3)
        >>> torch.equal(both[2:, 1:], alone)
        True
    """

    keys: Tensor
    seed_key: Tensor

    @classmethod
    def from_keys(cls, keys: Tensor, seed: int) -> RowNoise:
        """The noise of rows with these keys, int64 ``[B]``."""
        seed_key = _mix(torch.full((1,), _signed(seed), device=keys.device) + _INCREMENT)
        return cls(_mix(keys ^ seed_key), seed_key)

    @classmethod
    def from_rows(cls, x: Tensor, context: Tensor | None = None, *, seed: int) -> RowNoise:
        """Key the noise by the values of rows ``[B, *event]`` and of their context ``[B, C]``.

        Values count in float32, -0 equals 0, and missing cells equal each other.
        """
        keys = _hash_rows(x)
        if context is not None:
            keys = keys + _mix(_hash_rows(context))
        return cls.from_keys(keys, seed)

    @classmethod
    def from_batch(cls, batch: Batch, seed: int | None, constant: Tensor | None) -> RowNoise:
        """The noise of a batch; without a seed, the default random stream draws it.

        The values of ``constant``, NaN for other cells, take the place of the data: cells that a
        model ignores do not change the noise.
        """
        seed = draw_seed(batch.x.device) if seed is None else seed
        x = batch.x if constant is None else torch.where(constant.isnan(), batch.x, constant)
        return cls.from_rows(x, batch.context, seed=seed)

    def fork(self, number: int) -> RowNoise:
        """The noise of the same rows and seed for another purpose."""
        return RowNoise.from_keys(self.keys, number)

    @contextmanager
    def samples(self, count: int = 1, start: int = 0) -> Iterator[None]:
        """Draw the samples ``start`` to ``start + count`` of every row inside the block.

        A random tensor has the shape ``[count, B, *event]``; axes may precede, and neighbouring
        axes may be one. ``row_members`` declares another order.
        """
        draws = _Draws(self, count, start)
        with _activate(draws), _Interception(draws):
            yield


@contextmanager
def share_moment_noise() -> Iterator[None]:
    """Inside the block, moments that are averages over draws have the same noise for every row.

    The moments of a row then do not depend on other rows.
    """
    outer, _active.shares_moments = _active.shares_moments, True
    try:
        yield
    finally:
        _active.shares_moments = outer


def moment_noise(
    n_rows: int, like: Tensor, draws: int, start: int = 0
) -> AbstractContextManager[None]:
    """The noise of moments that are averages over draws, inside ``share_moment_noise``."""
    if not _active.shares_moments:
        return nullcontext()
    keys = torch.zeros(n_rows, dtype=torch.int64, device=like.device)
    return RowNoise.from_keys(keys, seed=0).samples(draws, start)


def draw_seed(device: torch.device) -> int:
    """A seed from the device's default random stream."""
    return int(torch.randint(2**62, (1,), device=device))


class _Layout(NamedTuple):
    """The axes ``[lead, samples, rows, event]`` of a random tensor."""

    lead: int
    samples: int
    rows: int
    event: int


class _Draws:
    """The draws of ``samples`` samples of ``rows`` rows, in order."""

    def __init__(self, noise: RowNoise, count: int, start: int) -> None:
        self.noise, self.count, self.start = noise, count, start
        self.number, self.stride = 0, _DRAW_STRIDE

    @cached_property
    def streams(self) -> Tensor:
        """One key per sample and row, ``[samples, rows]``."""
        return self._sample_keys(self.noise.keys)

    def _sample_keys(self, keys: Tensor) -> Tensor:
        end = self.start + self.count
        offsets = _offsets(1 << end.bit_length(), keys.device)[self.start : end]
        return keys + offsets[:, None]

    def words(self, shape: Sequence[int], per_word: int = 1) -> Tensor:
        """Random int64 ``[lead, samples, rows, words]`` for a tensor of this shape."""
        lead, samples, rows, event = layout = self._layout(tuple(shape))
        self.number += self.stride
        keys, words = self._streams(layout), -(-event // per_word)
        # each draw continues the streams at a place of its own
        place = _counter(lead * words, keys.device) + _mix_number(self.number)
        return _mix(keys.reshape(1, samples, rows, 1) + place.reshape(lead, 1, 1, words))

    def _streams(self, layout: _Layout) -> Tensor:
        """The keys of the samples and rows that a draw has axes for."""
        if layout.rows == len(self.noise.keys):
            return self.streams if layout.samples == self.count else self.noise.keys[None]
        seed_key = self.noise.seed_key
        return self._sample_keys(seed_key) if layout.samples == self.count else seed_key[None]

    def _layout(self, shape: tuple[int, ...]) -> _Layout:
        count, rows = self.count, len(self.noise.keys)
        for axis, size in enumerate(shape):
            lead, rest = _size(shape[:axis]), shape[axis + 1 :]
            if size == count and rest and rest[0] == rows:
                return _Layout(lead, count, rows, _size(rest[1:]))
        merged = [axis for axis, size in enumerate(shape[:2]) if size == count * rows]
        if merged:  # also where the axis before it has ``count`` members
            lead, rest = _size(shape[: merged[0]]), shape[merged[0] + 1 :]
            return _Layout(lead, count, rows, _size(rest))
        for axis, size in enumerate(shape[:2]):
            lead, rest = _size(shape[:axis]), shape[axis + 1 :]
            if size == count and rest and rest[0] % rows == 0:
                return _Layout(lead, count, rows, _size(rest) // rows)
            if size % (count * rows) == 0:
                return _Layout(lead, count, rows, _size(shape[axis:]) // (count * rows))
        # draws for all rows together, or for all samples of a row
        samples = count if shape[:1] == (count,) else 1
        per_row = rows if samples == 1 and shape[:1] == (rows,) else 1
        return _Layout(1, samples, per_row, _size(shape) // (samples * per_row))

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Draws after the block do not depend on the number of draws inside."""
        end, self.stride = self.number + self.stride, 1
        try:
            yield
        finally:
            self.number, self.stride = end, _DRAW_STRIDE

    def uniform(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
        """Uniform draws in [0, 1)."""
        bits = 53 if dtype == torch.float64 else 24
        words = self.words(shape)
        words = _shift(words, 64 - bits, words).to(_compute_dtype(dtype))
        return words.mul_(2.0**-bits).reshape(shape).to(dtype)

    def open_uniform(self, shape: Sequence[int]) -> Tensor:
        """Uniform draws in (0, 1), float64."""
        return self.uniform(shape).add_(2.0**-54)

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float64) -> Tensor:
        """Standard normal draws, two of each word (Box and Muller, 1958)."""
        event = self._layout(tuple(shape)).event
        halves = self.words(shape, per_word=2).view(torch.int32)
        pairs = torch.empty(
            (2, *halves.shape[:-1], halves.shape[-1] // 2),
            dtype=_compute_dtype(dtype),
            device=halves.device,
        )
        pairs.copy_(halves.unflatten(-1, (-1, 2)).movedim(-1, 0))
        radius = pairs[0].abs_().clamp_(min=0.5).mul_(2.0**-31).log_().mul_(-2).sqrt_()
        angle = pairs[1].mul_(math.pi * 2.0**-31)
        both = torch.cat([angle.cos().mul_(radius), angle.sin().mul_(radius)], -1)
        return both[..., :event].reshape(shape).to(dtype)

    def gamma(self, concentration: Tensor) -> Tensor:
        """Gamma draws with implicit gradients (Marsaglia and Tsang, 2000)."""
        alpha, shape = concentration.detach().double(), concentration.shape
        boost = torch.where(alpha < 1, self.open_uniform(shape).pow(1 / alpha), 1.0)
        d = torch.where(alpha < 1, alpha + 1, alpha) - 1 / 3
        drawn, done = torch.zeros_like(d), torch.zeros_like(d, dtype=torch.bool)
        with self.loop():
            while not done.all():
                x, log_u = self.normal(shape), self.open_uniform(shape).log()
                v = (1 + x / (9 * d).sqrt()) ** 3
                log_v = v.clamp(min=torch.finfo(v.dtype).tiny).log()
                accepted = (v > 0) & (log_u < 0.5 * x.square() + d * (1 - v + log_v))
                drawn, done = torch.where(accepted & ~done, d * v, drawn), done | accepted
        value = (drawn * boost).to(concentration.dtype)
        value = value.clamp(min=torch.finfo(concentration.dtype).tiny)
        if not concentration.requires_grad:
            return value
        slope = _GAMMA_SLOPE(concentration.detach(), value)
        return value + slope * (concentration - concentration.detach())

    def dirichlet(self, concentration: Tensor) -> Tensor:
        """Dirichlet draws: gamma draws divided by their sum."""
        gammas = self.gamma(concentration)
        return gammas / gammas.sum(-1, keepdim=True)

    def poisson(self, rate: Tensor) -> Tensor:
        """Poisson draws: the smallest k with ``P(X <= k) >= u``."""
        u, mean = self.open_uniform(rate.shape), rate.double()
        z, spread = torch.special.ndtri(u), mean.sqrt()
        far = mean + spread * z + (z**2 - 1) / 6 + (z - z**3) / (72 * spread.clamp(min=1)) + 0.5
        near = mean.clamp(max=_POISSON_EXPANSION)
        low, high = torch.full_like(mean, -1.0), (near + 12 * near.sqrt() + 60).floor()
        for _ in range(math.ceil(math.log2(_POISSON_EXPANSION))):
            middle = ((low + high) / 2).floor()
            enough = torch.special.gammaincc(middle + 1, near) >= u  # P(X <= middle)
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        return torch.where(mean > _POISSON_EXPANSION, far.floor(), high).to(rate.dtype)

    def bernoulli(self, probability: Tensor) -> Tensor:
        """Draws 0 and 1."""
        return (self.uniform(probability.shape) < probability).to(probability.dtype)

    def multinomial(self, weight: Tensor, count: int, replacement: bool = False) -> Tensor:
        """Indices ``[*batch, count]`` with the probabilities of ``weight`` ``[*batch, n]``."""
        batch, total = weight.shape[:-1], weight.double().cumsum(-1)
        if not replacement:
            waits = -self.open_uniform(weight.shape).log() / weight
            return waits.topk(count, largest=False).indices
        # samples precede rows, as in ``Categorical.sample``
        shape = (*batch, 1) if count == 1 else (count, *batch)
        u = self.uniform(shape).reshape(count, *batch).movedim(0, -1).contiguous()
        return torch.searchsorted(total, u * total[..., -1:], right=True)


def row_members(count: int) -> AbstractContextManager[None]:
    """Rows inside the block are ``count`` members of each row, ``[count * B]``: one per class."""
    draws = _active.draws
    if draws is None:
        return nullcontext()
    keys = draws.noise.keys
    members = replace(
        draws.noise, keys=_mix(keys + _counter(count, keys.device)[:, None]).flatten()
    )
    return members.samples(draws.count, draws.start)


def same_draws(items: Iterable[ItemT]) -> Iterator[ItemT]:
    """Iterate over items, all of which draw the same numbers."""
    draws = _active.draws
    number = 0 if draws is None else draws.number
    for item in items:
        if draws is not None:
            draws.number = number
        yield item


def draws_in_turn(count: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers below ``count``, int64 ``[*shape]``: the samples of a row take them in turn.

    The first of a row depends on the row. For other shapes than ``[samples, rows]``, and without
    noise by row, they are random numbers.
    """
    draws = _active.draws
    if draws is None or shape != (draws.count, len(draws.noise.keys)):
        return torch.randint(count, shape, device=device)
    number = torch.arange(draws.start, draws.start + draws.count, device=device)
    return (number[:, None] + draws.noise.keys % count) % count


@contextmanager
def chosen_pairs(places: Tensor) -> Iterator[None]:
    """Rows inside the block are some pairs of a sample and a row, by their place ``[pairs]``.

    The draws of a pair do not depend on the other pairs.
    """
    draws = _active.draws
    if draws is None:
        yield
        return
    draws.number += draws.stride
    streams = draws.streams.flatten()
    keys = streams[places % len(streams)] + _mix_number(draws.number)
    with replace(draws.noise, keys=_mix(keys)).samples():
        yield


@contextmanager
def draw_loop() -> Iterator[None]:
    """A loop whose number of draws depends on the rows, as in rejection sampling.

    Draws after the loop do not depend on its length.
    """
    if _active.draws is None:
        yield
        return
    with _active.draws.loop():
        yield


def _like(draw: Callable[[_Draws, Any, Any], Tensor]) -> Callable[..., Tensor]:
    """The draw of ``rand_like`` and ``randn_like``."""

    def run(draws: _Draws, like: Tensor, *, dtype: Any = None, **_: Any) -> Tensor:
        return draw(draws, like.shape, dtype or like.dtype)

    return run


def _factory(draw: Callable[[_Draws, Any, Any], Tensor]) -> Callable[..., Tensor]:
    """The draw of ``rand`` and ``randn``, with a size in one or several arguments."""

    def run(draws: _Draws, *size: Any, dtype: Any = None, **options: Any) -> Tensor:
        size = options.get("size", size)
        shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        drawn = draw(draws, tuple(shape), dtype or torch.get_default_dtype())
        return drawn.to(options.get("device"))

    return run


def _normal(draws: _Draws, mean: Any, std: Any = 1.0, size: Any = None, **options: Any) -> Tensor:
    """``torch.normal``."""
    parts = [part for part in (mean, std) if isinstance(part, Tensor)]
    shape = size if not parts else torch.broadcast_shapes(*(part.shape for part in parts))
    dtype = parts[0].dtype if parts else options.get("dtype") or torch.get_default_dtype()
    return draws.normal(tuple(shape), dtype).mul_(std).add_(mean)


def _integers(draws: _Draws, *bounds: Any, dtype: Any = None, **options: Any) -> Tensor:
    """``torch.randint``, with the bounds and the size by place or by name."""
    *limits, size = (*bounds, options["size"]) if "size" in options else bounds
    limits = [options[name] for name in ("low", "high") if name in options] or limits
    low, high = (0, *limits)[-2:]
    drawn = (low + (high - low) * draws.uniform(tuple(size))).floor()
    return drawn.to(options.get("device"), dtype or torch.int64)


def _in_place(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The draw of a method that fills a tensor."""

    def run(draws: _Draws, tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        options.pop("generator", None)
        return tensor.copy_(draw(draws, tensor, *args, **options))

    return run


_DRAWS: dict[Any, Callable[..., Tensor]] = {
    torch.rand: _factory(_Draws.uniform),
    torch.randn: _factory(_Draws.normal),
    torch.rand_like: _like(_Draws.uniform),
    torch.randn_like: _like(_Draws.normal),
    torch.randint: _integers,
    torch.normal: _normal,
    torch.poisson: lambda draws, rate, **_: draws.poisson(rate),
    torch.bernoulli: lambda draws, p, **_: draws.bernoulli(p),
    torch.multinomial: _Draws.multinomial,
    _GAMMA: lambda draws, alpha, **_: draws.gamma(alpha),
    _DIRICHLET: lambda draws, alpha, **_: draws.dirichlet(alpha),
    Tensor.multinomial: _Draws.multinomial,
    Tensor.bernoulli: lambda draws, p, **_: draws.bernoulli(p),
    Tensor.normal_: _in_place(
        lambda draws, t, mean=0.0, std=1.0: mean + std * draws.normal(t.shape, t.dtype)
    ),
    Tensor.uniform_: _in_place(
        lambda draws, t, low=0.0, high=1.0: low + (high - low) * draws.uniform(t.shape, t.dtype)
    ),
    Tensor.exponential_: _in_place(
        lambda draws, t, rate=1.0: -draws.open_uniform(t.shape).log() / rate
    ),
    Tensor.bernoulli_: _in_place(lambda draws, t, p=0.5: draws.uniform(t.shape) < p),
    Tensor.cauchy_: _in_place(
        lambda draws, t, median=0.0, sigma=1.0: (
            median + sigma * torch.tan(math.pi * (draws.open_uniform(t.shape) - 0.5))
        )
    ),
}


class _Interception(TorchFunctionMode):
    """Answers torch's random functions while the draws are active."""

    def __init__(self, draws: _Draws) -> None:
        super().__init__()
        self.draws = draws

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        draw, kwargs = _DRAWS.get(func), kwargs or {}
        if (
            draw is None
            or _active.draws is not self.draws
            or kwargs.get("generator") is not None
            or (args and isinstance(args[0], torch.nn.Parameter))  # initial weights
        ):
            return func(*args, **kwargs)
        return draw(self.draws, *args, **kwargs)


def _hash_rows(rows: Tensor) -> Tensor:
    """A hash of the values of each row ``[B, *event]``, int64 ``[B]``."""
    values = rows.detach().flatten(1).float().nan_to_num(nan=_MISSING).add_(0.0)
    if values.shape[1] % 2:
        values = torch.nn.functional.pad(values, (0, 1))
    pairs = values.view(torch.int64)
    # sums modulo 2^64 do not depend on the order of summation
    return _mix((pairs * _offsets(pairs.shape[1], values.device)).sum(1) + _INCREMENT)


@lru_cache(maxsize=32)
def _counter(size: int, device: torch.device) -> Tensor:
    """The first ``size`` places of a stream."""
    return torch.arange(1, size + 1, device=device) * _INCREMENT


@lru_cache(maxsize=32)
def _offsets(size: int, device: torch.device) -> Tensor:
    """The first ``size`` words of a fixed stream: numbers of samples and of values as offsets."""
    return _mix(_counter(size, device).clone())


def _mix(word: Tensor) -> Tensor:
    """The output function of SplitMix64; replaces ``word``, which must be a new tensor."""
    scratch = torch.empty_like(word)
    for bits, factor in ((30, _FACTORS[0]), (27, _FACTORS[1]), (31, None)):
        word.bitwise_xor_(_shift(word, bits, scratch))
        if factor is not None:
            word.mul_(factor)
    return word


def _mix_number(number: int) -> int:
    """``_mix`` of a number, as int64."""
    word = number * _INCREMENT % 2**64
    for bits, factor in ((30, _FACTORS[0]), (27, _FACTORS[1])):
        word = (word ^ (word >> bits)) * factor % 2**64
    return _signed(word ^ (word >> 31))


def _shift(word: Tensor, bits: int, out: Tensor) -> Tensor:
    """Shift to the right and fill with zeros."""
    torch.bitwise_right_shift(word, bits, out=out)
    return out.bitwise_and_((1 << (64 - bits)) - 1)


def _compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision in which the draws of a type are computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _signed(number: int) -> int:
    """The number modulo 2^64, as int64."""
    return (number + 2**63) % 2**64 - 2**63


def _size(shape: Sequence[int]) -> int:
    return math.prod(shape)
