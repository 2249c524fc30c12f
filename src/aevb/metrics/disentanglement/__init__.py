"""Whether each latent variable tells one factor of variation, where the factors are known.

Codes are ``[N, latent]``, factors ``[N, F]`` class numbers. Intervals come from random halves of the rows. The scores were made for
rows whose factors are independent, as on a full grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .._disentanglement._dci import DCI, dci
from .._disentanglement._factor_table import FactorTable
from .._disentanglement._scores import (
    beta_vae_score,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information,
    mutual_information_gap,
    separated_attribute_predictability,
)
from .._intervals import Interval
from .._optional import none_if_not_installed

__all__ = [
    "DCI",
    "Disentanglement",
    "beta_vae_score",
    "dci",
    "disentanglement",
    "factor_vae_score",
    "interventional_robustness",
    "modularity",
    "mutual_information",
    "mutual_information_gap",
    "separated_attribute_predictability",
]


@dataclass(frozen=True)
class Disentanglement:
    """The scores of the literature, 1 at best; ``None`` where scikit-learn is not installed."""

    mutual_information_gap: Interval
    separated_attribute_predictability: Interval
    modularity: Interval
    factor_vae_score: Interval
    interventional_robustness: Interval
    beta_vae_score: Interval | None
    dci: DCI | None
    mutual_information: Tensor  # [latent, F], nats
    chance_level: float  # of the FactorVAE and beta-VAE scores: one over the number of factors
    n_rows: int


def disentanglement(z: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> Disentanglement:
    """All scores of codes ``[N, latent]`` against known factors ``[N, F]``.

    Locatello et al., Challenging common assumptions in the unsupervised learning of disentangled representations (2019), compare them.
    Raises ``DataError`` for fewer than 40 rows, for a factor with a single value or one for every few rows, and for a single factor.
    """
    scene = FactorTable.from_arrays(z, factors)
    options: dict[str, Any] = {"repeats": repeats, "seed": seed}
    return Disentanglement(
        mutual_information_gap=mutual_information_gap(z, factors, **options),
        separated_attribute_predictability=separated_attribute_predictability(
            z, factors, **options
        ),
        modularity=modularity(z, factors, **options),
        factor_vae_score=factor_vae_score(z, factors, **options),
        interventional_robustness=interventional_robustness(z, factors, **options),
        beta_vae_score=none_if_not_installed(lambda: beta_vae_score(z, factors, **options)),
        dci=none_if_not_installed(lambda: dci(z, factors, **options)),
        mutual_information=scene.mutual_information(),
        chance_level=1 / scene.factors.shape[1],
        n_rows=len(scene.z),
    )
