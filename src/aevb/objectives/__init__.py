"""Objectives: bounds of the evidence, the targets that are maximised, and penalties."""

from ._adversarial import DataCritic, FactorCritic, PriorCritic
from ._aggregate_posterior import DIP, MMD, TotalCorrelation
from ._classification import Classification
from ._codebook import CodebookMonitor
from ._elbo import ELBO
from ._ex_post import ExPost
from ._importance import CIWAE, CUBO, IWAE, MIWAE, PIWAE, Renyi
from ._objective import BoundKind, Objective, ObjectiveRegistration
from ._penalised import Penalised, Penalty, PenaltyRegistration
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
    "BoundKind",
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
    "ObjectiveRegistration",
    "Penalised",
    "Penalty",
    "PenaltyRegistration",
    "Perceptual",
    "PriorCritic",
    "Rate",
    "Reconstruction",
    "Renyi",
    "Schedule",
    "Sigmoid",
    "TotalCorrelation",
]
