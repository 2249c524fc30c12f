"""A script that copies the arrays of a MATLAB or AnnData file to an .npz archive.

It runs in a process of its own, because the libraries of these formats crash or hang on damaged
files, and imports nothing of this package.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def extract_mat(path: str, limit: int) -> dict[str, Any]:
    """All arrays of numbers and text of a MATLAB file; a sparse matrix as its parts."""
    import scipy.io
    import scipy.sparse

    needed = sum(8 * int(np.prod(shape, dtype=object)) for _, shape, _ in scipy.io.whosmat(path))
    if needed > limit:
        return {"expanded:size": needed}
    arrays: dict[str, Any] = {}
    for name, value in scipy.io.loadmat(path).items():
        if scipy.sparse.issparse(value):
            arrays |= _sparse_parts(name, value.tocsr())
        elif not name.startswith("__") and not value.dtype.hasobject:
            arrays[name] = value
    return arrays


def extract_h5ad(path: str, limit: int, key: str, *obs: str) -> dict[str, Any]:
    """A matrix of an AnnData file as ``X``, the names of its columns, and columns of ``obs``."""
    import h5py

    file: Any
    with h5py.File(path, "r") as file:
        matrices = ["X", *file.get("layers", ())]
        arrays: dict[str, Any] = {"names:X": matrices, "names:obs": list(file["obs"])}
        if key in matrices:
            stored = file["X"] if key == "X" else file["layers"][key]
            parts = [stored] if isinstance(stored, h5py.Dataset) else list(stored.values())
            needed = sum(part.nbytes for part in parts)
            if needed > limit:
                return {"expanded:size": needed}
            arrays |= _read_matrix(h5py, stored)
            arrays["columns"] = _read_column(file["var"], file["var"].attrs.get("_index", "_index"))
        wanted = [name for name in obs if name in file["obs"]]
        return arrays | {f"obs:{name}": _read_column(file["obs"], name) for name in wanted}


def _read_matrix(h5py: Any, stored: Any) -> dict[str, Any]:
    """A dense matrix, or the parts of a sparse one."""
    if isinstance(stored, h5py.Dataset):
        return {"X": stored[()]}
    kind = str(stored.attrs["encoding-type"]).removesuffix("_matrix")
    parts = {f"X:{part}": stored[part][()] for part in ("data", "indices", "indptr")}
    return parts | {"X:shape": stored.attrs["shape"], "X:format": kind}


def _sparse_parts(name: str, matrix: Any) -> dict[str, Any]:
    """The parts of a sparse matrix by rows."""
    parts = {part: getattr(matrix, part) for part in ("data", "indices", "indptr", "shape")}
    return {f"{name}:{part}": value for part, value in parts.items()} | {f"{name}:format": "csr"}


def _read_column(group: Any, name: str) -> np.ndarray:
    """A column of a table of an AnnData file, numbers or text; ``""`` where a class is missing."""
    stored = group[name]
    if "categories" in stored:
        names = np.append(_to_text(stored["categories"][()]), "")
        return names[stored["codes"][()]]  # the code of a missing class is -1
    return _to_text(stored[()])


def _to_text(values: np.ndarray) -> np.ndarray:
    """Numbers as they are, bytes as text."""
    if values.dtype.kind not in "OS":
        return values
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values])


if __name__ == "__main__":
    kind, source, target, limit, *arguments = sys.argv[1:]
    extract = {"mat": extract_mat, "h5ad": extract_h5ad}[kind]
    np.savez(target, allow_pickle=False, **extract(source, int(limit), *arguments))
