"""Runs side by side: which belong together, how they differ, and which differences are noise."""

from __future__ import annotations

import hashlib
import html
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from .. import metrics
from ..data import Dataset, Rows
from ..data._fingerprints import fingerprint
from ..errors import ArgumentError, check_choice
from ..metrics import Baselines, Comparison, Evaluation, ModelScores
from ..metrics._comparability import ComparabilityKey
from ..metrics._comparison import Difference, compare_scores
from ..metrics._log_likelihood import LikelihoodMethod
from ..notes import Argument, Note, message
from ._confirmation import SIGNATURE
from ._run import Run, check_reading, evenly_spaced

if TYPE_CHECKING:
    import os

SEED_SETTINGS = ("seed",)  # settings in which runs of one configuration may differ
# entries of the training record that no user sets
NOT_SETTINGS = ("config", "matches_prior", "stopped", "best_epoch", "data_parts", SIGNATURE)
MAX_PROBED_ROWS = 1000  # rows that are compared to decide whether two sets are the same


@dataclass(frozen=True)
class ComparedRun:
    """A run with its numbers.

    Args:
        run: The run.
        rows: The rows that the run was evaluated on.
        evaluation: The numbers of the run.
        name: The name in tables: a letter, and a number for the seed.
        configuration: The letter of the settings without the seed.
        exclusion_reason: Why the run is not compared, as a phrase after its name; None otherwise.
    """

    run: Run
    rows: Rows
    evaluation: Evaluation
    name: str = ""
    configuration: str = ""
    exclusion_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as values for JSON."""
        return {
            "run": self.run.name,
            "name": self.name,
            "exclusion_reason": self.exclusion_reason,
        } | self.evaluation.to_dict()


@dataclass(frozen=True)
class RunComparison:
    """The result of ``compare``.

    Args:
        runs: The runs with their numbers, in the order of the argument.
        same_rows: Whether all runs were evaluated on the same rows.
        source: Name of the data; None where each run was evaluated on its own test rows.
        samples: Importance samples, or annealed chains, per row.
        seed: Seed of every draw.
        method: How log p(x) of all runs is estimated.
        notes: Reasons why numbers may not be what they seem.
    """

    runs: tuple[ComparedRun, ...]
    same_rows: bool
    source: str | None
    samples: int
    seed: int
    notes: tuple[Note, ...]
    method: LikelihoodMethod = "importance"

    @property
    def included(self) -> list[ComparedRun]:
        """The runs that are compared."""
        return [compared for compared in self.runs if compared.exclusion_reason is None]

    @property
    def title(self) -> str:
        """Data and number of runs."""
        return f"{self.source or self.runs[0].run.spec.name}: {len(self.runs)} runs"

    @property
    def rows_sentence(self) -> str:
        """The rows and samples behind the numbers, in a sentence."""
        rows = f"rows of {self.source}"
        if self.source is None:
            rows = self.runs[0].run.own_rows_noun
        counts = sorted({len(compared.rows) for compared in self.included})
        text = f"{' or '.join(f'{count:,}' for count in counts)} {rows}"
        if len(self.runs) > 1:
            whose = "all" if len(self.included) == len(self.runs) else "all that are compared"
            text += f", {'the same' if self.same_rows else 'not the same'} for {whose}"
        if any(compared.evaluation.log_likelihood for compared in self.runs):
            unit = {"importance": "importance samples", "annealing": "annealed chains"}
            text += f"; {self.samples:,} {unit.get(self.method, self.method)} each"
        return f"{text}."

    @cached_property
    def differing_settings(self) -> dict[str, list[str]]:
        """The settings that the runs do not share: a value for each run."""
        tables = _settings_tables([compared.run for compared in self.runs])
        names = list(dict.fromkeys(name for table in tables for name in table))
        values = {name: [table.get(name, "–") for table in tables] for name in names}
        return {name: listed for name, listed in values.items() if len(set(listed)) > 1}

    def describe_differences(self, compared: ComparedRun, exclude: Sequence[str] = ()) -> str:
        """Return the settings of a run that the others do not share, as text.

        Args:
            compared: One of ``runs``.
            exclude: Settings to leave out.

        Returns:
            The names of the settings with their values, separated by commas.
        """
        place = [other.name for other in self.runs].index(compared.name)
        shown = {
            name: values[place]
            for name, values in self.differing_settings.items()
            if name not in exclude
        }
        return ", ".join(f"{name} {value}" for name, value in shown.items() if value != "–")

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of the runs that can be compared."""
        scores = [
            replace(
                ModelScores.from_metrics(
                    compared.name,
                    compared.evaluation.rate_distortion,
                    compared.evaluation.log_likelihood,
                    compared.configuration,
                ),
                seed=compared.run.config.get("seed"),
            )
            for compared in self.included
        ]
        return compare_scores(scores, self.same_rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as values for JSON."""
        found = self.comparison
        return {
            "runs": [compared.to_dict() for compared in self.runs],
            "differing_settings": self.differing_settings,
            "comparison": {
                "best": found.table[found.best_index].name,
                "standard_error_over": found.error_source,
                "ranking_metric": found.primary.quantity,
                "configurations": [
                    {"name": row.name, "runs": row.run_names, "verdict": verdict}
                    for row, verdict in zip(found.table, found.verdicts, strict=True)
                ],
                "differences": {
                    column.quantity: {
                        row.name: _difference_record(difference)
                        for row, difference in zip(found.table, column.differences, strict=True)
                        if difference is not None
                    }
                    for column in found.quantities
                },
                "notes": [str(note) for note in found.notes],
            },
        }

    def write_page(self, out: str | os.PathLike[str]) -> Path:
        """Write the comparison with pictures as one HTML file.

        Args:
            out: The file.

        Returns:
            The path of the file.

        Raises:
            MissingExtraError: matplotlib is not installed.
        """
        from ..report._comparison_page import ComparisonEntry, ComparisonPage, write_comparison
        from ..report._report_context import ReportContext

        over_seeds = "seeds" in self.comparison.error_source
        entries = []
        for compared in self.runs:
            run, rows = compared.run, compared.rows.to(compared.run.model.device)
            report = ReportContext(
                model=run.model_for(rows),
                spec=run.spec,
                rows=rows,
                evaluation=compared.evaluation,
                name=Path(run.name).name,
                training=run.training,
                history=run.history,
                seed=self.seed,
            )
            entries.append(
                ComparisonEntry(
                    compared.name,
                    compared.configuration if over_seeds else compared.name,
                    self.describe_differences(compared),
                    self.describe_differences(compared, exclude=SEED_SETTINGS),
                    report,
                    Path(run.name),
                    compared.exclusion_reason,
                )
            )
        page = ComparisonPage(
            self.title,
            entries,
            self.comparison,
            list(self.differing_settings.items()),
            self.rows_sentence,
        )
        return write_comparison(page, Path(out))

    def _repr_html_(self) -> str:
        cells = [
            [compared.name, compared.run.name]
            + [
                "" if (number := compared.evaluation.get(key)) is None else str(number)
                for key in ("log_likelihood", "elbo", "rate", "distortion")
            ]
            for compared in self.runs
        ]
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in cells
        )
        head = "".join(
            f"<th>{name}</th>" for name in ("", "run", "log p(x)", "ELBO", "rate", "distortion")
        )
        return f"<table><tr>{head}</tr>{rows}</table>"


def compare(
    runs: Sequence[Run | str | Path],
    data: Any = None,
    *,
    samples: int | None = None,
    method: Literal["importance", "annealing"] = "importance",
    max_rows: int | None = None,
    seed: int = 0,
    key: str | None = None,
    labels: Any = None,
    device: str | torch.device | None = None,
    trust_source: bool = False,
    on_progress: Callable[[int], None] | None = None,
    **reading: Any,
) -> RunComparison:
    """Evaluate runs side by side, and separate differences from noise.

    Runs on the same rows are compared row by row, and runs that differ in their seed alone form a
    group. A run whose numbers are of another kind appears in tables but is not compared.

    Args:
        runs: Runs, or paths of run folders.
        data: Rows for all runs, as for ``Run.rows``; each run's own test rows by default.
        samples: Importance samples per row (100), or annealed chains (16).
        method: How log p(x) of every run is estimated: ``"importance"``, or ``"annealing"`` where a
            note says that the importance weights of a run cannot be trusted.
        max_rows: Use at most this many rows, evenly spaced: all, or by default as many as annealing
            can do in some minutes.
        seed: Seed of every draw.
        key: As for ``Run.rows``.
        labels: As for ``Run.rows``.
        device: Device for runs that are paths: ``"cpu"``, ``"cuda"`` or ``"mps"``; by default an
            accelerator if available.
        trust_source: As for ``Run.open``, for runs that are paths.
        on_progress: Called with 1 after each run.
        **reading: As for ``Run.rows``.

    Returns:
        The runs with their numbers, and the comparison.

    Raises:
        ArgumentError: There is no run, or a run occurs twice.
        RunError: A run folder is missing or damaged.
        DataError: Data cannot be read.

    Example:
        >>> from aevb.runs import ModelSettings, RunSettings, TrainingSettings
        >>> short = TrainingSettings(epochs=1)
        >>> runs = [
        ...     RunSettings(
        ...         "digits", model=ModelSettings(latent=latent, hidden=(8,)), training=short
        ...     ).fit(progress=False)
        ...     for latent in (1, 2)
        ... ]
        >>> result = compare(runs, samples=2)
        >>> result.differing_settings, result.comparison.error_source
        ({'latent': ['1', '2']}, 'paired rows')
    """
    if isinstance(runs, str):
        raise ArgumentError("give a list of runs", argument="runs", value=runs)
    check_reading(data, "data", key=key, labels=labels, **reading)
    opened = [
        run if isinstance(run, Run) else Run.open(run, device=device, trust_source=trust_source)
        for run in runs
    ]
    paths = [run.path.resolve() for run in opened if run.path is not None]
    for path, count in Counter(paths).items():
        if count > 1:
            raise ArgumentError(
                "this run occurs twice; a run does not differ from itself",
                argument="runs",
                value=str(path),
            )
    if not opened:
        raise ArgumentError("give at least one run", argument="runs", value=[])
    check_choice("method", method, ("importance", "annealing"))
    rows, names = _load_rows(opened, data, key, labels, reading)
    if method == "annealing" and max_rows is None:
        max_rows = min(
            metrics.annealed_rows(run.model, part) for run, part in zip(opened, rows, strict=True)
        )
    shared = {id(part): evenly_spaced(part, max_rows) for part in rows}
    rows = [shared[id(part)] for part in rows]
    count = metrics.EvaluationOptions(samples, method).samples_per_row
    keys = [
        ComparabilityKey.from_model(run.model, run.spec, name)
        for run, name in zip(opened, names, strict=True)
    ]
    usual = Counter(keys).most_common(1)[0][0]
    compared, notes = [], []
    fitted: dict[str, Baselines | None] = {}
    for run, part, kind in zip(opened, rows, keys, strict=True):
        notes += (*run.status_notes(), *run.data_notes(data, part))
        data_key = _data_key(run)
        if data_key not in fitted:
            fitted[data_key] = run.baselines
        evaluation = metrics.evaluate(
            run.model,
            part,
            samples=samples,
            method=method,
            seed=seed,
            spec=run.spec,
            baselines=fitted[data_key],
            strict=False,
        )
        notes += _trust_notes(run, evaluation)
        notes += [note for note in evaluation.notes if note.level == "warning"]
        reason = usual.reason_incomparable(kind)
        compared.append(ComparedRun(run, part, evaluation, exclusion_reason=reason))
        if reason is not None:
            notes.append(_exclusion_note(run, reason))
        if on_progress is not None:
            on_progress(1)
    alike = [each for each in compared if each.exclusion_reason is None]
    encoded = data is not None and usual.schema is not None  # the same rows, each by its schema
    same_rows = encoded or all(_are_same_rows(alike[0], part) for part in alike[1:])
    if not same_rows:
        notes.append(_DIFFERENT_ROWS)
    source = None if data is None else _source_name(data)
    return RunComparison(
        _assign_names(compared), same_rows, source, count, seed, tuple(notes), method
    )


_DIFFERENT_ROWS = Note(
    "different_test_rows",
    message(
        "The test rows differ, because the runs were not split alike: train them with one "
        "{split_seed}, or give {source} with rows that none of them was trained on.",
        split_seed=Argument("split_seed"),
        source=Argument("data"),
    ),
    "warning",
)


def _trust_notes(run: Run, evaluation: Evaluation) -> tuple[Note, ...]:
    """A warning where the importance weights of a run cannot be trusted."""
    found = evaluation.log_likelihood
    if found is None or not metrics.is_untrustworthy(found):
        return ()
    return (
        Note(
            "importance_unreliable",
            message(
                f"The importance weights of {run.name} cannot be trusted, so that its log p(x) is "
                "higher than estimated, and so are its differences: compare with {method}.",
                method=Argument("method", "annealing"),
            ),
            "warning",
            {"run": run.name},
        ),
    )


def _exclusion_note(run: Run, reason: str) -> Note:
    return Note(
        "not_compared", f"{run.name} is not compared: it {reason}.", "warning", {"run": run.name}
    )


def _source_name(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else f"a {type(data).__name__}"


def _settings_tables(runs: Sequence[Run]) -> list[dict[str, str]]:
    """The settings of each run as text; the training records where a run has no settings."""
    if all(run.config for run in runs):
        return [
            {name: _format_value(value) for name, value in run.config.items() if value is not None}
            for run in runs
        ]
    return [_recorded_settings(run) for run in runs]


def _recorded_settings(run: Run) -> dict[str, str]:
    from ..report import _model_summary as parts

    known = {
        name: parts.format_component(value)
        for name, value in run.training.items()
        if name not in NOT_SETTINGS and value is not None
    }
    return {"data": run.spec.name} | dict(parts.architecture_pairs(run.model)[:-1]) | known


def _load_rows(
    runs: Sequence[Run], data: Any, key: str | None, labels: Any, reading: Mapping[str, Any]
) -> tuple[list[Rows], list[str | None]]:
    """The rows of each run, and a fingerprint of all data of its source.

    Runs that read the same data in the same way share them.
    """
    if data is not None:
        seed = runs[0].split_seed
        rows = [run.rows(data, key=key, labels=labels, seed=seed, **reading) for run in runs]
        return rows, [None] * len(rows)
    known: dict[str, tuple[Rows, str]] = {}
    for run in runs:
        if _data_key(run) not in known:
            own = run.data()
            mark = _identify_data(run, own)
            known[_data_key(run)] = own.evaluation_rows, mark
    found = [known[_data_key(run)] for run in runs]
    return [rows for rows, _ in found], [mark for _, mark in found]


def _identify_data(run: Run, data: Dataset) -> str:
    """A text that identifies all rows of the data of a run, in any order and split."""
    if data.train.is_memory_mapped:
        return data.spec.name
    if data.spec.schema is None:
        return fingerprint([data.train, data.validation, data.test])
    # cells are encoded by the training rows, so that equal rows may have other numbers
    sources = () if run.settings is None else run.settings.sources
    paths = [Path(source) for source in sources]
    if not paths or not all(path.is_file() for path in paths):
        return data.spec.name
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths))
    digest.update(json.dumps(data.spec.reading.settings, default=str).encode())
    return digest.hexdigest()


def _data_key(run: Run) -> str:
    """All that decides which rows a run is evaluated on."""
    if run.settings is None:
        return str(id(run))
    config = [run.settings.data_arguments(), run.settings.source, run.settings.model.preset]
    return json.dumps([config, run.settings.model.set, run.spec.to_dict()], default=str)


def _are_same_rows(first: ComparedRun, second: ComparedRun) -> bool:
    """Whether two runs have the same rows in the same order, as far as some of them tell.

    Of tables, the columns that both models have are compared.
    """
    a, b = first.rows, second.rows
    columns = [run.run.spec.columns or () for run in (first, second)]
    if columns[0] == columns[1] and (a is b or a.event_shape != b.event_shape):
        return a is b
    if len(a) != len(b):
        return False
    places = torch.linspace(0, len(a) - 1, min(len(a), MAX_PROBED_ROWS)).long()
    x, y = a[places], b[places]
    if columns[0] != columns[1]:
        common = [name for name in columns[0] if name in columns[1]]
        x, y = (
            part[:, [names.index(name) for name in common]]
            for part, names in zip((x, y), columns, strict=True)
        )
    return torch.equal(x.nan_to_num(), y.nan_to_num())


def _assign_names(runs: Sequence[ComparedRun]) -> tuple[ComparedRun, ...]:
    """A letter for each run.

    Where several configurations have several seeds, a letter for each configuration and a number
    for each seed.
    """
    tables = _settings_tables([compared.run for compared in runs])
    alike = [
        json.dumps({name: value for name, value in table.items() if name not in SEED_SETTINGS})
        + (compared.exclusion_reason or "")
        for compared, table in zip(runs, tables, strict=True)
    ]
    counts = Counter(alike)
    included = {
        group
        for group, compared in zip(alike, runs, strict=True)
        if compared.exclusion_reason is None
    }
    together = 1 < len(included) < sum(each.exclusion_reason is None for each in runs)
    letters = {group: letter_name(place) for place, group in enumerate(counts)}
    seen: Counter[str] = Counter()
    named = []
    for place, (group, compared) in enumerate(zip(alike, runs, strict=True)):
        seen[group] += 1
        letter = letters[group] if together else letter_name(place)
        number = str(seen[group]) if together and counts[group] > 1 else ""
        named.append(replace(compared, name=letter + number, configuration=letters[group]))
    return tuple(named)


def letter_name(index: int) -> str:
    """A, B ... Z, AA, AB ...

    Example:
        >>> letter_name(0), letter_name(25), letter_name(26)
        ('A', 'Z', 'AA')
    """
    first, last = divmod(index, 26)
    return (letter_name(first - 1) if first else "") + chr(ord("A") + last)


def _format_value(value: Any) -> str:
    return ", ".join(map(_format_value, value)) if isinstance(value, list | tuple) else str(value)


def _difference_record(difference: Difference) -> Mapping[str, Any]:
    value = difference.value
    return {
        "mean": value.mean,
        "standard_error": value.standard_error,
        "p_value": difference.p_value,
        "significant": difference.is_significant,
    }
