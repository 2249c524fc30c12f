"""Commands that complete and score the rows of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from . import _output_files as outputs
from ._console import ConsoleOutput, open_run
from ._options import (
    OPTION_GROUPS,
    RUN_GROUP,
    CommonOptions,
    Integer,
    Json,
    ReadingOptions,
    RunArgument,
    SamplesOption,
    TableOutputOptions,
    TrustSource,
)

if TYPE_CHECKING:
    from ..runs import Run, TableImputation, TableScores

SHOWN_ROWS = 5  # least likely rows
TableArgument = Annotated[
    str, Parameter(name="SOURCE", help="A table with the columns of the run's data, in any order.")
]


def impute(
    run: RunArgument,
    source: TableArgument,
    /,
    *,
    draws: Annotated[
        Integer,
        Parameter(
            help="Also write this many tables whose cells are drawn, which vary as much as the "
            "data leave open: completed-1.csv, completed-2.csv ...",
            group=RUN_GROUP,
        ),
    ] = 0,
    samples: SamplesOption = 1000,
    level: Annotated[
        float, Parameter(help="Probability of intervals and of sets of levels.", group=RUN_GROUP)
    ] = 0.9,
    intervals: Annotated[
        Path | None,
        Parameter(
            help="Also write a table with a line for each filled cell: its value, its interval, or "
            "its possible levels with their probabilities.",
            group=OPTION_GROUPS["Output"],
        ),
    ] = None,
    reading: ReadingOptions = ReadingOptions(),
    output: TableOutputOptions,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Fill the missing cells of a table: the table itself, with all other cells unchanged.

    A number becomes its conditional mean, a category its most probable level.
    """
    from ..runs._impute import output_paths

    console = ConsoleOutput(common.quiet, json)
    opened = open_run(run, common, console)
    outputs.check_tables(output, output_paths(output.out, draws), intervals)
    with console.progress_bar("missing cells", None) as advance:
        found = opened.impute(
            source,
            draws=draws,
            samples=samples,
            level=level,
            seed=common.seed,
            on_progress=advance,
            **reading.reading_arguments,
        )
    for note in found.notes:
        console.print_note(note)
    paths = found.write(output.out)
    if intervals is not None:
        outputs.write_table(found.intervals(), intervals)
    files = [str(path) for path in (*paths, *([intervals] if intervals else []))]
    if json:
        console.print_json(_record(opened, source, common) | {"out": files} | found.to_dict())
        return
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    console.print_paragraph("Filled", _filled_sentence(found))
    console.print_paragraph("Output", f"{', '.join(files)}.")


def _filled_sentence(found: TableImputation) -> str:
    """How many cells were filled, and in which columns."""
    filled = sorted(found.filled.items(), key=lambda item: -item[1])
    columns = ", ".join(f"{name} {count:,}" for name, count in filled if count)
    rows = len(found.effective_sample_size)
    if not columns:
        return f"no cell is missing in {rows:,} rows."
    cells = sum(found.filled.values())
    noun = "cell" if cells == 1 else "cells"
    return f"{cells:,} {noun} in {found.filled_rows:,} of {rows:,} rows: {columns}."


def score(
    run: RunArgument,
    source: TableArgument,
    /,
    *,
    samples: SamplesOption = 200,
    quantile: Annotated[
        float,
        Parameter(
            help="Rows below this quantile of the scores of the validation rows are unlikely.",
            group=RUN_GROUP,
        ),
    ] = 0.01,
    reading: ReadingOptions = ReadingOptions(),
    output: TableOutputOptions,
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Score rows by log p(x): which are unlikely, and which columns make them so.

    One line per row: log p(x) with its standard error, whether it is unlikely, and the three
    columns that lower it most, each with its surprise in nats.
    """
    console = ConsoleOutput(common.quiet, json)
    opened = open_run(run, common, console, trust_source)
    outputs.check_tables(output, (output.out,))
    with console.progress_bar("log p(x)", None) as advance:
        found = opened.score(
            source,
            samples=samples,
            quantile=quantile,
            seed=common.seed,
            on_progress=advance,
            **reading.reading_arguments,
        )
    for note in found.notes:
        if note.level == "warning" or note.code == "no_columns":
            console.print_note(note)
    outputs.write_table(found.frame, output.out)
    if json:
        head = _record(opened, source, common) | {"out": [str(output.out)]}
        console.print_json(head | found.to_dict())
        return
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    console.print_paragraph("Rows", *_score_sentences(found))
    console.print_paragraph("Output", f"{output.out}.", "")
    if not common.quiet:
        _print_least_likely(found, opened, console)


def _score_sentences(found: TableScores) -> list[str]:
    """How many rows are unlikely, and below which score."""
    rows = len(found.log_p)
    threshold = next(note for note in found.notes if note.code == "threshold")
    return [f"{found.n_unlikely:,} of {rows:,} are unlikely.", str(threshold)]


def _print_least_likely(found: TableScores, run: Run, console: ConsoleOutput) -> None:
    """The least likely rows, and why."""
    derived = () if run.schema is None else run.schema.derived
    sources = {column.name: column.source for column in derived}

    def describe(name: str, surprise: float) -> str:
        return (
            f"{name} contradicts {sources[name]}" if name in sources else f"{name} ({surprise:.1f})"
        )

    console.print_table(
        [
            (
                str(each.row),
                f"{each.log_p:.2f}",
                "; ".join(describe(*pair) for pair in each.columns.items()),
            )
            for each in found.least_likely(SHOWN_ROWS)
        ],
        ("row", "log p(x)", "the least likely rows (from 0), and their most surprising columns"),
        right_aligned=(0, 1),
    )


def _record(run: Run, source: str, common: CommonOptions) -> dict[str, Any]:
    """What the JSON of a command begins with."""
    return {"run": run.name, "source": source, "seed": common.seed}
