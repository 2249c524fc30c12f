"""What the runs of a sweep came to: per combination, over its seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._formatting import estimate_record, format_estimate
from ._sweep_settings import SweepJob, format_grid_value

if TYPE_CHECKING:
    from ..metrics import Estimate, RateDistortion
    from ..metrics._comparison import Difference
    from ..training import FitResult

SWEEP_QUANTITIES = ("elbo", "rate", "distortion")


@dataclass(frozen=True)
class SweepRun:
    """A run that has ended, and its two terms on the held-out rows."""

    job: SweepJob
    folder: Path
    result: FitResult
    rate_distortion: RateDistortion

    @property
    def combination_values(self) -> dict[str, Any]:
        """What it has in common with the other runs of its combination: latent, beta and lr."""
        return {name: value for name, value in self.job.grid_values.items() if name != "seed"}

    @property
    def record(self) -> dict[str, Any]:
        """The run for JSON."""
        numbers = {
            name: estimate_record(getattr(self.rate_distortion, name)) for name in SWEEP_QUANTITIES
        }
        ended = {"best_epoch": self.result.best_epoch, "stopped": self.result.stop_reason}
        return {"run": str(self.folder)} | self.job.grid_values | numbers | ended


@dataclass(frozen=True)
class Combination:
    """Runs that differ in their seed alone."""

    runs: tuple[SweepRun, ...]

    @property
    def grid_values(self) -> dict[str, Any]:
        """What they have in common."""
        return self.runs[0].combination_values

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """ELBO, rate and distortion as means over the runs; the standard error says how much luck is in a seed, and nothing of the rows."""
        import torch

        from ..metrics import Estimate

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
    """All combinations in the order of the grid, measured on the rows of ``part``."""

    combinations: tuple[Combination, ...]
    split: str  # "validation", or "test" where there are no validation rows
    n_rows: int
    item_noun: str  # what a row is called

    @classmethod
    def from_runs(
        cls, runs: Sequence[SweepRun], split: str, n_rows: int, item_noun: str
    ) -> SweepResult:
        """Runs of one combination stand side by side."""
        alike = (
            tuple(group)
            for _, group in itertools.groupby(runs, key=lambda run: run.combination_values)
        )
        return cls(tuple(map(Combination, alike)), split, n_rows, item_noun)

    @property
    def runs(self) -> list[SweepRun]:
        return [run for combination in self.combinations for run in combination.runs]

    @property
    def finite_runs(self) -> list[SweepRun]:
        """The runs that a picture can show."""
        return [run for run in self.runs if math.isfinite(run.rate_distortion.elbo.mean)]

    @property
    def figure_arguments(self) -> dict[str, Any]:
        """The arguments of ``plots.rate_distortion``."""
        terms, values = (
            [run.rate_distortion for run in self.finite_runs],
            [run.job.grid_values for run in self.finite_runs],
        )
        betas, rates = ([value[name] for value in values] for name in ("beta", "lr"))
        return {
            "rate": [term.rate.mean for term in terms],
            "distortion": [term.distortion.mean for term in terms],
            "latent": [value["latent"] for value in values],
            "beta": betas if "beta" in self.setting_names else None,
            "learning_rate": rates if "lr" in self.setting_names else None,
        }

    @property
    def best_combination(self) -> Combination:
        """The combination with the highest mean of the ELBO."""
        return max(
            self.combinations, key=lambda combination: _ranking_value(combination.estimates["elbo"])
        )

    @property
    def best_sentence(self) -> str:
        """What the sweep comes to, in a sentence."""
        from ..data._formatting import format_count

        seeds, number = len(self.best_combination.runs), len(self.combinations)
        mean = "" if seeds == 1 else f", mean and standard error of {seeds} seeds"
        named = ", ".join(
            f"{name} {format_grid_value(self.best_combination.grid_values[name])}"
            for name in self.setting_names
        )
        first = (
            f"Of {number} combinations {named} has the highest ELBO"
            if number > 1
            else f"The ELBO of {named}"
        )
        close = sum(map(self._is_within_noise, self.combinations))
        rest = (
            f" Not told apart from it by so few seeds: {format_count(close, 'other')}."
            if close
            else ""
        )
        return f"{first}: {self.best_combination.estimates['elbo']} nats per {self.item_noun}{mean}, on {format_count(self.n_rows, f'{self.split} row')}.{rest}"

    @property
    def setting_names(self) -> list[str]:
        """The settings that the table shows: the size of the codes, and what else there is to tell apart."""
        several = len({combination.grid_values["lr"] for combination in self.combinations}) > 1
        return [
            "latent",
            *(["beta"] if self.best_combination.grid_values["beta"] is not None else []),
            *(["lr"] if several else []),
        ]

    @property
    def table_header(self) -> list[str]:
        return [*self.setting_names, "ELBO", "rate", "distortion", ""]

    @property
    def table_rows(self) -> list[list[str]]:
        """A line for each combination, in nats, ± one standard error over the seeds; the best is marked."""
        return [self._table_row(combination) for combination in self.combinations]

    @property
    def run_rows(self) -> list[list[str]]:
        """A line for each run, its folder first."""
        return [
            [
                run.folder.name,
                *(format_estimate(getattr(run.rate_distortion, name)) for name in SWEEP_QUANTITIES),
            ]
            for run in self.runs
        ]

    @property
    def record(self) -> dict[str, Any]:
        """The numbers for JSON."""
        rows = [
            combination.grid_values
            | {name: estimate_record(value) for name, value in combination.estimates.items()}
            | {
                "seeds": len(combination.runs),
                "best": combination is self.best_combination,
                "close": self._is_within_noise(combination),
            }
            for combination in self.combinations
        ]
        runs = [run.record for run in self.runs]
        return {
            "part": self.split,
            "n": self.n_rows,
            "best_run": str(self.best_combination.best_run.folder),
            "combinations": rows,
            "runs": runs,
        }

    def _table_row(self, combination: Combination) -> list[str]:
        values = [format_grid_value(combination.grid_values[name]) for name in self.setting_names]
        return [
            *values,
            *map(format_estimate, combination.estimates.values()),
            self._mark_cell(combination),
        ]

    def _mark_cell(self, combination: Combination) -> str:
        return (
            "best"
            if combination is self.best_combination
            else "close"
            if self._is_within_noise(combination)
            else ""
        )

    @cached_property
    def _differences_to_best(self) -> tuple[Difference | None, ...]:
        """The ELBO of each combination less that of the best, judged by the spread between seeds as `aevb compare` does it."""
        import torch

        from ..metrics._comparison import compare_quantity

        tables = [
            torch.tensor([run.rate_distortion.elbo.mean for run in each.runs], dtype=torch.float64)
            for each in self.combinations
        ]
        return compare_quantity(
            "elbo",
            tables,
            "seeds",
            [each is self.best_combination for each in self.combinations].index(True),
        ).differences

    def _is_within_noise(self, other: Combination) -> bool:
        """Whether luck alone may have put the best one before another; a single seed does not tell."""
        found = next(
            less
            for each, less in zip(self.combinations, self._differences_to_best, strict=True)
            if each is other
        )
        return found is not None and found.is_noise


def _ranking_value(bound: Estimate) -> float:
    """For comparisons, in which NaN loses."""
    return -math.inf if math.isnan(bound.mean) else bound.mean
