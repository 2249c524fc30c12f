"""Codebooks: vectors by number, all mass at one of them, and a distribution over all."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from ._dirac import Dirac

QuantisationStage = tuple[
    Tensor, Tensor
]  # what was to be quantised, and the entry that it became: [*batch, places, dim] each


class BaseCodebook(ABC):
    """The vectors that the numbers of a code stand for.

    An event is ``[places, dim]``, one vector per place, or an image ``[dim, height, width]`` of them. A vector is the sum of one entry of
    each of ``tables`` ``[size, dim]``, so that a datum has ``codes`` numbers, each one of ``size``: those of a place stand together, the
    first table's in front. ``key`` is equal for two books of the same entries.
    """

    def __init__(self, tables: Sequence[Tensor], event_shape: Sequence[int], key: Any) -> None:
        self.tables, self.event_shape, self.key = list(tables), Size(event_shape), key

    @property
    def n_entries(self) -> int:
        return len(self.tables[0])

    @property
    def n_positions(self) -> int:
        return self.event_shape.numel() // self.tables[0].shape[-1]

    @property
    def n_codes(self) -> int:
        return self.n_positions * len(self.tables)

    @abstractmethod
    def to_codes(self, value: Tensor) -> Tensor:
        """The codes ``[*batch, codes]`` int64 of events ``[*batch, *event]``."""

    def to_events(self, codes: Tensor) -> Tensor:
        """The events ``[*batch, *event]`` of codes ``[*batch, codes]``."""
        each = codes.unflatten(-1, (self.n_positions, len(self.tables)))
        found = [table[each[..., stage]] for stage, table in enumerate(self.tables)]
        return to_event(torch.stack(found).sum(0), self.event_shape)

    def moments_from_probabilities(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``[*batch, *event]`` where code ``c`` is ``k`` with probability ``[*batch, codes, size]``, each by itself."""
        each = probabilities.unflatten(-2, (self.n_positions, len(self.tables)))
        means = [each[..., stage, :] @ table for stage, table in enumerate(self.tables)]
        squares = [each[..., stage, :] @ table.square() for stage, table in enumerate(self.tables)]
        spread = torch.stack(squares) - torch.stack(means).square()
        return to_event(torch.stack(means).sum(0), self.event_shape), to_event(
            spread.sum(0), self.event_shape
        )


class TableCodebook(BaseCodebook):
    """Tables of any entries. Codes are found by the nearest entry, table by table: the next one says what the last one left over."""

    def to_codes(self, value: Tensor) -> Tensor:
        return residual_quantise(to_vectors(value, len(self.event_shape)), self.tables)[1]


class GridCodebook(BaseCodebook):
    """Every point of a grid, the entries of one table: ``grid(levels)``."""

    def __init__(self, levels: Sequence[int], event_shape: Sequence[int], table: Tensor) -> None:
        self.levels = tuple(levels)
        super().__init__([table], event_shape, self.levels)

    def to_codes(self, value: Tensor) -> Tensor:
        return self.codes_from_steps(
            to_vectors(value, len(self.event_shape)) * value.new_tensor(self.levels).div(2).floor()
        )

    def codes_from_steps(self, steps: Tensor) -> Tensor:
        """The codes ``[*batch, places]`` of whole steps ``[*batch, places, dim]`` from the middle."""
        levels = steps.new_tensor(self.levels)
        strides = torch.cat([levels.new_ones(1), levels[:-1]]).cumprod(0)
        # what is not finite is refused for its density, not for its number
        places = (
            (steps.nan_to_num(0.0) + levels.div(2).floor()).round().clamp(min=0).minimum(levels - 1)
        )
        return (places.long() * strides.long()).sum(-1)


