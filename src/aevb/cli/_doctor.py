"""``aevb doctor``: what is wrong with a run, what it means, and which setting to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._messages import to_command_line
from ._options import CommonOptions, Json, ReadingOptions
from ._run_folder import load_own_data, load_rows, load_run

if TYPE_CHECKING:
    from ..data import Dataset
    from ..metrics.health import CheckResult, Diagnosis
    from ..training import FitResult


def doctor(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None,
        Parameter(
            help="New data of the same kind, held against the training rows; the run's own test rows by default."
        ),
    ] = None,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Examine a run and its data: what was measured, what it means, and which setting to change in which direction.

    With SOURCE the training rows are compared with other data: copies among them, and drift.
    """
    from ..metrics.health import doctor as examine
    from ..training._history import read_history

    screen = ConsoleOutput(common.quiet, json)
    opened = load_run(run, common)
    data = load_own_data(opened, screen)
    rows = data.test if source is None else load_rows(opened, source, reading, screen)
    reference = (
        data.test if source is not None else data.validation if len(data.validation) else None
    )
    history = read_history(run / "history.jsonl")
    asked = data if source is None else rows
    found = examine(
        opened.model,
        asked,
        train=data.train,
        history=history,
        reference=reference,
        seed=common.seed,
    )
    if json:
        screen.print_json(
            {"run": str(run), "data": source or opened.config.get("source")} | found.to_dict()
        )
        return
    screen.print_paragraph("Run", f"{run}: {opened.description}.")
    screen.print_paragraph(
        "Data", f"{found.n_rows:,} rows of {source or f'the test part of {opened.spec.name}'}.", ""
    )
    _print_diagnosis(screen, found)


def diagnose_run(result: FitResult, data: Dataset, seed: int) -> Diagnosis | None:
    """That of a model that has just been trained; ``None`` where it knows its training rows alone."""
    from ..metrics.health import doctor as examine

    if result.model.posterior.n_rows is not None:
        return None
    return examine(result.model, data, history=result.history, seed=seed)


def diagnosis_lines(diagnosis: Diagnosis | None, run: Path) -> tuple[str, ...]:
    """The first thing that is wrong, in a sentence or two."""
    if diagnosis is None:
        return ("not asked: the model knows its training rows alone.",)
    return (str(diagnosis),) if diagnosis.is_healthy else (str(diagnosis), f"aevb doctor {run}")


def _print_diagnosis(console: ConsoleOutput, diagnosis: Diagnosis) -> None:
    """Findings first, each with what follows from it, then everything that was looked at."""
    if diagnosis.is_healthy:
        console.print_result("Nothing found.")
    for number, finding in enumerate(diagnosis.findings, 1):
        lines = [f"{finding.name}. {finding.observation}", finding.meaning, finding.recommendation]
        console.print_table(
            [(f"{number}." if line == lines[0] else "", to_command_line(line)) for line in lines]
        )
    console.print_result("")
    console.print_table(
        [(_finding_marker(one, diagnosis), one.label, one.value) for one in diagnosis.results],
        ("", "examined", "found"),
    )


def _finding_marker(check_result: CheckResult, diagnosis: Diagnosis) -> str:
    """The number of the finding that it is, or, behind an arrow, that it follows from."""
    names = [finding.name for finding in diagnosis.findings]
    if check_result.finding is not None:
        return f"{names.index(check_result.finding.name) + 1}."
    return f"<- {names.index(check_result.explained_by) + 1}." if check_result.explained_by else ""
