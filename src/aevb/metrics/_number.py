"""A number with everything that a table, a page or a program shows of it, and its registration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .._registry import Registration
from ..networks._column import Measure
from ._estimate import Estimate, format_with_error


@dataclass(frozen=True)
class Number:
    """One result of an evaluation.

    Args:
        key: Name in JSON. A dot puts the number inside another one:
            ``"log_likelihood.effective_sample_size"``.
        label: Name in tables, as ``"log-likelihood"``.
        value: The value; ``None`` where it is not available, for a reason that ``meaning`` states.
        standard_error: Standard error over rows, NaN for a single row; ``None`` where the number
            has none.
        unit: ``"nats per image"``, ``"bits per value"``, or empty.
        meaning: One plain sentence.
        measure: Whether the number is of a density, of probabilities or of both (``"mixed"``);
            ``None`` where this makes no difference. Numbers of different measures cannot be
            compared.
        digits: Digits after the decimal point in tables.
        text: What tables show in place of ``value ± standard_error``, as ``"5 of 16"``.
        details: Further fields in JSON. Without a standard error they stand in place of the value,
            which is then one of them.
        in_tables: Whether tables show the number; JSON has all of them.

    Example:
        >>> number = Number("elbo", "ELBO", -90.25, 0.5, "nats per image")
        >>> str(number), number.to_dict()
        ('-90.25 ± 0.50', {'mean': -90.25, 'standard_error': 0.5})
        >>> str(Number("upper_bound", "upper bound", None))
        'not available'
    """

    key: str
    label: str
    value: float | None
    standard_error: float | None = None
    unit: str = ""
    meaning: str = ""
    measure: Measure | None = None
    digits: int = 2
    text: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    in_tables: bool = True

    @classmethod
    def from_estimate(
        cls, key: str, label: str, estimate: Estimate | None, **fields: Any
    ) -> Number:
        """Make a number from a mean and its standard error, or from ``None``.

        Args:
            key: Name in JSON.
            label: Name in tables.
            estimate: The mean with its standard error; ``None`` where it is not available.
            **fields: The other fields.

        Returns:
            The number.
        """
        if estimate is None:
            return cls(key, label, None, **fields)
        return cls(key, label, estimate.mean, estimate.standard_error, **fields)

    @property
    def estimate(self) -> Estimate | None:
        """The value with its standard error, ``None`` where either is missing."""
        if self.value is None or self.standard_error is None:
            return None
        return Estimate(self.value, self.standard_error)

    def to_dict(self) -> Any:
        """Convert the number to JSON.

        Returns:
            ``{"mean", "standard_error", **details}`` for a number with a standard error, else the
            details where there are any, else the value.
        """
        if self.standard_error is not None:
            return {"mean": self.value, "standard_error": self.standard_error, **self.details}
        return dict(self.details) if self.details else self.value

    def __str__(self) -> str:
        if self.text is not None:
            return self.text
        if self.value is None:
            return "not available"
        if self.standard_error is None:
            return f"{self.value:.{self.digits}f}"
        return format_with_error(self.value, self.standard_error, self.digits)


@dataclass(frozen=True, kw_only=True)
class MetricRegistration(Registration):
    """A metric of ``evaluate``: a function from an ``EvaluationContext`` to numbers and notes.

    Args:
        order: Position in tables; numbers of metrics with a smaller one come first.

    Example:
        >>> MetricRegistration.find("log_likelihood").title
        'Log-likelihood'
    """

    role: ClassVar[str] = "metric"
    argument: ClassVar[str] = "metric"
    package: ClassVar[str] = "metrics"
    order: int = 100