def grid_points(levels: Sequence[int]) -> Tensor:
    """All points ``[size, dim]`` with ``levels`` values per axis, whole multiples of the same step, the lowest -1 and one of them 0.

    >>> grid([2, 3]).tolist()
    [[-1.0, -1.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 0.0], [-1.0, 1.0], [0.0, 1.0]]
    """
    axes = [torch.arange(-(count // 2), count - count // 2) / (count // 2) for count in levels]
    return torch.cartesian_prod(*reversed(axes)).reshape(-1, len(axes)).flip(-1)


def residual_quantise(
    vectors: Tensor, tables: Sequence[Tensor]
) -> tuple[list[QuantisationStage], Tensor]:
    """The nearest entry of each table in turn, each to what those before left over; ``vectors`` are ``[*batch, places, dim]``.

    Returns the stages and the codes ``[*batch, places * tables]``. No gradient leads from one stage's entry to the next one's rest.
    """
    stages, numbers = [], []
    for table in tables:
        number = nearest_entry(vectors.detach(), table.detach())
        entry = table[number]
        stages.append((vectors, entry))
        numbers.append(number)
        vectors = vectors - entry.detach()
    return stages, torch.stack(numbers, -1).flatten(-2)


def nearest_entry(vectors: Tensor, table: Tensor) -> Tensor:
    """The number of the entry ``[size, dim]`` nearest to each vector ``[*batch, dim]``: ``[*batch]`` int64.

    >>> nearest(torch.tensor([[0.9], [-3.0]]), torch.tensor([[1.0], [-1.0]]))
    tensor([0, 1])
    """
    return (table.square().sum(-1) - 2 * vectors @ table.T).argmin(
        -1
    )  # |v|^2 is the same for every entry


def to_vectors(value: Tensor, axes: int) -> Tensor:
    """Vectors ``[*batch, places, dim]`` of events ``[*batch, places, dim]``, or of images ``[*batch, dim, height, width]``."""
    return value if axes == 2 else value.flatten(-2).transpose(-1, -2)


def to_event(vectors: Tensor, event_shape: Sequence[int]) -> Tensor:
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


def codes_to_one_hot(codes: Tensor, size: int, like: Tensor) -> Tensor:
    """``[*batch, size]`` in the precision of ``like``."""
    return (codes.unsqueeze(-1) == torch.arange(size, device=codes.device)).to(like.dtype)


class CodebookSupport(constraints.Constraint):
    """Entries of the book with this key."""

    is_discrete = True

    def __init__(self, key: Any, event_dim: int) -> None:
        self.key, self.event_dim = key, event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().flatten(value.dim() - self.event_dim).all(-1)


class QuantisedDirac(Distribution):
    """Unit mass at one event of a book, ``loc`` ``[*batch, *event]``, whose codes are ``numbers`` ``[*batch, codes]``.

    ``log_prob`` is taken with respect to the events of the book: 0 there, -inf elsewhere. Draws carry the gradient of ``loc``, which is
    that of what was quantised (straight-through); ``stages`` remember what this was.

    >>> book = TableCodebook([torch.eye(3)], (1, 3), key=0)
    >>> q = QuantisedDirac(book.events(torch.tensor([[2]])), torch.tensor([[2]]), book)
    >>> q.rsample(), q.log_prob(q.mean)
    (tensor([[[0., 0., 1.]]]), tensor([0.]))
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        codes: Tensor,
        codebook: BaseCodebook,
        stages: Sequence[QuantisationStage] = (),
    ) -> None:
        self.dirac = Dirac(loc, len(codebook.event_shape))
        self.codes, self.codebook, self.stages = codes, codebook, list(stages)
        super().__init__(self.dirac.batch_shape, self.dirac.event_shape, validate_args=False)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return CodebookSupport(self.codebook.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.dirac.mean

    @property
    def variance(self) -> Tensor:
        return self.dirac.variance

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self.dirac.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.dirac.log_prob(value)

    def table_indices(self) -> Tensor:
        """The codes as places in all tables put end to end, ``[N, tables]``."""
        tables = len(self.codebook.tables)
        return self.codes.reshape(-1, tables) + self.codebook.n_entries * torch.arange(
            tables, device=self.codes.device
        )

    def entry_counts(self) -> Tensor:
        """How often each entry occurs in the whole batch, ``[tables, size]`` int64."""
        places = self.table_indices().flatten()
        none = places.new_zeros(len(self.codebook.tables) * self.codebook.n_entries)
        return none.index_add(0, places, torch.ones_like(places)).unflatten(
            0, (-1, self.codebook.n_entries)
        )


class CodebookDistribution(Distribution):
    """Events of a book whose codes are drawn from ``base`` over one-hot codes ``[codes, size]``, or are all equally probable (``None``).

    Densities are taken with respect to the events of the book, one of which ``log_prob`` takes its argument to be. With several tables
    they are found as ``TableCodebook`` finds them, which need not be how a posterior came to them: with a ``base`` the divergence by formula is
    then the one to use. Mean and variance take the codes as independent of each other.

    >>> Codes(TableCodebook([torch.eye(4)], (3, 4), key=0)).log_prob(
    ...     torch.zeros(5, 3, 4)
    ... ).exp()  # 4^-3
    tensor([0.0156, 0.0156, 0.0156, 0.0156, 0.0156])
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(self, codebook: BaseCodebook, base: Distribution | None = None) -> None:
        self.codebook, self.base = codebook, base
        super().__init__(
            Size() if base is None else base.batch_shape, codebook.event_shape, validate_args=False
        )

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        return CodebookSupport(self.codebook.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        table = self.codebook.tables[0]
        with torch.no_grad():
            if self.base is not None:
                return self.codebook.to_events(self.base.sample(Size(sample_shape)).argmax(-1))
            return self.codebook.to_events(
                torch.randint(
                    self.codebook.n_entries,
                    (*sample_shape, self.codebook.n_codes),
                    device=table.device,
                )
            )

    def log_prob(self, value: Tensor) -> Tensor:
        batch = value.shape[: value.dim() - len(self.event_shape)]
        return (
            self._uniform_log_prob(batch)
            if self.base is None
            else self.log_prob_of_codes(self.codebook.to_codes(value))
        )

    def log_prob_of_codes(self, codes: Tensor) -> Tensor:
        """``log p`` of codes ``[*batch, codes]``: ``[*batch]``."""
        if self.base is None:
            return self._uniform_log_prob(codes.shape[:-1])
        return self.base.log_prob(
            codes_to_one_hot(codes, self.codebook.n_entries, self.codebook.tables[0])
        )

    def _uniform_log_prob(self, batch: Size) -> Tensor:
        return self.codebook.tables[0].new_full(
            batch, -self.codebook.n_codes * math.log(self.codebook.n_entries)
        )

    def _moments(self) -> tuple[Tensor, Tensor]:
        even = self.codebook.tables[0].new_full(
            (self.codebook.n_codes, self.codebook.n_entries), 1 / self.codebook.n_entries
        )
        return self.codebook.moments_from_probabilities(
            even if self.base is None else self.base.mean
        )
