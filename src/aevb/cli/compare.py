"""``aevb compare``: runs side by side, and which of their differences are noise."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ArgumentError, RunError
from .beside import SEED, Beside, Run, measure
from .evaluate import Samples
from .figures import with_error
from .options import ORDERED, Common, Flag, Json, Reading
from .runs import open_run
from .screen import Screen
from .weighing import SAMPLES

if TYPE_CHECKING:
    from ..metrics.comparison import Difference

TITLES = {
    "log_likelihood": "log-likelihood",
    "elbo": "ELBO",
    "rate": "rate",
    "distortion": "distortion",
    "reconstruction": "reconstruction",
}
LARGE = 10  # a standard error beside which decimals say nothing, and take the width of the terminal
NOTHING = "no two of these runs can be compared: their numbers are not of one thing, and the notes say why."
VERDICTS = {"best": "best", "noise": "noise", "worse": "worse", "unknown": "?"}


def compare(
    *runs: Annotated[Path, Parameter(help="Run folders.")],
    source: Annotated[
        str | None, Parameter(help="Measure all of them on these data; each on its own test rows by default.", group=ORDERED["Data"])
    ] = None,
    samples: Samples = SAMPLES,
    out: Annotated[Path | None, Parameter(help="Write a page with pictures, as compare.html.", group=ORDERED["Output"])] = None,
    force: Annotated[bool, Flag, Parameter(help="Overwrite it where it exists.", group=ORDERED["Output"])] = False,
    reading: Reading = Reading(),
    json: Json = False,
    common: Common = Common(),
) -> None:
    """Put runs side by side, in nats per row: their numbers, how far each is from the best one, and which differences are noise.

    Runs on the same rows are compared row by row; runs that differ in their seed alone are taken together.
    """
    if not runs:
        raise ArgumentError("RUN is missing: give run folders, as in `aevb compare runs/digits-1 runs/digits-2`.")
    if out is not None:
        _check_page(out, force)
    for place, run in enumerate(runs):
        if run.resolve() in [other.resolve() for other in runs[:place]]:
            raise ArgumentError(f"`{run}` is given twice; a run does not differ from itself.")
    screen = Screen(common.quiet, json)
    beside = measure([open_run(run, common) for run in runs], source, samples, reading, common, screen)
    for run in beside.runs:
        if run.why is not None:
            screen.note(f"{run.opened.path} is not compared: it {run.why}.")
    if not beside.same_rows:
        screen.note(
            "the runs were not split alike, so their test rows differ: train them with one --split-seed, or give --source rows that none "
            "of them has seen."
        )
    if json:
        screen.object(beside.record)
    else:
        _print(beside, source, samples, screen)
    if out is not None:
        _write(beside, source, samples, common, out)
        screen.tell("Page", str(out))


def _check_page(out: Path, force: bool) -> None:
    if out.suffix.lower() != ".html":
        raise ArgumentError(f"--out {out}: the page is HTML; write --out compare.html.")
    if out.is_dir() or (out.exists() and not force):
        raise RunError(f"`{out}` exists and is never overwritten unasked; choose another --out, or give --force.")


def _print(beside: Beside, source: str | None, samples: int, screen: Screen) -> None:
    """Names, numbers, differences, and what they come to."""
    screen.table([(run.key, str(run.opened.path), beside.about(run)) for run in beside.runs], ("", "run", "in which they differ"))
    screen.result("")
    screen.tell("Rows", measured(beside, source, samples), "")
    bits, counted = any(run.numbers.bits is not None for run in beside.runs), len({len(run.rows) for run in beside.runs}) > 1
    head = ["", "log-likelihood", "ELBO", "rate", "distortion", *(["bits/dim"] if bits else []), "active", *(["rows"] if counted else [])]
    screen.table(
        [[*_line(run, bits), *([f"{len(run.rows):,}"] if counted else [])] for run in beside.runs], head, right=range(1, len(head))
    )
    found = beside.found
    if len(found.sides) < 2 < 1 + len(beside.runs):
        screen.tell("", "")
        screen.tell("Verdict", NOTHING)
    if len(found.sides) > 1:
        less = f"less {found.sides[found.best].name}"
        head = [less, *(TITLES[column.quantity] for column in found.columns), ""]
        rows = [
            [side.name, *(_less(column.differences[place]) for column in found.columns), VERDICTS[found.verdicts[place]]]
            for place, side in enumerate(found.sides)
        ]
        screen.result("")
        screen.table(rows, head, right=range(1, len(head) - 1))
        screen.tell("", "")
        screen.tell("Verdict", *found.said, "Marked *: more than noise.")


def measured(beside: Beside, source: str | None, samples: int) -> str:
    """On what, in a sentence."""
    first = beside.runs[0]
    rows = f"rows of {source}" if source else f"test rows of {first.opened.spec.name}"
    sampled = f"; {samples:,} importance samples each" if any(run.numbers.log_likelihood for run in beside.runs) else ""
    counts = sorted({len(run.rows) for run in beside.compared})
    number = " or ".join(f"{each:,}" for each in counts)
    if len(beside.runs) == 1:
        return f"{number} {rows}{sampled}."
    whose = "all" if len(beside.compared) == len(beside.runs) else "all that are compared"
    return f"{number} {rows}, {'the same' if beside.same_rows else 'not the same'} for {whose}{sampled}."


def _line(run: Run, bits: bool) -> list[str]:
    numbers = run.numbers
    weighed = "-" if numbers.log_likelihood is None else with_error(numbers.log_likelihood)
    terms = [_mean(value.mean) for value in (numbers.terms.elbo, numbers.terms.rate, numbers.terms.distortion)]
    shown = [] if not bits else ["-" if numbers.bits is None else f"{numbers.bits.mean:.4f}"]
    return [run.key, weighed, *terms, *shown, "-" if numbers.active is None else f"{numbers.active}/{numbers.latent}"]


def _mean(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}"


def _less(found: Difference | None) -> str:
    if found is None:
        return ""
    digits = 2 if not found.value.standard_error >= LARGE else 0
    return ("+" if found.value.mean > 0 else "") + with_error(found.value, digits) + ("*" if found.real else " ")


def _write(beside: Beside, source: str | None, samples: int, common: Common, out: Path) -> None:
    """The page."""
    from ..data import Dataset
    from ..persistence import Saved
    from ..report.comparison import Contest, Entry, write_comparison
    from ..report.story import Findings, Story
    from ..training.history import read_history

    entries = []
    for run in beside.runs:
        opened, rows = run.opened, run.rows.to(run.opened.model.device)
        saved = Saved(opened.model, opened.spec, opened.training, opened.path)
        findings = Findings(run.numbers.terms, run.numbers.log_likelihood, None, None, run.numbers.usage)
        data = Dataset(rows, rows, rows, opened.spec)
        story = Story(saved, data, rows, read_history(opened.path / "history.jsonl"), findings, common.seed)
        side = run.side if "seeds" in beside.found.spread else run.key
        entries.append(Entry(run.key, side, beside.about(run), beside.about(run, but=SEED), story, run.numbers.active, run.why))
    title = f"{source or beside.runs[0].opened.spec.name}: {len(entries)} runs"
    write_comparison(Contest(title, entries, beside.found, list(beside.settings.items()), measured(beside, source, samples)), out)
