"""Priors: distributions ``p(z)`` of the latent.

Subclass ``aevb.Unconditional`` to add a prior and register the class where it is defined:

    @register(PriorRegistration(support="real", use_when="...", ...))
    class Horseshoe(Unconditional): ...

Code that chooses a prior by name reads the register:

    prior = build_prior("vamp", latent, posterior=q, event_shape=..., value_range=(0.0, 1.0))
    prior = build_prior("mixture", latent, components=50)
    entry = PriorRegistration.find("mixture")  # ArgumentError with the nearest name
    PriorRegistration.buildable()              # all that are built by name
    entry.check(components=3)                  # unknown options, families that need more
    entry.support, entry.posterior, entry.options

``presets.build_vae`` assembles a model from the names of a prior and a posterior.
"""

from ._affine import Scaled
from ._autoregressive import Autoregressive
from ._ball import WrappedNormal
from ._bernoulli import Bernoulli
from ._categorical import Categorical
from ._chain import Chain
from ._codebook import Codebook
from ._conditional_prior import ConditionalPrior
from ._elementwise import Beta, Exponential, Gamma, Laplace, Logistic, LogNormal, StudentT
from ._flow import Flow
from ._labelled import Labelled
from ._mixture import Mixture
from ._normal import Normal
from ._product import Product
from ._registration import PriorRegistration, build_prior
from ._simplex import Dirichlet, LogisticNormal
from ._sphere import Sphere
from ._top_down import TopDown
from ._two_stage import TwoStage
from ._vamp import Vamp

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Chain",
    "Codebook",
    "ConditionalPrior",
    "Dirichlet",
    "Exponential",
    "Flow",
    "Gamma",
    "Labelled",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LogisticNormal",
    "Mixture",
    "Normal",
    "PriorRegistration",
    "Product",
    "Scaled",
    "Sphere",
    "StudentT",
    "TopDown",
    "TwoStage",
    "Vamp",
    "WrappedNormal",
    "build_prior",
]
