"""Posteriors: approximations ``q(z|x)`` of the distribution of the latent given a row of data.

Subclass ``aevb.Conditional`` to add a posterior and register the class where it is defined:

    @register(PosteriorRegistration(support="real", use_when="...", ...))
    class Cauchy(Conditional): ...

Code that chooses a posterior by name reads the register:

    posterior = build_posterior("iaf", encoder, latent, transforms=4)
    entry = PosteriorRegistration.find("iaf")  # ArgumentError with the nearest name
    PosteriorRegistration.buildable()          # all that are built by name
    entry.check(transforms=4)                  # unknown options, families that need more
    entry.support, entry.prior, entry.options, entry.reparameterised

``presets.build_vae`` assembles a model from the names of a prior and a posterior.
"""

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
from ._registration import PosteriorRegistration, build_posterior
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
    "PosteriorRegistration",
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
    "build_posterior",
]
