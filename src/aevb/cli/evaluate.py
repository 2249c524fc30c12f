"""``aevb evaluate``: the numbers of a run on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from .figures import as_record, as_table
from .labels import infers, judged
from .measure import evaluate_model
from .options import ORDERED, Common, Count, Json, Reading
from .runs import open_run, rows_of, say_copies
from .screen import Screen
from .weighing import SAMPLES, Weighing

if TYPE_CHECKING:
    from ..data import Rows

ANNEALED = 100  # rows, where nobody says how many: about a minute for a small network

Samples = Annotated[Count, Parameter(help="Importance samples per row; more raise the estimate towards the truth.", group=ORDERED["Run"])]
_RUN = ORDERED["Run"]


def evaluate(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[str | None, Parameter(help="Other data of the same kind; the test rows of the run's own data by default.")] = None,
    /,
    *,
    samples: Annotated[
        Count | None,
        Parameter(help="Importance samples per row (100), or annealed chains (16); more come closer to the truth.", group=_RUN),
    ] = None,
    method: Annotated[
        Literal["importance", "ais", "exact"],
        Parameter(
            help="How log p(x) is found: ais anneals chains, which is slow and tight; exact is for models that allow it.", group=_RUN
        ),
    ] = "importance",
    temperatures: Annotated[Count | None, Parameter(help="Of annealed chains (500); twice as many halve their error.", group=_RUN)] = None,
    start: Annotated[
        Literal["posterior", "prior"] | None,
        Parameter(help="Where annealed chains start: the posterior, mostly the shorter way, or the prior.", group=_RUN),
    ] = None,
    defensive: Annotated[float, Parameter(help="Share of importance samples that come from the prior, as 0.1.", group=_RUN)] = 0.0,
    bracket: Annotated[
        Count, Parameter(help="Also bound log p(x) from both sides for so many rows that the model makes up, as 32.", group=_RUN)
    ] = 0,
    rows: Annotated[Count | None, Parameter(help="Take so many rows, evenly spread: all, or 100 with --method ais.", group=_RUN)] = None,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Likelihood, bounds, rate and distortion of held-out data, each with its standard error, in nats per row."""
    screen = Screen(common.quiet, json)
    how = Weighing(method, samples, temperatures, defensive, bracket, start)
    how.check()
    opened = open_run(run, common)
    every = rows_of(opened, source, reading, screen)
    if source is not None:
        say_copies(opened, every, source, screen)
    taken = _spread(every, ANNEALED if rows is None and method == "ais" else rows)
    numbers = evaluate_model(opened.model, taken, opened.spec, SAMPLES, common.seed, screen, how)
    right = judged(opened.model, taken)
    if json:
        more = {} if right is None else right.record
        screen.object({"run": str(run), "data": source or opened.settings.get("source"), "seed": common.seed} | as_record(numbers) | more)
        return
    which = f"rows of {source}" if source else f"test rows of {opened.spec.name}"
    part = f"{len(taken):,} of " if len(taken) < len(every) else ""
    screen.tell("Run", f"{run}: {opened.about}.")
    given = ", ".join(factor.name for factor in opened.spec.condition or ())
    told = [f"Every number is of p(x) given {given}."] if given and not infers(opened.model) else []
    screen.tell("Data", f"{part}{len(every):,} {which}.", *told, *([] if right is None else [right.sentence]), "")
    screen.table(as_table(numbers))


def _spread(rows: Rows, count: int | None) -> Rows:
    """At most ``count`` rows, evenly spread: rows in order of time or class are all seen."""
    if count is not None and count < 1:
        raise ArgumentError(f"`rows` is {count}; take at least 1.")
    if count is None or count >= len(rows):
        return rows
    return rows.subset([place * len(rows) // count for place in range(count)])
