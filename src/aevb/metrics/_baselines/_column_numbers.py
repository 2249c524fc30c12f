"""Joint densities of the numbers of a table, which stand beside independent other columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from ...networks import Column

DRAWS = 16  # from the interval of a value that is a probability


@dataclass(frozen=True)
class ColumnNumbers:
    """The cells of numbers of a table as real numbers of unit size.

    A value on a grid becomes a draw from its interval: the mean of the density over several draws
    estimates the probability of the interval.

    Args:
        columns: All columns of the encoded rows.
        places: Those that are numbers without missing cells, and vary.
        shift: Their means.
        scale: Their standard deviations.
    """

    columns: tuple[Column, ...]
    places: tuple[int, ...]
    shift: Tensor
    scale: Tensor

    @classmethod
    def of(cls, columns: Sequence[Column], x: Tensor) -> ColumnNumbers:
        """The numbers of encoded rows ``[N, D]``."""
        width = torch.tensor([_width(column) or 0.0 for column in columns], dtype=torch.float64)
        mean, scale = x.mean(0), (x.var(0, correction=0) + width.square() / 12).sqrt()
        places = [
            place
            for place, column in enumerate(columns)
            if _width(column) is not None and scale[place] > 0  # NaN where a cell is missing
        ]
        return cls(tuple(columns), tuple(places), mean[places], scale[places])

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [self.columns[place].name for place in self.places]

    @property
    def others(self) -> list[int]:
        """The places of the other columns."""
        return [place for place in range(len(self.columns)) if place not in self.places]

    @property
    def _widths(self) -> Tensor:
        widths = [_width(self.columns[place]) or 0.0 for place in self.places]
        return torch.tensor(widths, dtype=torch.float64)

    def standardise(self, x: Tensor) -> Tensor:
        """A draw of unit size, ``[N, len(places)]``, for each of encoded rows ``[N, D]``."""
        noise = torch.rand(
            (len(x), len(self.places)), generator=torch.Generator().manual_seed(0), dtype=x.dtype
        )
        return self._standardise(x, noise - 0.5)

    def _standardise(self, x: Tensor, noise: Tensor) -> Tensor:
        return (x[:, self.places] + noise * self._widths - self.shift) / self.scale

    def log_prob(self, density: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Log-density ``[N]`` in the units of the data by a log-density of standardised numbers.

        The draws are the same for all rows, so that the value of a row is its own.
        """
        noise = SobolEngine(len(self.places), scramble=True, seed=0).draw(DRAWS).to(x) - 0.5
        draws = torch.stack([density(self._standardise(x, each)) for each in noise])
        log_unit = torch.stack([_log_unit(self.columns[p], x[:, p]) for p in self.places]).sum(0)
        return draws.logsumexp(0) - math.log(DRAWS) - self.scale.log().sum() - log_unit


def _width(column: Column) -> float | None:
    """The width of the interval of an encoded value; 0 of a density, ``None`` of no number."""
    if column.likelihood in ("negative_binomial", "ordinal"):
        return 1.0
    if column.likelihood == "discretised_logistic":
        return column.step / column.scale
    return 0.0 if column.measure == "density" else None


def _log_unit(column: Column, y: Tensor) -> Tensor:
    """``log |dx/dy|`` of the data ``x``; minus the log of the width for probabilities."""
    width = _width(column)
    if width:
        return torch.full_like(y, -math.log(width))
    if column.likelihood == "log_normal":
        return math.log(column.scale) + column.shift + column.scale * y
    low, high = column.bounds
    unit = high - low if column.likelihood == "beta" else column.scale
    return torch.full_like(y, math.log(unit))
