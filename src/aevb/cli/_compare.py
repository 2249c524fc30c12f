"""``aevb compare``: runs side by side, and which of their differences are noise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from ..notes import Argument, message
from ._console import ConsoleOutput
from ._options import (
    OPTION_GROUPS,
    RUN_GROUP,
    CommonOptions,
    Flag,
    Integer,
    Json,
    OutputOptions,
    ReadingOptions,
    TrustSource,
)
from ._output_files import check_output

if TYPE_CHECKING:
    from ..metrics._comparison import Difference
    from ..runs import ComparedRun, RunComparison

QUANTITY_TITLES = {"log_likelihood": "log-likelihood", "elbo": "ELBO"}
DIFFERENCE = "baselines.difference"
LARGE_STANDARD_ERROR = 10  # next to which decimals have no meaning, and take width
OUTPUT_GROUP = OPTION_GROUPS["Output"]
COLUMNS = {
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO",
    "rate": "rate",
    "distortion": "distortion",
    "bits_per_dimension": "bits/dim",
    "active_units": "active",
}


def compare(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    source: Annotated[
        str | None,
        Parameter(
            help="Evaluate all of them on these data; each on its own test rows by default.",
            group=OPTION_GROUPS["Data"],
        ),
    ] = None,
    samples: Annotated[
        Integer | None,
        Parameter(
            help="Importance samples per row (100), or annealed chains (16).", group=RUN_GROUP
        ),
    ] = None,
    method: Annotated[
        Literal["importance", "annealing"],
        Parameter(
            help="Estimator of log p(x) of all runs; annealing where a note says that importance "
            "weights cannot be trusted.",
            group=RUN_GROUP,
        ),
    ] = "importance",
    max_rows: Annotated[
        Integer | None,
        Parameter(
            help="Use at most this many rows, evenly spaced: all, or what annealing does in some "
            "minutes.",
            group=RUN_GROUP,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(help="Write a page with pictures, as compare.html.", group=OUTPUT_GROUP),
    ] = None,
    force: Annotated[
        bool, Flag, Parameter(help="Overwrite an existing page.", group=OUTPUT_GROUP)
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Runs side by side: numbers, differences to the best run, and which of these are noise.

    Runs on the same rows are compared row by row; runs that differ in their seed alone are taken
    together.
    """
    from .. import runs as library

    if not runs:
        raise ArgumentError(
            message("{runs} is missing", runs=Argument("runs")),
            argument="runs",
            suggestions=("Give run folders, as in `aevb compare runs/digits-1 runs/digits-2`",),
        )
    if out is not None:
        check_output(OutputOptions(out=out, force=force), (".html",))
    console = ConsoleOutput(common.quiet, json)
    with console.progress_bar("log p(x)", len(runs)) as advance:
        result = library.compare(
            runs,
            source,
            samples=samples,
            method=method,
            max_rows=max_rows,
            seed=common.seed,
            device=common.device,
            trust_source=trust_source,
            on_progress=advance,
            **reading.reading_arguments,
        )
    for note in result.notes:
        console.print_note(note)
    if json:
        console.print_json(result.to_dict())
    else:
        _print_comparison(result, console)
    if out is not None:
        console.print_paragraph("Page", str(result.write_page(out)))


def _print_comparison(result: RunComparison, console: ConsoleOutput) -> None:
    """Names, numbers, differences and the verdict."""
    names = [(run.name, run.run.name, result.describe_differences(run)) for run in result.runs]
    console.print_table(names, ("", "run", "differences"))
    console.print_result("")
    console.print_paragraph("Rows", result.rows_sentence, "")
    columns = [
        key
        for key in COLUMNS
        if key != "bits_per_dimension" or any(_number(run, key) != "-" for run in result.runs)
    ]
    counted = len({len(run.rows) for run in result.runs}) > 1
    rows = [
        [run.name, *(_number(run, key) for key in columns)]
        + ([f"{len(run.rows):,}"] if counted else [])
        for run in result.runs
    ]
    header = ["", *(COLUMNS[key] for key in columns), *(["rows"] if counted else [])]
    console.print_table(rows, header, right_aligned=range(1, len(header)))
    baselines = [_baseline_cells(run) for run in result.runs if run.evaluation.get(DIFFERENCE)]
    if baselines:
        console.print_result("")
        header = ("", "best baseline", "log p(x)", "above it")
        console.print_table(baselines, header, right_aligned=(2, 3))
    found = result.comparison
    if len(found.table) > 1:
        header = [f"minus {found.table[found.best_index].name}"]
        header += [QUANTITY_TITLES.get(each.quantity, each.quantity) for each in found.quantities]
        rows = [
            [
                row.name,
                *(_format_difference(each.differences[place]) for each in found.quantities),
                "?" if found.verdicts[place] == "unknown" else found.verdicts[place],
            ]
            for place, row in enumerate(found.table)
        ]
        console.print_result("")
        console.print_table(rows, [*header, ""], right_aligned=range(1, len(header)))
        console.print_paragraph("", "")
        console.print_paragraph("Verdict", *found.notes, "Marked *: more than noise.")
    elif len(result.runs) > 1:
        console.print_paragraph("", "")
        console.print_paragraph(
            "Verdict",
            "no two of these runs can be compared: their numbers are of different kinds, and the "
            "notes say why.",
        )


def _number(run: ComparedRun, key: str) -> str:
    """A number of a run; without its standard error where the difference has one."""
    number = run.evaluation.get(key)
    if number is None or number.value is None or number.value != number.value:
        return "-"
    if key == "log_likelihood":
        return str(number)
    if key == "active_units":
        return str(number).replace(" of ", "/")
    return f"{number.value:.{number.digits}f}"


def _baseline_cells(run: ComparedRun) -> list[str]:
    """The best classical model of the run's data, and the run's difference from it."""
    best = run.evaluation[f"baselines.{run.evaluation['baselines'].details['best']}"]
    title = best.label.removeprefix("baseline: ")
    return [run.name, title, str(best), str(run.evaluation[DIFFERENCE])]


def _format_difference(difference: Difference | None) -> str:
    if difference is None:
        return ""
    from ..metrics._estimate import format_with_error

    value = difference.value
    digits = 2 if not value.standard_error >= LARGE_STANDARD_ERROR else 0
    text = format_with_error(value.mean, value.standard_error, digits)
    return f"{'+' if value.mean > 0 else ''}{text}{'*' if difference.is_significant else ' '}"
