"""Distributions of a datum once its latent variable is known."""

from .autoregressive import Autoregressive
from .bayesian import Bayesian
from .bernoulli import Bernoulli
from .beta import Beta
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .discretised_logistic import DiscretisedLogistic
from .gamma import Gamma
from .laplace import Laplace
from .log_normal import LogNormal
from .logistic_mixture import LogisticMixture
from .missing import Missing
from .negative_binomial import NegativeBinomial, ZeroInflatedNegativeBinomial
from .normal import Normal
from .ordinal import Ordinal
from .pixel import Pixel
from .poisson import Poisson
from .scaled import Scaled
from .student_t import StudentT
from .top_down import TopDown
from .von_mises import VonMises

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
