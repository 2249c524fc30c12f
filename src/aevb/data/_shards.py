"""One data set in many files, read in blocks of bounded size."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ..errors import DataError
from ._columns import EMPTY_CELL_TEXTS
from ._compression import uncompressed_name
from ._formatting import source_error
from ._memory_map import MappedRows
from ._raw import ReadOptions
from ._readers import convert_read_errors, find_reader, read_path
from ._reading import TEXT_SETTINGS
from ._sparse_rows import SparseRows
from ._tables import SourceTable, import_extra, read_source_table, to_narwhals
from ._text_format import SAMPLE_BYTES, TextTable, parse_text_table
from ._text_tables import read_texts, usual_decimal_of

ShardBlock = SourceTable | np.ndarray
WHOLE_BYTES = 1 << 28  # larger files are read in blocks, where their format allows it
BLOCK_CELLS, MAX_BLOCK_ROWS = 1 << 22, 1 << 16
_MAGIC = set("*?[")


@dataclass(frozen=True)
class Shards:
    """Files that together hold the rows of one data set.

    ``aevb.data.load`` reads them in blocks, so that the memory does not depend on the number of
    rows.

    Args:
        files: The files, in the order of their rows.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for part in range(2):
        ...     np.save(folder / f"part-{part}.npy", np.zeros((10, 3)))
        >>> len(Shards.of(str(folder / "*.npy")).files)
        2
    """

    files: tuple[Path, ...]

    @classmethod
    def of(cls, source: Any) -> Shards:
        """The files of a pattern or of a list.

        Args:
            source: A pattern such as ``"shards/*.parquet"`` (``**`` stands for any folders), a list
                of paths and patterns, or ``Shards``, which are returned.

        Returns:
            The files; those of a pattern in alphabetical order.

        Raises:
            DataError: A file is missing, twice in the list, or no file fits a pattern.
        """
        if isinstance(source, Shards):
            return source
        each = [source] if isinstance(source, str | os.PathLike) else source
        files = tuple(file for item in each for file in _files_of(os.fspath(item)))
        repeated = next((file for file in files if files.count(file) > 1), None)
        if repeated is not None:
            raise source_error(f'file "{repeated}" is in the list twice', "Name each file once")
        return cls(files)

    @property
    def name(self) -> str:
        """The name of the data set: that of the folder, or of the only file."""
        return self.files[0].stem if len(self.files) == 1 else self.files[0].parent.name or "shards"

    def iter_blocks(self, options: ReadOptions) -> Iterator[tuple[Path, ShardBlock]]:
        """Read all rows in blocks of bounded size.

        Args:
            options: How files are read.

        Yields:
            The file of a block, and its rows: an array ``[B, *event]`` or a table.

        Raises:
            DataError: A file cannot be read, or is too large for its format.
        """
        for file in self.files:
            with convert_read_errors(file):
                for block in _iter_file(file, options):
                    if len(block_rows(block)):
                        yield file, block


def is_shards(source: Any) -> TypeGuard[Any]:
    """Whether a source stands for several files: a pattern, ``Shards``, or a list of paths.

    >>> is_shards("data/*.npy"), is_shards(["a.npy", "b.npy"]), is_shards([[1.0, 2.0]])
    (True, True, False)
    """
    if isinstance(source, Shards):
        return True
    if isinstance(source, str | os.PathLike):
        text = os.fspath(source)
        return bool(_MAGIC & set(text)) and not os.path.exists(text)
    is_list = isinstance(source, list | tuple) and len(source) > 0
    return is_list and all(isinstance(each, str | os.PathLike) for each in source)


def block_rows(block: ShardBlock) -> Any:
    """The array or the narwhals frame of a block, whose length is the number of rows."""
    return block.frame if isinstance(block, SourceTable) else block


def _files_of(item: str) -> list[Path]:
    """The files of a path or a pattern."""
    path = Path(item).expanduser()
    if path.exists():
        return [path]
    found = sorted(glob.glob(str(path), recursive=True)) if _MAGIC & set(item) else []
    if not found:
        raise DataError("no file has such a name", argument="source", value=item)
    return [Path(each) for each in found]


def _iter_file(path: Path, options: ReadOptions) -> Iterator[ShardBlock]:
    """The rows of a file, in blocks where it is large."""
    suffix = Path(uncompressed_name(path)).suffix.lower()
    if path.suffix == ".npy":
        yield from _iter_array(path)
    elif path.suffix == ".parquet" and options.key is None:
        yield from _iter_parquet(path)
    elif path.is_file() and path.stat().st_size > WHOLE_BYTES:
        if path.suffix != suffix or suffix not in (".csv", ".tsv", ".txt"):
            raise source_error(
                f'file "{path}" is large, and its format is not read in blocks',
                "Write it as Parquet, as .npy or as CSV in UTF-8, or divide it into smaller files",
            )
        yield from _iter_text(path, options)
    elif find_reader(path).table is not None and options.key is None:
        yield read_source_table(path, options)
    else:
        values = read_path(path, options).unpack().values
        if isinstance(values, SparseRows):
            raise source_error(
                f'file "{path}" is a sparse matrix, of which several are not read as one data set',
                "Join them: scipy.sparse.vstack(matrices)",
            )
        yield np.asarray(values)


def _iter_array(path: Path) -> Iterator[np.ndarray]:
    """The rows of an array, read and not mapped, so that the process does not grow."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not len(array):
        return
    rows = MappedRows.from_memmap(array)
    step = _block_size(int(np.prod(array.shape[1:])))
    for start in range(0, len(rows), step):
        yield np.asarray(rows[start : start + step])


