"""Distributions of the latent variable before any datum is seen."""

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
    "Product",
    "Scaled",
    "Sphere",
    "StudentT",
    "TopDown",
    "TwoStage",
    "Vamp",
    "WrappedNormal",
]
