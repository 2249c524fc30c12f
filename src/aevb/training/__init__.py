"""Training: ``fit``, its variants for several models and for priors, and their records."""

from ._fit import TrainingConfig, fit
from ._fit_many import fit_many
from ._fit_prior import fit_prior
from ._history import Epoch, FitResult
from ._optimisers import WarmupCosine, adam
from ._private import Private

__all__ = [
    "Epoch",
    "FitResult",
    "Private",
    "TrainingConfig",
    "WarmupCosine",
    "adam",
    "fit",
    "fit_many",
    "fit_prior",
]
