"""Constants of columns with atoms and bins, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..networks import Column

Array = np.ndarray
GRID_ROUNDING = 1e-9  # an edge this close to a value of the grid is that value


@dataclass(frozen=True)
class SpikeTable:
    """Constants of spiky columns; see ``distributions._columns.SpikyCells``.

    Args:
        index: The output of the network of each category, ``[n, atoms + bins]``; ``outputs`` for
            categories that a column does not have.
        outputs: Number of outputs.
        constants: The constants by name.
        fill: A possible encoded value of each column, ``[n]``.
    """

    index: Array
    outputs: int
    constants: dict[str, Array]
    fill: Array

    @classmethod
    def of(cls, columns: Sequence[Column]) -> SpikeTable:
        """The constants of columns that are all real, or all on a grid."""
        spikes = [_Spikes(column) for column in columns]
        atoms = max(1, *(len(each.atoms) for each in spikes))
        bins = max(len(each.edges) - 1 for each in spikes)
        shape = (len(spikes), atoms + bins)
        taken = np.zeros(shape, dtype=bool)
        tables = {
            "log_volume": np.zeros(shape),
            "draws": np.zeros((*shape, 3)),
            "moments": np.zeros((*shape, 2)),
        }
        for place, each in enumerate(spikes):
            where = np.r_[: len(each.atoms), atoms : atoms + len(each.edges) - 1]
            taken[place, where] = each.taken
            for name, table in tables.items():
                table[place, where] = np.where(
                    each.taken.reshape(-1, *[1] * (table.ndim - 2)), getattr(each, name), 0.0
                )
        outputs = int(taken.sum())
        index = np.full(shape, outputs)
        index[taken] = np.arange(outputs)
        constants = {
            **tables,
            "atoms": _pad([each.atoms for each in spikes], atoms, math.nan),
            "inner_edges": _pad([each.inner_edges for each in spikes], bins - 1, math.inf),
            "tails": np.stack([each.tails for each in spikes]),
            "grid": np.stack([each.grid for each in spikes]),
        }
        return cls(index, outputs, constants, np.array([each.fill for each in spikes]))


class _Spikes:
    """The constants of one column.

    On a grid, a value without an atom has a *rank*: its number on the grid without the atoms.
    """

    def __init__(self, column: Column) -> None:
        self.column, self.step = column, column.step
        self.data_atoms = np.asarray(sorted(column.atoms), dtype=np.float64)
        self.edges = bin_edges(column)
        # cells are float32: atoms that are equal there are one
        self.atoms = np.unique(self._encode(self.data_atoms).astype(np.float32)).astype(np.float64)
        self.zero = round(column.shift / self.step) if self.step else 0  # number of the origin
        self.grid = np.array([self._encode(self.zero * self.step), self.step / column.scale or 1.0])
        self._set_bins()

    def _encode(self, x: Array | float) -> Array:
        return (np.asarray(x) - self.column.shift) / self.column.scale

    def _set_bins(self) -> None:
        bins = self._grid_bins() if self.step else self._real_bins()
        volume, draws, moments, valid, self.tails = bins
        count = len(self.atoms)
        own = np.stack([self.atoms, *[np.zeros(count)] * 2], 1)
        self.draws = np.concatenate([own, draws])
        self.log_volume = np.concatenate([np.zeros(count), volume])
        self.moments = np.concatenate([np.stack([self.atoms, np.zeros(count)], 1), moments])
        self.taken = np.concatenate([np.ones(count, dtype=bool), valid])
        if count:
            self.fill = self.atoms[0]
        elif self.step:
            self.fill = self.grid[0]
        else:
            self.fill = 0.0

    def _real_bins(self) -> tuple[Array, Array, Array, Array, Array]:
        edges, scale = self._encode(self.edges), self.column.scale
        self.inner_edges = edges[1:-1]
        width = np.diff(edges)
        low, tail, spread = edges[:-1].copy(), np.zeros_like(width), width.copy()
        low[0], spread[[0, -1]] = edges[1], 0.0
        tail[0], tail[-1] = -width[0], width[-1]
        centre = low + spread / 2 + tail
        moments = np.stack([centre, spread**2 / 12 + tail**2], 1)
        tails = np.array([edges[1], 1 / width[0], edges[-2], 1 / width[-1]])
        draws = np.stack([low, spread, tail], 1)
        return np.log(width * scale), draws, moments, np.ones(len(width), dtype=bool), tails

    def _grid_bins(self) -> tuple[Array, Array, Array, Array, Array]:
        atoms = np.unique(np.rint(self.data_atoms / self.step)) - self.zero
        places = np.ceil(self.edges / self.step - GRID_ROUNDING) - self.zero
        # between two values of the grid, where the rounding of cells does not matter
        self.inner_edges = self._encode((places[1:-1] + self.zero - 0.5) * self.step)
        ranks = places - np.searchsorted(atoms, places)  # of the first value without an atom
        size = np.diff(self.edges) / self.step
        count = np.diff(ranks)
        low, tail = ranks[:-1].copy(), np.zeros_like(count)
        low[0] = ranks[1] - 1
        tail[0], tail[-1] = -size[0], size[-1]
        count[[0, -1]] = 0
        valid = (count > 0) | (tail != 0)
        volume = np.log(np.maximum(count, 1.0))
        volume[[0, -1]] = -np.log(-np.expm1(-1 / size[[0, -1]]))
        tails = np.array([low[0], 1 / size[0], ranks[-2], 1 / size[-1]])
        steps = self._grid_moments(atoms, low, count, tail)
        origin, step = self.grid
        moments = np.stack([origin + step * steps[:, 0], step**2 * steps[:, 1]], 1)
        return volume, np.stack([low, count, tail], 1), moments, valid, tails

    @staticmethod
    def _grid_moments(atoms: Array, low: Array, count: Array, tail: Array) -> Array:
        """Mean and variance of the place on the grid in each bin, ``[bins, 2]``."""
        thresholds = atoms - np.arange(len(atoms))  # a rank from here on lies above the atom
        found = []
        for first, n, size in zip(low, count, tail, strict=True):
            skipped = (thresholds <= first).sum()
            if size >= 0:
                passed = thresholds[(thresholds > first)] - first
            else:
                passed = first - thresholds[(thresholds <= first)] + 1
            if size:
                mean, square = _geometric_moments(passed, abs(size))
                mean, spread = math.copysign(1, size) * mean, square - mean**2
            else:
                mean, spread = _uniform_moments(passed[passed < n], max(n, 1.0))
            found.append((first + skipped + mean, spread))
        return np.array(found)


def _geometric_moments(passed: Array, size: float) -> tuple[float, float]:
    """``E[X]`` and ``E[X^2]`` of ``X = k + sum_i [k >= passed_i]`` with ``P(k >= m) = r^m``."""
    r, rest = math.exp(-1 / size), -math.expm1(-1 / size)
    above = r**passed
    mean, square = r / rest, r * (1 + r) / rest**2
    pairs = r ** np.maximum.outer(passed, passed)
    both = (above * (passed + r / rest)).sum()
    return float(mean + above.sum()), float(square + 2 * both + pairs.sum())


def _uniform_moments(passed: Array, n: float) -> tuple[float, float]:
    """Mean and variance of ``X = k + sum_i [k >= passed_i]`` with ``k`` uniform below ``n``."""
    above = (n - passed) / n
    mean = (n - 1) / 2 + above.sum()
    both = (above * (passed + n - 1) / 2).sum()
    pairs = ((n - np.maximum.outer(passed, passed)) / n).sum()
    return float(mean), float((n - 1) * (2 * n - 1) / 6 + 2 * both + pairs - mean**2)


def bin_edges(column: Column) -> Array:
    """The edges of at least two bins."""
    edges = np.unique(np.asarray(column.edges, dtype=np.float64))
    if len(edges) < 2:
        centre = edges[0] if len(edges) else column.shift
        return np.array([centre - column.scale, centre, centre + column.scale])
    return np.insert(edges, 1, edges.mean()) if len(edges) == 2 else edges


def _pad(rows: Sequence[Array], width: int, value: float) -> Array:
    padded = np.full((len(rows), width), value)
    for row, own in zip(padded, rows, strict=True):
        row[: len(own)] = own
    return padded
