"""``aevb evaluate``: the numbers of a run on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .measure import SAMPLES, as_record, as_table, evaluate_model
from .options import ORDERED, Common, Count, Json, Reading
from .runs import open_run, rows_of
from .screen import Screen

Samples = Annotated[Count, Parameter(help="Importance samples per row; more raise the estimate towards the truth.", group=ORDERED["Run"])]


def evaluate(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[str | None, Parameter(help="Other data of the same kind; the test rows of the run's own data by default.")] = None,
    /,
    *,
    samples: Samples = SAMPLES,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Likelihood, bound, rate and distortion of held-out data, each with its standard error, in nats per row."""
    screen = Screen(common.quiet, json)
    opened = open_run(run, common)
    rows = rows_of(opened, source, reading, screen)
    numbers = evaluate_model(opened.model, rows, opened.spec, samples, common.seed, screen)
    if json:
        screen.object({"run": str(run), "data": source or opened.settings.get("source"), "seed": common.seed} | as_record(numbers))
        return
    which = f"rows of {source}" if source else f"test rows of {opened.spec.name}"
    screen.tell("Run", f"{run}: {opened.about}.")
    screen.tell("Data", f"{len(rows):,} {which}.", "")
    screen.table(as_table(numbers))
