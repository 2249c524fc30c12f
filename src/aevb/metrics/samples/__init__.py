"""How close samples and reconstructions are to data: distances of clouds, what each covers, a classifier, what comes back."""

from .classifier import TwoSampleTest, classifier_test
from .cover import PrecisionRecall, precision_recall
from .frechet import FrechetDistance, frechet, frechet_distance
from .kernel import KernelDistance, kernel_distance
from .reconstruction import Reconstruction, reconstruction_quality

__all__ = [
    "FrechetDistance",
    "KernelDistance",
    "PrecisionRecall",
    "Reconstruction",
    "TwoSampleTest",
    "classifier_test",
    "frechet",
    "frechet_distance",
    "kernel_distance",
    "precision_recall",
    "reconstruction_quality",
]
