"""Approximations of the distribution of the latent variable once a datum is seen."""

from ._autoregressive import Autoregressive
from ._ball import WrappedNormal
from ._bernoulli import Bernoulli
from ._categorical import Categorical
from ._chain import Chain
from ._dirac import Dirac
from ._elementwise import (
    Beta,
    Exponential,
    Gamma,
    Kumaraswamy,
    Laplace,
    Logistic,
    LogNormal,
    StudentT,
    Weibull,
)
from ._flow import Flow, Planar, Radial, Sylvester
from ._hamiltonian import Hamiltonian
from ._labelled import Labelled
from ._ladder import Ladder
from ._mixture import Mixture
from ._non_amortised import NonAmortised
from ._normal import Normal
from ._product import Product
from ._quantised import FiniteScalar, ResidualQuantised, VectorQuantised
from ._simplex import Dirichlet, LogisticNormal
from ._sphere import PowerSpherical, VonMisesFisher
from ._top_down import TopDown

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
    "NonAmortised",
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
