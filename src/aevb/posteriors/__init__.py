"""Approximations of the distribution of the latent variable once a datum is seen."""

from .autoregressive import Autoregressive
from .ball import WrappedNormal
from .bernoulli import Bernoulli
from .categorical import Categorical
from .chain import Chain
from .dirac import Dirac
from .elementwise import Beta, Exponential, Gamma, Kumaraswamy, Laplace, Logistic, LogNormal, StudentT, Weibull
from .flow import Flow, Planar, Radial, Sylvester
from .free import Free
from .hamiltonian import Hamiltonian
from .labelled import Labelled
from .ladder import Ladder
from .mixture import Mixture
from .normal import Normal
from .product import Product
from .quantised import FiniteScalar, ResidualQuantised, VectorQuantised
from .simplex import Dirichlet, LogisticNormal
from .sphere import PowerSpherical, VonMisesFisher
from .top_down import TopDown

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Chain",
    "Dirac",
    "Dirichlet",
    "Exponential",
    "FiniteScalar",
    "Flow",
    "Free",
    "Gamma",
    "Hamiltonian",
    "Kumaraswamy",
    "Labelled",
    "Ladder",
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
    "ResidualQuantised",
    "StudentT",
    "Sylvester",
    "TopDown",
    "VectorQuantised",
    "VonMisesFisher",
    "Weibull",
    "WrappedNormal",
]
