"""The registration of a check, and the findings that explain those of other checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..._registry import Registration

DRIFT = ("drift",)
LEARNING_RATE = ("learning_rate_too_high",)
SCHEDULES = ("schedules_unfinished",)
UNFINISHED = (*SCHEDULES, "run_too_short")
FAILED_TRAINING = (*LEARNING_RATE, "kl_weight_too_large", "decoder_scale_too_large")
REPEATED_ROWS = ("repeated_rows",)
MEMORISED = ("training_rows_memorised",)


@dataclass(frozen=True, kw_only=True)
class CheckRegistration(Registration):
    """A check of the doctor: a function from a ``DiagnosticContext`` to a ``CheckResult`` or None.

    Args:
        order: Position among the checks. A cause must come before its consequences: a learning
            rate that kills units also collapses the posterior.
        causes: Codes of the findings that explain a finding of this check.

    Example:
        >>> CheckRegistration.find("gradient_flow").causes
        ('learning_rate_too_high',)
    """

    role: ClassVar[str] = "check"
    argument: ClassVar[str] = "check"
    package: ClassVar[str] = "metrics"
    order: int = 1000
    causes: tuple[str, ...] = ()
