"""Everything that can be checked before the first step is checked here, once."""

from __future__ import annotations

import math

from .._recipe import Recipe
from ..data import Rows
from ..errors import ArgumentError
from ..metrics._blocks import seeded_evaluation
from ..metrics._input_checks import check_batch, check_data
from ..models import VAE
from ._source import Source


def check_positive(**numbers: float | None) -> None:
    """Refuse settings that must be positive and are not; ``None`` passes."""
    for name, value in numbers.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ArgumentError(f"`{name}` is {value}; give a positive number.")


def check_seed(seed: int) -> None:
    """Refuse a seed that no generator takes."""
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"`seed` is {seed}; give a whole number from 0 to 2**63 - 1.")


def check_micro_batches(micro_batches: int, batch_size: int | None) -> None:
    """Refuse parts of a batch that would not be equal."""
    if micro_batches < 1 or (batch_size is not None and batch_size % micro_batches):
        raise ArgumentError(
            f"`parts` is {micro_batches} and a batch has {batch_size} rows; give a number that divides it."
        )


def check_schedules(recipe: Recipe, patience: int | None) -> None:
    """Refuse to wait for improvement after a schedule that has no end: what is climbed would never stand still."""
    if patience is not None and recipe.unending_schedules:
        raise ArgumentError(
            f"`patience` is {patience}, which counts from where every schedule has settled, and that of `{recipe.unending_schedules[0]}` never does; "
            "leave patience out, or use a schedule with an end, as objectives.Linear(steps=1000)."
        )


def schedule_notes(recipe: Recipe, steps: float) -> tuple[str, ...]:
    """What to say where the run is over before its schedules are."""
    if not steps < recipe.final_schedule_step:
        return ()
    return (
        f"The run has {steps:,.0f} steps, and its schedules take {recipe.final_schedule_step:,}: what is climbed at the end is not yet the whole.",
    )


def check_training_data(model: VAE, source: Source, held_out: Rows | None) -> None:
    """Look at everything that can be looked at: all rows where they are there, else the first batch."""
    with seeded_evaluation(
        model, seed=0
    ):  # looking draws nothing from the caller's stream, and moves no running mean
        if source.rows is not None:
            check_data(model, source.rows, "data")
        first = source.first_batch()
        model.check_batch(first)
        check_batch(model, first, "data")
        if held_out is not None:
            check_data(model, held_out, "validation")
