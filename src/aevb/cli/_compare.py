"""``aevb compare``: runs side by side, and which of their differences are noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ArgumentError, RunError
from ._comparison import SEED_SETTINGS, ComparedRun, RunComparison, evaluate_runs
from ._console import ConsoleOutput
from ._evaluate import SamplesOption
from ._formatting import format_estimate
from ._likelihood_options import DEFAULT_IMPORTANCE_SAMPLES
from ._options import OPTION_GROUPS, CommonOptions, Flag, Json, ReadingOptions
from ._run_folder import load_run

if TYPE_CHECKING:
    from ..metrics._comparison import Difference

QUANTITY_TITLES = {
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO",
    "rate": "rate",
    "distortion": "distortion",
    "reconstruction": "reconstruction",
}
LARGE_STANDARD_ERROR = (
    10  # a standard error beside which decimals say nothing, and take the width of the terminal
)
NOT_COMPARABLE_MESSAGE = "no two of these runs can be compared: their numbers are not of one thing, and the notes say why."
VERDICT_WORDS = {"best": "best", "noise": "noise", "worse": "worse", "unknown": "?"}


def compare(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    source: Annotated[
        str | None,
        Parameter(
            help="Measure all of them on these data; each on its own test rows by default.",
            group=OPTION_GROUPS["Data"],
        ),
    ] = None,
    samples: SamplesOption = DEFAULT_IMPORTANCE_SAMPLES,
    out: Annotated[
        Path | None,
        Parameter(
            help="Write a page with pictures, as compare.html.", group=OPTION_GROUPS["Output"]
        ),
    ] = None,
    force: Annotated[
        bool, Flag, Parameter(help="Overwrite it where it exists.", group=OPTION_GROUPS["Output"])
    ] = False,
    reading: ReadingOptions = ReadingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Put runs side by side, in nats per row: their numbers, how far each is from the best one, and which differences are noise.

    Runs on the same rows are compared row by row; runs that differ in their seed alone are taken together.
    """
    if not runs:
        raise ArgumentError(
            "RUN is missing: give run folders, as in `aevb compare runs/digits-1 runs/digits-2`."
        )
    if out is not None:
        _check_page_path(out, force)
    for place, run in enumerate(runs):
        if run.resolve() in [other.resolve() for other in runs[:place]]:
            raise ArgumentError(f"`{run}` is given twice; a run does not differ from itself.")
    screen = ConsoleOutput(common.quiet, json)
    beside = evaluate_runs(
        [load_run(run, common) for run in runs], source, samples, reading, common, screen
    )
    for run in beside.runs:
        if run.exclusion_reason is not None:
            screen.print_note(f"{run.loaded_run.path} is not compared: it {run.exclusion_reason}.")
    if not beside.same_rows:
        screen.print_note(
            "the runs were not split alike, so their test rows differ: train them with one --split-seed, or give --source rows that none "
            "of them has seen."
        )
    if json:
        screen.print_json(beside.record)
    else:
        _print_comparison(beside, source, samples, screen)
    if out is not None:
        _write_comparison_page(beside, source, samples, common, out)
        screen.print_paragraph("Page", str(out))


def _check_page_path(out: Path, force: bool) -> None:
    if out.suffix.lower() != ".html":
        raise ArgumentError(f"--out {out}: the page is HTML; write --out compare.html.")
    if out.is_dir() or (out.exists() and not force):
        raise RunError(
            f"`{out}` exists and is never overwritten unasked; choose another --out, or give --force."
        )


def _print_comparison(
    run_comparison: RunComparison, source: str | None, samples: int, console: ConsoleOutput
) -> None:
    """Names, numbers, differences, and what they come to."""
    console.print_table(
        [
            (run.name, str(run.loaded_run.path), run_comparison.describe_differences(run))
            for run in run_comparison.runs
        ],
        ("", "run", "in which they differ"),
    )
    console.print_result("")
    console.print_paragraph("Rows", evaluation_rows_sentence(run_comparison, source, samples), "")
    bits, counted = (
        any(run.evaluation.bits_per_dimension is not None for run in run_comparison.runs),
        len({len(run.rows) for run in run_comparison.runs}) > 1,
    )
    head = [
        "",
        "log-likelihood",
        "ELBO",
        "rate",
        "distortion",
        *(["bits/dim"] if bits else []),
        "active",
        *(["rows"] if counted else []),
    ]
    console.print_table(
        [
            [*_evaluation_row(run, bits), *([f"{len(run.rows):,}"] if counted else [])]
            for run in run_comparison.runs
        ],
        head,
        right_aligned=range(1, len(head)),
    )
    found = run_comparison.comparison
    if len(found.table) < 2 < 1 + len(run_comparison.runs):
        console.print_paragraph("", "")
        console.print_paragraph("Verdict", NOT_COMPARABLE_MESSAGE)
    if len(found.table) > 1:
        less = f"less {found.table[found.best_index].name}"
        head = [less, *(QUANTITY_TITLES[column.quantity] for column in found.quantities), ""]
        rows = [
            [
                side.name,
                *(_format_difference(column.differences[place]) for column in found.quantities),
                VERDICT_WORDS[found.verdicts[place]],
            ]
            for place, side in enumerate(found.table)
        ]
        console.print_result("")
        console.print_table(rows, head, right_aligned=range(1, len(head) - 1))
        console.print_paragraph("", "")
        console.print_paragraph("Verdict", *found.notes, "Marked *: more than noise.")


