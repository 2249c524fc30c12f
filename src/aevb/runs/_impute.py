"""Imputation of the missing cells of a table, as data frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from .. import inference
from ..data import Column, Rows, Schema
from ..data._columns import CellRules
from ..data._decode_frame import complete_frame
from ..data._encode_frame import encode_column, open_frame
from ..data._load import is_frame
from ..data._raw import ReadOptions
from ..data._reading import Reading
from ..data._tables import read_source_table
from ..errors import IncompatibleError
from ..inference import Imputation
from ..networks._column import Level
from ..notes import Argument, Note, message
from ..types import ProgressCallback

if TYPE_CHECKING:
    from ._run import Run

MAX_CELLS_AT_ONCE = 1 << 18  # cells that are decoded together
FEW_SAMPLES = 20  # an effective sample size below this is named


@dataclass(frozen=True)
class TableImputation:
    """A table with imputed cells; observed cells and columns outside the model are unchanged.

    Args:
        frame: The table: missing cells hold their conditional mean, or their most probable level.
        low: The lower ends of predictive intervals in the place of missing cells of numbers and
            dates; missing levels stay empty.
        high: The upper ends.
        sets: Of each column of levels, by the row of each missing cell, counted from 0: the fewest
            levels that together have at least the probability ``level``, each with its own
            probability, the most probable first.
        draws: Tables completed by draws, which vary as much as the data leave open.
        effective_sample_size: Effective sample size of each row.
        filled: Number of filled cells by column.
        level: Probability of intervals and sets.
        samples: Number of importance samples.
        notes: What needs attention.
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
    notes: tuple[Note, ...] = ()


def impute_table(
    run: Run,
    source: Any = None,
    *,
    draws: int = 0,
    samples: int = 1000,
    level: float = 0.9,
    seed: int = 0,
    key: str | None = None,
    on_progress: ProgressCallback | None = None,
    **reading: Any,
) -> TableImputation:
    """Impute the missing cells of a table; see ``Run.impute``."""
    schema = check_schema(run, "imputation")
    rows = run.rows(source, key=key, **reading)
    found = inference.impute(
        run.model_for(rows),
        rows,
        samples,
        draws=draws,
        level=level,
        context=rows.context,
        seed=seed,
        max_pairs=pairs_at_once(run),
        on_progress=on_progress,
    )
    frame, rules = source_frame(run, source, rows, key, reading)

    def complete(cells: Tensor) -> Any:
        return complete_frame(schema, frame, cells, seed, rules)

    empty = _empty_cells(schema, frame, rules)
    notes = run.evaluation_notes(source, rows)
    return TableImputation(
        frame=complete(found.x),
        low=complete(found.low),
        high=complete(found.high),
        sets=_level_sets(schema.modelled, found, empty),
        draws=complete(found.draws),
        effective_sample_size=found.effective_sample_size,
        filled={name: int(cells.sum()) for name, cells in empty.items()},
        level=level,
        samples=samples,
        notes=(*notes, *_few_samples_note(found, np.any([*empty.values()], 0))),
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


def source_frame(
    run: Run, source: Any, rows: Rows, key: str | None, reading: Mapping[str, Any]
) -> tuple[Any, CellRules]:
    """The data frame of a source, and how its cells are read; decoded rows where it is none."""
    schema = run.spec.schema
    assert schema is not None
    if not is_table(source):
        return schema.decode(rows), CellRules()
    options = ReadOptions(key, reading=run.spec.reading.merge(Reading(**reading)))
    table = read_source_table(source, options)
    return table.frame.to_native(), table.cell_rules(options)


def is_table(source: Any) -> bool:
    """Whether a source is a path or a data frame."""
    return isinstance(source, str | os.PathLike) or is_frame(source)


def _empty_cells(schema: Schema, frame: Any, rules: CellRules) -> dict[str, np.ndarray]:
    """Which cells of each modelled column are empty; a category that is new is none of them."""
    table = open_frame(schema, frame)
    return {
        column.name: encode_column(column, table[column.name], rules).empty
        for column in schema.modelled
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
