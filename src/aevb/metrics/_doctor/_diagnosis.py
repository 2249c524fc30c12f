"""The records of a diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...notes import PYTHON, Style, Text, render

CheckNumbers = Mapping[str, float | list[float]]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, and what to change.

    Args:
        code: A stable name for programs, as ``"learning_rate_too_high"``.
        title: The name in tables, as ``"The learning rate is too high"``.
        observation: What was measured, with its numbers.
        explanation: What it means.
        recommendation: Which setting to change, and in which direction; settings are references
            that each door writes in its own words.

    Example:
        >>> from aevb.notes import Argument, message
        >>> finding = Finding(
        ...     "run_too_short",
        ...     "The run was too short",
        ...     "The bound gained 9 nats.",
        ...     "More epochs bring more.",
        ...     message("Train for longer: {epochs}.", epochs=Argument("epochs", 50)),
        ... )
        >>> finding.to_dict()["recommendation"]
        'Train for longer: epochs=50.'
    """

    code: str
    title: str
    observation: Text
    explanation: Text
    recommendation: Text

    def render(self, style: Style = PYTHON) -> str:
        """Write the finding in the words of a door.

        Args:
            style: How the door writes references.

        Returns:
            Title, observation, explanation and recommendation, in this order.
        """
        texts = (self.observation, self.explanation, self.recommendation)
        return f"{self.title}: {' '.join(render(text, style) for text in texts)}"

    def to_dict(self) -> dict[str, str]:
        """Convert the finding to JSON.

        Returns:
            The fields, with references written as Python code.
        """
        return {
            "code": self.code,
            "title": self.title,
            "observation": render(self.observation),
            "explanation": render(self.explanation),
            "recommendation": render(self.recommendation),
        }

    def __str__(self) -> str:
        return self.render()


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    Args:
        name: What was checked, as ``"latent variables in use"``.
        value: What was measured, in words.
        finding: What is wrong, ``None`` where nothing is.
        numbers: The numbers in ``value``, for programs.
        caused_by: The finding that explains what would otherwise be a finding of this check.
    """

    name: str
    value: str
    finding: Finding | None = None
    numbers: CheckNumbers = field(default_factory=dict)
    caused_by: Finding | None = None


@dataclass(frozen=True)
class Diagnosis:
    """The results of all checks; causes come before their consequences.

    What an earlier finding explains is marked as its consequence and is no finding of its own.

    Args:
        checks: The results.
        n_rows: Number of rows that were examined.
    """

    checks: tuple[CheckResult, ...]
    n_rows: int

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the first cause first; empty for a healthy model."""
        return tuple(check.finding for check in self.checks if check.finding is not None)

    @property
    def is_healthy(self) -> bool:
        """Whether no check has a finding."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """Convert the diagnosis to JSON.

        Returns:
            The number of rows, the findings, and each check with its numbers.
        """
        checks = [
            {
                "name": check.name,
                "value": check.value,
                "finding": check.finding and check.finding.code,
                "caused_by": check.caused_by and check.caused_by.code,
                **check.numbers,
            }
            for check in self.checks
        ]
        findings = [finding.to_dict() for finding in self.findings]
        return {"n_rows": self.n_rows, "findings": findings, "checks": checks}

    def summary(self, style: Style = PYTHON) -> str:
        """Write the first finding in one or two sentences.

        Args:
            style: How the door writes references.

        Returns:
            Title, observation and recommendation of the first finding, and the number of others.
        """
        if self.is_healthy:
            return f"nothing found in {len(self.checks)} checks."
        first, others = self.findings[0], len(self.findings) - 1
        observation, change = (
            render(text, style) for text in (first.observation, first.recommendation)
        )
        more = f" And {others} more." if others else ""
        return f"{first.title}: {observation} {change}{more}"

    def __str__(self) -> str:
        return self.summary()
