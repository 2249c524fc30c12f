"""Distributions of the latent variable before any datum is seen."""

from .autoregressive import Autoregressive
from .ball import WrappedNormal
from .bernoulli import Bernoulli
from .categorical import Categorical
from .chain import Chain
from .codebook import Codebook
from .elementwise import Beta, Exponential, Gamma, Laplace, Logistic, LogNormal, StudentT
from .flow import Flow
from .given import Given
from .labelled import Labelled
from .mixture import Mixture
from .normal import Normal
from .product import Product
from .scaled import Scaled
from .simplex import Dirichlet, LogisticNormal
from .sphere import Sphere
from .top_down import TopDown
from .two_stage import TwoStage
from .vamp import Vamp

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Chain",
    "Codebook",
    "Dirichlet",
    "Exponential",
    "Flow",
    "Gamma",
    "Given",
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
