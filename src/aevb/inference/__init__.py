"""Inference with a trained model: encode, sample, impute, weigh and refine."""

from ._ais import AISOptions, AISResult, annealed_importance_sampling
from ._augment import AugmentedData, augment
from ._blockwise import decode, encode, reconstruct, sample
from ._classify import ClassPrediction, classify
from ._condition import ConditionalSample, condition
from ._differential_expression import (
    DifferenceMode,
    DifferentialExpression,
    differential_expression,
)
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
    "DifferenceMode",
    "DifferentialExpression",
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
    "differential_expression",
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
