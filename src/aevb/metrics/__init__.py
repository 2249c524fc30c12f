"""Numbers with names and error bars."""

from ._accuracy import Accuracy, accuracy
from ._class_separation import (
    Clustering,
    Separation,
    clustering,
    neighbour_accuracy,
    probe_accuracy,
    separation,
)
from ._codebook import CodebookUsage, codebook_usage
from ._comparison import Comparison, ModelScores, compare
from ._estimate import Estimate
from ._exact import (
    Decomposition,
    LinearGaussian,
    decomposition,
    exact_log_likelihood,
    exact_posterior,
    linear_gaussian,
)
from ._features import Features
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
    LogLikelihood,
    SampleSizeCurve,
    bidirectional_monte_carlo,
    log_likelihood,
)
from ._quality import Quality, SampleComparison, quality
from ._rate_distortion import RateDistortion, rate_distortion
from .disentanglement import (
    DCI,
    Disentanglement,
    beta_vae_score,
    dci,
    disentanglement,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information,
    mutual_information_gap,
    separated_attribute_predictability,
)
from .health import CheckResult, Diagnosis, Finding, doctor
from .samples import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    ReconstructionQuality,
    TwoSampleTest,
    classifier_test,
    frechet_distance,
    gaussian_frechet_distance,
    kernel_distance,
    precision_recall,
    reconstruction_quality,
)

__all__ = [
    "DCI",
    "Accuracy",
    "ActiveUnits",
    "CheckResult",
    "Clustering",
    "CodebookUsage",
    "Comparison",
    "Decomposition",
    "Diagnosis",
    "Disentanglement",
    "Estimate",
    "Features",
    "Finding",
    "FrechetDistance",
    "InferenceGaps",
    "Interval",
    "JackknifeEstimate",
    "KernelDistance",
    "LatentInformation",
    "LinearGaussian",
    "LogLikelihood",
    "ModelScores",
    "PrecisionRecall",
    "Quality",
    "RateDistortion",
    "ReconstructionQuality",
    "SampleComparison",
    "SampleSizeCurve",
    "Separation",
    "TwoSampleTest",
    "accuracy",
    "active_units",
    "beta_vae_score",
    "bidirectional_monte_carlo",
    "classifier_test",
    "clustering",
    "codebook_usage",
    "compare",
    "dci",
    "decomposition",
    "disentanglement",
    "doctor",
    "exact_log_likelihood",
    "exact_posterior",
    "factor_vae_score",
    "frechet_distance",
    "gaussian_frechet_distance",
    "inference_gaps",
    "interval_over_seeds",
    "interventional_robustness",
    "kernel_distance",
    "kl_per_dimension",
    "latent_information",
    "linear_gaussian",
    "log_likelihood",
    "modularity",
    "mutual_information",
    "mutual_information_gap",
    "neighbour_accuracy",
    "precision_recall",
    "probe_accuracy",
    "quality",
    "rate_distortion",
    "reconstruction_quality",
    "separated_attribute_predictability",
    "separation",
    "total_correlation",
]
