"""From a model and data to a trained model: the loop, its step, its memory on disk."""

from .fit import fit
from .fit_prior import fit_prior
from .history import Epoch, FitResult
from .many import fit_many
from .optimisers import WarmupCosine, adam

__all__ = ["Epoch", "FitResult", "WarmupCosine", "adam", "fit", "fit_many", "fit_prior"]
