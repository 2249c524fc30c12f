"""Auto-encoding variational Bayes: generative models whose every reported number is what it says it is."""

from __future__ import annotations

__version__ = "0.1.0"

from . import gradients, likelihoods, networks, objectives, posteriors, priors
from .errors import AevbError
from .models import VAE


from .types import Batch, Recipe

__all__ = [
    "VAE",
    "AevbError",
    "Batch",

    "Recipe",


    "gradients",

    "likelihoods",


    "networks",
    "objectives",
    "posteriors",

    "priors",

]
