"""The laws that every part obeys, to be tried on one's own with one call: ``check_posterior(posterior, x, prior)``."""

from .checks import PRIOR, check_distribution, check_likelihood, check_network, check_posterior, check_prior
from .objectives import check_objective
from .subject import Checked

__all__ = [
    "PRIOR",
    "Checked",
    "check_distribution",
    "check_likelihood",
    "check_network",
    "check_objective",
    "check_posterior",
    "check_prior",
]
