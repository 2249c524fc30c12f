"""What the doctor found."""

from __future__ import annotations

from ..data._formatting import format_count
from ..metrics.health import CheckResult, Diagnosis, Finding
from ._html import Section, escape_html, name_value_table, paragraph
from ._report_context import ReportContext


def diagnosis_section(report: ReportContext) -> Section | None:
    """What is wrong and what to change, and everything that was examined."""
    found = report.diagnosis
    if found is None:
        return None
    return Section(
        "doctor",
        "Examination",
        _findings_html(found)
        + name_value_table((one.label, _check_value(one)) for one in found.results),
    )


def first_finding_sentence(diagnosis: Diagnosis | None) -> str:
    """The first finding with what to change, for the sentence that the page opens with; nothing where there is none."""
    if diagnosis is None or diagnosis.is_healthy:
        return ""
    first = diagnosis.findings[0]
    return f" {first.name}: {first.recommendation[0].lower()}{first.recommendation[1:]}"


def _findings_html(diagnosis: Diagnosis) -> str:
    if diagnosis.is_healthy:
        return paragraph(
            f"Nothing wrong was found in {format_count(len(diagnosis.results), 'examination')}."
        )
    return "".join(
        _finding_html(number, finding) for number, finding in enumerate(diagnosis.findings, 1)
    )


def _finding_html(number: int, finding: Finding) -> str:
    rows = (
        ("seen", finding.observation),
        ("what it means", finding.meaning),
        ("what to change", finding.recommendation),
    )
    return f"<h3>{number}. {escape_html(finding.name)}</h3>{name_value_table(rows)}"


def _check_value(check_result: CheckResult) -> str:
    return check_result.value + (
        f" (follows from: {check_result.explained_by})" if check_result.explained_by else ""
    )
