"""The doctor: what is wrong with a model, its training or its data, and which setting to change."""

from .._doctor._context import EpochLike
from .._doctor._diagnosis import CheckResult, Diagnosis, Finding
from .._doctor._doctor import doctor

__all__ = ["CheckResult", "Diagnosis", "EpochLike", "Finding", "doctor"]
