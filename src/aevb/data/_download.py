"""Downloads of named data sets: checked, and written only when complete."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import DataError
from ._named_datasets import DatasetFile, NamedDataset, cache_folder, get_named_dataset

DownloadProgress = Callable[[str, int, int | None], None]
DOWNLOAD_CHUNK_BYTES = 1 << 18
AMAT_URL = (
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_{}.amat"
)
AMAT_SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}


def download_dataset(name: str, on_progress: DownloadProgress | None = None) -> Path:
    """Download a named data set, unless it is on this computer already.

    Args:
        name: The name of the data set; see ``list_datasets``.
        on_progress: Called with the name of a file, the number of bytes so far and the total number
            of bytes (``None`` where it is unknown).

    Returns:
        The folder that holds the data set.

    Raises:
        ArgumentError: The name is unknown.
        DataError: The download fails, or its content is not the published file.

    Example:
        >>> download_dataset("digits").name
        'files'
    """
    dataset = get_named_dataset(name)
    folder = dataset.find_folder()
    if folder is not None:
        return folder
    if dataset.manual_instructions:
        raise dataset.missing_error(" and cannot be downloaded in this layout")
    _DOWNLOADERS.get(dataset.name, _download_files)(dataset, on_progress or _ignore_progress)
    return cache_folder()


def _download_files(dataset: NamedDataset, on_progress: DownloadProgress) -> None:
    """Download the files that are missing."""
    for file in dataset.files:
        if not (cache_folder() / file.path).is_file():
            _write_atomically(cache_folder() / file.path, _download(dataset, file, on_progress))


def _download(dataset: NamedDataset, file: DatasetFile, on_progress: DownloadProgress) -> bytes:
    """The content of the first address that returns the published bytes."""
    failures = []
    for url in file.urls:
        try:
            content = _read_url(url, on_progress)
        except OSError as error:
            failures.append(f"{url}: {error}")
            continue
        if hashlib.sha256(content).hexdigest() == file.sha256:
            return content
        failures.append(f"{url}: the SHA-256 differs from that of the published file")
    raise _download_error(file.path, "; ".join(failures), dataset)


def _download_error(what: str, reason: str, dataset: NamedDataset) -> DataError:
    """The error for a failed download."""
    return DataError(
        f"{what} could not be downloaded ({reason})",
        argument="name",
        suggestions=(dataset.placement,),
    )


def _read_url(url: str, on_progress: DownloadProgress) -> bytes:
    """The content of an address; every failure is an ``OSError``."""
    import http.client
    import urllib.request

    content = bytearray()
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            length = response.headers.get("Content-Length")
            while chunk := response.read(DOWNLOAD_CHUNK_BYTES):
                content += chunk
                on_progress(url.rsplit("/", 1)[-1], len(content), int(length) if length else None)
    except http.client.HTTPException as error:
        raise OSError(f"the connection failed: {error!r}") from error
    return bytes(content)


def _write_atomically(path: Path, content: bytes) -> None:
    """Write a temporary file and rename it, so that a file under its final name is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _download_binarized(dataset: NamedDataset, on_progress: DownloadProgress) -> None:
    """Pack the published texts of zeros and ones into bits: 2 MB instead of 110 MB."""
    import io

    packed = {part: _download_packed(dataset, part, on_progress) for part in AMAT_SHA256}
    archive = io.BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **packed)
    _write_atomically(cache_folder() / dataset.files[0].path, archive.getvalue())


def _download_packed(dataset: NamedDataset, part: str, on_progress: DownloadProgress) -> np.ndarray:
    """The packed bits of one part, after a check of the published text."""
    url = AMAT_URL.format(part)
    try:
        bits = parse_amat(_read_url(url, on_progress), math.prod(dataset.event_shape))
    except (OSError, ValueError) as error:
        raise _download_error(url, str(error), dataset) from error
    if hashlib.sha256(format_amat(bits)).hexdigest() != AMAT_SHA256[part]:
        raise _download_error(url, "its content is not the published text", dataset)
    return np.packbits(bits, axis=1)


def parse_amat(text: bytes, width: int) -> np.ndarray:
    """The zeros and ones of a text with any separators, uint8 ``[N, width]``.

    >>> parse_amat(b"0 1 1\\n1 0 0\\n", width=3)
    array([[0, 1, 1],
           [1, 0, 0]], dtype=uint8)
    """
    codes = np.frombuffer(text, np.uint8)
    return (codes[(codes == ord("0")) | (codes == ord("1"))] - ord("0")).reshape(-1, width)


def format_amat(bits: np.ndarray) -> bytes:
    """Bits ``[N, D]`` as the text whose SHA-256 is known: a space between bits, a row per line.

    >>> format_amat(np.array([[0, 1]], dtype=np.uint8))
    b'0 1\\n'
    """
    text = np.full((len(bits), 2 * bits.shape[1]), ord(" "), np.uint8)
    text[:, ::2] = bits + ord("0")
    text[:, -1] = ord("\n")
    return text.tobytes()


def _ignore_progress(name: str, done: int, total: int | None) -> None:
    """Show no progress."""


_DOWNLOADERS: dict[str, Callable[[NamedDataset, DownloadProgress], None]] = {
    "binarized-mnist": _download_binarized
}
