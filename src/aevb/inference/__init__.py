"""What one does with a model once it is there: weigh, walk, decode, infer again."""

from .ais import Annealed, Annealing, anneal
from .augment import Augmented, augment
from .blocks import decode, encode, reconstruct, sample
from .classify import Classified, classify
from .importance import Weights, importance_weights
from .impute import Imputed, impute
from .latent import Walk, interpolate, traverse
from .refine import Refined, refine

__all__ = [
    "Annealed",
    "Annealing",
    "Augmented",
    "Classified",
    "Imputed",
    "Refined",
    "Walk",
    "Weights",
    "anneal",
    "augment",
    "classify",
    "decode",
    "encode",
    "importance_weights",
    "impute",
    "interpolate",
    "reconstruct",
    "refine",
    "sample",
    "traverse",
]
