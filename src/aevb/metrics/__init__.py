"""Numbers with names and error bars."""

from .exact import Decomposition, LinearGaussian, decomposition, exact_log_likelihood, exact_posterior, linear_gaussian
from .gaps import Gaps, gaps
from .latent import ActiveUnits, active_units, kl_per_dimension
from .likelihood import LogLikelihood, log_likelihood
from .measured import Measured
from .rate import RateDistortion, rate_distortion

__all__ = [
    "ActiveUnits",
    "Decomposition",
    "Gaps",
    "LinearGaussian",
    "LogLikelihood",
    "Measured",
    "RateDistortion",
    "active_units",
    "decomposition",
    "exact_log_likelihood",
    "exact_posterior",
    "gaps",
    "kl_per_dimension",
    "linear_gaussian",
    "log_likelihood",
    "rate_distortion",
]
