"""``aevb doctor``: what is wrong with a run, what it means, and which setting to change."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .options import Common, Json, Reading
from .runs import open_run, own_data, rows_of
from .screen import Screen
from .wording import as_typed

if TYPE_CHECKING:
    from ..data import Dataset
    from ..metrics.health import Diagnosis, Examined
    from ..training import FitResult


def doctor(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None, Parameter(help="New data of the same kind, held against the training rows; the run's own test rows by default.")
    ] = None,
    /,
    *,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Examine a run and its data: what was measured, what it means, and which setting to change in which direction.

    With SOURCE the training rows are compared with other data: copies among them, and drift.
    """
    from ..metrics.health import doctor as examine
    from ..training.history import read_history

    screen = Screen(common.quiet, json)
    opened = open_run(run, common)
    data = own_data(opened, screen)
    rows = data.test if source is None else rows_of(opened, source, reading, screen)
    reference = data.test if source is not None else data.validation if len(data.validation) else None
    history = read_history(run / "history.jsonl")
    asked = data if source is None else rows
    found = examine(opened.model, asked, train=data.train, history=history, reference=reference, seed=common.seed)
    if json:
        screen.object({"run": str(run), "data": source or opened.settings.get("source")} | found.to_dict())
        return
    screen.tell("Run", f"{run}: {opened.about}.")
    screen.tell("Data", f"{found.rows:,} rows of {source or f'the test part of {opened.spec.name}'}.", "")
    _print(screen, found)


def of_run(result: FitResult, data: Dataset, seed: int) -> Diagnosis | None:
    """That of a model that has just been trained; ``None`` where it knows its training rows alone."""
    from ..metrics.health import doctor as examine

    if result.model.posterior.rows is not None:
        return None
    return examine(result.model, data, history=result.history, seed=seed)


def in_short(found: Diagnosis | None, run: Path) -> tuple[str, ...]:
    """The first thing that is wrong, in a sentence or two."""
    if found is None:
        return ("not asked: the model knows its training rows alone.",)
    return (str(found),) if found.healthy else (str(found), f"aevb doctor {run}")


def _print(screen: Screen, found: Diagnosis) -> None:
    """Findings first, each with what follows from it, then everything that was looked at."""
    if found.healthy:
        screen.result("Nothing found.")
    for number, finding in enumerate(found.findings, 1):
        lines = [f"{finding.name}. {finding.measured}", finding.means, finding.change]
        screen.table([(f"{number}." if line == lines[0] else "", as_typed(line)) for line in lines])
    screen.result("")
    screen.table([(_marked(one, found), one.what, one.value) for one in found.examined], ("", "examined", "found"))


def _marked(one: Examined, found: Diagnosis) -> str:
    """The number of the finding that it is, or, behind an arrow, that it follows from."""
    names = [finding.name for finding in found.findings]
    if one.finding is not None:
        return f"{names.index(one.finding.name) + 1}."
    return f"<- {names.index(one.follows) + 1}." if one.follows else ""
