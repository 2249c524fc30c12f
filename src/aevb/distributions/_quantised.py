"""Codebooks for vector quantisation, and distributions over their entries."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._dirac import Dirac
from ._double import in_double

# vectors before quantisation and the chosen entries: [*batch, positions, dim] each
QuantisationStage = tuple[Tensor, Tensor]


class BaseCodebook(ABC):
    """Base class of codebooks, which map discrete codes to events.

    An event is ``[positions, dim]`` or an image ``[dim, height, width]``, with one vector per
    position. A vector is the sum of one entry from each table (residual quantisation), so that a
    row has ``n_codes`` codes below ``n_entries``; the codes of a position are adjacent, the code of
    the first table in front.

    Args:
        tables: Entries ``[n_entries, dim]`` of each table.
        event_shape: Shape of an event.
        key: Identity of the entries: equal for two codebooks with the same entries.
    """

    def __init__(self, tables: Sequence[Tensor], event_shape: Sequence[int], key: Any) -> None:
        self.tables, self.event_shape, self.key = list(tables), Size(event_shape), key

    @property
    def n_entries(self) -> int:
        """Number of entries per table."""
        return len(self.tables[0])

    @property
    def n_positions(self) -> int:
        """Number of vectors per event."""
        return self.event_shape.numel() // self.tables[0].shape[-1]

    @property
    def n_codes(self) -> int:
        """Number of codes per event."""
        return self.n_positions * len(self.tables)

    @abstractmethod
    def to_codes(self, value: Tensor) -> Tensor:
        """Find the codes of events.

        Args:
            value: Events ``[*batch, *event]``.

        Returns:
            Codes ``[*batch, n_codes]``, int64.
        """

    def to_events(self, codes: Tensor) -> Tensor:
        """Look up the events of codes.

        Args:
            codes: Codes ``[*batch, n_codes]``.

        Returns:
            Events ``[*batch, *event]``.
        """
        each = codes.unflatten(-1, (self.n_positions, len(self.tables)))
        entries = [table[each[..., stage]] for stage, table in enumerate(self.tables)]
        return to_event(torch.stack(entries).sum(0), self.event_shape)

    def moments_from_probabilities(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of an event with independent codes.

        Args:
            probabilities: Probability of each entry, ``[*batch, n_codes, n_entries]``.

        Returns:
            Mean and variance, ``[*batch, *event]`` each.
        """
        each = probabilities.unflatten(-2, (self.n_positions, len(self.tables)))
        means = [each[..., stage, :] @ table for stage, table in enumerate(self.tables)]
        spread = torch.stack(
            [
                in_double(_variance_of_entries, each[..., stage, :], table)
                for stage, table in enumerate(self.tables)
            ]
        )
        return to_event(torch.stack(means).sum(0), self.event_shape), to_event(
            spread.sum(0), self.event_shape
        )


class TableCodebook(BaseCodebook):
    """Codebook with free entries; codes are the nearest entries, table by table on the residual.

    Args:
        tables: Entries ``[n_entries, dim]`` of each table.
        event_shape: Shape of an event.
        key: Identity of the entries: equal for two codebooks with the same entries.
    """

    def to_codes(self, value: Tensor) -> Tensor:
        return residual_quantise(to_vectors(value, len(self.event_shape)), self.tables)[1]


