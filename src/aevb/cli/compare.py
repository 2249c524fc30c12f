"""``aevb compare``: runs side by side."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..errors import ArgumentError
from .evaluate import Samples
from .measure import SAMPLES, Evaluation, as_record, evaluate_model, with_error
from .options import ORDERED, Common, Json, Reading
from .runs import Opened, open_run, reading_of, rows_of
from .screen import Screen

HEAD = ("run", "log-likelihood", "ELBO", "rate", "distortion", "active", "model")


def compare(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    source: Annotated[
        str | None, Parameter(help="Measure all of them on these data; each on its own test rows by default.", group=ORDERED["Data"])
    ] = None,
    samples: Samples = SAMPLES,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Put runs side by side: the numbers of `aevb evaluate`, a line for each, in nats per row, ± one standard error."""
    if not runs:
        raise ArgumentError("RUN is missing: give run folders, as in `aevb compare runs/digits-1 runs/digits-2`.")
    screen = Screen(common.quiet, json)
    opened = [open_run(run, common) for run in runs]
    measured = [evaluate_model(run.model, rows_of(run, source, reading, screen), run.spec, samples, common.seed, screen) for run in opened]
    if source is None and _apart(opened):
        screen.note("the runs were not split alike, so their test rows differ; give --source to measure all on the same rows.")
    if json:
        screen.object([{"run": str(run.path)} | as_record(numbers) for run, numbers in zip(opened, measured, strict=True)])
        return
    screen.table([_line(run, numbers) for run, numbers in zip(opened, measured, strict=True)], HEAD, right=range(1, 6))


def _apart(runs: list[Opened]) -> bool:
    """Whether the runs' own test rows are not the same rows."""
    split = [reading_of(run.settings) | {"source": run.settings.get("source"), "likelihood": None, "network": None} for run in runs]
    return any(other != split[0] for other in split)


def _line(run: Opened, numbers: Evaluation) -> list[str]:
    weighed = "-" if numbers.log_likelihood is None else with_error(numbers.log_likelihood)
    mean = [
        "-" if math.isnan(value.mean) else f"{value.mean:.2f}"
        for value in (numbers.terms.elbo, numbers.terms.rate, numbers.terms.distortion)
    ]
    active = "-" if numbers.active is None else f"{numbers.active}/{numbers.latent}"
    return [str(run.path), weighed, *mean, active, str(run.settings.get("preset", ""))]
