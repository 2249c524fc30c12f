"""Auto-encoding variational Bayes: generative models whose every reported number is what it says it is."""

from __future__ import annotations

__version__ = "0.1.0"

from . import data, gradients, inference, likelihoods, metrics, networks, objectives, posteriors, presets, priors
from .errors import AevbError
from .models import VAE
from .persistence import load, save
from .training import FitResult, fit
from .types import Batch, Recipe

__all__ = [
    "VAE",
    "AevbError",
    "Batch",
    "FitResult",
    "Recipe",
    "data",
    "fit",
    "gradients",
    "inference",
    "likelihoods",
    "load",
    "metrics",
    "networks",
    "objectives",
    "posteriors",
    "presets",
    "priors",
    "save",
]
