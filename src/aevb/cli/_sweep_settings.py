"""Runs that differ in a few settings: every combination of values, several seeds each."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ._options import (
    CommonOptions,
    DataOptions,
    GridOptions,
    SweepModelOptions,
    SweepTrainingOptions,
    TrainingOptions,
)
from ._recipe import build_recipe, check_model_options
from ._run_settings import RunSettings

if TYPE_CHECKING:
    from .._recipe import Recipe
    from ..data import Spec


@dataclass(frozen=True)
class SweepSettings:
    """All that decides a sweep: the grid, and what its runs have in common."""

    source: str
    grid: GridOptions
    data: DataOptions
    model: SweepModelOptions
    training: SweepTrainingOptions
    common: CommonOptions

    @property
    def config(self) -> dict[str, Any]:
        """What the ``config.toml`` of the sweep holds; ``seed`` is the first of the runs' seeds, and that of the data's split."""
        alike = RunSettings(self.source, self.data, self.model, self.training, self.common).config
        swept = dataclasses.asdict(replace(self.grid, lr=self.learning_rates))
        return alike | {name: value for name, value in swept.items() if value is not None}

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return (TrainingOptions.lr,) if self.grid.lr is None else self.grid.lr

    @property
    def seeds(self) -> range:
        return range(self.common.seed, self.common.seed + self.grid.seeds)

    @property
    def description(self) -> str:
        """The grid in a sentence."""
        named = {
            "latent": self.grid.latent,
            "beta": self.grid.beta,
            "lr": None if self.learning_rates == (TrainingOptions.lr,) else self.learning_rates,
        }
        parts = [
            f"{name} {', '.join(map(format_grid_value, values))}"
            for name, values in named.items()
            if values is not None
        ]
        parts.append(
            f"seed {self.seeds[0]}"
            if len(self.seeds) == 1
            else f"seeds {self.seeds[0]} to {self.seeds[-1]}"
        )
        return "; ".join(parts)

    def check(self) -> None:
        """Raise ``ArgumentError``, before any data are read, for a grid without runs and for values that no run could use."""
        from ..training._compatibility import check_seed

        _check_values(
            "--latent",
            self.grid.latent,
            (2, 4, 8),
            "whole numbers from 1",
            lambda value: value >= 1,
        )
        _check_values(
            "--beta",
            self.grid.beta,
            (0.5, 1, 4),
            "numbers from 0",
            lambda value: 0 <= value < math.inf,
        )
        _check_values(
            "--lr",
            self.learning_rates,
            (0.001, 0.003),
            "numbers above 0",
            lambda value: 0 < value < math.inf,
        )
        if self.grid.seeds < 1:
            raise ArgumentError(
                f"--seeds is {self.grid.seeds}; give the number of runs of each combination, at least 1."
            )
        for seed in (self.seeds[0], self.seeds[-1]):
            check_seed(seed)
        check_model_options(self.run_settings()[0].model)

    def run_settings(self) -> list[RunSettings]:
        """A plan for each run, those of one combination side by side. All have the rows of one split, and each the seed of its own."""
        data = (
            self.data
            if self.data.split_seed is not None
            else replace(self.data, split_seed=self.common.seed)
        )
        axes = (
            self.grid.latent or (None,),
            self.grid.beta or (None,),
            self.learning_rates,
            self.seeds,
        )
        return [
            RunSettings(
                self.source,
                data,
                replace(self.model, latent=latent, beta=beta),
                replace(self.training, lr=lr),
                replace(self.common, seed=seed),
            )
            for latent, beta, lr, seed in itertools.product(*axes)
        ]


@dataclass(frozen=True)
class SweepJob:
    """A run that is to be: its plan, and the recipe with fresh weights."""

    settings: RunSettings
    recipe: Recipe

    @classmethod
    def from_settings(cls, settings: RunSettings, spec: Spec) -> SweepJob:
        """What `aevb fit` would train with the same settings. Raises ``ArgumentError`` for a model without a rate."""
        from .._random import seed_scope

        settings = settings.with_default_latent(spec)
        with seed_scope(settings.common.seed):
            recipe = build_recipe(settings.model, spec)
        if not recipe.model.posterior.has_density:
            raise ArgumentError(
                f"--preset {settings.model.preset}: an autoencoder has no rate and no ELBO to compare; write --preset vae, or use `aevb fit`."
            )
        return cls(settings, recipe)

    @property
    def grid_values(self) -> dict[str, Any]:
        """Where it is in the grid; the seed is the last."""
        return {
            "latent": self.settings.model.latent,
            "beta": self.final_beta,
            "lr": self.settings.training.lr,
            "seed": self.settings.common.seed,
        }

    @property
    def final_beta(self) -> float | None:
        """The weight of the divergence that its objective ends with; None where it has none."""
        schedule = self.recipe.objective.schedules.get("beta")
        return None if schedule is None else schedule(schedule.final_schedule_step or 0)

    @property
    def folder_name(self) -> str:
        """Its folder, which depends on nothing but the run: a wider grid finds it again."""
        usual = {"beta": None, "lr": TrainingOptions.lr}
        return "_".join(
            f"{name}-{format_grid_value(value)}"
            for name, value in self.grid_values.items()
            if value != usual.get(name, math.nan)
        )


def format_grid_value(value: float) -> str:
    """A number of a grid as it is typed.

    >>> written(4.0), written(0.0015), written(16)
    ('4', '0.0015', '16')
    """
    return f"{value:.10g}"


def _check_values(
    name: str,
    values: Sequence[float] | None,
    example: Sequence[float],
    kind: str,
    is_valid: Callable[[float], bool],
) -> None:
    line = f"{name} {','.join(map(format_grid_value, example))}"
    if values is None:
        return
    if not values:
        raise ArgumentError(f"{name} is empty; give {kind} with commas between them, as {line}.")
    for value in values:
        if not is_valid(value):
            raise ArgumentError(f"{name} holds {format_grid_value(value)}; give {kind}, as {line}.")
    twice = [
        text
        for text in map(format_grid_value, values)
        if [*map(format_grid_value, values)].count(text) > 1
    ]
    if twice:
        raise ArgumentError(f"{name} holds {twice[0]} twice; give each value once, as {line}.")
