"""What scikit-learn passes as ``X``, as a data frame, and results in the form of ``X``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from ..data._array_frames import frame_of_array
from ..data._frame_libraries import library_of
from ..data._sparse_rows import is_sparse_matrix
from ..data._tables import to_narwhals
from ..errors import DataError
from ..networks import Column

MIN_ROWS = 2  # of a fit: a row each for training and validation


def is_data_frame(X: Any) -> bool:
    """Whether ``X`` is a data frame of a library that narwhals reads."""
    from narwhals.dependencies import is_into_dataframe

    return is_into_dataframe(X)


@dataclass(frozen=True)
class Table:
    """Rows as a data frame.

    Args:
        frame: The data frame.
        dtype: The dtype of the array that they came in; None for a data frame.
    """

    frame: Any
    dtype: str | None


def read_table(estimator: BaseEstimator, X: Any, *, reset: bool, names: list[str] | None) -> Table:
    """The rows of ``X`` as a data frame with the names that the estimator knows.

    Args:
        estimator: The estimator, whose ``n_features_in_`` and ``feature_names_in_`` are set with
            ``reset``, and otherwise compared.
        X: An array, a list of rows, a sparse matrix or a data frame.
        reset: Whether the estimator is fitted.
        names: The names of the columns of an estimator that is fitted.
    """
    if not is_data_frame(X):
        return _read_array(estimator, X, reset, names)
    validate_data(estimator, X, skip_check_array=True, reset=reset)
    table, least = to_narwhals(X, "X"), MIN_ROWS if reset else 1
    if len(table) < least:
        raise DataError(
            f"`X` has {len(table)} sample(s), and at least {least} are needed", argument="X"
        )
    if names is None or [*table.columns] == names:
        return Table(X, None)
    return Table(table.rename(dict(zip(table.columns, names, strict=True))).to_native(), None)


def _read_array(estimator: BaseEstimator, X: Any, reset: bool, names: list[str] | None) -> Table:
    """The rows of an array, a list or a sparse matrix as a data frame."""
    values: Any = validate_data(
        estimator,
        X,
        reset=reset,
        dtype=None,
        accept_sparse="csr",
        ensure_all_finite="allow-nan",
        ensure_min_samples=MIN_ROWS if reset else 1,
    )
    values = values.toarray() if is_sparse_matrix(values) else np.asarray(values)
    names = names or [f"x{place}" for place in range(values.shape[1])]
    dtype = values.dtype.name if values.dtype.kind in "biuf" else "object"
    return Table(frame_of_array(values, names), dtype)


def in_form_of(frame: Any, dtype: str | None) -> Any:
    """A data frame as it is, or as an array of a dtype; whole numbers with gaps as float64."""
    if dtype is None:
        return frame
    table = to_narwhals(frame)
    if dtype == "object":
        columns = [np.array(table[name].to_list(), dtype=object) for name in table.columns]
        return np.stack(columns, 1)
    values = np.stack([table[name].to_numpy().astype(float) for name in table.columns], 1)
    return values if np.isnan(values).any() else values.astype(dtype)


def make_frame(columns: Mapping[str, np.ndarray], like: Any) -> Any:
    """A data frame of the library of ``like``, which lends its index; of the installed one else."""
    import narwhals

    table = to_narwhals(like) if is_data_frame(like) else None
    frame = narwhals.from_dict(dict(columns), backend=library_of(table).name).to_native()
    if table is not None and hasattr(like, "index"):
        frame.index = like.index
    return frame


def has_numbers(column: Column) -> bool:
    """Whether a column has more than two numbers, which are no dates or identifiers."""
    if column.kind in ("ordinal", "derived"):
        levels = column.levels
        return levels is None or (
            len(levels) > 2 and all(isinstance(each, int | float) for each in levels)
        )
    return column.kind in ("positive", "bounded", "count", "integer", "spiky")


def missing_masks(frame: Any) -> dict[str, np.ndarray]:
    """Which cells of each column are None, NaN or NaT."""
    table = to_narwhals(frame)
    return {name: _missing(table[name]) for name in table.columns}


def _missing(series: Any) -> np.ndarray:
    """Which cells of a narwhals series are missing."""
    empty = series.is_null().to_numpy()
    if series.dtype.is_float():
        return empty | np.isnan(series.to_numpy().astype(float))
    return empty.astype(bool)


def with_columns(
    frame: Any, kept: Sequence[str], values: Mapping[str, float], added: Mapping[str, np.ndarray]
) -> Any:
    """Some columns of a frame, of which some numbers get a value in every row, and others.

    Args:
        frame: The frame.
        kept: The names of its columns that are kept, as texts.
        values: A value for all cells of some of them; text stays as it is.
        added: Further columns.
    """
    import narwhals

    table = narwhals.from_native(frame, eager_only=True)
    native = {str(name): name for name in table.columns}
    constant = [
        narwhals.lit(value).cast(table[native[name]].dtype).alias(native[name])
        for name, value in values.items()
        if table[native[name]].dtype.is_numeric()
    ]
    table = table.select([native[name] for name in kept]).with_columns(constant)
    if not added:
        return table.to_native()
    if table.implementation.is_pandas():  # which aligns series by their index
        return table.to_native().assign(**added)
    backend = table.implementation
    series = [narwhals.new_series(name, mask, backend=backend) for name, mask in added.items()]
    return table.with_columns(series).to_native()
