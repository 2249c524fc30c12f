"""Matrices of other programs: MATLAB (.mat), AnnData (.h5ad, also in memory) and SciPy."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .._memory import available_memory
from .._registry import register
from ..errors import DataError
from ..notes import Argument, Note, message
from ._compression import COMPRESSED_SUFFIXES, check_size, data_name, open_file
from ._context import LABEL_COLUMN_NAMES, ContextColumn
from ._formatting import format_count, format_list, source_error, suggest_nearest
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration
from ._sparse_rows import SparseRows, is_sparse_matrix
from ._tables import import_extra

INDEX_BYTES = 8  # of a sparse matrix, for each row and each filled cell
FORMAT_TITLES = {"mat": "MATLAB", "h5ad": "AnnData"}
MAX_FILLED_SHARE = 1 / 4  # of a sparse matrix: above, dense rows take about as much memory
MIN_SECONDS, BYTES_PER_SECOND = 60, 10e6  # that a library of a format may take


@register(
    ReaderRegistration(
        name="mat",
        title="MATLAB",
        suffixes=(".mat",),
        reads="the array `key`, or the only one, with labels in another array",
        use_when="files of MATLAB up to version 7.2",
        cost='the extra "formats"; a second, for a process of its own',
        avoid_when="the format is yours to choose; use npz",
    )
)
def read_mat(path: Path, options: ReadOptions) -> RawData:
    """An array of a MATLAB file."""
    origin = f'file "{path}"'
    import_extra("scipy.io", "reading .mat files", "formats")
    with open_file(path, options.reading.allow_large) as handle:
        head = handle.read(128)
    if b"MATLAB 7.3" in head or head.startswith(b"\x89HDF"):
        raise source_error(
            f"{origin} is of version 7.3, which is HDF5", "Write it with save(..., '-v7')"
        )
    arrays = _extract("mat", path, options)
    names = list(dict.fromkeys(name.split(":")[0] for name in arrays))
    others = [name for name in names if name != options.labels]
    key = options.key or (others[0] if len(others) == 1 else None)
    if key is None:
        raise several_arrays_error(origin, others)
    for argument, name in (("key", key), ("labels", options.labels)):
        if name is not None and name not in names:
            raise _unknown_name(names, argument, name, origin)
    raw = _to_raw(arrays, key, path, options)
    return raw if options.labels is None else raw.with_labels(np.ravel(arrays[options.labels]))


@register(
    ReaderRegistration(
        name="h5ad",
        title="AnnData",
        suffixes=(".h5ad",),
        reads="the matrix X, or the layer `key`, with the names of the genes; labels and context "
        "are columns of obs",
        use_when="counts of genes in cells",
        cost='the extra "formats"; a sparse matrix stays sparse in memory',
        avoid_when="the filled cells do not fit into the memory",
    )
)
def read_h5ad(path: Path, options: ReadOptions) -> RawData:
    """The matrix of an AnnData file, with columns of ``obs`` as labels and context."""
    origin, key = f'file "{path}"', options.key or "X"
    import_extra("h5py", "reading .h5ad files", "formats")
    wanted = [name for name in (options.labels, *options.condition) if name]
    arrays = _extract("h5ad", path, options, key, *wanted)
    if key not in arrays["names:X"]:
        raise _unknown_name(arrays["names:X"].tolist(), "key", key, origin)
    obs = {name: _to_cells(arrays[f"obs:{name}"]) for name in wanted if f"obs:{name}" in arrays}
    for argument, names in (("labels", [options.labels]), ("condition", options.condition)):
        for name in names:
            if name and name not in obs and name not in LABEL_COLUMN_NAMES:
                raise _unknown_name(arrays["names:obs"].tolist(), argument, name, origin)
    matrix = _get_matrix(arrays, "X", origin)
    raw = _annotated(matrix, tuple(map(str, arrays["columns"])), origin, data_name(path), options)
    raw = replace(raw, context_columns=_context_columns(obs, options, origin))
    return (
        raw
        if options.labels is None
        else raw.with_labels(get_array(obs, "labels", options.labels, origin))
    )


def read_sparse(arrays: Mapping[str, np.ndarray], origin: str) -> Any:
    """A sparse matrix from the arrays that SciPy writes: format, shape, and the parts of it.

    Raises:
        DataError: The format is not known.
    """
    sparse = import_extra("scipy.sparse", "reading sparse matrices", "formats")
    kind = np.asarray(arrays["format"]).astype(str).item()
    shape = tuple(int(side) for side in arrays["shape"])
    if kind == "coo":
        return sparse.coo_matrix((arrays["data"], (arrays["row"], arrays["col"])), shape)
    if kind == "dia":
        return sparse.dia_matrix((arrays["data"], arrays["offsets"]), shape)
    if kind in ("csr", "csc", "bsr"):
        parts = (arrays["data"], arrays["indices"], arrays["indptr"])
        return getattr(sparse, f"{kind}_matrix")(parts, shape)
    raise source_error(f'{origin} holds a sparse matrix of the unknown format "{kind}"')


def from_sparse(matrix: Any, name: str, origin: str, allow_large: bool | None) -> RawData:
    """The rows of a SciPy sparse matrix, which stay sparse where few cells are filled.

    Raises:
        DataError: They would fill the memory, or an index is outside of the matrix.
    """
    cell = INDEX_BYTES + matrix.dtype.itemsize
    check_size(INDEX_BYTES * matrix.shape[0] + cell * matrix.nnz, origin, allow_large)
    if matrix.format in ("csr", "csc", "bsr"):
        try:
            matrix.check_format(full_check=True)
        except ValueError as error:
            raise source_error(f"{origin} is not a valid sparse matrix: {error}") from error
    share = matrix.nnz / max(1, math.prod(matrix.shape))
    is_sparse = share <= MAX_FILLED_SHARE
    if not is_sparse:
        check_size(math.prod(matrix.shape) * matrix.dtype.itemsize, origin, allow_large)
    text = f"Read a sparse matrix with {share:.0%} of its cells filled; the others are 0."
    data = {"share": share, "format": matrix.format, "stays_sparse": is_sparse}
    values = SparseRows.from_scipy(matrix) if is_sparse else matrix.toarray()
    return RawData(name, origin, values, notes=(Note("sparse_matrix", text, data=data),))


def from_matrix(source: Any, options: ReadOptions) -> RawData:
    """A sparse matrix of SciPy in memory."""
    options.check_unsupported("the sparse matrix", "key", "labels")
    large = options.reading.allow_large
    return from_sparse(source, "array", "the sparse matrix", large)


def is_annotated(source: Any) -> bool:
    """Whether the source is a matrix with tables of its rows and columns, as ``AnnData`` is."""
    return all(hasattr(source, part) for part in ("X", "obs", "var", "var_names"))


def from_annotated(source: Any, options: ReadOptions) -> RawData:
    """The matrix ``X`` of an ``AnnData`` object, or its layer ``key``.

    Labels and context are columns of ``obs``; columns are matched by the names of the genes.

    Raises:
        DataError: A name is not known.
    """
    origin, key = "the AnnData object", options.key or "X"
    layers = {"X": source.X, **source.layers}
    matrix = get_array(layers, "key", key, origin)
    if matrix is None:
        raise source_error(f"{origin} has no matrix X", "Choose a layer by its name")
    matrix = matrix.to_memory() if hasattr(matrix, "to_memory") else matrix
    raw = _annotated(matrix, tuple(map(str, source.var_names)), origin, "array", options)
    obs = {str(name): _to_cells(source.obs[name]) for name in source.obs}
    raw = replace(raw, context_columns=_context_columns(obs, options, origin))
    if options.labels is None:
        return raw
    return raw.with_labels(get_array(obs, "labels", options.labels, origin))


def _annotated(
    matrix: Any, names: tuple[str, ...], origin: str, name: str, options: ReadOptions
) -> RawData:
    """The rows of a matrix whose columns have names, those of ``options`` in their order."""
    if options.columns is not None and options.columns != names:
        places = {name: place for place, name in reversed(tuple(enumerate(names)))}
        unknown = [name for name in options.columns if name not in places]
        if unknown:
            raise source_error(f"{origin} has no column {format_list(unknown, 5)}")
        matrix = matrix.tocsc() if is_sparse_matrix(matrix) else np.asarray(matrix)
        matrix, names = matrix[:, [places[each] for each in options.columns]], options.columns
    if is_sparse_matrix(matrix):
        raw = from_sparse(matrix, name, origin, options.reading.allow_large)
    else:
        raw = RawData(name, origin, np.asarray(matrix))
    return replace(raw, columns=names)


def _context_columns(
    obs: Mapping[str, np.ndarray], options: ReadOptions, origin: str
) -> tuple[ContextColumn, ...]:
    """The columns that a model is conditioned on."""
    names = [name for name in options.condition if name not in LABEL_COLUMN_NAMES or name in obs]
    return tuple(ContextColumn(name, get_array(obs, "condition", name, origin)) for name in names)


def _to_cells(column: Any) -> np.ndarray:
    """A column of a table: numbers, or text and ``None`` where a cell is empty."""
    cells = np.asarray(column)
    if cells.dtype.kind in "biuf":
        return cells
    return np.array([None if x is None or x != x or x == "" else str(x) for x in cells], object)


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


def _to_raw(
    arrays: Mapping[str, np.ndarray], key: str, path: Path, options: ReadOptions
) -> RawData:
    """The array ``key``, or the sparse matrix of which it names the parts."""
    name, origin = data_name(path), f'file "{path}"'
    matrix = _get_matrix(arrays, key, origin)
    if is_sparse_matrix(matrix):
        return from_sparse(matrix, name, origin, options.reading.allow_large)
    return RawData(name, origin, matrix)


def _get_matrix(arrays: Mapping[str, np.ndarray], key: str, origin: str) -> Any:
    """The array ``key``, or the sparse matrix of which it names the parts."""
    if key in arrays:
        return arrays[key]
    parts = ("data", "indices", "indptr", "shape", "format")
    return read_sparse({part: arrays[f"{key}:{part}"] for part in parts}, origin)


def _extract(kind: str, path: Path, options: ReadOptions, *arguments: str) -> dict[str, np.ndarray]:
    """The arrays of a file, read by ``_extract.py`` in another process.

    Raises:
        DataError: The process failed, crashed or took too long, or the arrays are too large.
    """
    origin, allow_large = f'file "{path}"', options.reading.allow_large
    limit = sys.maxsize if allow_large else int((available_memory() or sys.maxsize) / 2)
    with tempfile.TemporaryDirectory() as folder:
        source, target = path, Path(folder) / "arrays.npz"
        if path.suffix.lower() in COMPRESSED_SUFFIXES:
            source = Path(folder) / "source"
            with open_file(path, allow_large) as handle:
                source.write_bytes(handle.read())
        script = Path(__file__).with_name("_extract.py")
        command = [sys.executable, "-P", script, kind, source, target, str(limit), *arguments]
        seconds = MIN_SECONDS + source.stat().st_size / BYTES_PER_SECOND
        try:
            done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired as error:
            raise source_error(f"{origin} is damaged: its library did not end") from error
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().split("\n")
            reason = lines[-1] if done.returncode > 0 else "its library crashed"
            raise source_error(f"{origin} cannot be read as {FORMAT_TITLES[kind]} ({reason})")
        with np.load(target, allow_pickle=False) as archive:
            arrays = dict(archive)
    if "expanded:size" in arrays:
        check_size(int(arrays["expanded:size"]), origin, allow_large)
    return arrays
