"""Runs that differ in a few settings: every combination of values, several seeds each."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .options import Common, Data, Grid, SweptModel, SweptTraining, Training
from .parts import check, recipe_of
from .plan import Plan

if TYPE_CHECKING:
    from ..data import Spec
    from ..recipe import Recipe


@dataclass(frozen=True)
class Sweep:
    """All that decides a sweep: the grid, and what its runs have in common."""

    source: str
    grid: Grid
    data: Data
    model: SweptModel
    training: SweptTraining
    common: Common

    @property
    def settings(self) -> dict[str, Any]:
        """What the ``config.toml`` of the sweep holds; ``seed`` is the first of the runs' seeds, and that of the data's split."""
        alike = Plan(self.source, self.data, self.model, self.training, self.common).settings
        swept = dataclasses.asdict(replace(self.grid, lr=self.rates))
        return alike | {name: value for name, value in swept.items() if value is not None}

    @property
    def rates(self) -> tuple[float, ...]:
        return (Training.lr,) if self.grid.lr is None else self.grid.lr

    @property
    def seeds(self) -> range:
        return range(self.common.seed, self.common.seed + self.grid.seeds)

    @property
    def said(self) -> str:
        """The grid in a sentence."""
        named = {"latent": self.grid.latent, "beta": self.grid.beta, "lr": None if self.rates == (Training.lr,) else self.rates}
        parts = [f"{name} {', '.join(map(written, values))}" for name, values in named.items() if values is not None]
        parts.append(f"seed {self.seeds[0]}" if len(self.seeds) == 1 else f"seeds {self.seeds[0]} to {self.seeds[-1]}")
        return "; ".join(parts)

    def check(self) -> None:
        """Raise ``ArgumentError``, before any data are read, for a grid without runs and for values that no run could use."""
        from ..training.door import check_seed

        _check_values("--latent", self.grid.latent, (2, 4, 8), "whole numbers from 1", lambda value: value >= 1)
        _check_values("--beta", self.grid.beta, (0.5, 1, 4), "numbers from 0", lambda value: 0 <= value < math.inf)
        _check_values("--lr", self.rates, (0.001, 0.003), "numbers above 0", lambda value: 0 < value < math.inf)
        if self.grid.seeds < 1:
            raise ArgumentError(f"--seeds is {self.grid.seeds}; give the number of runs of each combination, at least 1.")
        for seed in (self.seeds[0], self.seeds[-1]):
            check_seed(seed)
        check(self.plans()[0].model)

    def plans(self) -> list[Plan]:
        """A plan for each run, those of one combination side by side. All have the rows of one split, and each the seed of its own."""
        data = self.data if self.data.split_seed is not None else replace(self.data, split_seed=self.common.seed)
        axes = (self.grid.latent or (None,), self.grid.beta or (None,), self.rates, self.seeds)
        return [
            Plan(
                self.source,
                data,
                replace(self.model, latent=latent, beta=beta),
                replace(self.training, lr=lr),
                replace(self.common, seed=seed),
            )
            for latent, beta, lr, seed in itertools.product(*axes)
        ]


@dataclass(frozen=True)
class Job:
    """A run that is to be: its plan, and the recipe with fresh weights."""

    plan: Plan
    recipe: Recipe

    @classmethod
    def of(cls, plan: Plan, spec: Spec) -> Job:
        """What `aevb fit` would train with the same settings. Raises ``ArgumentError`` for a model without a rate."""
        from ..random import seeded

        plan = plan.with_latent(spec)
        with seeded(plan.common.seed):
            recipe = recipe_of(plan.model, spec)
        if not recipe.model.posterior.density:
            raise ArgumentError(
                f"--preset {plan.model.preset}: an autoencoder has no rate and no ELBO to compare; write --preset vae, or use `aevb fit`."
            )
        return cls(plan, recipe)

    @property
    def values(self) -> dict[str, Any]:
        """Where it is in the grid; the seed is the last."""
        return {"latent": self.plan.model.latent, "beta": self.beta, "lr": self.plan.training.lr, "seed": self.plan.common.seed}

    @property
    def beta(self) -> float | None:
        """The weight of the divergence that its objective ends with; None where it has none."""
        schedule = self.recipe.objective.schedules.get("beta")
        return None if schedule is None else schedule(schedule.settled or 0)

    @property
    def name(self) -> str:
        """Its folder, which depends on nothing but the run: a wider grid finds it again."""
        usual = {"beta": None, "lr": Training.lr}
        return "_".join(f"{name}-{written(value)}" for name, value in self.values.items() if value != usual.get(name, math.nan))


def written(value: float) -> str:
    """A number of a grid as it is typed.

    >>> written(4.0), written(0.0015), written(16)
    ('4', '0.0015', '16')
    """
    return f"{value:.10g}"


def _check_values(name: str, values: Sequence[float] | None, example: Sequence[float], kind: str, usable: Callable[[float], bool]) -> None:
    line = f"{name} {','.join(map(written, example))}"
    if values is None:
        return
    if not values:
        raise ArgumentError(f"{name} is empty; give {kind} with commas between them, as {line}.")
    for value in values:
        if not usable(value):
            raise ArgumentError(f"{name} holds {written(value)}; give {kind}, as {line}.")
    twice = [text for text in map(written, values) if [*map(written, values)].count(text) > 1]
    if twice:
        raise ArgumentError(f"{name} holds {twice[0]} twice; give each value once, as {line}.")
