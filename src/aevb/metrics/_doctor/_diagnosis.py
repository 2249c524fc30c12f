"""What the doctor says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

CheckNumbers = Mapping[str, float | list[float]]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong."""

    name: str
    observation: str  # what was seen, with its figures
    meaning: str
    recommendation: str  # which setting, and in which direction

    def __str__(self) -> str:
        return f"{self.name}: {self.observation} {self.meaning} {self.recommendation}"


@dataclass(frozen=True)
class CheckResult:
    """One thing that was looked at."""

    label: str
    value: str
    finding: Finding | None = None
    numbers: CheckNumbers = field(default_factory=dict)  # what the value is made of, for programs
    explained_by: str | None = None  # the name of the finding that explains what would else be one


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at; causes come before their consequences, which are no findings of their own."""

    results: tuple[CheckResult, ...]
    n_rows: int  # of the data, that were looked at

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, the first cause first; nothing where the model is well."""
        return tuple(one.finding for one in self.results if one.finding is not None)

    @property
    def is_healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as what JSON can hold."""
        findings = [asdict(finding) for finding in self.findings]
        examined = [
            {
                "what": one.label,
                "value": one.value,
                "finding": one.finding and one.finding.name,
                "follows": one.explained_by,
            }
            | dict(one.numbers)
            for one in self.results
        ]
        return {"rows": self.n_rows, "findings": findings, "examined": examined}

    def __str__(self) -> str:
        if self.is_healthy:
            return f"nothing found in {len(self.results)} examinations."
        first, more = self.findings[0], len(self.findings) - 1
        return f"{first.name}: {first.observation} {first.recommendation}" + (
            f" And {more} more." if more else ""
        )
