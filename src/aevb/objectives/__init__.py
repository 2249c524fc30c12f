"""What a model's terms are worth: bounds of the evidence, and what is climbed in their place."""

from .elbo import ELBO
from .importance import IWAE
from .objective import Objective
from .reconstruction import Reconstruction
from .schedules import Constant, Cyclical, Linear, Schedule, Sigmoid

__all__ = ["ELBO", "IWAE", "Constant", "Cyclical", "Linear", "Objective", "Reconstruction", "Schedule", "Sigmoid"]
