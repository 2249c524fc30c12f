"""Rows of a table drawn under conditions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import inference
from ..data import Column, Schema, parse_conditions
from ..data._conditions import Conditions, restrict_pooled_levels
from ..errors import ArgumentError, IncompatibleError
from ..inference import ConditionalSample
from ..notes import Note
from ._impute import pairs_at_once

if TYPE_CHECKING:
    from ._run import Run


@dataclass(frozen=True)
class ConditionalRows:
    """Rows drawn under conditions.

    Args:
        rows: The rows in the form of ``Run.sample``.
        probability: Probability of the conditions under the model; see ``ConditionalSample``.
        sample: The draws of ``inference.condition``.
        notes: How the rows were drawn.
    """

    rows: Any
    probability: float
    sample: ConditionalSample
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Convert the summary to values that JSON can hold."""
        names = ("method", "samples", "effective_sample_size", "acceptance")
        return {
            "probability": self.probability,
            **{name: getattr(self.sample, name) for name in names},
            "notes": [note.to_dict() for note in self.notes],
        }


def sample_where(
    run: Run, n: int, where: Conditions, *, label: Any = None, samples: int = 10_000, seed: int = 0
) -> ConditionalRows:
    """Draw rows under conditions; see ``Run.condition``."""
    schema = run.spec.schema or _schema_of_numbers(run)
    given = parse_conditions(schema, where)
    try:
        found = inference.condition(
            run.model,
            given,
            n,
            samples=samples,
            context=run.model.resolve_context(1, None, label),
            seed=seed,
            max_pairs=pairs_at_once(run),
        )
    except ArgumentError as error:
        if error.argument != "given":
            raise
        raise ArgumentError(
            error.reason, argument="where", suggestions=error.suggestions
        ) from error
    x = found.x.cpu()
    rows = (
        run.spec.to_source(x)
        if run.spec.schema is None
        else restrict_pooled_levels(schema, where).decode(x, run.template, seed=seed)
    )
    return ConditionalRows(rows, found.probability, found, (*run.status_notes(), *found.notes))


def _schema_of_numbers(run: Run) -> Schema:
    """The columns of a table of real numbers, whose rows are not encoded.

    Raises:
        IncompatibleError: Rows have no columns.
    """
    columns = run.spec.columns
    if columns is None or len(columns) != run.spec.dimensions:
        raise IncompatibleError(
            f"conditions name columns, and the rows of `{run.name}` have none", argument="where"
        )
    return Schema(tuple(Column(name, "continuous", "normal") for name in columns), 0)
