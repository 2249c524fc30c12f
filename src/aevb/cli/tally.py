"""What the runs of a sweep came to: per combination, over its seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import record_of, with_error
from .grid import Job, written

if TYPE_CHECKING:
    from ..metrics import Measured, RateDistortion
    from ..metrics.comparison import Difference
    from ..training import FitResult

NUMBERS = ("elbo", "rate", "distortion")


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and its two terms on the held-out rows."""

    job: Job
    path: Path
    result: FitResult
    terms: RateDistortion

    @property
    def place(self) -> dict[str, Any]:
        """What it has in common with the other runs of its combination: latent, beta and lr."""
        return {name: value for name, value in self.job.values.items() if name != "seed"}

    @property
    def record(self) -> dict[str, Any]:
        """The run for JSON."""
        numbers = {name: record_of(getattr(self.terms, name)) for name in NUMBERS}
        ended = {"best_epoch": self.result.best_epoch, "stopped": self.result.stopped}
        return {"run": str(self.path)} | self.job.values | numbers | ended


@dataclass(frozen=True)
class Combination:
    """Runs that differ in their seed alone."""

    runs: tuple[Ended, ...]

    @property
    def values(self) -> dict[str, Any]:
        """What they have in common."""
        return self.runs[0].place

    @cached_property
    def numbers(self) -> dict[str, Measured]:
        """ELBO, rate and distortion as means over the runs; the standard error says how much luck is in a seed, and nothing of the rows."""
        import torch

        from ..metrics import Measured

        means = {name: [getattr(run.terms, name).mean for run in self.runs] for name in NUMBERS}
        return {name: Measured.of(torch.tensor(values, dtype=torch.float64)) for name, values in means.items()}

    @property
    def best(self) -> Ended:
        """The run with the highest ELBO."""
        return max(self.runs, key=lambda run: _height(run.terms.elbo))


@dataclass(frozen=True)
class Tally:
    """All combinations in the order of the grid, measured on the rows of ``part``."""

    combinations: tuple[Combination, ...]
    part: str  # "validation", or "test" where there are no validation rows
    rows: int
    one: str  # what a row is called

    @classmethod
    def of(cls, runs: Sequence[Ended], part: str, rows: int, one: str) -> Tally:
        """Runs of one combination stand side by side."""
        alike = (tuple(group) for _, group in itertools.groupby(runs, key=lambda run: run.place))
        return cls(tuple(map(Combination, alike)), part, rows, one)

    @property
    def runs(self) -> list[Ended]:
        return [run for combination in self.combinations for run in combination.runs]

    @property
    def finite(self) -> list[Ended]:
        """The runs that a picture can show."""
        return [run for run in self.runs if math.isfinite(run.terms.elbo.mean)]

    @property
    def points(self) -> dict[str, Any]:
        """The arguments of ``plots.rate_distortion``."""
        terms, values = [run.terms for run in self.finite], [run.job.values for run in self.finite]
        betas, rates = ([value[name] for value in values] for name in ("beta", "lr"))
        return {
            "rate": [term.rate.mean for term in terms],
            "distortion": [term.distortion.mean for term in terms],
            "latent": [value["latent"] for value in values],
            "beta": betas if "beta" in self.columns else None,
            "learning_rate": rates if "lr" in self.columns else None,
        }

    @property
    def best(self) -> Combination:
        """The combination with the highest mean of the ELBO."""
        return max(self.combinations, key=lambda combination: _height(combination.numbers["elbo"]))

    @property
    def verdict(self) -> str:
        """What the sweep comes to, in a sentence."""
        from ..data.words import count

        seeds, number = len(self.best.runs), len(self.combinations)
        mean = "" if seeds == 1 else f", mean and standard error of {seeds} seeds"
        named = ", ".join(f"{name} {written(self.best.values[name])}" for name in self.columns)
        first = f"Of {number} combinations {named} has the highest ELBO" if number > 1 else f"The ELBO of {named}"
        close = sum(map(self._close, self.combinations))
        rest = f" Not told apart from it by so few seeds: {count(close, 'other')}." if close else ""
        return f"{first}: {self.best.numbers['elbo']} nats per {self.one}{mean}, on {count(self.rows, f'{self.part} row')}.{rest}"

    @property
    def columns(self) -> list[str]:
        """The settings that the table shows: the size of the codes, and what else there is to tell apart."""
        several = len({combination.values["lr"] for combination in self.combinations}) > 1
        return ["latent", *(["beta"] if self.best.values["beta"] is not None else []), *(["lr"] if several else [])]

    @property
    def head(self) -> list[str]:
        return [*self.columns, "ELBO", "rate", "distortion", ""]

    @property
    def table(self) -> list[list[str]]:
        """A line for each combination, in nats, ± one standard error over the seeds; the best is marked."""
        return [self._line(combination) for combination in self.combinations]

    @property
    def lines(self) -> list[list[str]]:
        """A line for each run, its folder first."""
        return [[run.path.name, *(with_error(getattr(run.terms, name)) for name in NUMBERS)] for run in self.runs]

    @property
    def record(self) -> dict[str, Any]:
        """The numbers for JSON."""
        rows = [
            combination.values
            | {name: record_of(value) for name, value in combination.numbers.items()}
            | {"seeds": len(combination.runs), "best": combination is self.best, "close": self._close(combination)}
            for combination in self.combinations
        ]
        runs = [run.record for run in self.runs]
        return {"part": self.part, "n": self.rows, "best_run": str(self.best.best.path), "combinations": rows, "runs": runs}

    def _line(self, combination: Combination) -> list[str]:
        values = [written(combination.values[name]) for name in self.columns]
        return [*values, *map(with_error, combination.numbers.values()), self._mark(combination)]

    def _mark(self, combination: Combination) -> str:
        return "best" if combination is self.best else "close" if self._close(combination) else ""

    @cached_property
    def _less(self) -> tuple[Difference | None, ...]:
        """The ELBO of each combination less that of the best, judged by the spread between seeds as `aevb compare` does it."""
        import torch

        from ..metrics.comparison import column

        tables = [torch.tensor([run.terms.elbo.mean for run in each.runs], dtype=torch.float64) for each in self.combinations]
        return column("elbo", tables, "seeds", [each is self.best for each in self.combinations].index(True)).differences

    def _close(self, other: Combination) -> bool:
        """Whether luck alone may have put the best one before another; a single seed does not tell."""
        found = next(less for each, less in zip(self.combinations, self._less, strict=True) if each is other)
        return found is not None and found.noise


def _height(bound: Measured) -> float:
    """For comparisons, in which NaN loses."""
    return -math.inf if math.isnan(bound.mean) else bound.mean
