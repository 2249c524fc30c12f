"""The doctor: what is wrong with a model, its training or its data, and which setting to change."""

from .diagnosis import Diagnosis, Examined, Finding
from .doctor import doctor
from .patient import Epoch

__all__ = ["Diagnosis", "Epoch", "Examined", "Finding", "doctor"]