class GridCodebook(BaseCodebook):
    """Codebook of all points of a grid (finite scalar quantisation).

    Args:
        levels: Number of levels of each axis.
        event_shape: Shape of an event.
        table: The points ``[n_entries, dim]``, as ``grid_points(levels)``.
    """

    def __init__(self, levels: Sequence[int], event_shape: Sequence[int], table: Tensor) -> None:
        self.levels = tuple(levels)
        super().__init__([table], event_shape, self.levels)

    def to_codes(self, value: Tensor) -> Tensor:
        return self.codes_from_steps(
            to_vectors(value, len(self.event_shape)) * value.new_tensor(self.levels).div(2).floor()
        )

    def codes_from_steps(self, steps: Tensor) -> Tensor:
        """Codes of grid steps.

        Args:
            steps: Whole steps from the middle, ``[*batch, positions, dim]``.

        Returns:
            Codes ``[*batch, positions]``, int64.
        """
        levels = steps.new_tensor(self.levels)
        strides = torch.cat([levels.new_ones(1), levels[:-1]]).cumprod(0)
        # NaN gets any code: its density is the place of the error
        digits = (steps.nan_to_num(0.0) + levels.div(2).floor()).round()
        return (digits.clamp(min=0).minimum(levels - 1).long() * strides.long()).sum(-1)


