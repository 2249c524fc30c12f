"""Mathematics without parameters: what ``torch.distributions`` lacks."""

from . import hmc, kl
from .affine import Affine
from .averaged import Averaged
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretised_logistic import DiscretisedLogistic
from .levels import Levels
from .moments import covariance, marginals
from .normal_mixture import NormalMixture
from .scale import bounded, positive, unscaled
from .softplus import compiled_sum, softplus_sum
from .stop import stopped

__all__ = [
    "Affine",
    "Averaged",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretisedLogistic",
    "Levels",
    "NormalMixture",
    "bounded",
    "compiled_sum",
    "covariance",
    "hmc",
    "kl",
    "marginals",
    "positive",
    "softplus_sum",
    "stopped",
    "unscaled",
]
