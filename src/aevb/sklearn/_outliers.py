"""Outliers in the rows of a table, with the columns that make them unusual."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, cast

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils import ClassifierTags

from .._hardware import resolve_device
from ..data import Dataset, Schema
from ..errors import ArgumentError, check_choice
from ..runs._outliers import (
    OUTLIER_SCORES,
    OutlierReference,
    explain_scores,
    outlier_reference,
    outlier_scores,
)
from ..training._history import EpochCallback
from ..training._trimming import TrimLeastLikely
from ._base import BaseVAE, named_as_parameters
from ._tables import has_numbers, make_frame

AUTO_CONTAMINATION = 0.1  # the share of outliers where none is given
REMAINDER = "remainder"
MAX_QUANTILES = 1000  # of the scores of the fit that are kept


class VAEOutlierDetector(OutlierMixin, BaseVAE):
    """Outliers in a table: rows that a model of it finds unlikely.

    Columns with more than two numbers are continuous, unless ``kinds`` says otherwise: a density
    falls with the distance from other numbers, which the probability of a repeated value does not.

    Args:
        method: How usual a row is: ``"log_prob"``, its log-density; ``"elbo"``, a bound of it;
            ``"typicality"``, minus the distance of the log-density from its mean over the rows of
            the fit; ``"latent_knn"``, minus the distance to the fifth nearest encoding of them.
        contamination: The share of outliers among the rows of the fit, in (0, 0.5]; ``"auto"``:
            10%.
        trim: The share of the rows of least likelihood that each epoch leaves out, so that outliers
            among the rows of the fit have no part in the model; from 0 to below 0.5.
        epochs: Passes over the rows; ``"auto"``: the default of ``aevb.fit``, which is longer. Few
            leave the model near the robust Gaussian at which it starts, and do not learn clusters
            of outliers.
        heavy_tails: Whether real numbers have Student t likelihoods, whose long tails give outliers
            less weight in training.

    Attributes:
        offset_: The threshold: ``decision_function(X) = score_samples(X) - offset_``.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(200, 3))
        >>> detector = VAEOutlierDetector(hidden=(16,), epochs=5, random_state=0).fit(X)
        >>> detector.predict([[0.0, 0.0, 0.0], [9.0, -9.0, 9.0]])
        array([ 1, -1])
    """

    saved_attributes: ClassVar[tuple[str, ...]] = (
        *BaseVAE.saved_attributes,
        "offset_",
        "_mean_log_p",
        "_codes",
        "_quantiles",
    )

    def __init__(
        self,
        n_components: int | None = None,
        *,
        method: str = "log_prob",
        contamination: float | str = "auto",
        trim: float = 0.1,
        heavy_tails: bool = False,
        preset: str | None = None,
        hidden: tuple[int, ...] | None = None,
        epochs: int | str = 15,
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        kinds: Any = None,
        unseen: str = "missing",
        options: Any = None,
        validation_fraction: float = 0.1,
        n_draws: int | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_components,
            preset=preset,
            hidden=hidden,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            kinds=kinds,
            unseen=unseen,
            options=options,
            validation_fraction=validation_fraction,
            n_draws=n_draws,
            warm_start=warm_start,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.method = method
        self.contamination = contamination
        self.trim = trim
        self.heavy_tails = heavy_tails

    def _check_parameters(self) -> None:
        """Check the parameters before the training."""
        check_choice("method", self.method, [*OUTLIER_SCORES])
        share = self.contamination
        if share != "auto" and not (isinstance(share, Real) and 0 < float(share) <= 0.5):
            raise ArgumentError(
                'give a share in (0, 0.5], or "auto"', argument="contamination", value=share
            )

    def _preferred_kinds(self, schema: Schema) -> dict[str, str]:
        """Numbers of all kinds as continuous ones, whose densities fall with the distance."""
        return {each.name: "continuous" for each in schema.columns if has_numbers(each)}

    def _arrange(self, data: Dataset) -> tuple[Dataset, tuple[EpochCallback, ...]]:
        """The data with long tails, and with weights that change between epochs."""
        if self.heavy_tails:
            schema = cast(Schema, data.spec.schema).with_heavy_tails()
            data = replace(data, spec=replace(data.spec, schema=schema))
        if not self.trim:
            return data, ()
        trim = TrimLeastLikely(data.to(resolve_device(self.device)), self.trim)
        return trim.data, (trim,)

    def _after_fit(self, frame: Any) -> None:
        """What the scores compare rows with, and the threshold."""
        run = self.run_.in_float64()
        rows = run.rows(frame)
        with named_as_parameters():
            reference = outlier_reference(
                run, rows, self.method, seed=self._seed, **self._samples()
            )
        self._mean_log_p, self._codes = reference.mean_log_p, reference.codes.numpy()
        scores = self._scores(rows)
        share = AUTO_CONTAMINATION if self.contamination == "auto" else self.contamination
        self.offset_ = float(np.percentile(scores, 100 * float(share)))
        ordered = np.sort(scores)
        places = np.linspace(0, len(ordered) - 1, min(len(ordered), MAX_QUANTILES)).astype(int)
        self._quantiles = ordered[places]

    def _scores(self, rows: Any) -> np.ndarray:
        with named_as_parameters():
            found = outlier_scores(
                self.run_.in_float64(),
                rows,
                self.method,
                reference=self._reference,
                **self._samples(),
                seed=self._seed,
            )
        return found.double().numpy()

    @property
    def _reference(self) -> OutlierReference:
        return OutlierReference(self._mean_log_p, torch.from_numpy(self._codes))

    def __sklearn_tags__(self) -> Any:
        """The properties that scikit-learn asks for."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags = ClassifierTags(multi_class=False)  # predict_proba has two columns
        return tags

    def score_samples(self, X: Any) -> np.ndarray:
        """Score rows by ``method``.

        Args:
            X: Rows as in ``fit``.

        Returns:
            Scores ``[N]``, float64: the larger, the more usual. A score depends on its row, on the
            seed of the fit and on ``n_draws``, and not on other rows.

        Raises:
            ValueError: The rows do not fit the model.
        """
        return self._scores(self._read(X))

    def decision_function(self, X: Any) -> np.ndarray:
        """Compute the distance of the scores from the threshold.

        Args:
            X: Rows as in ``fit``.

        Returns:
            ``score_samples(X) - offset_``: negative for outliers.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Tell outliers from other rows.

        Args:
            X: Rows as in ``fit``.

        Returns:
            -1 for outliers and 1 for all other rows, ``[N]``.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Compute how extreme rows are among those of the fit.

        The second column is the share of the rows of the fit with a larger score: a rank between 0
        and 1, and no calibrated probability.

        Args:
            X: Rows as in ``fit``.

        Returns:
            ``[N, 2]``: usual, and an outlier.
        """
        scores = self.score_samples(X)
        lower = np.interp(scores, self._quantiles, np.linspace(0, 1, len(self._quantiles)))
        return np.stack([lower, 1 - lower], 1)

    def explain(self, X: Any) -> Any:
        """Divide the score of each row among its columns.

        A cell adds by how many nats it is more likely than usual, given all other cells of its row.

        Args:
            X: Rows as in ``fit``.

        Returns:
            A data frame with a column for each modelled column, ``"remainder"`` and ``"score"``:
            the columns and the remainder sum to the score.

        Raises:
            TypeError: ``method="latent_knn"``: a distance between encodings has no columns.
        """
        frame = self._read(X)
        with named_as_parameters():
            found = explain_scores(
                self.run_.in_float64(),
                frame,
                self.method,
                torch.from_numpy(self._scores(frame)),
                reference=self._reference,
                **self._samples(),
                seed=self._seed,
            )
        values = dict(zip(found.names, found.columns.numpy().T, strict=True))
        values |= {REMAINDER: found.remainder.numpy(), "score": found.score.numpy()}
        return make_frame(values, X)
