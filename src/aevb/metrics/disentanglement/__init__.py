"""Whether each latent variable tells one factor of variation, where the factors are known.

Codes are ``[N, latent]``, factors ``[N, F]`` class numbers. Intervals come from random halves of the rows. The scores were made for
rows whose factors are independent, as on a full grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..optional import where_installed
from ..ranged import Ranged
from .dci import DCI, dci
from .scene import Scene
from .scores import (
    beta_vae_score,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information,
    mutual_information_gap,
    separated_attribute_predictability,
)

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

    mutual_information_gap: Ranged
    separated_attribute_predictability: Ranged
    modularity: Ranged
    factor_vae: Ranged
    interventional_robustness: Ranged
    beta_vae: Ranged | None
    dci: DCI | None
    mutual_information: Tensor  # [latent, F], nats
    chance: float  # of the FactorVAE and beta-VAE scores: one over the number of factors
    rows: int


def disentanglement(codes: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> Disentanglement:
    """All scores of codes ``[N, latent]`` against known factors ``[N, F]``.

    Locatello et al., Challenging common assumptions in the unsupervised learning of disentangled representations (2019), compare them.
    Raises ``DataError`` for fewer than 40 rows, for a factor with a single value or one for every few rows, and for a single factor.
    """
    scene = Scene.of(codes, factors)
    options: dict[str, Any] = {"repeats": repeats, "seed": seed}
    return Disentanglement(
        mutual_information_gap=mutual_information_gap(codes, factors, **options),
        separated_attribute_predictability=separated_attribute_predictability(codes, factors, **options),
        modularity=modularity(codes, factors, **options),
        factor_vae=factor_vae_score(codes, factors, **options),
        interventional_robustness=interventional_robustness(codes, factors, **options),
        beta_vae=where_installed(lambda: beta_vae_score(codes, factors, **options)),
        dci=where_installed(lambda: dci(codes, factors, **options)),
        mutual_information=scene.information(),
        chance=1 / scene.factors.shape[1],
        rows=len(scene.codes),
    )
