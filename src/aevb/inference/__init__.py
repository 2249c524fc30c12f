"""What one does with a model once it is there: weigh, walk, decode."""

from .importance import Weights, importance_weights
from .latent import Walk, interpolate, traverse

__all__ = ["Walk", "Weights", "importance_weights", "interpolate", "traverse"]
