"""What the doctor found."""

from __future__ import annotations

from ..data.words import count
from ..metrics.health import Diagnosis, Examined, doctor
from .html import Section, pairs, paragraph, table
from .story import Story


def section(story: Story) -> Section | None:
    """What is wrong and what to change, and everything that was examined."""
    if story.model.posterior.rows is not None:
        return None
    found = story.diagnosis or _asked(story)
    return Section("doctor", "Examination", _said(found) + pairs((one.what, _value(one)) for one in found.examined))


def _asked(story: Story) -> Diagnosis:
    """The doctor on all test rows, of which it looks at enough."""
    own = story.saved.spec is None or story.saved.spec.name == story.spec.name
    return doctor(story.model, story.data if own else story.rows, history=story.history, seed=story.seed)


def _said(found: Diagnosis) -> str:
    if found.healthy:
        return paragraph(f"Nothing wrong was found in {count(len(found.examined), 'examination')}.")
    rows = [(finding.name, finding.measured, finding.means, finding.change) for finding in found.findings]
    return table(("", "what was seen", "what it means", "what to change"), rows)


def _value(one: Examined) -> str:
    return one.value + (f" (follows from: {one.follows})" if one.follows else "")
