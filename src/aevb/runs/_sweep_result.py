"""The results of a sweep: numbers per combination, over its seeds."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from .. import metrics
from .._files import finite_or_none, write_atomically, write_json
from ..data import Dataset
from ..data._formatting import format_count
from ..errors import MissingExtraError
from ..metrics import Estimate, RateDistortion
from ..metrics._comparison import Difference, compare_quantity
from ..metrics._estimate import format_with_error
from ..metrics._rate_distortion import elbo_samples
from ..notes import Argument, Note, message
from ..training import FitResult
from ._per_row import with_refined_rows
from ._sweep import SweepJob, SweepSettings, format_grid_value

SWEEP_QUANTITIES = ("elbo", "rate", "distortion")
RESULTS_FILE, FIGURE_FILE, PAGE_FILE = "sweep.json", "rate_distortion.svg", "report.html"
EARLY_STOPS = {
    "patience": message(
        "without improvement for longer than {patience}", patience=Argument("patience")
    ),
    "not finite": message(
        "at the last finite weights: a lower {lr}, or {clip}, may help",
        lr=Argument("lr"),
        clip=Argument("clip_norm", 100),
    ),
    "interrupted": "by Ctrl-C or another signal",
}


@dataclass(frozen=True)
class SweepRun:
    """A trained run, and its rate and distortion on the held-out rows.

    Args:
        job: The settings and the recipe of the run.
        folder: The run folder.
        result: The result of training.
        rate_distortion: Rate, distortion and ELBO with their values per row.
    """

    job: SweepJob
    folder: Path
    result: FitResult
    rate_distortion: RateDistortion

    @property
    def combination_values(self) -> dict[str, Any]:
        """The values that the runs of one combination share."""
        return {name: value for name, value in self.job.grid_values.items() if name != "seed"}

    def to_dict(self) -> dict[str, Any]:
        """The run as JSON can hold it."""
        numbers = {name: _record(getattr(self.rate_distortion, name)) for name in SWEEP_QUANTITIES}
        ended = {"best_epoch": self.result.best_epoch, "stop_reason": self.result.stop_reason}
        return {"run": str(self.folder)} | self.job.grid_values | numbers | ended


@dataclass(frozen=True)
class Combination:
    """Runs that differ in their seed alone.

    Args:
        runs: The runs, in the order of their seeds.
    """

    runs: tuple[SweepRun, ...]

    @property
    def grid_values(self) -> dict[str, Any]:
        """The values that the runs share."""
        return self.runs[0].combination_values

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """ELBO, rate and distortion as means over the runs, with the standard error over seeds."""
        means = {
            name: [getattr(run.rate_distortion, name).mean for run in self.runs]
            for name in SWEEP_QUANTITIES
        }
        return {
            name: Estimate.from_values(torch.tensor(values, dtype=torch.float64))
            for name, values in means.items()
        }

    @property
    def best_run(self) -> SweepRun:
        """The run with the highest ELBO."""
        return max(self.runs, key=lambda run: _ranking_value(run.rate_distortion.elbo))


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep: all combinations in the order of the grid.

    Args:
        combinations: The combinations with their runs.
        split: ``"validation"``, or ``"test"`` where there are no validation rows.
        n_rows: The number of rows that the runs were evaluated on.
        item_noun: The word for one row.
        settings: The settings of the sweep.
        folder: Its folder.
        title: Data and grid.
        notes: Notes of the training, each once.
        seconds: Duration of the training.
    """

    combinations: tuple[Combination, ...]
    split: str
    n_rows: int
    item_noun: str
    settings: SweepSettings | None = None
    folder: Path = Path()
    title: str = ""
    notes: tuple[Note, ...] = ()
    seconds: float = math.nan

    @classmethod
    def from_fits(
        cls,
        settings: SweepSettings,
        folder: Path,
        data: Dataset,
        jobs: Sequence[SweepJob],
        results: Sequence[FitResult],
        seconds: float,
        on_progress: Callable[[int], None] | None = None,
    ) -> SweepResult:
        """Evaluate trained runs on the same rows, with the same draws."""
        split, rows = data.evaluation_part, data.evaluation_rows
        if len(data.validation):
            split, rows = "validation", data.validation
        runs = []
        for job, result in zip(jobs, results, strict=True):
            model = result.model
            if model.capabilities.n_rows is not None:
                model = with_refined_rows(model, data.train, [rows])
            terms = metrics.rate_distortion(
                model,
                rows.to(model.device),
                samples=elbo_samples(len(rows)),
                seed=settings.settings.seed,
            )
            runs.append(SweepRun(job, folder / job.folder_name, result, terms))
            if on_progress is not None:
                on_progress(1)
        return cls(
            _group(runs),
            split,
            len(rows),
            data.spec.item_noun,
            settings,
            folder,
            f"{data.spec.name}: {settings.description}",
            (*_early_stop_notes(results), *_merge_notes(results)),
            seconds,
        )

    @classmethod
    def from_runs(
        cls, runs: Sequence[SweepRun], split: str, n_rows: int, item_noun: str
    ) -> SweepResult:
        """Group evaluated runs; runs of one combination stand next to each other."""
        return cls(_group(runs), split, n_rows, item_noun)

    @property
    def runs(self) -> list[SweepRun]:
        """All runs."""
        return [run for combination in self.combinations for run in combination.runs]

    @property
    def interrupted_result(self) -> FitResult | None:
        """The result of a run that was interrupted; None where none was.

        Runs that did not start because of it have no signal, and come last.
        """
        results = [run.result for run in self.runs if run.result.stop_reason == "interrupted"]
        return max(results, key=lambda result: result.signal or 0, default=None)

    @property
    def figure_arguments(self) -> dict[str, Any]:
        """The arguments of ``plots.rate_distortion``, for runs with finite numbers."""
        finite = [run for run in self.runs if math.isfinite(run.rate_distortion.elbo.mean)]
        values = [run.job.grid_values for run in finite]
        columns = {name: [value[name] for value in values] for name in ("latent", "beta", "lr")}
        return {
            "rate": [run.rate_distortion.rate.mean for run in finite],
            "distortion": [run.rate_distortion.distortion.mean for run in finite],
            "latent": columns["latent"],
            "beta": columns["beta"] if "beta" in self.setting_names else None,
            "learning_rate": columns["lr"] if "lr" in self.setting_names else None,
        }

    @property
    def best_combination(self) -> Combination:
        """The combination with the highest mean ELBO."""
        return max(self.combinations, key=lambda each: _ranking_value(each.estimates["elbo"]))

    @property
    def best_sentence(self) -> str:
        """The outcome in a sentence."""
        best, number = self.best_combination, len(self.combinations)
        seeds = len(best.runs)
        named = ", ".join(
            f"{name}={format_grid_value(best.grid_values[name])}" for name in self.setting_names
        )
        elbo = f"{best.estimates['elbo']} nats per {self.item_noun}"
        mean = f" (mean and standard error of {seeds} seeds)" if seeds > 1 else ""
        first = f"Best of {number}: {named}" if number > 1 else f"The result of {named}"
        rows = format_count(self.n_rows, f"{self.split} row")
        text = f"{first}, with an ELBO of {elbo}{mean}, on {rows}."
        close = sum(map(self._is_within_noise, self.combinations))
        if not close:
            return text
        others = "1 other is" if close == 1 else f"{close} others are"
        return f"{text} With {seeds} seeds, {others} not significantly worse."

    @property
    def setting_names(self) -> list[str]:
        """The settings that tables show."""
        several = len({each.grid_values["lr"] for each in self.combinations}) > 1
        has_beta = self.best_combination.grid_values["beta"] is not None
        return ["latent", *(["beta"] if has_beta else []), *(["lr"] if several else [])]

    @property
    def table_header(self) -> list[str]:
        """Column heads of ``table_rows``."""
        return [*self.setting_names, "ELBO", "rate", "distortion", ""]

    @property
    def table_rows(self) -> list[list[str]]:
        """A row for each combination, in nats, ± one standard error over the seeds."""
        return [
            [
                *(format_grid_value(each.grid_values[name]) for name in self.setting_names),
                *map(_format, each.estimates.values()),
                "best"
                if each is self.best_combination
                else "close"
                if self._is_within_noise(each)
                else "",
            ]
            for each in self.combinations
        ]

    @property
    def run_rows(self) -> list[list[str]]:
        """A row for each run: its folder and its numbers."""
        return [
            [
                run.folder.name,
                *(_format(getattr(run.rate_distortion, name)) for name in SWEEP_QUANTITIES),
            ]
            for run in self.runs
        ]

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON can hold it."""
        rows = [
            each.grid_values
            | {name: _record(value) for name, value in each.estimates.items()}
            | {
                "n_seeds": len(each.runs),
                "is_best": each is self.best_combination,
                "within_noise": self._is_within_noise(each),
            }
            for each in self.combinations
        ]
        return {
            "folder": str(self.folder),
            "settings": {} if self.settings is None else self.settings.to_dict(),
            "split": self.split,
            "n": self.n_rows,
            "best_run": str(self.best_combination.best_run.folder),
            "combinations": rows,
            "runs": [run.to_dict() for run in self.runs],
        }

    def write(self) -> tuple[Note, ...]:
        """Write results, figure and page into the folder.

        Returns:
            A note where figure and page could not be drawn.
        """
        from .. import plots
        from ..report._sweep_page import SweepPage, write_sweep

        write_json(self.folder / RESULTS_FILE, finite_or_none(self.to_dict()))
        arguments = self.figure_arguments
        if not arguments["rate"]:
            return (
                Note("no_figure", "No figure: no run has a finite rate and distortion.", "warning"),
            )
        try:
            figure = plots.rate_distortion(**arguments)
        except MissingExtraError as error:
            return (Note("no_figure", f"No figure: {error}", "warning"),)
        write_atomically(self.folder / FIGURE_FILE, plots.svg(figure))
        settings = {} if self.settings is None else self.settings.to_dict()
        page = SweepPage(
            self.title,
            self.best_sentence,
            self.table_header,
            self.table_rows,
            self.run_rows,
            [
                (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
                for name, value in settings.items()
            ],
        )
        write_sweep(page, figure, self.folder / PAGE_FILE)
        return ()

    @cached_property
    def _differences_to_best(self) -> tuple[Difference | None, ...]:
        """The ELBO of each combination minus that of the best, judged by the spread over seeds."""
        tables = [
            torch.tensor([run.rate_distortion.elbo.mean for run in each.runs], dtype=torch.float64)
            for each in self.combinations
        ]
        best = [each is self.best_combination for each in self.combinations].index(True)
        return compare_quantity("elbo", tables, "seeds", best).differences

    def _is_within_noise(self, other: Combination) -> bool:
        """Whether seeds alone may explain the difference to the best; a single seed cannot tell."""
        difference = next(
            found
            for each, found in zip(self.combinations, self._differences_to_best, strict=True)
            if each is other
        )
        return difference is not None and difference.is_noise


def _group(runs: Sequence[SweepRun]) -> tuple[Combination, ...]:
    groups = itertools.groupby(runs, key=lambda run: run.combination_values)
    return tuple(Combination(tuple(group)) for _, group in groups)


def _early_stop_notes(results: Sequence[FitResult]) -> list[Note]:
    """The number of runs that ended before their last epoch, and why."""
    counts = Counter(result.stop_reason for result in results)
    return [
        Note(
            "early_stop",
            message(f"{number} of {len(results)} runs ended {{why}}.", why=EARLY_STOPS[reason]),
            data={"reason": reason, "runs": number},
        )
        for reason, number in counts.items()
        if reason in EARLY_STOPS
    ]


def _merge_notes(results: Sequence[FitResult]) -> list[Note]:
    """The notes of the runs, each once, with the number of runs where it is not all."""
    notes = {str(note): note for result in results for note in result.notes}
    counts = Counter(text for result in results for text in {str(note) for note in result.notes})
    return [
        note
        if counts[text] == len(results)
        else Note(
            note.code,
            message(
                "{note} ({runs} of {all} runs)",
                note=note.message,
                runs=counts[text],
                all=len(results),
            ),
            note.level,
            note.data,
        )
        for text, note in notes.items()
    ]


def _ranking_value(bound: Estimate) -> float:
    """The mean for comparisons, in which NaN is the lowest."""
    return -math.inf if math.isnan(bound.mean) else bound.mean


def _format(value: Estimate) -> str:
    return format_with_error(value.mean, value.standard_error, 2)


def _record(value: Estimate) -> dict[str, Any]:
    return {"mean": value.mean, "standard_error": value.standard_error}
