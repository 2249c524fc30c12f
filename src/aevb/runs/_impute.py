"""Imputation of the missing cells of a table, as data frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import inference
from ..data import Column, Rows, Schema
from ..data._column_statistics import is_missing_cell
from ..data._columns import CellRules
from ..data._decode_frame import complete_frame
from ..data._encode_frame import read_columns
from ..data._formatting import format_list
from ..data._frame_libraries import level_text
from ..data._load import is_frame
from ..data._raw import ReadOptions
from ..data._reading import Reading
from ..data._tables import SourceTable, read_source_table
from ..data._text_cells import TextCells
from ..data._write_frame import write_frame
from ..errors import DataError, IncompatibleError
from ..inference import Imputation
from ..inference._impute import FEW_SAMPLES
from ..likelihoods import Columns
from ..likelihoods._likelihood import Likelihood
from ..networks._column import Level
from ..notes import Argument, Note, message
from ..types import ProgressCallback
from ._matching import Donors, match_observed

if TYPE_CHECKING:
    from ._run import Run

MAX_CELLS_AT_ONCE = 1 << 18  # cells that are decoded together


@dataclass(frozen=True)
class TableImputation:
    """A table with imputed cells; observed cells and columns outside the model are unchanged.

    Args:
        frame: The table: missing cells hold their conditional mean, or their most probable level.
        low: The lower ends of predictive intervals in the place of missing cells of numbers and
            dates; missing levels stay empty, and so do columns that are functions of another one.
        high: The upper ends.
        sets: Of each column of levels, by the row of each missing cell, counted from 0: the fewest
            levels that together have at least the probability ``level``, each with its own
            probability, the most probable first.
        draws: Tables completed by draws, which vary as much as the data leave open.
        effective_sample_size: Effective sample size of each row, NaN where no cell is missing.
        filled: Number of filled cells by column.
        level: Probability of intervals and sets.
        samples: Number of importance samples.
        notes: What needs attention.
        empty: Which cells of each column of the model were empty, derived ones included.
        texts: The cells of a text file as they are in it; None for other sources.
    """

    frame: Any
    low: Any
    high: Any
    sets: Mapping[str, Mapping[int, Mapping[Level, float]]]
    draws: Sequence[Any]
    effective_sample_size: Tensor
    filled: Mapping[str, int]
    level: float
    samples: int
    notes: tuple[Note, ...]
    empty: Mapping[str, np.ndarray]
    texts: TextCells | None = None

    @property
    def filled_rows(self) -> int:
        """Number of rows with filled cells."""
        return int(np.any([*self.empty.values()], 0).sum())

    def intervals(self) -> Any:
        """Return one line per filled cell, with what it may be.

        Returns:
            A data frame with ``row`` (counted from 0), ``column``, and as text ``value``, ``low``
            and ``high`` (of numbers and dates) and ``levels`` (such as ``"Female 0.93, Male
            0.07"``).
        """
        import narwhals

        lines = [line for name in self.empty for line in self._intervals_of(name)]
        names = ("row", "column", "value", "low", "high", "levels")
        columns = {name: [line[place] for line in lines] for place, name in enumerate(names)}
        schema = {name: narwhals.String() for name in names} | {"row": narwhals.Int64()}
        backend = narwhals.from_native(self.frame, eager_only=True).implementation
        return narwhals.from_dict(columns, schema, backend=backend).to_native()

    def _intervals_of(self, name: str) -> list[tuple[Any, ...]]:
        """The lines of a column."""
        rows = np.flatnonzero(self.empty[name])
        sets = self.sets.get(name)
        if sets is not None:
            values = _texts_of(self.frame, name, rows)
            return [
                (row, name, value, None, None, _describe_set(sets[row]))
                for row, value in zip(rows.tolist(), values, strict=True)
            ]
        cells = [_texts_of(each, name, rows) for each in (self.frame, self.low, self.high)]
        return [(row, name, *each, None) for row, *each in zip(rows.tolist(), *cells, strict=True)]

    def write(self, path: str | Path) -> tuple[Path, ...]:
        """Write the completed table, and each draw to a file of its own.

        In CSV, the cells and the delimiter of a text file are written as they are in it.

        Args:
            path: The file of the completed table; draws go to ``<name>-1`` and so on beside it.
                Endings are .csv, .parquet, .json and .jsonl.

        Returns:
            The paths of all files.

        Raises:
            ArgumentError: The ending is another one.
            RunError: A file cannot be written.
        """
        paths = output_paths(path, len(self.draws))
        for each, frame in zip(paths, (self.frame, *self.draws), strict=True):
            if each.suffix.lower() == ".csv" and self.texts is not None:
                self.texts.fill(frame, self.empty).write(each)
            else:
                write_frame(frame, each)
        return paths

    def to_dict(self) -> dict[str, Any]:
        """Convert the summary to values that JSON can hold."""
        return {
            "rows": len(self.effective_sample_size),
            "filled": dict(self.filled),
            "filled_rows": self.filled_rows,
            "draws": len(self.draws),
            "samples": self.samples,
            "level": self.level,
            "notes": [note.to_dict() for note in self.notes],
        }


def output_paths(path: str | Path, draws: int = 0) -> tuple[Path, ...]:
    """The files of a completed table and of its draws.

    >>> [str(each) for each in output_paths("new.csv", 2)]
    ['new.csv', 'new-1.csv', 'new-2.csv']
    """
    path = Path(path)
    return (path, *(path.with_stem(f"{path.stem}-{k}") for k in range(1, draws + 1)))


def _texts_of(frame: Any, name: str, rows: np.ndarray) -> list[str | None]:
    """Some cells of a column as text."""
    import narwhals

    cells = narwhals.from_native(frame, eager_only=True)[name][rows.tolist()].to_list()
    return [None if is_missing_cell(cell) else str(cell) for cell in cells]


def _describe_set(levels: Mapping[Level, float]) -> str:
    """Levels with their probabilities."""
    return ", ".join(f"{level_text(level)} {share:.2f}" for level, share in levels.items())


def impute_table(
    run: Run,
    source: Any = None,
    *,
    draws: int = 0,
    samples: int = 1000,
    level: float = 0.9,
    seed: int = 0,
    key: str | None = None,
    donors: Donors | None = None,
    on_progress: ProgressCallback | None = None,
    **reading: Any,
) -> TableImputation:
    """Impute the missing cells of a table; see ``Run.impute``."""
    schema = _beyond_observed(check_schema(run, "imputation"), run.model.likelihood)
    rows = run.rows(source, key=key, **reading)
    check_all_rows(rows)
    places = rows_with_missing_cells(rows)
    incomplete = rows.subset(places)
    found = inference.impute(
        run.model_for(incomplete),
        incomplete,
        samples,
        draws=draws,
        level=level,
        context=incomplete.context,
        seed=seed,
        max_pairs=pairs_at_once(run),
        on_progress=on_progress,
    )
    if donors is not None:
        found = match_observed(found, incomplete.tensor(), donors, seed=seed)
    found = _among_all_rows(found, rows, places)
    table, rules = source_table(run, source, rows, key, reading)
    frame = table.frame.to_native()

    def complete(cells: Tensor, derive: bool = True) -> Any:
        return complete_frame(schema, frame, cells, seed, rules, derive)

    empty = _empty_cells(schema, frame, rules)
    # that rows were trained on does not matter: their missing cells were not
    notes = (
        run.evaluation_notes(None, rows) if source is None else (*run.status_notes(), *rows.notes)
    )
    return TableImputation(
        frame=complete(found.x),
        low=complete(found.low, derive=False),
        high=complete(found.high, derive=False),
        sets=_level_sets(schema.modelled, found, empty),
        draws=complete(found.draws),
        effective_sample_size=found.effective_sample_size,
        filled={name: int(cells.sum()) for name, cells in empty.items()},
        level=level,
        samples=samples,
        notes=(*notes, *_few_samples_note(found, np.any([*empty.values()], 0))),
        empty=empty,
        texts=table.texts,
    )


def _beyond_observed(schema: Schema, likelihood: Likelihood) -> Schema:
    """The schema without the sign of columns of which a model takes the other one to be missing."""
    if not isinstance(likelihood, Columns):
        return schema
    slopes = likelihood.masked_columns()

    def free(column: Column) -> Column:
        slope = slopes.get(column.name, 0.0)
        return replace(
            column, low=None if slope < 0 else column.low, high=None if slope > 0 else column.high
        )

    return replace(schema, columns=tuple(map(free, schema.columns)))


def rows_with_missing_cells(rows: Rows) -> Tensor:
    """The numbers of the rows with missing cells, or of the first row where there are none."""
    has_missing = rows.tensor().isnan().flatten(1).any(1)
    return has_missing.nonzero()[:, 0] if has_missing.any() else torch.zeros(1, dtype=torch.long)


def _among_all_rows(found: Imputation, rows: Rows, places: Tensor) -> Imputation:
    """The imputation of some rows as one of all rows; the others have no missing cells."""
    x = rows.tensor()

    def fill(values: Tensor, like: Tensor = x) -> Tensor:
        return like.expand(*values.shape[: values.ndim - like.ndim], *like.shape).index_copy(
            values.ndim - like.ndim, places, values.to(like)
        )

    cells = found.categories.cells.cpu().clone()
    cells[:, 0] = places[cells[:, 0]]
    no_size = torch.full((len(rows),), torch.nan, dtype=torch.float64)
    return replace(
        found,
        x=fill(found.x),
        low=fill(found.low),
        high=fill(found.high),
        draws=fill(found.draws),
        spread=fill(found.spread, torch.zeros_like(x)),
        effective_sample_size=fill(found.effective_sample_size, no_size),
        categories=replace(found.categories, cells=cells),
    )


def pairs_at_once(run: Run) -> int:
    """Pairs of a draw and a row that are decoded together: many for rows of few cells."""
    return max(1024, MAX_CELLS_AT_ONCE // run.spec.dimensions)


def check_schema(run: Run, purpose: str) -> Schema:
    """The schema of the run's data.

    Raises:
        IncompatibleError: The data are no table of mixed columns.
    """
    if run.spec.schema is None:
        raise IncompatibleError(
            f"{purpose} needs a model of a table with a likelihood for each column, and "
            f"`{run.name}` was trained on complete rows of numbers",
            argument="run",
            suggestions=(
                message(
                    "Train it on the table with empty cells, or with {kinds}",
                    kinds=Argument("kinds", {"column": "continuous"}),
                ),
            ),
        )
    return run.spec.schema


def check_all_rows(rows: Rows) -> None:
    """Check that no row of a table was left out, so that results stand beside their rows.

    Raises:
        DataError: Some were.
    """
    for note in rows.notes:
        if note.code == "rows_dropped":
            raise DataError(
                f"{note.data['dropped']:,} of its rows have empty cells in "
                f"{format_list(note.data['columns'])}, which the model needs",
                argument="source",
                suggestions=("Fill the cells, or leave the rows out",),
            )


def source_table(
    run: Run, source: Any, rows: Rows, key: str | None, reading: Mapping[str, Any]
) -> tuple[SourceTable, CellRules]:
    """The table of a source, and how its cells are read; decoded rows where it is none."""
    schema = run.spec.schema
    assert schema is not None
    if not is_table(source):
        return read_source_table(schema.decode(rows)), CellRules()
    options = ReadOptions(key, reading=run.spec.reading.merge(Reading(**reading)))
    table = read_source_table(source, options)
    return table, table.cell_rules(options)


def is_table(source: Any) -> bool:
    """Whether a source is a path or a data frame."""
    return isinstance(source, str | os.PathLike) or is_frame(source)


def _empty_cells(schema: Schema, frame: Any, rules: CellRules) -> dict[str, np.ndarray]:
    """Which cells of each modelled column are empty; a category that is new is none of them."""
    _, encoded, derived = read_columns(schema, frame, rules)
    each = {**encoded, **derived}
    return {
        column.name: each[column.name].empty for column in schema.columns if column.name in each
    }


def _level_sets(
    columns: Sequence[Column], found: Imputation, empty: Mapping[str, np.ndarray]
) -> dict[str, dict[int, dict[Level, float]]]:
    """The sets of levels by column and row."""
    sets: dict[str, dict[int, dict[Level, float]]] = {
        column.name: {} for column in columns if column.levels is not None
    }
    categories = found.categories
    each = zip(
        categories.cells.tolist(),
        categories.probabilities.tolist(),
        categories.sets.tolist(),
        strict=True,
    )
    for (row, cell), probabilities, inside in each:
        column = columns[cell]
        if not empty[column.name][row]:
            continue
        pairs = [
            (level, probability)
            for level, probability, is_in in zip(
                column.levels or (), probabilities, inside, strict=False
            )
            if is_in
        ]
        sets[column.name][row] = dict(sorted(pairs, key=lambda pair: -pair[1]))
    x = found.x.flatten(1).cpu()
    for place, column in enumerate(columns):
        for row in np.flatnonzero(empty[column.name]).tolist():
            if column.levels is not None and row not in sets[column.name]:  # a derived column said
                sets[column.name][row] = {column.levels[int(x[row, place])]: 1.0}
    return sets


def _few_samples_note(found: Imputation, has_missing: np.ndarray) -> tuple[Note, ...]:
    """How many rows with missing cells rest on few effective samples."""
    few = (found.effective_sample_size < FEW_SAMPLES).cpu().numpy() & has_missing
    count, total = int(few.sum()), int(has_missing.sum())
    if not count:
        return ()
    return (
        Note(
            "few_effective_samples",
            message(
                f"{count:,} of {total:,} rows with missing cells rest on fewer than {FEW_SAMPLES} "
                "effective samples: increase {samples}.",
                samples=Argument("samples"),
            ),
            "warning",
            {"rows": count, "total": total},
        ),
    )
