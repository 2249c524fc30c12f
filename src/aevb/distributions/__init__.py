"""Mathematics without parameters: what ``torch.distributions`` lacks."""

from . import hmc, kl
from .affine import Affine
from .autoregressive import Autoregressive
from .averaged import Averaged
from .ball import WrappedNormal
from .chain import Chain, formulas, layered
from .continuous_bernoulli import ContinuousBernoulli
from .dirac import Dirac
from .discretised_logistic import DiscretisedLogistic, levelled
from .families import Kumaraswamy, Logistic, Weibull, gaussian, log_normal
from .flow import Flow
from .labelled import Choice, Labelled
from .levels import Levels
from .marginal import Marginal
from .mixed import MixedNormal
from .moments import covariance, marginals
from .normal_mixture import FullNormalMixture, NormalMixture
from .observed import Observed
from .ordinal import ordinal
from .product import Product
from .quantised import Book, Codes, Entries, Lattice, Quantised
from .raster import Raster
from .scale import bounded, concentration, moderate, positive, rate, triangular, unscaled, untriangular
from .simplex import LogisticNormal
from .softplus import compiled_sum, softplus_sum
from .sphere import PowerSpherical, UniformSphere, VonMisesFisher
from .steps import PlanarStep, RadialStep, SylvesterStep
from .stop import stopped
from .student_t import StudentT
from .trajectory import Trajectory
from .von_mises import VonMises
from .within import Within
from .zero_inflated import ZeroInflated

__all__ = [
    "Affine",
    "Autoregressive",
    "Averaged",
    "Book",
    "Chain",
    "Choice",
    "Codes",
    "ContinuousBernoulli",
    "Dirac",
    "DiscretisedLogistic",
    "Entries",
    "Flow",
    "FullNormalMixture",
    "Kumaraswamy",
    "Labelled",
    "Lattice",
    "Levels",
    "Logistic",
    "LogisticNormal",
    "Marginal",
    "MixedNormal",
    "NormalMixture",
    "Observed",
    "PlanarStep",
    "PowerSpherical",
    "Product",
    "Quantised",
    "RadialStep",
    "Raster",
    "StudentT",
    "SylvesterStep",
    "Trajectory",
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
    "formulas",
    "gaussian",
    "hmc",
    "kl",
    "layered",
    "levelled",
    "log_normal",
    "marginals",
    "moderate",
    "ordinal",
    "positive",
    "rate",
    "softplus_sum",
    "stopped",
    "triangular",
    "unscaled",
    "untriangular",
]
