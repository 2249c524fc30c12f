"""Runs measured to be compared: which belong together, in what they differ, and whose numbers are of one thing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from .figures import as_record, record_of
from .measure import Evaluation, evaluate_model
from .options import Common, Reading
from .runs import Opened, own_data, reading_of, say_copies
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Rows
    from ..metrics import Comparison
    from ..metrics.comparison import Column, Difference
    from ..metrics.kind import Kind

SEED = ("seed",)  # settings in which runs of one configuration may differ
PROBED = 1000  # rows that are looked at to tell whether two parts are the same one


@dataclass(frozen=True)
class Run:
    """A run with its numbers; ``key`` is what tables call it, ``side`` what they call its configuration."""

    opened: Opened
    rows: Rows
    numbers: Evaluation
    kind: Kind
    key: str = ""
    side: str = ""
    why: str | None = None  # it is not compared

    @property
    def record(self) -> dict[str, Any]:
        """The numbers for JSON."""
        return {"run": str(self.opened.path), "key": self.key, "not_compared": self.why} | as_record(self.numbers)


@dataclass(frozen=True)
class Beside:
    """Runs side by side."""

    runs: tuple[Run, ...]
    same_rows: bool

    @property
    def compared(self) -> list[Run]:
        return [run for run in self.runs if run.why is None]

    @cached_property
    def settings(self) -> dict[str, list[str]]:
        """What the runs do not have in common: a value for each run."""
        tables = settings_of([run.opened for run in self.runs])
        names = list(dict.fromkeys(name for table in tables for name in table))
        values = {name: [table.get(name, "–") for table in tables] for name in names}
        return {name: each for name, each in values.items() if len(set(each)) > 1}

    def about(self, run: Run, but: Sequence[str] = ()) -> str:
        """In what a run differs from the others, ``but`` for some settings."""
        place = [each.key for each in self.runs].index(run.key)
        shown = {name: values[place] for name, values in self.settings.items() if name not in but}
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value != "–")

    @cached_property
    def found(self) -> Comparison:
        """The comparison of those that can be compared."""
        from ..metrics.comparison import Scores, of_scores

        scores = [
            replace(Scores.of(run.key, run.numbers.terms, run.numbers.log_likelihood, run.side), seed=run.opened.settings.get("seed"))
            for run in self.compared
        ]
        return of_scores(scores, self.same_rows)

    @property
    def record(self) -> dict[str, Any]:
        """All of it for JSON."""
        found = self.found
        columns = {column.quantity: _column(column, found) for column in found.columns}
        sides = [{"key": s.name, "runs": s.runs, "verdict": v} for s, v in zip(found.sides, found.verdicts, strict=True)]
        outcome = {"best": found.sides[found.best].name, "errors_between": found.spread, "decided_by": found.deciding.quantity}
        return {
            "runs": [run.record for run in self.runs],
            "settings": self.settings,
            "comparison": outcome | {"sides": sides, "differences": columns, "said": found.said},
        }


def measure(opened: Sequence[Opened], source: str | None, samples: int, reading: Reading, common: Common, screen: Screen) -> Beside:
    """The numbers of every run on its test rows, or all on the rows of ``source``."""
    from ..metrics.kind import Kind

    parts = _parts(opened, source, reading, screen)
    kinds = [Kind.of(run.model, run.spec, part.data) for run, part in zip(opened, parts, strict=True)]
    usual = Counter(kinds).most_common(1)[0][0]
    runs = []
    for run, part, kind in zip(opened, parts, kinds, strict=True):
        numbers = evaluate_model(run.model, part.rows, run.spec, samples, common.seed, screen)
        runs.append(Run(run, part.rows, numbers, kind, why=usual.obstacle(kind)))
    alike = [run.rows for run in runs if run.why is None]
    return Beside(_keyed(runs), all(_same(alike[0], rows) for rows in alike[1:]))


def settings_of(runs: Sequence[Opened]) -> list[dict[str, str]]:
    """The settings of each run as text: those of the command line, or where a run has none of all as the library remembers them."""
    if all(run.settings for run in runs):
        return [{name: _text(value) for name, value in run.settings.items() if value is not None} for run in runs]
    return [_remembered(run) for run in runs]


def _remembered(run: Opened) -> dict[str, str]:
    """How a run was built and trained, for one that no command line has made."""
    from ..report import parts

    known = {name: parts.said(value) for name, value in run.training.items() if name != "config" and value is not None}
    return {"data": run.spec.name} | dict(parts.architecture(run.model)[:-1]) | known


class Part(NamedTuple):
    """The rows that a run is measured on, and what all rows that it came from are, where that is to be the same."""

    rows: Rows
    data: str | None = None


def _parts(opened: Sequence[Opened], source: str | None, reading: Reading, screen: Screen) -> list[Part]:
    """The rows of each run; runs that read the same data in the same way share them."""
    import aevb
    from aevb.data.keys import fingerprint

    if source is not None:
        seed = reading_of(opened[0].settings).get("seed", 0)
        parts = [Part(aevb.data.load_as(source, run.spec, key=reading.key, labels=reading.labels, seed=seed)) for run in opened]
        for run, part in zip(opened, parts, strict=True):
            say_copies(run, part.rows, source, screen)
        return parts
    known: dict[str, Part] = {}
    for run in opened:
        if (how := _reads(run)) not in known:
            data = own_data(run, screen)
            whole = None if data.train.in_file else fingerprint([data.train, data.validation, data.test])
            known[how] = Part(data.test, whole or data.spec.name)
    return [known[_reads(run)] for run in opened]


def _reads(run: Opened) -> str:
    """All that decides which rows a run is measured on."""
    settings = run.settings
    return json.dumps(
        [reading_of(settings), *(settings.get(name) for name in ("source", "preset", "set")), run.spec.to_dict()], default=str
    )


def _same(one: Rows, other: Rows) -> bool:
    """Whether two parts are the same rows in the same order, as far as many of them tell."""
    import torch

    if one is other or len(one) != len(other) or one.event_shape != other.event_shape:
        return one is other
    places = torch.linspace(0, len(one) - 1, min(len(one), PROBED)).long()
    return torch.equal(one[places].nan_to_num(), other[places].nan_to_num())


def _keyed(runs: Sequence[Run]) -> tuple[Run, ...]:
    """A letter for each run; where several configurations have several seeds, a letter for each, and numbers for the seeds."""
    tables = settings_of([run.opened for run in runs])
    alike = [
        json.dumps({k: v for k, v in table.items() if k not in SEED}) + (run.why or "") for run, table in zip(runs, tables, strict=True)
    ]
    counts = Counter(alike)
    kept = {group for group, run in zip(alike, runs, strict=True) if run.why is None}
    together = 1 < len(kept) < sum(run.why is None for run in runs)
    names = {group: letters(place) for place, group in enumerate(counts)}
    met: Counter[str] = Counter()
    keyed = []
    for place, (group, run) in enumerate(zip(alike, runs, strict=True)):
        met[group] += 1
        side = names[group] if together else letters(place)
        number = str(met[group]) if together and counts[group] > 1 else ""
        keyed.append(replace(run, key=side + number, side=names[group]))
    return tuple(keyed)


def letters(place: int) -> str:
    """A, B ... Z, AA, AB ...

    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    first, last = divmod(place, 26)
    return (letters(first - 1) if first else "") + chr(ord("A") + last)


def _text(value: Any) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def _column(column: Column, found: Comparison) -> Mapping[str, Any]:
    return {side.name: _difference(each) for side, each in zip(found.sides, column.differences, strict=True) if each is not None}


def _difference(each: Difference) -> dict[str, Any]:
    return {**(record_of(each.value) or {}), "p": each.p, "noise": each.noise}
