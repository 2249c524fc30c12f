"""Approximations of the distribution of the latent variable once a datum is seen."""

from .ball import WrappedNormal
from .bernoulli import Bernoulli
from .categorical import Categorical
from .dirac import Dirac
from .elementwise import Beta, Exponential, Gamma, Kumaraswamy, Laplace, Logistic, LogNormal, StudentT, Weibull
from .flow import Flow, Planar, Radial, Sylvester
from .free import Free
from .mixture import Mixture
from .normal import Normal
from .product import Product
from .simplex import Dirichlet, LogisticNormal
from .sphere import PowerSpherical, VonMisesFisher

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirac",
    "Dirichlet",
    "Exponential",
    "Flow",
    "Free",
    "Gamma",
    "Kumaraswamy",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LogisticNormal",
    "Mixture",
    "Normal",
    "Planar",
    "PowerSpherical",
    "Product",
    "Radial",
    "StudentT",
    "Sylvester",
    "VonMisesFisher",
    "Weibull",
    "WrappedNormal",
]
