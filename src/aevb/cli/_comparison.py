"""Runs measured to be compared: which belong together, in what they differ, and whose numbers are of one thing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from ._console import ConsoleOutput
from ._evaluation import Evaluation, evaluate_model
from ._formatting import estimate_record, evaluation_record
from ._options import CommonOptions, ReadingOptions
from ._run_folder import LoadedRun, data_config, load_own_data, warn_about_duplicates

if TYPE_CHECKING:
    from ..data import Rows
    from ..metrics import Comparison
    from ..metrics._comparability import ComparabilityKey
    from ..metrics._comparison import Difference, QuantityComparison

SEED_SETTINGS = ("seed",)  # settings in which runs of one configuration may differ
MAX_PROBED_ROWS = 1000  # rows that are looked at to tell whether two parts are the same one


@dataclass(frozen=True)
class ComparedRun:
    """A run with its numbers; ``key`` is what tables call it, ``side`` what they call its configuration."""

    loaded_run: LoadedRun
    rows: Rows
    evaluation: Evaluation
    data_kind: ComparabilityKey
    name: str = ""
    configuration_name: str = ""
    exclusion_reason: str | None = None  # it is not compared

    @property
    def record(self) -> dict[str, Any]:
        """The numbers for JSON."""
        return {
            "run": str(self.loaded_run.path),
            "key": self.name,
            "not_compared": self.exclusion_reason,
        } | evaluation_record(self.evaluation)


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side."""

    runs: tuple[ComparedRun, ...]
    same_rows: bool

    @property
    def included_runs(self) -> list[ComparedRun]:
        return [run for run in self.runs if run.exclusion_reason is None]

    @cached_property
    def differing_settings(self) -> dict[str, list[str]]:
        """What the runs do not have in common: a value for each run."""
        tables = settings_tables([run.loaded_run for run in self.runs])
        names = list(dict.fromkeys(name for table in tables for name in table))
        values = {name: [table.get(name, "–") for table in tables] for name in names}
        return {name: each for name, each in values.items() if len(set(each)) > 1}

    def describe_differences(self, run: ComparedRun, exclude: Sequence[str] = ()) -> str:
        """In what a run differs from the others, ``exclude`` for some settings."""
        place = [each.name for each in self.runs].index(run.name)
        shown = {
            name: values[place]
            for name, values in self.differing_settings.items()
            if name not in exclude
        }
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value != "–")

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of those that can be compared."""
        from ..metrics._comparison import ModelScores, compare_scores

        scores = [
            replace(
                ModelScores.from_metrics(
                    run.name,
                    run.evaluation.rate_distortion,
                    run.evaluation.log_likelihood,
                    run.configuration_name,
                ),
                seed=run.loaded_run.config.get("seed"),
            )
            for run in self.included_runs
        ]
        return compare_scores(scores, self.same_rows)

    @property
    def record(self) -> dict[str, Any]:
        """All of it for JSON."""
        found = self.comparison
        columns = {column.quantity: _column_record(column, found) for column in found.quantities}
        sides = [
            {"key": s.name, "runs": s.run_names, "verdict": v}
            for s, v in zip(found.table, found.verdicts, strict=True)
        ]
        outcome = {
            "best": found.table[found.best_index].name,
            "errors_between": found.error_source,
            "decided_by": found.primary.quantity,
        }
        return {
            "runs": [run.record for run in self.runs],
            "settings": self.differing_settings,
            "comparison": outcome | {"sides": sides, "differences": columns, "said": found.notes},
        }


def evaluate_runs(
    loaded_runs: Sequence[LoadedRun],
    source: str | None,
    samples: int,
    reading: ReadingOptions,
    common: CommonOptions,
    console: ConsoleOutput,
) -> RunComparison:
    """The numbers of every run on its test rows, or all on the rows of ``source``."""
    from ..metrics._comparability import ComparabilityKey

    parts = _load_evaluation_rows(loaded_runs, source, reading, console)
    kinds = [
        ComparabilityKey.from_model(run.model, run.spec, part.data_fingerprint)
        for run, part in zip(loaded_runs, parts, strict=True)
    ]
    usual = Counter(kinds).most_common(1)[0][0]
    runs = []
    for run, part, kind in zip(loaded_runs, parts, kinds, strict=True):
        numbers = evaluate_model(run.model, part.rows, run.spec, samples, common.seed, console)
        runs.append(
            ComparedRun(
                run, part.rows, numbers, kind, exclusion_reason=usual.reason_incomparable(kind)
            )
        )
    alike = [run.rows for run in runs if run.why is None]
    return RunComparison(
        _assign_names(runs), all(_are_same_rows(alike[0], rows) for rows in alike[1:])
    )


def settings_tables(runs: Sequence[LoadedRun]) -> list[dict[str, str]]:
    """The settings of each run as text: those of the command line, or where a run has none of all as the library remembers them."""
    if all(run.config for run in runs):
        return [
            {
                name: _format_setting(value)
                for name, value in run.config.items()
                if value is not None
            }
            for run in runs
        ]
    return [_recorded_settings(run) for run in runs]


def _recorded_settings(run: LoadedRun) -> dict[str, str]:
    """How a run was built and trained, for one that no command line has made."""
    from ..report import _model_summary as parts

    known = {
        name: parts.format_component(value)
        for name, value in run.training.items()
        if name != "config" and value is not None
    }
    return {"data": run.spec.name} | dict(parts.architecture_pairs(run.model)[:-1]) | known


class EvaluationRows(NamedTuple):
    """The rows that a run is measured on, and what all rows that it came from are, where that is to be the same."""

    rows: Rows
    data_fingerprint: str | None = None


def _load_evaluation_rows(
    loaded_runs: Sequence[LoadedRun],
    source: str | None,
    reading: ReadingOptions,
    console: ConsoleOutput,
) -> list[EvaluationRows]:
    """The rows of each run; runs that read the same data in the same way share them."""
    import aevb
    from aevb.data._fingerprints import fingerprint

    if source is not None:
        seed = data_config(loaded_runs[0].config).get("seed", 0)
        parts = [
            EvaluationRows(
                aevb.data.load_as(
                    source, run.spec, key=reading.key, labels=reading.labels, seed=seed
                )
            )
            for run in loaded_runs
        ]
        for run, part in zip(loaded_runs, parts, strict=True):
            warn_about_duplicates(run, part.rows, source, console)
        return parts
    known: dict[str, EvaluationRows] = {}
    for run in loaded_runs:
        if (how := _data_cache_key(run)) not in known:
            data = load_own_data(run, console)
            whole = (
                None
                if data.train.is_memory_mapped
                else fingerprint([data.train, data.validation, data.test])
            )
            known[how] = EvaluationRows(data.test, whole or data.spec.name)
    return [known[_data_cache_key(run)] for run in loaded_runs]


def _data_cache_key(run: LoadedRun) -> str:
    """All that decides which rows a run is measured on."""
    settings = run.config
    return json.dumps(
        [
            data_config(settings),
            *(settings.get(name) for name in ("source", "preset", "set")),
            run.spec.to_dict(),
        ],
        default=str,
    )


def _are_same_rows(first: Rows, second: Rows) -> bool:
    """Whether two parts are the same rows in the same order, as far as many of them tell."""
    import torch

    if first is second or len(first) != len(second) or first.event_shape != second.event_shape:
        return first is second
    places = torch.linspace(0, len(first) - 1, min(len(first), MAX_PROBED_ROWS)).long()
    return torch.equal(first[places].nan_to_num(), second[places].nan_to_num())


def _assign_names(runs: Sequence[ComparedRun]) -> tuple[ComparedRun, ...]:
    """A letter for each run; where several configurations have several seeds, a letter for each, and numbers for the seeds."""
    tables = settings_tables([run.loaded_run for run in runs])
    alike = [
        json.dumps({k: v for k, v in table.items() if k not in SEED_SETTINGS})
        + (run.exclusion_reason or "")
        for run, table in zip(runs, tables, strict=True)
    ]
    counts = Counter(alike)
    kept = {group for group, run in zip(alike, runs, strict=True) if run.exclusion_reason is None}
    together = 1 < len(kept) < sum(run.exclusion_reason is None for run in runs)
    names = {group: letter_name(place) for place, group in enumerate(counts)}
    met: Counter[str] = Counter()
    keyed = []
    for place, (group, run) in enumerate(zip(alike, runs, strict=True)):
        met[group] += 1
        side = names[group] if together else letter_name(place)
        number = str(met[group]) if together and counts[group] > 1 else ""
        keyed.append(replace(run, name=side + number, configuration_name=names[group]))
    return tuple(keyed)


def letter_name(index: int) -> str:
    """A, B ... Z, AA, AB ...

    >>> letters(0), letters(25), letters(26)
    ('A', 'Z', 'AA')
    """
    first, last = divmod(index, 26)
    return (letter_name(first - 1) if first else "") + chr(ord("A") + last)


def _format_setting(value: Any) -> str:
    return ", ".join(map(_format_setting, value)) if isinstance(value, list | tuple) else str(value)


def _column_record(column: QuantityComparison, comparison: Comparison) -> Mapping[str, Any]:
    return {
        side.name: _difference_record(each)
        for side, each in zip(comparison.table, column.differences, strict=True)
        if each is not None
    }


def _difference_record(difference: Difference) -> dict[str, Any]:
    return {
        **(estimate_record(difference.value) or {}),
        "p": difference.p_value,
        "noise": difference.is_noise,
    }
