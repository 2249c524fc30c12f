"""What a model's terms are worth: bounds of the evidence, and what is climbed in their place."""

from ._adversarial import DataCritic, FactorCritic, PriorCritic
from ._aggregate_posterior import DIP, MMD, TotalCorrelation
from ._classification import Classification
from ._codebook import CodebookMonitor
from ._elbo import ELBO
from ._ex_post import ExPost
from ._importance import CIWAE, CUBO, IWAE, MIWAE, PIWAE, Renyi
from ._objective import Objective
from ._penalised import Penalised, Penalty
from ._perceptual import MSSSIM, Perceptual
from ._rate import Rate
from ._reconstruction import Reconstruction
from ._regularised import DecoderGradient, DecoderNorm, LatentNorm
from ._schedules import Constant, Cyclical, Exponential, Linear, Schedule, Sigmoid

__all__ = [
    "CIWAE",
    "CUBO",
    "DIP",
    "ELBO",
    "IWAE",
    "MIWAE",
    "MMD",
    "MSSSIM",
    "PIWAE",
    "Classification",
    "CodebookMonitor",
    "Constant",
    "Cyclical",
    "DataCritic",
    "DecoderGradient",
    "DecoderNorm",
    "ExPost",
    "Exponential",
    "FactorCritic",
    "LatentNorm",
    "Linear",
    "Objective",
    "Penalised",
    "Penalty",
    "Perceptual",
    "PriorCritic",
    "Rate",
    "Reconstruction",
    "Renyi",
    "Schedule",
    "Sigmoid",
    "TotalCorrelation",
]