def _iter_parquet(path: Path) -> Iterator[SourceTable]:
    """The rows of a Parquet file."""
    polars = import_extra("polars", "reading Parquet files")
    scan = polars.scan_parquet(path)
    yield from _iter_scan(scan, SourceTable(None, path.stem, f'file "{path}"'))


def _iter_text(path: Path, options: ReadOptions) -> Iterator[SourceTable]:
    """The rows of a large table in text, whose format is that of its beginning."""
    polars = import_extra("polars", "reading CSV files")
    head = _read_head(path, options)
    origin = f'file "{path}"'
    decimal = options.reading.decimal or usual_decimal_of(read_texts(polars, head, origin))
    empty = {form for text in EMPTY_CELL_TEXTS for form in (text, text.upper(), text.title())}
    scan = polars.scan_csv(
        path,
        separator=head.delimiter,
        has_header=False,
        skip_lines=head.first_line - 1,
        new_columns=list(head.names),
        comment_prefix="#" if head.comments else None,
        null_values=sorted(empty),
        infer_schema_length=None,
        decimal_comma=decimal == ",",
    )
    table = SourceTable(
        None, path.stem, origin, notes=head.notes, usual_decimal=decimal, settings=TEXT_SETTINGS
    )
    yield from _iter_scan(scan, table)


def _read_head(path: Path, options: ReadOptions) -> TextTable:
    """The format of a table in text from its beginning.

    Raises:
        DataError: It is none that can be read in blocks.
    """
    with open(path, "rb") as handle:
        content = handle.read(SAMPLE_BYTES)
    content = content[: content.rfind(b"\n") + 1]
    head = parse_text_table(content, options.reading, f'file "{path}"')
    by_blanks = head.delimiter == "\t" and b"\t" not in content
    if by_blanks or any(note.code == "encoding_detected" for note in head.notes):
        raise source_error(
            f'file "{path}" is large, and only text in UTF-8 with delimiters is read in blocks',
            "Write it as Parquet, or divide it into smaller files",
        )
    return head


def _iter_scan(scan: Any, table: SourceTable) -> Iterator[SourceTable]:
    """The rows of a polars scan."""
    size = _block_size(len(scan.collect_schema()))
    for frame in scan.collect_batches(chunk_size=size, maintain_order=True):
        yield replace(table, frame=to_narwhals(frame))


def _block_size(cells: int) -> int:
    """The number of rows of so many cells in a block."""
    return max(1, min(MAX_BLOCK_ROWS, BLOCK_CELLS // max(cells, 1)))
