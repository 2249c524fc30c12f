"""Whether the log-likelihood of a row tells that the model was trained on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...data import Rows
from ...data._fingerprints import find_duplicates
from ...errors import DataError
from ...inference import TrainedModel
from ...models import VAE
from .._intervals import Interval
from .._log_likelihood import log_likelihood
from .._rows import evenly_spaced_rows
from .._samples._classifier_test import area_under_curve

MAX_ROWS = 1000
"""Most rows of either set whose log-likelihood is computed."""

SAMPLES = 50
"""Importance samples per row."""


@dataclass(frozen=True)
class MembershipAttack:
    """How well log p(x) tells training rows from held-out rows.

    Args:
        auc: Area under the curve: the probability that a training row has a higher log-likelihood
            than a held-out row. 1/2 where the model tells nothing, 1 where it tells all.
        n_train: Number of training rows.
        n_held_out: Number of held-out rows.
    """

    auc: Interval
    n_train: int
    n_held_out: int


def membership_attack(
    model: VAE | TrainedModel,
    train: Any,
    held_out: Any,
    *,
    samples: int = SAMPLES,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> MembershipAttack:
    """Guess by log p(x) whether a row was among the training rows.

    The simplest attack of somebody who has the model: training rows of an overfitted model are more
    likely than other rows of the same source. Stronger attacks exist, so that 1/2 proves no
    privacy. Rows that chose the weights, or that differ from the training rows for another reason,
    move the number. Yeom et al. (2018).

    Args:
        model: The model. Its weights are not changed.
        train: The training rows, or some of them, as for ``log_likelihood``.
        held_out: Rows of the same source that were not used for training.
        samples: Importance samples per row.
        max_rows: Most rows of either set, evenly spaced.
        seed: Seed of all draws.

    Returns:
        The area under the curve.

    Raises:
        DataError: A set has fewer than 2 rows.
        IncompatibleError: The model has no log-likelihood.

    Example:
        >>> import torch
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(1),
        ...     posteriors.Normal(networks.MLP(2), 1),
        ...     likelihoods.Normal(networks.MLP(1), 2),
        ... )
        >>> found = membership_attack(model, torch.zeros(9, 2), 50 + torch.zeros(8, 2))
        >>> found.auc.value, found.n_train, found.n_held_out
        (1.0, 9, 8)
    """
    sets = {"train": train, "held_out": held_out}
    rows = {
        name: evenly_spaced_rows(x if isinstance(x, Rows) else Rows.from_array(x), max_rows)
        for name, x in sets.items()
    }
    for name, part in rows.items():
        if len(part) < 2:
            raise DataError(f"`{name}` has {len(part)} rows, and 2 are needed", argument=name)
    scores = {
        name: log_likelihood(model, part, samples, seed=seed).per_datum.cpu()
        for name, part in rows.items()
    }
    auc = area_under_curve(scores["train"], scores["held_out"])
    return MembershipAttack(auc, len(rows["train"]), len(rows["held_out"]))


def membership_attack_or_none(
    model: VAE, train: Rows, held_out: Rows, seed: int = 0
) -> MembershipAttack | None:
    """The result of ``membership_attack``; ``None`` without a density or without unseen rows."""
    able = model.capabilities
    usable = able.importance_weights and able.encodes_new_rows
    if not usable or min(len(train), len(held_out)) < 2 or find_duplicates(held_out, train).all():
        return None
    return membership_attack(model, train, held_out, seed=seed)
