"""Distributions of a datum once its latent variable is known."""

from .bayesian import Bayesian
from .bernoulli import Bernoulli
from .categorical import Categorical
from .continuous_bernoulli import ContinuousBernoulli
from .discretised_logistic import DiscretisedLogistic
from .laplace import Laplace
from .normal import Normal
from .scaled import Scaled

__all__ = ["Bayesian", "Bernoulli", "Categorical", "ContinuousBernoulli", "DiscretisedLogistic", "Laplace", "Normal", "Scaled"]
