"""Numbers with names and error bars."""

from .accuracy import Accuracy, accuracy
from .codebook import CodebookUsage, codebook_usage
from .codes import Clustering, Separation, clustering, neighbour_accuracy, probe_accuracy, separation
from .comparison import Comparison, Scores, compare
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
from .exact import Decomposition, LinearGaussian, decomposition, exact_log_likelihood, exact_posterior, linear_gaussian
from .features import Features
from .gaps import Gaps, gaps
from .health import Diagnosis, Examined, Finding, doctor
from .latent import ActiveUnits, Information, active_units, information, kl_per_dimension, total_correlation
from .likelihood import Curve, LogLikelihood, bracket, log_likelihood
from .measured import Measured
from .quality import Closeness, Quality, quality
from .ranged import Jackknifed, Ranged, over_seeds
from .rate import RateDistortion, rate_distortion
from .samples import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    Reconstruction,
    TwoSampleTest,
    classifier_test,
    frechet,
    frechet_distance,
    kernel_distance,
    precision_recall,
    reconstruction_quality,
)

__all__ = [
    "DCI",
    "Accuracy",
    "ActiveUnits",
    "Closeness",
    "Clustering",
    "CodebookUsage",
    "Comparison",
    "Curve",
    "Decomposition",
    "Diagnosis",
    "Disentanglement",
    "Examined",
    "Features",
    "Finding",
    "FrechetDistance",
    "Gaps",
    "Information",
    "Jackknifed",
    "KernelDistance",
    "LinearGaussian",
    "LogLikelihood",
    "Measured",
    "PrecisionRecall",
    "Quality",
    "Ranged",
    "RateDistortion",
    "Reconstruction",
    "Scores",
    "Separation",
    "TwoSampleTest",
    "accuracy",
    "active_units",
    "beta_vae_score",
    "bracket",
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
    "frechet",
    "frechet_distance",
    "gaps",
    "information",
    "interventional_robustness",
    "kernel_distance",
    "kl_per_dimension",
    "linear_gaussian",
    "log_likelihood",
    "modularity",
    "mutual_information",
    "mutual_information_gap",
    "neighbour_accuracy",
    "over_seeds",
    "precision_recall",
    "probe_accuracy",
    "quality",
    "rate_distortion",
    "reconstruction_quality",
    "separated_attribute_predictability",
    "separation",
    "total_correlation",
]
