"""Metrics: numbers with a name, a unit, a standard error or an interval, and a meaning."""

from . import _log_likelihood_numbers as _log_likelihood_numbers
from ._accuracy import Accuracy, accuracy
from ._baselines._fit import Baseline, BaselineLimits, Baselines, fit_baselines
from ._class_separation import (
    ClassSeparation,
    Clustering,
    class_separation,
    clustering,
    knn_accuracy,
    linear_probe_accuracy,
)
from ._codebook import CodebookUsage, codebook_usage
from ._comparison import Comparison, ModelScores, compare
from ._disentanglement._dci import DCI, dci
from ._disentanglement._disentanglement import Disentanglement, disentanglement
from ._disentanglement._scores import (
    beta_vae_score,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information,
    mutual_information_gap,
    separated_attribute_predictability,
)
from ._doctor import _baseline_check as _baseline_check
from ._doctor import _data_checks as _data_checks
from ._doctor import _table_checks as _table_checks
from ._doctor import _training_checks as _training_checks
from ._doctor._check import CheckRegistration
from ._doctor._context import DiagnosticContext, EpochLike
from ._doctor._diagnosis import CheckResult, Diagnosis, Finding
from ._doctor._doctor import doctor
from ._doctor._thresholds import DoctorThresholds
from ._estimate import Estimate
from ._evaluation import Evaluation, EvaluationContext, EvaluationOptions, evaluate, evaluate_bound
from ._exact import (
    Decomposition,
    LinearGaussian,
    decomposition,
    exact_log_likelihood,
    exact_posterior,
    linear_gaussian,
)
from ._features import (
    Features,
    as_features,
    encoder_features,
    function_features,
    load_features,
    pca_features,
    pixel_features,
    standardised_features,
)
from ._inference_gaps import InferenceGaps, inference_gaps
from ._intervals import Interval, JackknifeEstimate, interval_over_seeds
from ._latent import (
    ActiveUnits,
    LatentInformation,
    active_units,
    kl_per_dimension,
    latent_information,
    total_correlation,
)
from ._log_likelihood import (
    ConvergenceCurve,
    LogLikelihood,
    bidirectional_monte_carlo,
    log_likelihood,
)
from ._method_choice import (
    MethodChoice,
    ReliabilityLimits,
    annealed_rows,
    choose_method,
    is_untrustworthy,
)
from ._number import MetricRegistration, Number
from ._pooling import PooledEstimate, pool_estimates
from ._quality import Quality, SampleComparison, quality
from ._rate_distortion import RateDistortion, rate_distortion
from ._samples._classifier_test import TwoSampleTest, classifier_test
from ._samples._frechet import FrechetDistance, frechet_distance, gaussian_frechet_distance
from ._samples._kernel_distance import KernelDistance, kernel_distance
from ._samples._precision_recall import PrecisionRecall, precision_recall
from ._samples._reconstruction import ReconstructionQuality, reconstruction_quality
from ._tables._associations import (
    AssociationComparison,
    AssociationDifference,
    compare_associations,
)
from ._tables._closest_records import ClosestRecords, DistanceQuantiles, closest_records
from ._tables._hidden_cells import HiddenCells, HiddenColumn, hidden_cells
from ._tables._marginals import ColumnMarginal, MarginalComparison, compare_marginals
from ._tables._membership import MembershipAttack, membership_attack

__all__ = [
    "DCI",
    "Accuracy",
    "ActiveUnits",
    "AssociationComparison",
    "AssociationDifference",
    "Baseline",
    "BaselineLimits",
    "Baselines",
    "CheckRegistration",
    "CheckResult",
    "ClassSeparation",
    "ClosestRecords",
    "Clustering",
    "CodebookUsage",
    "ColumnMarginal",
    "Comparison",
    "ConvergenceCurve",
    "Decomposition",
    "Diagnosis",
    "DiagnosticContext",
    "Disentanglement",
    "DistanceQuantiles",
    "DoctorThresholds",
    "EpochLike",
    "Estimate",
    "Evaluation",
    "EvaluationContext",
    "EvaluationOptions",
    "Features",
    "Finding",
    "FrechetDistance",
    "HiddenCells",
    "HiddenColumn",
    "InferenceGaps",
    "Interval",
    "JackknifeEstimate",
    "KernelDistance",
    "LatentInformation",
    "LinearGaussian",
    "LogLikelihood",
    "MarginalComparison",
    "MembershipAttack",
    "MethodChoice",
    "MetricRegistration",
    "ModelScores",
    "Number",
    "PooledEstimate",
    "PrecisionRecall",
    "Quality",
    "RateDistortion",
    "ReconstructionQuality",
    "ReliabilityLimits",
    "SampleComparison",
    "TwoSampleTest",
    "accuracy",
    "active_units",
    "annealed_rows",
    "as_features",
    "beta_vae_score",
    "bidirectional_monte_carlo",
    "choose_method",
    "class_separation",
    "classifier_test",
    "closest_records",
    "clustering",
    "codebook_usage",
    "compare",
    "compare_associations",
    "compare_marginals",
    "dci",
    "decomposition",
    "disentanglement",
    "doctor",
    "encoder_features",
    "evaluate",
    "evaluate_bound",
    "exact_log_likelihood",
    "exact_posterior",
    "factor_vae_score",
    "fit_baselines",
    "frechet_distance",
    "function_features",
    "gaussian_frechet_distance",
    "hidden_cells",
    "inference_gaps",
    "interval_over_seeds",
    "interventional_robustness",
    "is_untrustworthy",
    "kernel_distance",
    "kl_per_dimension",
    "knn_accuracy",
    "latent_information",
    "linear_gaussian",
    "linear_probe_accuracy",
    "load_features",
    "log_likelihood",
    "membership_attack",
    "modularity",
    "mutual_information",
    "mutual_information_gap",
    "pca_features",
    "pixel_features",
    "pool_estimates",
    "precision_recall",
    "quality",
    "rate_distortion",
    "reconstruction_quality",
    "separated_attribute_predictability",
    "standardised_features",
    "total_correlation",
]
