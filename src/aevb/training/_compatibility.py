"""Checks before the first step."""

from __future__ import annotations

import math

from .._recipe import Recipe
from ..data import Rows
from ..errors import ArgumentError
from ..gradients._compatibility import check_row_weights
from ..inference._batches import seeded_evaluation
from ..inference._inputs import check_data
from ..models import VAE
from ..models._input_checks import check_batch
from ..notes import Argument, Note, Part, message
from ._source import Source


def check_positive(**numbers: float | None) -> None:
    """Check that numbers are positive and finite; ``None`` passes.

    Raises:
        ArgumentError: A number is not.
    """
    for name, value in numbers.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ArgumentError("give a positive number", argument=name, value=value)


def check_seed(seed: int, argument: str = "seed") -> None:
    """Check that generators accept a seed.

    Raises:
        ArgumentError: They do not.
    """
    if not 0 <= seed < 2**63:
        raise ArgumentError(
            "give a whole number from 0 to 2**63 - 1", argument=argument, value=seed
        )


def check_micro_batches(micro_batches: int, batch_size: int | None) -> None:
    """Check that batches have equal parts.

    Raises:
        ArgumentError: They do not.
    """
    if micro_batches < 1 or (batch_size is not None and batch_size % micro_batches):
        raise ArgumentError(
            f"it must divide the batch, which has {batch_size} rows",
            argument="micro_batches",
            value=micro_batches,
        )


def check_schedules(recipe: Recipe, patience: int | None) -> None:
    """Check that all schedules end if the run waits for improvement after them.

    Raises:
        ArgumentError: A schedule has no end.
    """
    if patience is not None and recipe.unending_schedules:
        setting = recipe.unending_schedules[0]
        raise ArgumentError(
            f"it counts from the end of all schedules, and the schedule of `{setting}` never ends",
            argument="patience",
            value=patience,
            suggestions=(
                message("Leave {patience} out", patience=Argument("patience")),
                message(
                    "Use a schedule with an end, for instance {linear}",
                    linear=Part("objectives.Linear", {"steps": 1000}),
                ),
            ),
        )


def schedule_notes(recipe: Recipe, steps: float) -> tuple[Note, ...]:
    """Notes of schedules that were shortened, and of a run that ends before its schedules."""
    shortened = tuple(
        Note(
            "schedule_shortened",
            f"The schedule of `{setting}` takes {given:,} steps, and the run has {steps:,.0f}: it "
            f"was shortened to {planned:,}.",
            data={"setting": setting, "given": given, "planned": planned, "steps": steps},
        )
        for setting, (given, planned) in recipe.objective.shortened_schedules.items()
    )
    if not steps < recipe.final_schedule_step:
        return shortened
    return (
        *shortened,
        Note(
            "schedules_unfinished",
            f"The run has {steps:,.0f} steps, and its schedules take "
            f"{recipe.final_schedule_step:,}: the target at the end is not the full one yet.",
            "warning",
            {"steps": steps, "schedule_steps": recipe.final_schedule_step},
        ),
    )


def check_weights(recipe: Recipe, source: Source) -> None:
    """Check that rows may have weights, if they have some.

    Raises:
        IncompatibleError: A mean over rows does not know the weights.
    """
    if source.rows is not None and source.rows.weights is not None:
        check_row_weights(recipe.gradient, recipe.objective)


def check_training_data(model: VAE, source: Source, held_out: Rows | None) -> None:
    """Check all rows if they are in memory, else the first batch.

    The check changes neither the caller's random stream nor the model.

    Raises:
        DataError: The model cannot take the data.
        IncompatibleError: The batches lack what the model needs.
    """
    with seeded_evaluation(model, seed=0):
        if source.rows is not None:
            check_data(model, source.rows, "data")
        first = source.first_batch()
        model.check_batch(first)
        check_batch(model, first, "data")
        if held_out is not None:
            check_data(model, held_out, "validation")
