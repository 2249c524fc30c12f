"""Distributions of a datum once its latent variable is known."""

from ._affine import Scaled
from ._autoregressive import Autoregressive
from ._bayesian import Bayesian
from ._bernoulli import Bernoulli
from ._beta import Beta
from ._categorical import Categorical
from ._continuous_bernoulli import ContinuousBernoulli
from ._discretised_logistic import DiscretisedLogistic
from ._gamma import Gamma
from ._laplace import Laplace
from ._log_normal import LogNormal
from ._logistic_mixture import LogisticMixture
from ._missing import Missing
from ._negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from ._normal import Normal
from ._ordinal import Ordinal
from ._pixel import Pixel
from ._poisson import Poisson
from ._student_t import StudentT
from ._top_down import TopDown
from ._von_mises import VonMises

__all__ = [
    "Autoregressive",
    "Bayesian",
    "Bernoulli",
    "Beta",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretisedLogistic",
    "Gamma",
    "Laplace",
    "LogNormal",
    "LogisticMixture",
    "Missing",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Pixel",
    "Poisson",
    "Scaled",
    "StudentT",
    "TopDown",
    "VonMises",
    "ZeroInflatedNegativeBinomial",
]