def evaluation_rows_sentence(
    run_comparison: RunComparison, source: str | None, samples: int
) -> str:
    """On what, in a sentence."""
    first = run_comparison.runs[0]
    rows = f"rows of {source}" if source else f"test rows of {first.loaded_run.spec.name}"
    sampled = (
        f"; {samples:,} importance samples each"
        if any(run.evaluation.log_likelihood for run in run_comparison.runs)
        else ""
    )
    counts = sorted({len(run.rows) for run in run_comparison.included_runs})
    number = " or ".join(f"{each:,}" for each in counts)
    if len(run_comparison.runs) == 1:
        return f"{number} {rows}{sampled}."
    whose = (
        "all"
        if len(run_comparison.included_runs) == len(run_comparison.runs)
        else "all that are compared"
    )
    return f"{number} {rows}, {'the same' if run_comparison.same_rows else 'not the same'} for {whose}{sampled}."


def _evaluation_row(run: ComparedRun, with_bits: bool) -> list[str]:
    numbers = run.evaluation
    weighed = "-" if numbers.log_likelihood is None else format_estimate(numbers.log_likelihood)
    terms = [
        _format_mean(value.mean)
        for value in (
            numbers.rate_distortion.elbo,
            numbers.rate_distortion.rate,
            numbers.rate_distortion.distortion,
        )
    ]
    shown = (
        []
        if not with_bits
        else [
            "-" if numbers.bits_per_dimension is None else f"{numbers.bits_per_dimension.mean:.4f}"
        ]
    )
    return [
        run.name,
        weighed,
        *terms,
        *shown,
        "-" if numbers.active_units is None else f"{numbers.active_units}/{numbers.latent_size}",
    ]


def _format_mean(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _format_difference(difference: Difference | None) -> str:
    if difference is None:
        return ""
    digits = 2 if not difference.value.standard_error >= LARGE_STANDARD_ERROR else 0
    return (
        ("+" if difference.value.mean > 0 else "")
        + format_estimate(difference.value, digits)
        + ("*" if difference.is_significant else " ")
    )


def _write_comparison_page(
    run_comparison: RunComparison,
    source: str | None,
    samples: int,
    common: CommonOptions,
    out: Path,
) -> None:
    """The page."""
    from .._persistence import SavedModel
    from ..data import Dataset
    from ..report._comparison_page import ComparisonEntry, ComparisonPage, write_comparison
    from ..report._report_context import ReportContext, ReportMetrics
    from ..training._history import read_history

    entries = []
    for run in run_comparison.runs:
        opened, rows = run.loaded_run, run.rows.to(run.loaded_run.model.device)
        saved = SavedModel(opened.model, opened.spec, opened.training, opened.path)
        findings = ReportMetrics(
            run.evaluation.rate_distortion,
            run.evaluation.log_likelihood,
            None,
            None,
            run.evaluation.codebook_usage,
        )
        data = Dataset(rows, rows, rows, opened.spec)
        story = ReportContext(
            saved, data, rows, read_history(opened.path / "history.jsonl"), findings, common.seed
        )
        side = (
            run.configuration_name
            if "seeds" in run_comparison.comparison.error_source
            else run.name
        )
        entries.append(
            ComparisonEntry(
                run.name,
                side,
                run_comparison.describe_differences(run),
                run_comparison.describe_differences(run, exclude=SEED_SETTINGS),
                story,
                run.evaluation.active_units,
                run.exclusion_reason,
            )
        )
    title = f"{source or run_comparison.runs[0].loaded_run.spec.name}: {len(entries)} runs"
    write_comparison(
        ComparisonPage(
            title,
            entries,
            run_comparison.comparison,
            list(run_comparison.differing_settings.items()),
            evaluation_rows_sentence(run_comparison, source, samples),
        ),
        out,
    )
