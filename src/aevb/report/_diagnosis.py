"""The findings of the doctor."""

from __future__ import annotations

from ..data._formatting import format_count
from ..metrics import CheckResult, Diagnosis, Finding
from ._html import Section, escape_html, name_value_table, paragraph, use_minus_signs
from ._report_context import ReportContext


def diagnosis_section(report: ReportContext) -> Section | None:
    """Every finding with its remedy, and the value of every check."""
    diagnosis = report.diagnosis
    if diagnosis is None:
        return None
    checks = name_value_table((check.name, _check_value(check)) for check in diagnosis.checks)
    return Section("diagnosis", "Diagnosis", _findings_html(diagnosis) + checks)


def first_finding_sentence(diagnosis: Diagnosis | None) -> str:
    """The first finding and its remedy, for the headline; empty if there is none."""
    if diagnosis is None or diagnosis.is_healthy:
        return ""
    first = diagnosis.findings[0]
    remedy = str(first.recommendation)
    return f" {first.title}: {remedy[0].lower()}{remedy[1:]}"


def _findings_html(diagnosis: Diagnosis) -> str:
    """The findings in order of cause and effect."""
    if diagnosis.is_healthy:
        return paragraph(f"No problem was found in {format_count(len(diagnosis.checks), 'check')}.")
    return "".join(
        _finding_html(number, finding) for number, finding in enumerate(diagnosis.findings, 1)
    )


def _finding_html(number: int, finding: Finding) -> str:
    """A finding with its observation, meaning and remedy."""
    rows = (
        ("observation", str(finding.observation)),
        ("meaning", str(finding.explanation)),
        ("recommendation", str(finding.recommendation)),
    )
    return f"<h3>{number}. {escape_html(finding.title)}</h3>{name_value_table(rows)}"


def _check_value(check: CheckResult) -> str:
    """The value of a check, and the finding that explains it."""
    cause = f" (follows from: {check.caused_by.title})" if check.caused_by else ""
    return use_minus_signs(check.value) + cause