def grid_points(levels: Sequence[int]) -> Tensor:
    """All points ``[size, dim]`` of a grid with ``levels`` values per axis, from -1 on, 0 included.

    Example:
        >>> grid_points([2, 3]).tolist()
        [[-1.0, -1.0], [0.0, -1.0], [-1.0, 0.0], [0.0, 0.0], [-1.0, 1.0], [0.0, 1.0]]
    """
    axes = [torch.arange(-(count // 2), count - count // 2) / (count // 2) for count in levels]
    return torch.cartesian_prod(*reversed(axes)).reshape(-1, len(axes)).flip(-1)


def residual_quantise(
    vectors: Tensor, tables: Sequence[Tensor]
) -> tuple[list[QuantisationStage], Tensor]:
    """Quantise vectors ``[*batch, positions, dim]`` with each table in turn, on the residual.

    Returns the stages and the codes ``[*batch, positions * tables]``. No gradient flows from the
    entry of a stage to the next residual.
    """
    stages, codes = [], []
    for table in tables:
        code = nearest_entry(vectors.detach(), table.detach())
        entry = table[code]
        stages.append((vectors, entry))
        codes.append(code)
        vectors = vectors - entry.detach()
    return stages, torch.stack(codes, -1).flatten(-2)


def nearest_entry(vectors: Tensor, table: Tensor) -> Tensor:
    """Index of the entry of ``table`` ``[size, dim]`` nearest to each vector: ``[*batch]`` int64.

    Example:
        >>> nearest_entry(torch.tensor([[0.9], [-3.0]]), torch.tensor([[1.0], [-1.0]]))
        tensor([0, 1])
    """
    # |v|^2 is the same for every entry; coordinates relative to the centre cancel less
    centre = table.mean(0)
    moved = table - centre
    return (moved.square().sum(-1) - 2 * (vectors - centre) @ moved.T).argmin(-1)


def _variance_of_entries(probability: Tensor, table: Tensor) -> Tensor:
    moved = table - table.mean(0)
    return (probability @ moved.square() - (probability @ moved).square()).clamp(min=0)


def to_vectors(value: Tensor, axes: int) -> Tensor:
    """Convert events to vectors ``[*batch, positions, dim]``."""
    return value if axes == 2 else value.flatten(-2).transpose(-1, -2)


def to_event(vectors: Tensor, event_shape: Sequence[int]) -> Tensor:
    """Convert vectors ``[*batch, positions, dim]`` to events."""
    if len(event_shape) == 2:
        return vectors
    return vectors.transpose(-1, -2).reshape(*vectors.shape[:-2], *event_shape)


def perplexity(counts: Tensor) -> Tensor:
    """``exp`` of the entropy of counts ``[*batch, size]``: the effective number of entries in use.

    Example:
        >>> perplexity(torch.tensor([[5.0, 5.0, 0.0], [1.0, 1.0, 1.0]])).round(decimals=4)
        tensor([2., 3.])
    """
    shares = counts / counts.sum(-1, keepdim=True)
    return (-torch.xlogy(shares, shares).sum(-1)).exp()


def codes_to_one_hot(codes: Tensor, size: int, like: Tensor) -> Tensor:
    """One-hot codes ``[*batch, size]`` with the dtype of ``like``."""
    return (codes.unsqueeze(-1) == torch.arange(size, device=codes.device)).to(like.dtype)


class CodebookSupport(constraints.Constraint):
    """Entries of the codebook with this key."""

    is_discrete = True

    def __init__(self, key: Any, event_dim: int) -> None:
        self.key, self.event_dim = key, event_dim
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return value.isfinite().flatten(value.dim() - self.event_dim).all(-1)


class QuantisedDirac(BaseDistribution):
    """Point mass at an event of a codebook, the posterior of a VQ-VAE.

    ``log_prob`` is relative to the events of the codebook: 0 at ``loc``, -inf elsewhere. Draws
    carry the gradient of ``loc``, which is the gradient of the quantised vector (straight-through).

    Args:
        loc: Event ``[*batch, *event]``.
        codes: Codes ``[*batch, n_codes]`` of the event.
        codebook: The codebook.
        stages: Vector before quantisation and chosen entry of each table, ``[*batch, positions,
            dim]`` each, for codebook losses.

    Example:
        >>> book = TableCodebook([torch.eye(3)], (1, 3), key=0)
        >>> q = QuantisedDirac(book.to_events(torch.tensor([[2]])), torch.tensor([[2]]), book)
        >>> q.rsample(), q.log_prob(q.mean)
        (tensor([[[0., 0., 1.]]]), tensor([0.]))
    """

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
        super().__init__(self.dirac.batch_shape, self.dirac.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return CodebookSupport(self.codebook.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.dirac.mean

    @property
    def variance(self) -> Tensor:
        return self.dirac.variance

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self.dirac.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.dirac.log_prob(value)

    def table_indices(self) -> Tensor:
        """Indices of the codes in all tables concatenated, ``[N, tables]``."""
        tables = len(self.codebook.tables)
        return self.codes.reshape(-1, tables) + self.codebook.n_entries * torch.arange(
            tables, device=self.codes.device
        )

    def entry_counts(self, weight: Tensor | None = None) -> Tensor:
        """Uses of each entry in the batch, ``[tables, n_entries]``.

        Args:
            weight: Weights of the rows ``[B]``; without them the result is int64.
        """
        indices = self.table_indices().flatten()
        uses = torch.ones_like(indices)
        if weight is not None:
            uses = weight.repeat_interleave(len(indices) // len(weight))
        counts = uses.new_zeros(len(self.codebook.tables) * self.codebook.n_entries)
        counts = counts.index_add(0, indices, uses)
        return counts.unflatten(0, (-1, self.codebook.n_entries))


class CodebookDistribution(BaseDistribution):
    """Distribution over the events of a codebook.

    Densities are relative to the events of the codebook; ``log_prob`` assumes that its argument is
    such an event. With several tables the codes of an event are found by residual quantisation and
    may differ from the posterior's codes, so that the analytic KL is the right one for a learned
    ``base``. Mean and variance treat the codes as independent.

    Args:
        codebook: The codebook.
        base: Distribution of one-hot codes ``[n_codes, n_entries]``; ``None``: all codes are
            equally probable.

    Example:
        >>> CodebookDistribution(TableCodebook([torch.eye(4)], (3, 4), key=0)).log_prob(
        ...     torch.zeros(5, 3, 4)
        ... ).exp()  # 4^-3
        tensor([0.0156, 0.0156, 0.0156, 0.0156, 0.0156])
    """

    def __init__(self, codebook: BaseCodebook, base: Distribution | None = None) -> None:
        self.codebook, self.base = codebook, base
        super().__init__(Size() if base is None else base.batch_shape, codebook.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        return CodebookSupport(self.codebook.key, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def sample(self, sample_shape: _size = Size()) -> Tensor:
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
        """Log-probability of codes.

        Args:
            codes: Codes ``[*batch, n_codes]``.

        Returns:
            ``[*batch]`` in nats.
        """
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
