"""Codes beside the factors they are to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data._formatting import format_count
from ...errors import ArgumentError, DataError

MUTUAL_INFORMATION_BINS = 20  # of a continuous code
MIN_ROWS_PER_VALUE = (
    10  # rows for each value of a factor, on average: of fewer, scores tell how rare values are
)
MIN_ROWS_SHARING_VALUE = 5  # rows that share a value, from which their spread says something
ROWS_PER_VOTE = 64  # rows that share a factor in one vote


@dataclass(frozen=True)
class FactorTable:
    """Codes beside the factors they are to tell, rows with one factor in common easily found."""

    z: Tensor  # [N, latent] float64
    factors: Tensor  # [N, F] int64, 0 ... values - 1
    binned_z: (
        Tensor  # [N, latent] int64, class numbers of the codes: the same ones for any of the rows
    )

    @staticmethod
    def from_arrays(z: Any, factors: Any, bins: int = MUTUAL_INFORMATION_BINS) -> FactorTable:
        table, given = _to_table("codes", z).double(), _to_table("factors", factors)
        if bins < 1:
            raise ArgumentError(f"`bins` is {bins}; cut a continuous code into at least 1.")
        if len(table) != len(given):
            raise DataError(
                f"`codes` has {format_count(len(table), 'row')} and `factors` {format_count(len(given))}: give the factors of each row."
            )
        if len(table) < 40:
            raise DataError(
                f"`codes` has {format_count(len(table), 'row')}, and scores of factors need at least 40, to halve them."
            )
        if not given.double().isfinite().all():
            raise DataError(
                "`factors` holds NaN or infinity; leave out rows whose factors nobody knows."
            )
        if not table.isfinite().all():
            raise DataError("`codes` holds NaN or infinity; encode rows that the model can take.")
        if not table.shape[1]:
            raise DataError("`codes` has no columns; give at least 1 latent variable.")
        if given.shape[1] < 2:
            raise DataError(
                "`factors` has 1 column, and nothing can be told apart from it; give at least 2 factors."
            )
        columns = [column.unique(return_inverse=True) for column in given.T]
        for place, (values, _) in enumerate(columns):
            if len(values) < 2:
                raise DataError(
                    f"factor {place} is {values[0].item():g} in all rows: leave out what does not vary."
                )
            if MIN_ROWS_PER_VALUE * len(values) > len(table):
                raise DataError(
                    f"factor {place} has {len(values):,} values in {len(table):,} rows, and scores need {MIN_ROWS_PER_VALUE} rows for each: give more "
                    "rows, or cut it into classes, as torch.bucketize does."
                )
        cut = torch.stack([_discretise(column, bins) for column in table.T], 1)
        return FactorTable(table, torch.stack([places for _, places in columns], 1), cut)

    def subset(self, rows: Tensor) -> FactorTable:
        return FactorTable(self.z[rows], self.factors[rows], self.binned_z[rows])

    def split(self, rows: Tensor, seed: int) -> tuple[FactorTable, FactorTable]:
        """These rows in two halves: one to learn from, and one to be asked about."""
        known, asked = rows[
            torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        ].tensor_split(2)
        return self.subset(known), self.subset(asked)

    def entropies(self) -> Tensor:
        """``H(v_k)`` in nats ``[F]``."""
        return torch.stack([_entropy(torch.bincount(column)) for column in self.factors.T])

    def mutual_information(self) -> Tensor:
        """``I(z_j; v_k)`` in nats ``[latent, F]``."""
        return torch.stack(
            [
                torch.stack([_mutual_information(code, factor) for factor in self.factors.T])
                for code in self.binned_z.T
            ]
        )

    def fixed_factor_groups(self, n_votes: int, seed: int) -> FixedFactorGroups | None:
        """Groups of rows that share a value of a factor at random, one that ``SEEN`` rows have; ``None`` where there is no such value.

        Rows come in pairs of two different ones: one that is paired with itself would tell how rare the value is.
        """
        generator = torch.Generator().manual_seed(seed)
        fixed, members = [], []
        for k, column in enumerate(self.factors.T):
            sizes, order = torch.bincount(column), column.argsort()
            common = (sizes[column] >= MIN_ROWS_SHARING_VALUE).nonzero()[:, 0]
            if len(common):
                pivots = common[
                    torch.randint(
                        len(common), (n_votes // self.factors.shape[1],), generator=generator
                    )
                ]
                starts, value = sizes.cumsum(0) - sizes, column[pivots]
                size, chance = (
                    sizes[value, None],
                    torch.rand(
                        2, len(pivots), ROWS_PER_VOTE // 2, generator=generator, dtype=torch.float64
                    ),
                )
                first = (chance[0] * size).long()
                second = (first + 1 + (chance[1] * (size - 1)).long()) % size
                members.append(self.z[order[starts[value, None] + torch.cat([first, second], 1)]])
                fixed.append(torch.full((len(pivots),), k))
        return FixedFactorGroups(torch.cat(fixed), torch.cat(members)) if fixed else None


@dataclass(frozen=True)
class FixedFactorGroups:
    factor: Tensor  # [votes], which is shared
    z: Tensor  # [votes, TOGETHER, latent], of rows that share its value


def _to_table(name: str, values: Any) -> Tensor:
    """A table ``[N, columns]`` on the CPU. Raises ``DataError`` for what holds no numbers."""
    try:
        table = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"`{name}` holds no numbers: number what has names, as numpy.unique(..., return_inverse=True) does."
        ) from error
    return table.reshape(len(table), -1) if len(table) else table.reshape(0, 0)


def _discretise(z: Tensor, bins: int) -> Tensor:
    """Class numbers of a code: its values where they are few, else bins of equal width."""
    values, places = z.unique(return_inverse=True)
    if len(values) <= bins:
        return places
    low, high = z.min(), z.max()
    return ((z - low) / (high - low) * bins).long().clamp(max=bins - 1)


def _mutual_information(a: Tensor, b: Tensor) -> Tensor:
    """``H(a) + H(b) - H(a, b)`` of class numbers ``[N]``."""
    joint = torch.bincount(a * (int(b.max()) + 1) + b)
    return (_entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(joint)).clamp(
        min=0
    )


def _entropy(counts: Tensor) -> Tensor:
    p = counts.double() / counts.sum()
    return -torch.special.xlogy(p, p).sum()
