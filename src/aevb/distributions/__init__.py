"""Mathematics without parameters: what ``torch.distributions`` lacks."""

from . import hmc, kl
from .affine import Affine
from .averaged import Averaged
from .ball import WrappedNormal
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretised_logistic import DiscretisedLogistic
from .families import Kumaraswamy, Logistic, Weibull, log_normal
from .flow import Flow
from .levels import Levels
from .mixed import MixedNormal
from .moments import covariance, marginals
from .normal_mixture import NormalMixture
from .observed import Observed
from .ordinal import ordinal
from .product import Product
from .scale import bounded, concentration, moderate, positive, rate, unscaled
from .simplex import LogisticNormal
from .softplus import compiled_sum, softplus_sum
from .sphere import PowerSpherical, UniformSphere, VonMisesFisher
from .steps import PlanarStep, RadialStep, SylvesterStep
from .stop import stopped
from .student_t import StudentT
from .von_mises import VonMises
from .within import Within
from .zero_inflated import ZeroInflated

__all__ = [
    "Affine",
    "Averaged",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretisedLogistic",
    "Flow",
    "Kumaraswamy",
    "Levels",
    "Logistic",
    "LogisticNormal",
    "MixedNormal",
    "NormalMixture",
    "Observed",
    "PlanarStep",
    "PowerSpherical",
    "Product",
    "RadialStep",
    "StudentT",
    "SylvesterStep",
    "UniformSphere",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "Within",
    "WrappedNormal",
    "ZeroInflated",
    "bounded",
    "compiled_sum",
    "concentration",
    "covariance",
    "hmc",
    "kl",
    "log_normal",
    "marginals",
    "moderate",
    "ordinal",
    "positive",
    "rate",
    "softplus_sum",
    "stopped",
    "unscaled",
]
