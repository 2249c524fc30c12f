"""Estimators of scikit-learn: density and embedding, outliers, imputation, synthetic rows.

They take arrays and data frames with numbers, texts, dates and missing cells, and keep to the
contract of scikit-learn: pipelines, cross-validation, searches and ``joblib``.

Example:
    >>> import polars
    >>> from aevb.sklearn import VAE
    >>> frame = polars.DataFrame({"age": [31, None, 45, 28] * 25, "sex": ["f", "m"] * 50})
    >>> vae = VAE(n_components=2, hidden=(16,), epochs=2, random_state=0).fit(frame)
    >>> vae.transform(frame).shape, vae.sample(3).columns
    ((100, 2), ['age', 'sex'])
"""

from __future__ import annotations

from ..errors import missing_extra

try:
    from ._base import BaseVAE
    from ._imputer import VAEImputer
    from ._outliers import VAEOutlierDetector
    from ._synthesis import VAESynthesizer
    from ._vae import VAE
except ImportError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise missing_extra("sklearn", "an estimator of scikit-learn") from error

__all__ = ["VAE", "BaseVAE", "VAEImputer", "VAEOutlierDetector", "VAESynthesizer"]
