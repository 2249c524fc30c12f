"""All scores of disentanglement, where the factors of variation are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .._intervals import Interval
from .._optional import none_if_not_installed
from ._dci import DCI, dci
from ._factor_table import FactorTable
from ._scores import (
    beta_vae_score,
    factor_vae_score,
    interventional_robustness,
    modularity,
    mutual_information_gap,
    separated_attribute_predictability,
)


@dataclass(frozen=True)
class Disentanglement:
    """The scores of the literature, 1 at best.

    Args:
        mutual_information_gap: Chen et al. (2018).
        separated_attribute_predictability: Kumar et al. (2018).
        modularity: Ridgeway and Mozer (2018).
        factor_vae_score: Kim and Mnih (2018).
        interventional_robustness: Suter et al. (2019).
        beta_vae_score: Higgins et al. (2017); ``None`` without scikit-learn.
        dci: Eastwood and Williams (2018); ``None`` without scikit-learn.
        mutual_information: ``I(z_j; v_k)`` in nats, ``[latent, F]``.
        chance_level: Chance level of the FactorVAE and beta-VAE scores, ``1/F``.
        n_rows: Number of rows.
    """

    mutual_information_gap: Interval
    separated_attribute_predictability: Interval
    modularity: Interval
    factor_vae_score: Interval
    interventional_robustness: Interval
    beta_vae_score: Interval | None
    dci: DCI | None
    mutual_information: Tensor
    chance_level: float
    n_rows: int


def disentanglement(z: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> Disentanglement:
    """Compute all scores of latents against known factors.

    The scores assume independent factors, as on a full grid. Intervals come from random halves of
    the rows. Locatello et al., Challenging common assumptions in the unsupervised learning of
    disentangled representations (2019), compare the scores.

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        repeats: Number of random halves of the rows.
        seed: Seed of the halves and of the scores.

    Returns:
        The scores with their intervals.

    Raises:
        DataError: There are fewer than 40 rows or 2 factors, or a factor has a single value or one
            for every few rows.
    """
    table = FactorTable.from_arrays(z, factors)
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
        mutual_information=table.mutual_information(),
        chance_level=1 / table.factors.shape[1],
        n_rows=len(table.z),
    )
