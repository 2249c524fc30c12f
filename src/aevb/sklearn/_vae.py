"""The embedding and the density of the rows of a table."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from .._persistence import count_parameters
from ..errors import DataError, IncompatibleError
from ._base import BaseVAE, named_as_parameters
from ._tables import in_form_of

EXACT_MULTIPLICATIONS = 1 << 31  # of an encoding in float64; larger ones are in float32


class GeneratorMixin:
    """Draws rows from the model of an estimator."""

    def sample(
        self: Any, n_samples: int = 1, *, where: Any = None, random_state: Any = None
    ) -> Any:
        """Draw new rows.

        Args:
            n_samples: The number of rows.
            where: Conditions on columns, as ``["sex=Female", "age>60"]``, or a dict of values.
            random_state: Seed of the draws; by default that of the estimator.

        Returns:
            Rows with the columns and the dtypes of the rows of ``fit``: a data frame, or an array.

        Raises:
            ValueError: There is no such column, or no row fulfils the conditions.
        """
        check_is_fitted(self)
        with named_as_parameters({"n": "n_samples"}):
            rows = self.run_.sample(n_samples, where=where, seed=self._new_seed(random_state))
        return in_form_of(rows, self._dtype)


class DensityMixin:
    """Scores rows by their log-density under the model of an estimator."""

    def score_samples(self: Any, X: Any) -> np.ndarray:
        """Estimate log p(x) of each row by importance sampling.

        Args:
            X: Rows as in ``fit``. Missing cells are left out of the density.

        Returns:
            Nats ``[N]``, float64. They depend on the row, on the seed of the fit and on
            ``n_draws``, and not on other rows.

        Raises:
            ValueError: The rows do not fit the model.
            TypeError: The model has no density.
        """
        frame = self._read(X)
        with named_as_parameters():
            found = self.run_.in_float64().log_likelihood(
                frame, samples=self.n_draws, seed=self._seed
            )
        if found is None:
            raise IncompatibleError("this preset has no density", argument="preset")
        return found.per_datum.cpu().numpy()

    def score(self: Any, X: Any, y: Any = None) -> float:
        """Estimate the mean of log p(x).

        Args:
            X: Rows as in ``fit``.
            y: Ignored.

        Returns:
            Nats per row: the larger, the better.
        """
        return float(self.score_samples(X).mean())


class VAE(GeneratorMixin, DensityMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseVAE):
    """Embedding and density of the rows of a table.

    ``transform`` gives the mean of the posterior of each row, ``score_samples`` its log-density,
    and ``sample`` new rows.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X = load_iris().data
        >>> vae = VAE(n_components=2, hidden=(16,), epochs=5, random_state=0).fit(X)
        >>> vae.transform(X).shape, vae.score_samples(X).dtype, vae.sample(3).shape
        ((150, 2), dtype('float64'), (3, 4))
    """

    def transform(self, X: Any) -> np.ndarray:
        """Encode rows: in float64, or many rows of a large model in float32.

        Args:
            X: Rows as in ``fit``.

        Returns:
            The mean of the posterior of each row, ``[N, n_components]``: no draws.

        Raises:
            ValueError: The rows do not fit the model.
        """
        frame = self._read(X)
        with named_as_parameters():
            exact = len(frame) * count_parameters(self.run_.model) <= EXACT_MULTIPLICATIONS
            z = (self.run_.in_float64() if exact else self.run_).encode(frame)
        return z.flatten(1).double().numpy()

    def inverse_transform(self, Z: Any) -> Any:
        """Decode latent variables.

        Args:
            Z: Latent variables ``[N, n_components]``.

        Returns:
            Rows with the columns and the dtypes of the rows of ``fit``: the mean of each number,
            and the most probable of each category.

        Raises:
            ValueError: There is another number of variables, or one is not finite.
        """
        check_is_fitted(self)
        z: Any = check_array(Z, dtype="float32", input_name="Z")
        if z.shape[1] != self._n_features_out:
            raise DataError(
                f"it has {z.shape[1]} columns, and the model {self._n_features_out} latent "
                "variables",
                argument="Z",
            )
        with named_as_parameters():
            rows = self.run_.decode(z.reshape(len(z), *self.run_.model.latent_shape))
        return in_form_of(rows, self._dtype)
