"""Distributions of a datum once its latent variable is known."""

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
from .poisson import Poisson
from .scaled import Scaled
from .student_t import StudentT
from .von_mises import VonMises

__all__ = [
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
    "Poisson",
    "Scaled",
    "StudentT",
    "VonMises",
    "ZeroInflatedNegativeBinomial",
]
