"""How close samples and reconstructions are to data: distances of clouds, what each covers, a classifier, what comes back."""

from .._samples._classifier_test import TwoSampleTest, classifier_test
from .._samples._frechet import FrechetDistance, frechet_distance, gaussian_frechet_distance
from .._samples._kernel_distance import KernelDistance, kernel_distance
from .._samples._precision_recall import PrecisionRecall, precision_recall
from .._samples._reconstruction import ReconstructionQuality, reconstruction_quality

__all__ = [
    "FrechetDistance",
    "KernelDistance",
    "PrecisionRecall",
    "ReconstructionQuality",
    "TwoSampleTest",
    "classifier_test",
    "frechet_distance",
    "gaussian_frechet_distance",
    "kernel_distance",
    "precision_recall",
    "reconstruction_quality",
]
