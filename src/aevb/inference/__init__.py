"""Inference with a trained model: encode, sample, impute, weigh and refine."""

from ._ais import AISOptions, AISResult, annealed_importance_sampling
from ._augment import AugmentedData, augment
from ._blockwise import decode, encode, reconstruct, sample
from ._classify import ClassPrediction, classify
from ._condition import ConditionalSample, condition
from ._explain import Explanation, explain
from ._expression import normalised_expression
from ._importance import ImportanceWeights, importance_weights
from ._impute import Imputation, MissingCategories, impute
from ._inputs import TrainedModel
from ._latent_paths import LatentPath, interpolate, traverse
from ._refine import RefinedPosterior, refine

__all__ = [
    "AISOptions",
    "AISResult",
    "AugmentedData",
    "ClassPrediction",
    "ConditionalSample",
    "Explanation",
    "ImportanceWeights",
    "Imputation",
    "LatentPath",
    "MissingCategories",
    "RefinedPosterior",
    "TrainedModel",
    "annealed_importance_sampling",
    "augment",
    "classify",
    "condition",
    "decode",
    "encode",
    "explain",
    "importance_weights",
    "impute",
    "interpolate",
    "normalised_expression",
    "reconstruct",
    "refine",
    "sample",
    "traverse",
]
