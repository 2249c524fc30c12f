"""A detector of PyOD: outliers of a table by a variational autoencoder, under PyOD's contract.

Larger scores are more unusual, and outliers have the label 1, unlike in scikit-learn.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .errors import missing_extra
from .sklearn import VAEOutlierDetector

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise missing_extra("pyod", "a detector of PyOD") from error

__all__ = ["VAE"]


class VAE(BaseDetector):
    """Outliers in a table: rows that a variational autoencoder of it finds unlikely.

    The detector is ``aevb.sklearn.VAEOutlierDetector``; ``detector_`` is the fitted one, with
    ``explain`` and all else.

    Args:
        contamination: The share of outliers among the rows of the fit, in (0, 0.5].
        n_components: Number of latent variables; by default chosen for the data.
        method: How unusual a row is, as of ``VAEOutlierDetector``.
        trim: The share of the rows of least likelihood that each epoch leaves out.
        hidden: Widths of the layers; by default those of the preset.
        epochs: Passes over the rows; ``"auto"``: the default of ``aevb.fit``.
        batch_size: Rows per step; ``"auto"``: the default of ``aevb.fit``.
        options: Any other setting of ``aevb fit`` by name.
        n_draws: Importance samples of a row.
        random_state: Seed of every draw.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; by default an accelerator if there is one.
        verbose: Whether to show a progress bar.

    Attributes:
        decision_scores_: Scores of the rows of the fit, ``[N]``.
        threshold_: The score above which a row is an outlier.
        labels_: 1 for outliers among the rows of the fit and 0 for all others, ``[N]``.
        detector_: The fitted ``VAEOutlierDetector``.
    """

    def __init__(
        self,
        contamination: float = 0.1,
        n_components: int | None = None,
        method: str = "log_prob",
        trim: float = 0.1,
        hidden: tuple[int, ...] | None = None,
        epochs: int | str = 15,
        batch_size: int | str = "auto",
        options: Any = None,
        n_draws: int = 100,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(contamination=contamination)
        self.n_components = n_components
        self.method = method
        self.trim = trim
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.options = options
        self.n_draws = n_draws
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Train a model of the rows, and find the threshold of outliers.

        Args:
            X: Rows ``[N, columns]``: an array or a data frame.
            y: Ignored.

        Returns:
            The detector.

        Raises:
            ValueError: A parameter or the data cannot be used.
        """
        self._set_n_classes(y)
        self.detector_ = VAEOutlierDetector(**self.get_params()).fit(X)
        self.decision_scores_ = self.decision_function(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Score rows.

        Args:
            X: Rows as in ``fit``.

        Returns:
            Scores ``[N]``, float64: the larger, the more unusual.

        Raises:
            ValueError: The rows do not fit the model.
        """
        check_is_fitted(self, "detector_")
        return -self.detector_.score_samples(X)
