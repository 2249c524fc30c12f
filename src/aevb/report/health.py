"""What the doctor found."""

from __future__ import annotations

from ..data.words import count
from ..metrics.health import Diagnosis, doctor
from .html import Section, bullets, pairs, paragraph
from .story import Story


def section(story: Story) -> Section | None:
    """What is wrong and what to change, and everything that was examined."""
    if story.model.posterior.rows is not None:
        return None
    own = story.saved.spec is None or story.saved.spec.name == story.spec.name
    found = doctor(story.model, story.rows, train=story.data.train if own else None, history=story.history, seed=story.seed)
    return Section("doctor", "Examination", _said(found) + pairs((one.what, one.value) for one in found.examined))


def _said(found: Diagnosis) -> str:
    if found.healthy:
        return paragraph(f"Nothing wrong was found in {count(len(found.examined), 'examination')}.")
    return bullets(str(finding) for finding in found.findings)
