"""What a file holds, by its first bytes: the true cause where its ending says something else."""

from __future__ import annotations

import re

_BEGINNINGS: dict[bytes, str] = {
    b"PK\x03\x04": "a ZIP archive (.zip, .npz, .xlsx)",
    b"\x1f\x8b": "gzip (.gz)",
    b"BZh": "bzip2 (.bz2)",
    b"\xfd7zXZ\0": "xz (.xz)",
    b"\x28\xb5\x2f\xfd": "Zstandard (.zst)",
    b"PAR1": "Parquet (.parquet)",
    b"ARROW1": "Arrow (.arrow)",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x89HDF": "HDF5 (.h5ad, .mat of version 7.3)",
    b"MATLAB 5.0": "MATLAB (.mat)",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)",
    b"\x80\x04\x95": "a pickle of Python objects (.pkl)",
    b"version https://git-lfs": "the address of a file in Git LFS; fetch it with git lfs pull",
}
_HTML = re.compile(rb"\s*<(!doctype html|html|\?xml)", re.IGNORECASE)


def describe_content(head: bytes, prefix: str = "") -> str:
    """The format that the first bytes of a file show, after ``prefix``; ``""`` if unknown.

    >>> describe_content(b"PAR1...", "it holds "), describe_content(b"a,b")
    ('it holds Parquet (.parquet)', '')
    """
    if _HTML.match(head):
        return f"{prefix}a web page (HTML or XML)"
    return next(
        (f"{prefix}{name}" for start, name in _BEGINNINGS.items() if head.startswith(start)), ""
    )
