"""Row numbers of a selection of rows."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def resolve_index(
    row_index: range | np.ndarray, index: slice | np.ndarray | Tensor
) -> range | np.ndarray:
    """The numbers of the rows ``index`` among the rows ``row_index``.

    >>> resolve_index(range(2, 8), slice(1, 3)), resolve_index(range(2, 8), np.array([-1]))
    (range(3, 5), array([7]))
    """
    if isinstance(index, slice):
        return row_index[index]
    places = np.asarray(index)
    if places.dtype == bool:
        places = np.flatnonzero(places)
    if len(places) and not -len(row_index) <= places.min() <= places.max() < len(row_index):
        raise IndexError(f"row {int(places.max())} of {len(row_index)}")
    if isinstance(row_index, np.ndarray):
        return row_index[places]
    return row_index.start + row_index.step * (places % max(len(row_index), 1))
