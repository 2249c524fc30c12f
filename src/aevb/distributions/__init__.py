"""Mathematics without parameters: what ``torch.distributions`` lacks."""

from . import kl
from .affine import Affine
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretised_logistic import DiscretisedLogistic
from .levels import Levels
from .scale import bounded, positive
from .softplus import compiled_sum, softplus_sum
from .stop import stopped

__all__ = [
    "Affine",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretisedLogistic",
    "Levels",
    "bounded",
    "compiled_sum",
    "kl",
    "positive",
    "softplus_sum",
    "stopped",
]
