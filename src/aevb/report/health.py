"""What the doctor found."""

from __future__ import annotations

from ..data.words import count
from ..metrics.health import Diagnosis, Examined, Finding
from .html import Section, pairs, paragraph, text
from .story import Story


def section(story: Story) -> Section | None:
    """What is wrong and what to change, and everything that was examined."""
    found = story.diagnosis
    if found is None:
        return None
    return Section("doctor", "Examination", _said(found) + pairs((one.what, _value(one)) for one in found.examined))


def in_short(found: Diagnosis | None) -> str:
    """The first finding with what to change, for the sentence that the page opens with; nothing where there is none."""
    if found is None or found.healthy:
        return ""
    first = found.findings[0]
    return f" {first.name}: {first.change[0].lower()}{first.change[1:]}"


def _said(found: Diagnosis) -> str:
    if found.healthy:
        return paragraph(f"Nothing wrong was found in {count(len(found.examined), 'examination')}.")
    return "".join(_finding(number, finding) for number, finding in enumerate(found.findings, 1))


def _finding(number: int, finding: Finding) -> str:
    rows = (("seen", finding.measured), ("what it means", finding.means), ("what to change", finding.change))
    return f"<h3>{number}. {text(finding.name)}</h3>{pairs(rows)}"


def _value(one: Examined) -> str:
    return one.value + (f" (follows from: {one.follows})" if one.follows else "")
