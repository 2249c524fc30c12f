"""Non-finite steps in optimisation loops: skipped, reported, and fatal when they repeat."""

from __future__ import annotations

from collections.abc import Sequence

from .errors import NumericalError
from .notes import Note, Text

MAX_SKIP_STREAK = 3  # skipped steps in a row that end a loop
MAX_SKIP_NOTES = 20


class SkippedSteps:
    """Collect a note for each skipped step of a loop, and end the loop after three in a row.

    Args:
        suggestions: What the error suggests.
        outcome: What the error says about the state after the loop.
    """

    def __init__(self, suggestions: Sequence[Text], outcome: str = "") -> None:
        self.suggestions, self.outcome = tuple(suggestions), outcome
        self.notes: list[Note] = []

    def report(self, culprit: str, streak: int, step: int, **position: int) -> None:
        """Report a skipped step.

        Args:
            culprit: The first tensor that was not finite, by name.
            streak: Skipped steps in a row, this one included.
            step: Number of the step.
            **position: Where the step is, for instance ``epoch=2, batch=7``.

        Raises:
            NumericalError: ``MAX_SKIP_STREAK`` steps in a row were skipped.
        """
        places = ", ".join(f"{name} {number}" for name, number in position.items())
        name = f"step {step} ({places})" if places else f"step {step}"
        if len(self.notes) < MAX_SKIP_NOTES:
            text = f"{name.capitalize()} was skipped: {culprit} was not finite."
            data = {"step": step, "culprit": culprit, **position}
            self.notes.append(Note("step_skipped", text, "warning", data))
        if streak >= MAX_SKIP_STREAK:
            raise NumericalError(
                f"{MAX_SKIP_STREAK} steps in a row were not finite, the last at {name}: {culprit}"
                f"{self.outcome}",
                suggestions=self.suggestions,
            )
