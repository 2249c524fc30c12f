"""Loading of a data set in many files: two passes over the files, then a file of encoded rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np

from .._files import create_folder
from .._locks import FolderLock
from ..errors import ArgumentError, DataError
from ..notes import Note
from ._dataset import Dataset
from ._formatting import format_count, format_shape
from ._mixed_tables import parse_kinds
from ._named_datasets import cache_folder
from ._part_sources import PartSource, part_sources, remaining_fractions, split_note
from ._raw import ReadOptions
from ._reading import Reading
from ._row_sample import RowSample, row_ranks
from ._rows import Rows
from ._schema import Schema
from ._schema_builder import SchemaBuilder
from ._shard_cache import (
    RowFile,
    cache_key,
    load_part,
    read_record,
    save_part,
    stored_dtype,
    write_record,
)
from ._shards import ShardBlock, Shards, block_rows, is_shards
from ._spec import Spec
from ._splits import DEFAULT_SPLIT, PartName, check_split
from ._tables import SourceTable, import_extra, to_narwhals

HELD_OUT_ROWS = 10_000  # of validation and of test rows, which are kept in memory
SAMPLE_ROWS, SAMPLE_BYTES = 50_000, 1 << 28  # from which everything but the schema is chosen
_UNSUPPORTED = ("condition", "weights", "binarise", "lengths", "memory_map", "allow_missing_labels")
_PART_SETTINGS = ("validation", "test", "validation_key", "test_key")
_PART_SETTINGS += ("validation_labels", "test_labels")

P = ParamSpec("P")
Load = Callable[..., Dataset]
LoadAs = Callable[..., Rows]


def loads_shards(load_as: LoadAs) -> Callable[[Callable[P, Dataset]], Callable[P, Dataset]]:
    """Let a function that loads one source load many files as well.

    Args:
        load_as: Loads rows for a spec.
    """

    def decorate(load: Callable[P, Dataset]) -> Callable[P, Dataset]:
        @wraps(load)
        def load_any(*args: P.args, **settings: P.kwargs) -> Dataset:
            source, cache = args[0] if args else settings.get("source"), settings.get("cache")
            if is_shards(source):
                others = _without_names(settings, "source", "cache")
                return ShardLoader(Shards.of(source), others, load_as, load).load(cache)
            if cache is not None:
                raise ArgumentError(
                    "rows are encoded into a folder where the source has many files",
                    argument="cache",
                    value=cache,
                    suggestions=("Leave it out",),
                )
            return load(*args, **settings)

        return load_any

    return decorate


def loads_shards_as(load_as: Callable[P, Rows]) -> Callable[P, Rows]:
    """Let a function that loads one source for a spec load many files as well."""

    @wraps(load_as)
    def load_any(*args: P.args, **settings: P.kwargs) -> Rows:
        source, spec = args if len(args) > 1 else (*args, settings.get("spec"))
        if not is_shards(source) or not isinstance(spec, Spec):
            return load_as(*args, **settings)
        others = _without_names(settings, "source", "spec")
        return ShardLoader(Shards.of(source), others, load_as).load_as(spec)

    return load_any


def _without_names(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Settings without some."""
    return {name: value for name, value in settings.items() if name not in names}


