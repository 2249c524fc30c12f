"""From a model and data to a trained model: the loop, its step, its memory on disk."""

from ._fit import fit
from ._fit_many import fit_many
from ._fit_prior import fit_prior
from ._history import Epoch, FitResult
from ._optimisers import WarmupCosine, adam

__all__ = ["Epoch", "FitResult", "WarmupCosine", "adam", "fit", "fit_many", "fit_prior"]
