"""``aevb doctor``: what is wrong with a run, what it means, and which setting to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ._console import ConsoleOutput, open_run
from ._options import CommonOptions, Json, ReadingOptions, RunArgument, TrustSource
from ._style import text_of

if TYPE_CHECKING:
    from ..metrics import CheckResult, Diagnosis


def doctor(
    run: RunArgument,
    source: Annotated[
        str | None,
        Parameter(
            help="New data of the same kind, compared with the training rows; the test rows of the "
            "run's data by default."
        ),
    ] = None,
    /,
    *,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Examine a run and its data: measurements, their meaning, and which setting to change.

    With SOURCE the training rows are compared with other data: duplicates among them, and drift.
    """
    console = ConsoleOutput(common.quiet, json)
    opened = open_run(run, common, console, trust_source)
    rows = opened.rows(source, **reading.reading_arguments)
    for note in (*opened.data_notes(), *rows.notes):
        console.print_note(note)
    found = opened.diagnose(None if source is None else rows, seed=common.seed)
    if json:
        head = {"run": opened.name, "source": source or opened.config.get("source")}
        console.print_json(head | found.to_dict())
        return
    console.print_paragraph("Run", f"{opened.name}: {opened.title}.")
    origin = f"rows of {source}" if source else opened.own_rows_noun
    console.print_paragraph("Data", f"{found.n_rows:,} {origin}.", "")
    _print_diagnosis(console, found)


def _print_diagnosis(console: ConsoleOutput, diagnosis: Diagnosis) -> None:
    """Findings with their meaning and advice, then all checks."""
    if diagnosis.is_healthy:
        console.print_result("Nothing found.")
    for number, finding in enumerate(diagnosis.findings, 1):
        lines = [
            f"{finding.title}. {text_of(finding.observation)}",
            text_of(finding.explanation),
            text_of(finding.recommendation),
        ]
        console.print_table(
            [("" if place else f"{number}.", line) for place, line in enumerate(lines)]
        )
    console.print_result("")
    codes = [finding.code for finding in diagnosis.findings]
    console.print_table(
        [(_marker(check, codes), check.name, check.value) for check in diagnosis.checks],
        ("", "check", "result"),
    )


def _marker(check: CheckResult, codes: list[str]) -> str:
    """The number of the check's finding or, behind an arrow, of the finding that explains it."""
    if check.finding is not None:
        return f"{codes.index(check.finding.code) + 1}."
    return f"<- {codes.index(check.caused_by.code) + 1}." if check.caused_by else ""