@dataclass
class ShardLoader:
    """The data set of many files.

    The first pass learns the schema and draws a sample, from which the spec is made and of which
    validation and test rows are a part. The second pass encodes all other rows into a file.

    Args:
        shards: The files.
        settings: The arguments of ``load`` or ``load_as``.
        read_as: Loads the rows of one source for a spec.
        read: Loads one source; ``None`` where the spec is known.
    """

    shards: Shards
    settings: Mapping[str, Any]
    read_as: LoadAs
    read: Load | None = None

    def load(self, cache: Any = None) -> Dataset:
        """The data set, from the file of encoded rows where it was made before.

        Args:
            cache: The folder of encoded rows, by default one for all data sets of this user.

        Raises:
            DataError: The files cannot be read, or do not belong together.
            ArgumentError: A setting that is not for many files.
            RunError: The encoded rows cannot be written.
        """
        self._check_settings()
        root = cache_folder().parent / "shards" if cache is None else Path(os.fspath(cache))
        folder = root.expanduser() / cache_key(self.shards, self.settings)
        found = self._open(folder)
        if found is not None:
            return found
        create_folder(folder)
        with FolderLock(folder):
            self._build(folder)
        made = self._open(folder)
        assert made is not None
        return made

    def load_as(self, spec: Spec) -> Rows:
        """All rows, encoded for a spec.

        Args:
            spec: How rows are encoded.

        Raises:
            DataError: The files cannot be read, or the model cannot take their rows.
            ArgumentError: A setting that is not for many files.
            RunError: The encoded rows cannot be written.
        """
        self._check_settings()
        key = cache_key(self.shards, {**self.settings, "spec": spec.to_dict()})
        folder = cache_folder().parent / "shards" / key
        file, record = RowFile(folder, stored_dtype(spec), spec.event_shape), read_record(folder)
        if record is None or not file.is_whole(record.get("rows")):
            create_folder(folder)
            with FolderLock(folder):
                record = {"rows": file.write(self._iter_rows(spec, None), 0)}
                write_record(folder, record)
        return replace(file.rows(record["rows"]), offset=spec.offset)

    def _check_settings(self) -> None:
        for name in _UNSUPPORTED:
            value = self.settings.get(name)
            if value is not None and value is not False:
                raise ArgumentError(
                    "this is not for data in many files",
                    argument=name,
                    value=value,
                    suggestions=("Leave it out, or join the files into one",),
                )
        for name, wanted in (("order", "random"), ("labels", None)):
            value = self.settings.get(name, wanted)
            if value != wanted and not (name == "labels" and isinstance(value, str)):
                raise ArgumentError(
                    "this is not for data in many files", argument=name, value=value
                )
        check_split(self.settings.get("split", DEFAULT_SPLIT), "random", self._seed)

    @property
    def _seed(self) -> int:
        return self.settings.get("seed", 0)

    @property
    def _labels(self) -> str | None:
        return self.settings.get("labels")

    @property
    def _options(self) -> ReadOptions:
        """How files are read."""
        names = {each.name for each in fields(Reading)} & self.settings.keys()
        reading = Reading(**{name: self.settings[name] for name in names})
        reading = reading.merge(self.settings.get("reading", Reading()))
        return ReadOptions(self.settings.get("key"), reading=reading)

    def _open(self, folder: Path) -> Dataset | None:
        """The data set of a finished folder."""
        record = read_record(folder)
        if record is None:
            return None
        try:
            spec = Spec.from_dict(record["spec"])
            file = RowFile(folder, record["dtype"], tuple(record["row_shape"]))
            parts = file.rows(record["rows"]), *(load_part(folder, n) for n in record["parts"])
        except (DataError, OSError, ValueError, KeyError, TypeError):  # damaged: written again
            return None
        train, validation, test = (replace(rows, offset=spec.offset) for rows in parts)
        return Dataset(train, validation, test, spec)

    def _build(self, folder: Path) -> None:
        """Encode all rows into a folder."""
        first = self._read_sample()
        own = self._own_parts()
        validation, test, rest = self._divide(first, own)
        spec = self._choose(first, rest)
        parts: dict[PartName, Rows] = {
            "validation": self._encode_part(first, spec, validation, own.get("validation")),
            "test": self._encode_part(first, spec, test, own.get("test")),
        }
        held_out = np.concatenate([validation, test])
        limit = int(first.ranks[held_out].max()) if len(held_out) else None
        file = RowFile(folder, stored_dtype(spec), spec.event_shape)
        expected = first.sample.rows_seen - len(held_out)
        count = file.write(self._iter_rows(spec, limit), expected)
        for name, rows in parts.items():
            save_part(folder, name, rows)
        every: dict[PartName, Rows] = {"train": file.rows(count), **parts}
        spec = self._describe(spec, every, own, len(rest), folder)
        write_record(
            folder,
            {
                "spec": spec.to_dict(),
                "rows": count,
                "dtype": file.dtype,
                "row_shape": list(spec.event_shape),
                "parts": list(parts),
            },
        )

    def _divide(
        self, first: _FirstPass, own: Mapping[PartName, PartSource]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The places of validation, test and other rows in the sample."""
        fractions = remaining_fractions(self.settings.get("split", DEFAULT_SPLIT), own)
        most = min(HELD_OUT_ROWS, len(first.ranks) // 3)
        sizes = [min(most, round(each * first.sample.rows_seen)) for each in fractions[1:]]
        parts = np.split(np.argsort(first.ranks), np.cumsum(sizes))
        validation, test, rest = map(np.sort, parts)
        return validation, test, rest

    def _own_parts(self) -> dict[PartName, PartSource]:
        """The parts that have a source of their own."""
        given: dict[PartName, PartSource] = {
            "validation": self._part("validation"),
            "test": self._part("test"),
        }
        return part_sources(self.shards, self.settings.get("key"), self._labels, None, given)

    def _part(self, name: PartName) -> PartSource:
        get = self.settings.get
        return PartSource(name, get(name), get(f"{name}_key"), get(f"{name}_labels"))

    def _read_sample(self) -> _FirstPass:
        """Read all rows once.

        Raises:
            DataError: The files hold no rows, or other columns or shapes.
        """
        found: _FirstPass | None = None
        for file, block in self.shards.iter_blocks(self._options):
            with _errors_of(file):
                found = found or _FirstPass.begin(file, block, self._options, self._seed)
                found.add(block, self._labels, self.settings.get("likelihood") is None)
        if found is None:
            raise DataError("the files hold no rows", argument="source")
        return found

    def _choose(self, first: _FirstPass, places: np.ndarray) -> Spec:
        """The spec of the data."""
        settings = _without_names(self.settings, *_PART_SETTINGS)
        settings |= {"name": self.settings.get("name") or self.shards.name, "split": (1, 0, 0)}
        if first.builder is not None:
            unseen, kinds = settings.get("unseen", "missing"), settings.get("kinds")
            if not isinstance(kinds, Schema):
                schema = first.builder.schema(kinds=parse_kinds(kinds), unseen=unseen)
                settings["kinds"] = schema if kinds is not None or not _is_plain(schema) else None
        assert self.read is not None
        return self.read(first.subset(places), **settings).spec

    def _encode_part(
        self, first: _FirstPass, spec: Spec, places: np.ndarray, own: PartSource | None
    ) -> Rows:
        """Validation or test rows."""
        if own is not None:
            labels = (
                None if spec.schema is not None and own.labels == spec.label_column else own.labels
            )
            return self.read_as(own.source, spec, key=own.key, labels=labels)
        if not len(places):
            return Rows.from_array(np.zeros((0, *spec.event_shape), np.float32))
        labels = None if spec.schema is not None else self._labels
        return self.read_as(first.subset(places), spec, labels=labels)

    def _iter_rows(self, spec: Spec, limit: int | None) -> Iterator[Rows]:
        """The training rows, encoded block by block.

        Args:
            spec: How rows are encoded.
            limit: The largest rank of rows that are held out.
        """
        start = 0
        for file, block in self.shards.iter_blocks(self._options):
            ranks = row_ranks(start, len(block_rows(block)), self._seed)
            start += len(ranks)
            if limit is not None:
                block = _take(block, np.flatnonzero(ranks > np.uint64(limit)))
            if not len(block_rows(block)):
                continue
            with _errors_of(file):
                yield self.read_as(_without(block, self._labels), spec)

    def _describe(
        self,
        spec: Spec,
        parts: Mapping[PartName, Rows],
        own: Mapping[PartName, PartSource],
        sampled: int,
        folder: Path,
    ) -> Spec:
        """The spec with notes on all rows in the place of those on the sample."""
        total = sum(len(rows) for name, rows in parts.items() if name not in own)
        files, noun = len(self.shards.files), "row" if spec.kind == "table" else spec.item_noun
        read = next(note for note in spec.notes if note.code == "data_read")
        how = f"at random with seed {self._seed}"
        notes = (
            replace(
                read,
                message=f"Read {format_count(total, noun)} of shape "
                f"{format_shape(spec.event_shape)} from {format_count(files, 'file')}.",
                data={**read.data, "rows": total, "files": files},
            ),
            split_note(parts, own, how),
            Note(
                "choices_sampled",
                f"Likelihood and scaling rest on {format_count(sampled, 'training row')}, kinds of "
                "columns on all.",
                data={"rows": sampled},
            ),
            Note(
                "rows_in_file",
                f'Encoded rows are kept in "{folder}" and read batch by batch.',
                data={"folder": str(folder)},
            ),
        )
        kept = (note for note in spec.notes if note.code not in ("data_read", "split"))
        return replace(spec, notes=(*notes, *kept), train_rows=len(parts["train"]))


@dataclass
class _FirstPass:
    """What the first pass over the files found.

    Args:
        file: The first file.
        table: The first block of a table, without its rows; ``None`` for arrays.
        shape: The shape of a row of an array.
        sample: The sample of the rows.
        builder: The statistics of the columns of a table.
    """

    file: Path
    table: SourceTable | None
    shape: tuple[int, ...]
    sample: RowSample[Any]
    builder: SchemaBuilder | None = None

    @classmethod
    def begin(cls, file: Path, block: ShardBlock, options: ReadOptions, seed: int) -> _FirstPass:
        """Begin with the first block."""
        rows = block_rows(block)
        shape = tuple(rows.shape[1:])
        size = min(SAMPLE_ROWS, max(1000, SAMPLE_BYTES // (8 * int(np.prod(shape)))))
        sample = RowSample[Any](size, seed)
        if not isinstance(block, SourceTable):
            return cls(file, None, shape, sample)
        missing = options.reading.missing or ()
        builder = SchemaBuilder(missing=missing, decimal=block.usual_decimal)
        return cls(file, replace(block, texts=None), shape, sample, builder=builder)

    def add(self, block: ShardBlock, labels: str | None, learn: bool) -> None:
        """Add a block.

        Raises:
            DataError: It does not belong to the rows before.
        """
        rows = block_rows(block)
        if isinstance(block, SourceTable) != (self.table is not None):
            raise DataError(f"it is no {'array' if self.table is None else 'table'}")
        if self.table is None and tuple(rows.shape[1:]) != self.shape:
            raise DataError(
                f'its rows have the shape {tuple(rows.shape[1:])}, and those of "{self.file}" '
                f"{self.shape}"
            )
        self.sample.add(rows)
        if self.builder is not None and learn:
            self.builder.update(rows.drop(labels, strict=False) if labels else rows)
        elif self.table is not None and set(rows.columns) != set(self.table.frame.columns):
            raise DataError(f'it has other columns than "{self.file}"')

    @property
    def ranks(self) -> np.ndarray:
        """The ranks of the sampled rows."""
        return self.sample.ranks()

    def subset(self, places: np.ndarray) -> Any:
        """Some of the sampled rows, as a source."""
        blocks = self.sample.blocks()
        if self.table is None:
            return np.concatenate(blocks)[places]
        polars = import_extra("polars", "reading tables")
        names = self.table.frame.columns
        frames = [block.select(names).to_native() for block in blocks]
        joined = polars.concat(frames, how="vertical_relaxed")
        return replace(self.table, frame=to_narwhals(joined[places]))


@contextmanager
def _errors_of(file: Path) -> Iterator[None]:
    """Let a ``DataError`` name the file that is read."""
    try:
        yield
    except DataError as error:
        if error.argument not in (None, "frame", "source"):
            raise
        raise DataError(
            error.reason, argument="source", value=str(file), suggestions=error.suggestions
        ) from error


def _is_plain(schema: Schema) -> bool:
    """Whether a table holds nothing but complete real numbers."""
    plain = all(each.kind == "continuous" and not each.missing for each in schema.modelled)
    return plain and not schema.derived


def _take(block: ShardBlock, places: np.ndarray) -> ShardBlock:
    """Some rows of a block."""
    if isinstance(block, SourceTable):
        return replace(block, frame=block.frame[places], texts=None)
    return block[places]


def _without(block: ShardBlock, column: str | None) -> ShardBlock:
    """A block without the column of labels."""
    if column is None or not isinstance(block, SourceTable):
        return block
    names: Sequence[str] = [name for name in block.frame.columns if name != column]
    return replace(block, frame=block.frame.select(names))
