"""Codebooks: vectors by number, all mass at one of them, and a distribution over all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from .dirac import Dirac

Stage = tuple[Tensor, Tensor]  # what was to be quantised, and the entry that it became: [*batch, places, dim] each


class Book(ABC):
    """The vectors that the numbers of a code stand for.

    An event is ``[places, dim]``, one vector per place, or an image ``[dim, height, width]`` of them. A vector is the sum of one entry of
    each of ``tables`` ``[size, dim]``, so that a datum has ``codes`` numbers, each one of ``size``: those of a place stand together, the
    first table's in front. ``key`` is equal for two books of the same entries.
    """

    def __init__(self, tables: Sequence[Tensor], event_shape: Sequence[int], key: Any) -> None:
        self.tables, self.event_shape, self.key = list(tables), Size(event_shape), key

    @property
    def size(self) -> int:
        return len(self.tables[0])

    @property
    def places(self) -> int:
        return self.event_shape.numel() // self.tables[0].shape[-1]

    @property
    def codes(self) -> int:
        return self.places * len(self.tables)

    @abstractmethod
    def numbers(self, value: Tensor) -> Tensor:
        """The codes ``[*batch, codes]`` int64 of events ``[*batch, *event]``."""

    def events(self, numbers: Tensor) -> Tensor:
        """The events ``[*batch, *event]`` of codes ``[*batch, codes]``."""
        each = numbers.unflatten(-1, (self.places, len(self.tables)))
        found = [table[each[..., stage]] for stage, table in enumerate(self.tables)]
        return as_event(torch.stack(found).sum(0), self.event_shape)

    def expected(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``[*batch, *event]`` where code ``c`` is ``k`` with probability ``[*batch, codes, size]``, each by itself."""
        each = probabilities.unflatten(-2, (self.places, len(self.tables)))
        means = [each[..., stage, :] @ table for stage, table in enumerate(self.tables)]
        squares = [each[..., stage, :] @ table.square() for stage, table in enumerate(self.tables)]
        spread = torch.stack(squares) - torch.stack(means).square()
        return as_event(torch.stack(means).sum(0), self.event_shape), as_event(spread.sum(0), self.event_shape)


class Entries(Book):
    """Tables of any entries. Codes are found by the nearest entry, table by table: the next one says what the last one left over."""

    def numbers(self, value: Tensor) -> Tensor:
        return walk(as_vectors(value, len(self.event_shape)), self.tables)[1]


class Lattice(Book):
    """Every point of a grid, the entries of one table: ``grid(levels)``."""

    def __init__(self, levels: Sequence[int], event_shape: Sequence[int], table: Tensor) -> None:
        self.levels = tuple(levels)
        super().__init__([table], event_shape, self.levels)

    def numbers(self, value: Tensor) -> Tensor:
        return self.numbers_of(as_vectors(value, len(self.event_shape)) * value.new_tensor(self.levels).div(2).floor())

    def numbers_of(self, steps: Tensor) -> Tensor:
        """The codes ``[*batch, places]`` of whole steps ``[*batch, places, dim]`` from the middle."""
        levels = steps.new_tensor(self.levels)
        strides = torch.cat([levels.new_ones(1), levels[:-1]]).cumprod(0)
        # what is not finite is refused for its density, not for its number
        places = (steps.nan_to_num(0.0) + levels.div(2).floor()).round().clamp(min=0).minimum(levels - 1)
        return (places.long() * strides.long()).sum(-1)


