"""Codes beside the factors they are to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...data.words import count
from ...errors import ArgumentError, DataError

BINS = 20  # of a continuous code
EACH = 10  # rows for each value of a factor, on average: of fewer, scores tell how rare values are
SEEN = 5  # rows that share a value, from which their spread says something
TOGETHER = 64  # rows that share a factor in one vote


@dataclass(frozen=True)
class Scene:
    """Codes beside the factors they are to tell, rows with one factor in common easily found."""

    codes: Tensor  # [N, latent] float64
    factors: Tensor  # [N, F] int64, 0 ... values - 1
    cut: Tensor  # [N, latent] int64, class numbers of the codes: the same ones for any of the rows

    @staticmethod
    def of(codes: Any, factors: Any, bins: int = BINS) -> Scene:
        table, given = _numbers("codes", codes).double(), _numbers("factors", factors)
        if bins < 1:
            raise ArgumentError(f"`bins` is {bins}; cut a continuous code into at least 1.")
        if len(table) != len(given):
            raise DataError(f"`codes` has {count(len(table), 'row')} and `factors` {count(len(given))}: give the factors of each row.")
        if len(table) < 40:
            raise DataError(f"`codes` has {count(len(table), 'row')}, and scores of factors need at least 40, to halve them.")
        if not given.double().isfinite().all():
            raise DataError("`factors` holds NaN or infinity; leave out rows whose factors nobody knows.")
        if not table.isfinite().all():
            raise DataError("`codes` holds NaN or infinity; encode rows that the model can take.")
        if not table.shape[1]:
            raise DataError("`codes` has no columns; give at least 1 latent variable.")
        if given.shape[1] < 2:
            raise DataError("`factors` has 1 column, and nothing can be told apart from it; give at least 2 factors.")
        columns = [column.unique(return_inverse=True) for column in given.T]
        for place, (values, _) in enumerate(columns):
            if len(values) < 2:
                raise DataError(f"factor {place} is {values[0].item():g} in all rows: leave out what does not vary.")
            if EACH * len(values) > len(table):
                raise DataError(
                    f"factor {place} has {len(values):,} values in {len(table):,} rows, and scores need {EACH} rows for each: give more "
                    "rows, or cut it into classes, as torch.bucketize does."
                )
        cut = torch.stack([_cut(column, bins) for column in table.T], 1)
        return Scene(table, torch.stack([places for _, places in columns], 1), cut)

    def some(self, rows: Tensor) -> Scene:
        return Scene(self.codes[rows], self.factors[rows], self.cut[rows])

    def split(self, rows: Tensor, seed: int) -> tuple[Scene, Scene]:
        """These rows in two halves: one to learn from, and one to be asked about."""
        known, asked = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))].tensor_split(2)
        return self.some(known), self.some(asked)

    def entropies(self) -> Tensor:
        """``H(v_k)`` in nats ``[F]``."""
        return torch.stack([_entropy(torch.bincount(column)) for column in self.factors.T])

    def information(self) -> Tensor:
        """``I(z_j; v_k)`` in nats ``[latent, F]``."""
        return torch.stack([torch.stack([_information(code, factor) for factor in self.factors.T]) for code in self.cut.T])

    def sharing(self, votes: int, seed: int) -> Sharing | None:
        """Groups of rows that share a value of a factor at random, one that ``SEEN`` rows have; ``None`` where there is no such value.

        Rows come in pairs of two different ones: one that is paired with itself would tell how rare the value is.
        """
        generator = torch.Generator().manual_seed(seed)
        fixed, members = [], []
        for k, column in enumerate(self.factors.T):
            sizes, order = torch.bincount(column), column.argsort()
            common = (sizes[column] >= SEEN).nonzero()[:, 0]
            if len(common):
                pivots = common[torch.randint(len(common), (votes // self.factors.shape[1],), generator=generator)]
                starts, value = sizes.cumsum(0) - sizes, column[pivots]
                size, chance = sizes[value, None], torch.rand(2, len(pivots), TOGETHER // 2, generator=generator, dtype=torch.float64)
                first = (chance[0] * size).long()
                second = (first + 1 + (chance[1] * (size - 1)).long()) % size
                members.append(self.codes[order[starts[value, None] + torch.cat([first, second], 1)]])
                fixed.append(torch.full((len(pivots),), k))
        return Sharing(torch.cat(fixed), torch.cat(members)) if fixed else None


@dataclass(frozen=True)
class Sharing:
    factor: Tensor  # [votes], which is shared
    codes: Tensor  # [votes, TOGETHER, latent], of rows that share its value


def _numbers(name: str, given: Any) -> Tensor:
    """A table ``[N, columns]`` on the CPU. Raises ``DataError`` for what holds no numbers."""
    try:
        table = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError) as error:
        raise DataError(f"`{name}` holds no numbers: number what has names, as numpy.unique(..., return_inverse=True) does.") from error
    return table.reshape(len(table), -1) if len(table) else table.reshape(0, 0)


def _cut(code: Tensor, bins: int) -> Tensor:
    """Class numbers of a code: its values where they are few, else bins of equal width."""
    values, places = code.unique(return_inverse=True)
    if len(values) <= bins:
        return places
    low, high = code.min(), code.max()
    return ((code - low) / (high - low) * bins).long().clamp(max=bins - 1)


def _information(a: Tensor, b: Tensor) -> Tensor:
    """``H(a) + H(b) - H(a, b)`` of class numbers ``[N]``."""
    joint = torch.bincount(a * (int(b.max()) + 1) + b)
    return (_entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(joint)).clamp(min=0)


def _entropy(counts: Tensor) -> Tensor:
    p = counts.double() / counts.sum()
    return -torch.special.xlogy(p, p).sum()
