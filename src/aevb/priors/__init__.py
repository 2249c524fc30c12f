"""Distributions of the latent variable before any datum is seen."""

from .bernoulli import Bernoulli
from .categorical import Categorical
from .normal import Normal

__all__ = ["Bernoulli", "Categorical", "Normal"]