def grid(levels: Sequence[int]) -> Tensor:
    """All points ``[size, dim]`` with ``levels`` values per axis, whole multiples of the same step, the lowest -1 and one of them 0.

    >>> grid([2, 3]).tolist()
    [[-1.0, -1.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 0.0], [-1.0, 1.0], [0.0, 1.0]]
    """
    axes = [torch.arange(-(count // 2), count - count // 2) / (count // 2) for count in levels]
    return torch.cartesian_prod(*reversed(axes)).reshape(-1, len(axes)).flip(-1)


def walk(vectors: Tensor, tables: Sequence[Tensor]) -> tuple[list[Stage], Tensor]:
    """The nearest entry of each table in turn, each to what those before left over; ``vectors`` are ``[*batch, places, dim]``.

    Returns the stages and the codes ``[*batch, places * tables]``. No gradient leads from one stage's entry to the next one's rest.
    """
    stages, numbers = [], []
    for table in tables:
        number = nearest(vectors.detach(), table.detach())
        entry = table[number]
        stages.append((vectors, entry))
        numbers.append(number)
        vectors = vectors - entry.detach()
    return stages, torch.stack(numbers, -1).flatten(-2)


def nearest(vectors: Tensor, table: Tensor) -> Tensor:
    """The number of the entry ``[size, dim]`` nearest to each vector ``[*batch, dim]``: ``[*batch]`` int64.

    >>> nearest(torch.tensor([[0.9], [-3.0]]), torch.tensor([[1.0], [-1.0]]))
    tensor([0, 1])
    """
    return (table.square().sum(-1) - 2 * vectors @ table.T).argmin(-1)  # |v|^2 is the same for every entry


def as_vectors(value: Tensor, axes: int) -> Tensor:
    """Vectors ``[*batch, places, dim]`` of events ``[*batch, places, dim]``, or of images ``[*batch, dim, height, width]``."""
    return value if axes == 2 else value.flatten(-2).transpose(-1, -2)


def as_event(vectors: Tensor, event_shape: Sequence[int]) -> Tensor:
    """The way back."""
    if len(event_shape) == 2:
        return vectors
    return vectors.transpose(-1, -2).reshape(*vectors.shape[:-2], *event_shape)


def perplexity(counts: Tensor) -> Tensor:
    """``exp(-sum_k f_k log f_k)`` of the shares ``f`` of counts ``[*batch, size]``: as many entries, used alike, would tell as much.

    >>> perplexity(torch.tensor([[5.0, 5.0, 0.0], [1.0, 1.0, 1.0]])).round(decimals=4)
    tensor([2., 3.])
    """
    shares = counts / counts.sum(-1, keepdim=True)
    return (-torch.xlogy(shares, shares).sum(-1)).exp()


def one_hot(numbers: Tensor, size: int, like: Tensor) -> Tensor:
    """``[*batch, size]`` in the precision of ``like``."""
    return (numbers.unsqueeze(-1) == torch.arange(size, device=numbers.device)).to(like.dtype)


class Coded(constraints.Constraint):
    """Entries of the book with this key."""

    is_discrete = True

    def __init__(self, key: Any, event_dim: int) -> None:
        self.key, self.event_dim = key, event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().flatten(value.dim() - self.event_dim).all(-1)


class Quantised(Distribution):
    """Unit mass at one event of a book, ``loc`` ``[*batch, *event]``, whose codes are ``numbers`` ``[*batch, codes]``.

    ``log_prob`` is taken with respect to the events of the book: 0 there, -inf elsewhere. Draws carry the gradient of ``loc``, which is
    that of what was quantised (straight-through); ``stages`` remember what this was.

    >>> book = Entries([torch.eye(3)], (1, 3), key=0)
    >>> q = Quantised(book.events(torch.tensor([[2]])), torch.tensor([[2]]), book)
    >>> q.rsample(), q.log_prob(q.mean)
    (tensor([[[0., 0., 1.]]]), tensor([0.]))
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(self, loc: Tensor, numbers: Tensor, book: Book, stages: Sequence[Stage] = ()) -> None:
        self.point = Dirac(loc, len(book.event_shape))
        self.numbers, self.book, self.stages = numbers, book, list(stages)
        super().__init__(self.point.batch_shape, self.point.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return Coded(self.book.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.point.mean

    @property
    def variance(self) -> Tensor:
        return self.point.variance

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.point.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.point.log_prob(value)

    def entries(self) -> Tensor:
        """The codes as places in all tables put end to end, ``[N, tables]``."""
        tables = len(self.book.tables)
        return self.numbers.reshape(-1, tables) + self.book.size * torch.arange(tables, device=self.numbers.device)

    def counts(self) -> Tensor:
        """How often each entry occurs in the whole batch, ``[tables, size]`` int64."""
        places = self.entries().flatten()
        none = places.new_zeros(len(self.book.tables) * self.book.size)
        return none.index_add(0, places, torch.ones_like(places)).unflatten(0, (-1, self.book.size))


class Codes(Distribution):
    """Events of a book whose codes are drawn from ``base`` over one-hot codes ``[codes, size]``, or are all equally probable (``None``).

    Densities are taken with respect to the events of the book, one of which ``log_prob`` takes its argument to be. With several tables
    they are found as ``Entries`` finds them, which need not be how a posterior came to them: with a ``base`` the divergence by formula is
    then the one to use. Mean and variance take the codes as independent of each other.

    >>> Codes(Entries([torch.eye(4)], (3, 4), key=0)).log_prob(torch.zeros(5, 3, 4)).exp()  # 4^-3
    tensor([0.0156, 0.0156, 0.0156, 0.0156, 0.0156])
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, book: Book, base: Distribution | None = None) -> None:
        self.book, self.base = book, base
        super().__init__(Size() if base is None else base.batch_shape, book.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return Coded(self.book.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        table = self.book.tables[0]
        with torch.no_grad():
            if self.base is not None:
                return self.book.events(self.base.sample(Size(sample_shape)).argmax(-1))
            return self.book.events(torch.randint(self.book.size, (*sample_shape, self.book.codes), device=table.device))

    def log_prob(self, value: Tensor) -> Tensor:
        batch = value.shape[: value.dim() - len(self.event_shape)]
        return self._even(batch) if self.base is None else self.log_prob_of(self.book.numbers(value))

    def log_prob_of(self, numbers: Tensor) -> Tensor:
        """``log p`` of codes ``[*batch, codes]``: ``[*batch]``."""
        if self.base is None:
            return self._even(numbers.shape[:-1])
        return self.base.log_prob(one_hot(numbers, self.book.size, self.book.tables[0]))

    def _even(self, batch: Size) -> Tensor:
        return self.book.tables[0].new_full(batch, -self.book.codes * math.log(self.book.size))

    def _moments(self) -> tuple[Tensor, Tensor]:
        even = self.book.tables[0].new_full((self.book.codes, self.book.size), 1 / self.book.size)
        return self.book.expected(even if self.base is None else self.base.mean)
