"""Approximations of the distribution of the latent variable once a datum is seen."""

from .bernoulli import Bernoulli
from .categorical import Categorical
from .dirac import Dirac
from .free import Free
from .normal import Normal

__all__ = ["Bernoulli", "Categorical", "Dirac", "Free", "Normal"]
