"""Distributions of the latent variable before any datum is seen."""

from .ball import WrappedNormal
from .bernoulli import Bernoulli
from .categorical import Categorical
from .elementwise import Beta, Exponential, Gamma, Laplace, Logistic, LogNormal, StudentT
from .flow import Flow
from .mixture import Mixture
from .normal import Normal
from .product import Product
from .simplex import Dirichlet, LogisticNormal
from .sphere import Sphere
from .vamp import Vamp

__all__ = [
    "Bernoulli",
    "Beta",
    "Categorical",
    "Dirichlet",
    "Exponential",
    "Flow",
    "Gamma",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LogisticNormal",
    "Mixture",
    "Normal",
    "Product",
    "Sphere",
    "StudentT",
    "Vamp",
    "WrappedNormal",
]
