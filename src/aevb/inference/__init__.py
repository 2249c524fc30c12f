"""What one does with a model once it is there: weigh, walk, decode, infer again."""

from .blocks import decode, encode, reconstruct, sample
from .importance import Weights, importance_weights
from .latent import Walk, interpolate, traverse
from .refine import Refined, refine

__all__ = [
    "Refined",
    "Walk",
    "Weights",
    "decode",
    "encode",
    "importance_weights",
    "interpolate",
    "reconstruct",
    "refine",
    "sample",
    "traverse",
]
