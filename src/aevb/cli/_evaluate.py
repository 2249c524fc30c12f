"""``aevb evaluate``: the numbers of a run on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..errors import ArgumentError
from ._console import ConsoleOutput
from ._evaluation import evaluate_model
from ._formatting import evaluation_record, evaluation_table
from ._likelihood_options import DEFAULT_IMPORTANCE_SAMPLES, LikelihoodOptions
from ._options import OPTION_GROUPS, CommonOptions, Integer, Json, ReadingOptions
from ._predict import infers_labels, label_accuracy
from ._run_folder import load_rows, load_run, warn_about_duplicates

if TYPE_CHECKING:
    from ..data import Rows

DEFAULT_AIS_ROWS = 100  # rows, where nobody says how many: about a minute for a small network

SamplesOption = Annotated[
    Integer,
    Parameter(
        help="Importance samples per row; more raise the estimate towards the truth.",
        group=OPTION_GROUPS["Run"],
    ),
]
_RUN_GROUP = OPTION_GROUPS["Run"]


def evaluate(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None,
        Parameter(
            help="Other data of the same kind; the test rows of the run's own data by default."
        ),
    ] = None,
    /,
    *,
    samples: Annotated[
        Integer | None,
        Parameter(
            help="Importance samples per row (100), or annealed chains (16); more come closer to the truth.",
            group=_RUN_GROUP,
        ),
    ] = None,
    method: Annotated[
        Literal["importance", "ais", "exact"],
        Parameter(
            help="How log p(x) is found: ais anneals chains, which is slow and tight; exact is for models that allow it.",
            group=_RUN_GROUP,
        ),
    ] = "importance",
    temperatures: Annotated[
        Integer | None,
        Parameter(
            help="Of annealed chains (500); twice as many halve their error.", group=_RUN_GROUP
        ),
    ] = None,
    start: Annotated[
        Literal["posterior", "prior"] | None,
        Parameter(
            help="Where annealed chains start: the posterior, mostly the shorter way, or the prior.",
            group=_RUN_GROUP,
        ),
    ] = None,
    defensive: Annotated[
        float,
        Parameter(
            help="Share of importance samples that come from the prior, as 0.1.", group=_RUN_GROUP
        ),
    ] = 0.0,
    bracket: Annotated[
        Integer,
        Parameter(
            help="Also bound log p(x) from both sides for so many rows that the model makes up, as 32.",
            group=_RUN_GROUP,
        ),
    ] = 0,
    max_rows: Annotated[
        Integer | None,
        Parameter(
            help="Take so many rows, evenly spread: all, or 100 with --method ais.",
            group=_RUN_GROUP,
        ),
    ] = None,
    reading: ReadingOptions = ReadingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Likelihood, bounds, rate and distortion of held-out data, each with its standard error, in nats per row."""
    screen = ConsoleOutput(common.quiet, json)
    how = LikelihoodOptions(method, samples, temperatures, defensive, bracket, start)
    how.check()
    opened = load_run(run, common)
    every = load_rows(opened, source, reading, screen)
    if source is not None:
        warn_about_duplicates(opened, every, source, screen)
    taken = _evenly_spaced(
        every, DEFAULT_AIS_ROWS if max_rows is None and method == "ais" else max_rows
    )
    numbers = evaluate_model(
        opened.model, taken, opened.spec, DEFAULT_IMPORTANCE_SAMPLES, common.seed, screen, how
    )
    right = label_accuracy(opened.model, taken)
    if json:
        more = {} if right is None else right.record
        screen.print_json(
            {"run": str(run), "data": source or opened.config.get("source"), "seed": common.seed}
            | evaluation_record(numbers)
            | more
        )
        return
    which = f"rows of {source}" if source else f"test rows of {opened.spec.name}"
    part = f"{len(taken):,} of " if len(taken) < len(every) else ""
    screen.print_paragraph("Run", f"{run}: {opened.description}.")
    given = ", ".join(factor.name for factor in opened.spec.condition or ())
    told = (
        [f"Every number is of p(x) given {given}."]
        if given and not infers_labels(opened.model)
        else []
    )
    screen.print_paragraph(
        "Data",
        f"{part}{len(every):,} {which}.",
        *told,
        *([] if right is None else [right.sentence]),
        "",
    )
    screen.print_table(evaluation_table(numbers))


def _evenly_spaced(rows: Rows, max_rows: int | None) -> Rows:
    """At most ``count`` rows, evenly spread: rows in order of time or class are all seen."""
    if max_rows is not None and max_rows < 1:
        raise ArgumentError(f"`rows` is {max_rows}; take at least 1.")
    if max_rows is None or max_rows >= len(rows):
        return rows
    return rows.subset([place * len(rows) // max_rows for place in range(max_rows)])
