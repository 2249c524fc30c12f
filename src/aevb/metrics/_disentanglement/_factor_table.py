"""Latents with the factors that they should represent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data._formatting import format_count
from ...errors import DataError, check_counts

MUTUAL_INFORMATION_BINS = 20
"""Bins of a continuous latent variable."""

MIN_ROWS_PER_VALUE = 10
"""Fewest rows per value of a factor on average; with fewer, scores measure how rare values are."""

MIN_ROWS_SHARING_VALUE = 5
"""Fewest rows with the same value whose spread is meaningful."""

ROWS_PER_VOTE = 64
"""Rows that share a factor in one vote."""


@dataclass(frozen=True)
class FactorTable:
    """Latents with the factors that they should represent.

    Args:
        z: Latents, ``[N, latent]`` float64.
        factors: Class numbers from 0, ``[N, F]`` int64.
        binned_z: Bins of the latents, ``[N, latent]`` int64; the same for any subset of the rows.
    """

    z: Tensor
    factors: Tensor
    binned_z: Tensor

    @staticmethod
    def from_arrays(z: Any, factors: Any, bins: int = MUTUAL_INFORMATION_BINS) -> FactorTable:
        """Check latents ``[N, latent]`` and factors ``[N, F]``, and number the factors' values."""
        latents, values = _to_table("z", z).double(), _to_table("factors", factors)
        check_counts(bins=bins)
        if len(latents) != len(values):
            raise DataError(
                f"`z` has {format_count(len(latents), 'row')} and `factors` "
                f"{format_count(len(values))}",
                suggestions=("Give the factors of each row",),
            )
        if len(latents) < 40:
            raise DataError(
                f"`z` has {format_count(len(latents), 'row')}, and scores of factors need at least "
                "40, to halve them"
            )
        if not values.double().isfinite().all():
            raise DataError(
                "`factors` holds NaN or infinity",
                suggestions=("Leave out rows with unknown factors",),
            )
        if not latents.isfinite().all():
            raise DataError(
                "`z` holds NaN or infinity", suggestions=("Encode rows that the model can take",)
            )
        if not latents.shape[1]:
            raise DataError("`z` has no columns", suggestions=("Give at least 1 latent variable",))
        if values.shape[1] < 2:
            raise DataError(
                "`factors` has 1 column, and there is none to distinguish it from",
                suggestions=("Give at least 2 factors",),
            )
        columns = [column.unique(return_inverse=True) for column in values.T]
        for number, (levels, _) in enumerate(columns):
            _check_factor(number, levels, len(latents))
        binned = torch.stack([_discretise(column, bins) for column in latents.T], 1)
        return FactorTable(latents, torch.stack([codes for _, codes in columns], 1), binned)

    def subset(self, rows: Tensor) -> FactorTable:
        """The table of these rows."""
        return FactorTable(self.z[rows], self.factors[rows], self.binned_z[rows])

    def split(self, rows: Tensor, seed: int) -> tuple[FactorTable, FactorTable]:
        """These rows in two random halves, for training and for testing."""
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        train, test = rows[order].tensor_split(2)
        return self.subset(train), self.subset(test)

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
        """Groups of rows that share a frequent value of a factor; ``None`` without such a value.

        Rows come in pairs of two different rows: a row that is paired with itself would reveal how
        rare the value is.
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
                size = sizes[value, None]
                uniform = torch.rand(
                    2, len(pivots), ROWS_PER_VOTE // 2, generator=generator, dtype=torch.float64
                )
                first = (uniform[0] * size).long()
                second = (first + 1 + (uniform[1] * (size - 1)).long()) % size
                members.append(self.z[order[starts[value, None] + torch.cat([first, second], 1)]])
                fixed.append(torch.full((len(pivots),), k))
        return FixedFactorGroups(torch.cat(fixed), torch.cat(members)) if fixed else None


@dataclass(frozen=True)
class FixedFactorGroups:
    """Groups of rows that share the value of a factor.

    Args:
        factor: The shared factor of each group, ``[votes]``.
        z: Latents of the rows, ``[votes, ROWS_PER_VOTE, latent]``.
    """

    factor: Tensor
    z: Tensor


def _check_factor(number: int, values: Tensor, n_rows: int) -> None:
    """Refuse a factor that does not vary, or that has too many values."""
    if len(values) < 2:
        raise DataError(
            f"factor {number} is {values[0].item():g} in all rows",
            suggestions=("Leave out factors that do not vary",),
        )
    if MIN_ROWS_PER_VALUE * len(values) > n_rows:
        raise DataError(
            f"factor {number} has {len(values):,} values in {n_rows:,} rows, and scores need "
            f"{MIN_ROWS_PER_VALUE} rows for each",
            suggestions=("Give more rows, or cut it into classes, as torch.bucketize does",),
        )


def _to_table(name: str, values: Any) -> Tensor:
    """A table ``[N, columns]`` on the CPU; ``DataError`` for what holds no numbers."""
    try:
        table = torch.as_tensor(values).detach().cpu()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"`{name}` holds no numbers",
            suggestions=(
                "Turn names into numbers, as numpy.unique(..., return_inverse=True) does",
            ),
        ) from error
    return table.reshape(len(table), -1) if len(table) else table.reshape(0, 0)


def _discretise(z: Tensor, bins: int) -> Tensor:
    """Class numbers of a variable: its values where they are few, else bins of equal width."""
    values, codes = z.unique(return_inverse=True)
    if len(values) <= bins:
        return codes
    low, high = z.min(), z.max()
    return ((z - low) / (high - low) * bins).long().clamp(max=bins - 1)


def _mutual_information(a: Tensor, b: Tensor) -> Tensor:
    """``H(a) + H(b) - H(a, b)`` of class numbers ``[N]``."""
    joint = torch.bincount(a * (int(b.max()) + 1) + b)
    return (_entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(joint)).clamp(
        min=0
    )


def _entropy(counts: Tensor) -> Tensor:
    """Entropy of the shares of counts, in nats."""
    p = counts.double() / counts.sum()
    return -torch.special.xlogy(p, p).sum()
