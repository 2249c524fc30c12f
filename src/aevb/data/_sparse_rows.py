"""Rows of a sparse matrix, of which only cells other than 0 are in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._row_index import resolve_index

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class SparseRows:
    """Rows of a sparse matrix, with the part of a tensor's interface that ``Rows`` uses.

    Indexing selects cells; ``np.asarray``, ``tensor`` and ``index_select`` make dense rows. The
    cells stay in the memory of the CPU: those of a batch are copied to the device, which fills in
    the zeros.

    Args:
        indptr: Where the cells of each row begin and end, int64 ``[N + 1]``.
        indices: The column of each cell, ascending within a row, ``[cells]``.
        data: The value of each cell, ``[cells]``.
        n_columns: The number of columns.
        device: The device of dense rows.

    Example:
        >>> rows = SparseRows(np.array([0, 1, 1]), np.array([2]), np.array([7]), 3)
        >>> np.asarray(rows)
        array([[0, 0, 7],
               [0, 0, 0]])
    """

    indptr: np.ndarray
    indices: np.ndarray
    data: np.ndarray
    n_columns: int
    device: torch.device = CPU

    @classmethod
    def from_scipy(cls, matrix: Any) -> SparseRows:
        """The rows of a sparse matrix of SciPy, whose memory they share where they can."""
        rows = matrix.tocsr()
        if not rows.has_canonical_format:
            rows = rows.copy() if rows is matrix else rows
            rows.sum_duplicates()
        return cls(rows.indptr.astype(np.int64), rows.indices, rows.data, rows.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """``[N, columns]``."""
        return len(self), self.n_columns

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the cells."""
        return self.data.dtype

    @property
    def row_numbers(self) -> np.ndarray:
        """The row of each cell, int64 ``[cells]``."""
        return np.repeat(np.arange(len(self)), np.diff(self.indptr))

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.indptr) - 1

    def __getitem__(self, index: slice | np.ndarray | Tensor) -> SparseRows:
        """The rows ``index``; rows in succession share the memory of the cells."""
        rows = resolve_index(range(len(self)), index)
        if isinstance(rows, range) and rows.step == 1 and len(rows):
            indptr = self.indptr[rows.start : rows.stop + 1]
            cells: Any = slice(indptr[0], indptr[-1])
            indptr = indptr - indptr[0]
        else:
            rows = np.asarray(rows, np.int64)
            start, lengths = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
            indptr = np.concatenate([[0], np.cumsum(lengths)])
            cells = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], lengths)
        return replace(self, indptr=indptr, indices=self.indices[cells], data=self.data[cells])

    def joined_with(self, other: SparseRows) -> SparseRows:
        """These rows, followed by other rows of the same columns."""
        indptr = np.concatenate([self.indptr, self.indptr[-1] + other.indptr[1:]])
        indices, data = (
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("indices", "data")
        )
        return replace(self, indptr=indptr, indices=indices, data=data)

    def reshape(self, *shape: int) -> np.ndarray:
        """Dense rows in another shape ``[N, *row]``."""
        return np.asarray(self).reshape(*shape)

    def astype(self, dtype: np.dtype, copy: bool = True) -> SparseRows:
        """The same rows with cells of another dtype."""
        return replace(self, data=self.data.astype(dtype, copy=copy))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Make dense rows."""
        dense = np.zeros(self.shape, dtype or self.dtype)
        dense[self.row_numbers, self.indices] = self.data
        return dense

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Make dense rows ``index`` (int64 ``[B]``) on the device."""
        return self[index].tensor()

    def tensor(self) -> Tensor:
        """Make all rows dense on the device."""
        cells = torch.from_numpy(self.row_numbers * self.n_columns + self.indices)
        data = torch.from_numpy(self.data)
        dense = torch.zeros(len(self) * self.n_columns, dtype=data.dtype, device=self.device)
        dense[cells.to(self.device)] = data.to(self.device)
        return dense.view(self.shape)

    def to(self, device: torch.device | str) -> SparseRows:
        """The same rows, which become dense on another device."""
        return replace(self, device=torch.device(device))


def is_sparse_matrix(source: Any) -> bool:
    """Whether the source is a sparse matrix of SciPy, which need not be installed."""
    return callable(getattr(source, "tocsr", None)) and len(getattr(source, "shape", ())) == 2
