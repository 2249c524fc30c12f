"""What a model's terms are worth: bounds of the evidence, and what is climbed in their place."""

from .adversarial import DataCritic, FactorCritic, PriorCritic
from .aggregate import DIP, MMD, TotalCorrelation
from .classification import Classification
from .codebook import CodebookUsage
from .elbo import ELBO
from .ex_post import ExPost
from .importance import CIWAE, CUBO, IWAE, MIWAE, PIWAE, Renyi
from .objective import Objective
from .penalised import Penalised, Penalty
from .perceptual import MSSSIM, Perceptual
from .rate import Rate
from .reconstruction import Reconstruction
from .regularised import CodeNorm, DecoderGradient, DecoderNorm
from .schedules import Constant, Cyclical, Exponential, Linear, Schedule, Sigmoid

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
    "CodeNorm",
    "CodebookUsage",
    "Constant",
    "Cyclical",
    "DataCritic",
    "DecoderGradient",
    "DecoderNorm",
    "ExPost",
    "Exponential",
    "FactorCritic",
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
