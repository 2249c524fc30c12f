"""Distributions of the latent variable before any datum is seen."""

from .bernoulli import Bernoulli
from .categorical import Categorical
from .mixture import Mixture
from .normal import Normal
from .vamp import Vamp

__all__ = ["Bernoulli", "Categorical", "Mixture", "Normal", "Vamp"]
