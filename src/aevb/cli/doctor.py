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
    from ..metrics.health import Diagnosis
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
    found = examine(opened.model, rows, train=data.train, history=read_history(run / "history.jsonl"), seed=common.seed)
    if json:
        screen.object({"run": str(run), "data": source or opened.settings.get("source")} | found.to_dict())
        return
    screen.tell("Run", f"{run}: {opened.about}.")
    screen.tell("Data", f"{found.rows:,} rows of {source or f'the test part of {opened.spec.name}'}.", "")
    _print(screen, found)


def in_short(result: FitResult, data: Dataset, seed: int, run: Path) -> tuple[str, ...]:
    """The first thing that is wrong with a model that has just been trained, in a sentence or two."""
    from ..metrics.health import doctor as examine

    if result.model.posterior.rows is not None:
        return ("not asked: the model knows its training rows alone.",)
    found = examine(result.model, data, history=result.history, seed=seed)
    return (str(found),) if found.healthy else (str(found), f"aevb doctor {run}")


def _print(screen: Screen, found: Diagnosis) -> None:
    """Findings first, then everything that was looked at."""
    if found.healthy:
        screen.result("Nothing found.")
    for number, finding in enumerate(found.findings, 1):
        lines = (f"{finding.name}. {finding.measured}", finding.means, finding.change)
        screen.table([(f"{number}." if line == lines[0] else "", as_typed(line)) for line in lines])
    screen.result("")
    screen.table([(one.what, one.value + (" (!)" if one.finding else "")) for one in found.examined], ("examined", "found"))
