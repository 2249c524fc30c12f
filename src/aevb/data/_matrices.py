"""Files of other programs with matrices: MATLAB (.mat) and AnnData (.h5ad)."""

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
from ._formatting import format_count, format_list, source_error, suggest_nearest
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration
from ._tables import import_extra

FORMAT_TITLES = {"mat": "MATLAB", "h5ad": "AnnData"}
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
    """An array of a MATLAB file; a sparse matrix becomes dense."""
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
        cost='the extra "formats"; a sparse matrix becomes dense',
        avoid_when="the matrix does not fit into the memory",
    )
)
def read_h5ad(path: Path, options: ReadOptions) -> RawData:
    """The matrix of an AnnData file; a sparse matrix becomes dense."""
    origin, key = f'file "{path}"', options.key or "X"
    import_extra("h5py", "reading .h5ad files", "formats")
    arrays = _extract("h5ad", path, options, key, options.labels or "")
    if key not in arrays["names:X"]:
        raise _unknown_name(arrays["names:X"].tolist(), "key", key, origin)
    raw = _to_raw(arrays, "X", path, options)
    raw = replace(raw, columns=tuple(map(str, arrays["columns"])))
    if options.labels is None:
        return raw
    if "labels" not in arrays:
        raise _unknown_name(arrays["names:obs"].tolist(), "labels", options.labels, origin)
    labels = arrays["labels"].astype(object) if arrays["labels"].dtype.kind == "U" else None
    if labels is None:
        return raw.with_labels(arrays["labels"])
    return raw.with_labels(np.where(labels == "", np.array(None), labels))


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


def _to_raw(
    arrays: Mapping[str, np.ndarray], key: str, path: Path, options: ReadOptions
) -> RawData:
    """The array ``key``, or the sparse matrix of which it names the parts."""
    name, origin = data_name(path), f'file "{path}"'
    if key in arrays:
        return RawData(name, origin, arrays[key])
    parts = {part: arrays[f"{key}:{part}"] for part in ("data", "indices", "indptr")}
    parts |= {part: arrays[f"{key}:{part}"] for part in ("shape", "format")}
    return dense_rows(read_sparse(parts, origin), name, origin, options.reading.allow_large)


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
