"""Models: a prior, a posterior and a likelihood."""

from ._capabilities import Capabilities
from ._ensemble import (
    EnsembleLikelihood,
    EnsemblePosterior,
    EnsemblePrior,
    build_ensemble,
    first_member,
)
from ._top_down import top_down
from ._vae import VAE

__all__ = [
    "VAE",
    "Capabilities",
    "EnsembleLikelihood",
    "EnsemblePosterior",
    "EnsemblePrior",
    "build_ensemble",
    "first_member",
    "top_down",
]
