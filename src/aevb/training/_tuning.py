"""The record of a tuning: the candidates, their held-out bounds, and the choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._records import record_from_json
from ..errors import RunError
from ..metrics._estimate import format_with_error
from ..notes import Note

FEW_VALIDATION_ROWS = 100
TABLE_HEADER = ("candidate", "steps", "log p(x)", "minus the best", "seconds")


@dataclass(frozen=True, kw_only=True)
class TunedCandidate:
    """A candidate of a tuning.

    Args:
        name: What it changes.
        changes: Settings that differ from the defaults, by name.
        steps: Training steps.
        bound: log p(x) of the validation rows, estimated by importance sampling: a lower bound in
            expectation; ``None`` for a candidate whose training failed.
        standard_error: Its standard error over rows.
        difference: ``bound`` minus that of the chosen candidate after as many steps, row by row.
        difference_error: Its standard error.
        seconds: Training time, the stack's time divided by its models.
        chosen: Whether it was trained again in full.
    """

    name: str
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int
    bound: float | None = None
    standard_error: float | None = None
    difference: float | None = None
    difference_error: float | None = None
    seconds: float
    chosen: bool = False

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of its line in a table."""
        difference = (
            "chosen" if self.chosen else _with_error(self.difference, self.difference_error)
        )
        return (
            self.name,
            f"{self.steps:,}",
            _with_error(self.bound, self.standard_error) or "not finite",
            difference,
            f"{self.seconds:.1f}",
        )


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """The choice of settings by held-out rows.

    Args:
        candidates: The candidates, the best first.
        n_rows: Number of validation rows that chose. No candidate has seen the test rows.
        samples: Importance samples per row.
        seconds: Duration of the search.
    """

    candidates: tuple[TunedCandidate, ...]
    n_rows: int
    samples: int
    seconds: float

    @property
    def chosen(self) -> TunedCandidate:
        """The candidate that was trained again in full."""
        return next(each for each in self.candidates if each.chosen)

    @property
    def table_rows(self) -> list[tuple[str, ...]]:
        """The candidates as lines of a table with the columns ``TABLE_HEADER``."""
        return [each.cells for each in self.candidates]

    @property
    def summary(self) -> str:
        """The choice in a sentence."""
        return (
            f"{self.chosen.name} has the highest log p(x) of {self.n_rows:,} validation rows, by "
            f"{self.samples} importance samples each, among {len(self.candidates)} candidates."
        )

    @property
    def notes(self) -> tuple[Note, ...]:
        """What to know about the choice."""
        if self.n_rows >= FEW_VALIDATION_ROWS:
            return ()
        text = (
            f"{self.n_rows} validation rows chose: trust differences of several standard errors "
            "alone."
        )
        return (Note("few_validation_rows", text, "warning", {"rows": self.n_rows}),)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self) | {"candidates": [asdict(each) for each in self.candidates]}

    @classmethod
    def from_record(cls, training: Mapping[str, Any]) -> Tuning | None:
        """The tuning in the record of a run; ``None`` for a run that was not tuned.

        Raises:
            RunError: It is damaged.
        """
        record = training.get("tuning")
        if record is None:
            return None
        try:
            candidates = tuple(
                record_from_json(TunedCandidate, each) for each in record["candidates"]
            )
            return record_from_json(cls, {**record, "candidates": candidates})
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the record of the tuning is damaged: {error}") from error


def _with_error(mean: float | None, standard_error: float | None) -> str:
    """A value with its error; nothing where it is not known."""
    if mean is None or standard_error is None:
        return ""
    return format_with_error(mean, standard_error)
