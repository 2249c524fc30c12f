"""Files of other programs with matrices: MATLAB (.mat) and AnnData (.h5ad)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._registry import register
from ..errors import DataError
from ..notes import Argument, Note, message
from ._compression import check_size, data_name, open_file
from ._formatting import format_count, format_list, source_error, suggest_nearest
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration
from ._tables import import_extra


@register(
    ReaderRegistration(
        name="mat",
        title="MATLAB",
        suffixes=(".mat",),
        reads="the array `key`, or the only one, with labels in another array",
        use_when="files of MATLAB up to version 7.2",
        cost='the extra "formats"',
        avoid_when="the format is yours to choose; use npz",
    )
)
def read_mat(path: Path, options: ReadOptions) -> RawData:
    """An array of a MATLAB file; a sparse matrix becomes dense."""
    origin, allow_large = f'file "{path}"', options.reading.allow_large
    scipy_io = import_extra("scipy.io", "reading .mat files", "formats")
    with open_file(path, allow_large) as handle:
        if b"MATLAB 7.3" in handle.read(128) or _is_hdf5(handle):
            raise source_error(
                f"{origin} is of version 7.3, which is HDF5", "Write it with save(..., '-v7')"
            )
        handle.seek(0)
        sizes = scipy_io.whosmat(handle)
        check_size(sum(8 * math.prod(shape) for _, shape, _ in sizes), origin, allow_large)
        handle.seek(0)
        found = scipy_io.loadmat(handle)
    arrays = {name: value for name, value in found.items() if not name.startswith("__")}
    others = [name for name in arrays if name != options.labels]
    key = options.key or (others[0] if len(others) == 1 else None)
    if key is None:
        raise several_arrays_error(origin, others)
    values = get_array(arrays, "key", key, origin)
    raw = (
        RawData(data_name(path), origin, values)
        if isinstance(values, np.ndarray)
        else dense_rows(values, data_name(path), origin, allow_large)
    )
    if options.labels is None:
        return raw
    return raw.with_labels(np.ravel(get_array(arrays, "labels", options.labels, origin)))


@register(
    ReaderRegistration(
        name="h5ad",
        title="AnnData",
        suffixes=(".h5ad",),
        reads="the matrix X, or the layer `key`, with the names of the genes; labels and context "
        "are columns of obs",
        use_when="counts of genes in cells",
        cost='the extra "formats"; a sparse matrix becomes dense',
        avoid_when="the matrix does not fit into the memory, or the file comes from a stranger: a "
        "damaged file can block the HDF5 library",
    )
)
def read_h5ad(path: Path, options: ReadOptions) -> RawData:
    """The matrix of an AnnData file; a sparse matrix becomes dense."""
    origin = f'file "{path}"'
    h5py = import_extra("h5py", "reading .h5ad files", "formats")
    with open_file(path, options.reading.allow_large) as handle, h5py.File(handle, "r") as file:
        names = ["X", *file.get("layers", ())]
        key = options.key or "X"
        if key not in names:
            raise _unknown_name(names, "key", key, origin)
        stored = file["X"] if key == "X" else file["layers"][key]
        raw = _read_matrix(h5py, stored, data_name(path), origin, options.reading.allow_large)
        columns = _read_obs(file["var"], file["var"].attrs.get("_index", "_index"))
        raw = RawData(raw.name, origin, raw.values, columns=tuple(map(str, columns)))
        if options.labels is None:
            return raw
        if options.labels not in file["obs"]:
            raise _unknown_name(list(file["obs"]), "labels", options.labels, origin)
        return raw.with_labels(_read_obs(file["obs"], options.labels))


def dense_rows(matrix: Any, name: str, origin: str, allow_large: bool | None) -> RawData:
    """The rows of a SciPy sparse matrix.

    Raises:
        DataError: The dense array would fill the memory, or an index is outside of the matrix.
    """
    check_size(math.prod(matrix.shape) * matrix.dtype.itemsize, origin, allow_large)
    if matrix.format in ("csr", "csc", "bsr"):
        matrix.check_format(full_check=True)
    share = matrix.nnz / max(1, math.prod(matrix.shape))
    text = f"Read a sparse matrix with {share:.0%} of its cells filled; the others are 0."
    note = Note("sparse_matrix", text, data={"share": share, "format": matrix.format})
    return RawData(name, origin, matrix.toarray(), notes=(note,))


def get_array(arrays: Mapping[str, Any], argument: str, name: str, origin: str) -> Any:
    """An array by its name.

    Raises:
        DataError: There is no such array.
    """
    if name not in arrays:
        raise _unknown_name(arrays, argument, name, origin)
    return arrays[name]


def several_arrays_error(origin: str, names: Collection[str]) -> DataError:
    """The error for a file with several arrays, or none."""
    return DataError(
        f"{origin} holds {format_count(len(names), 'array')}: {format_list(names)}",
        argument="key",
        suggestions=(message("Choose one with {key}", key=Argument("key", "...")),),
    )


def _unknown_name(names: Collection[str], argument: str, name: str, origin: str) -> DataError:
    """The error for a name that a file does not have."""
    return DataError(
        f"{origin} holds {format_list(names)}",
        argument=argument,
        value=name,
        suggestions=suggest_nearest(name, names, argument),
    )


def _is_hdf5(handle: Any) -> bool:
    """Whether a file begins as HDF5 does."""
    handle.seek(0)
    return handle.read(4) == b"\x89HDF"


def _read_matrix(
    h5py: Any, stored: Any, name: str, origin: str, allow_large: bool | None
) -> RawData:
    """A dense or sparse matrix of an AnnData file."""
    if isinstance(stored, h5py.Dataset):
        check_size(stored.nbytes, origin, allow_large)
        return RawData(name, origin, stored[()])
    sparse = import_extra("scipy.sparse", "reading sparse matrices", "formats")
    kind = str(stored.attrs["encoding-type"]).removesuffix("_matrix")
    if kind not in ("csr", "csc"):
        raise source_error(f'{origin} holds a matrix of the unknown encoding "{kind}"')
    parts = {part: stored[part] for part in ("data", "indices", "indptr")}
    check_size(sum(part.nbytes for part in parts.values()), origin, allow_large)
    shape = tuple(int(side) for side in stored.attrs["shape"])
    matrix = getattr(sparse, f"{kind}_matrix")(tuple(part[()] for part in parts.values()), shape)
    return dense_rows(matrix, name, origin, allow_large)


def _read_obs(group: Any, name: str) -> np.ndarray:
    """A column of a table of an AnnData file, as text or numbers."""
    stored = group[name]
    if "categories" in stored:
        names = [*_as_text(stored["categories"][()]), None]  # the code -1 is a missing cell
        return np.array([names[code] for code in stored["codes"][()]], dtype=object)
    return _as_text(stored[()])


def _as_text(values: np.ndarray) -> np.ndarray:
    """Numbers as they are, bytes as text."""
    if values.dtype.kind not in "OS":
        return values
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=object)
