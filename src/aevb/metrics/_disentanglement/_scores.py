"""Scores that compare each latent variable with each factor, one number a score."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .._intervals import HALF_SAMPLE_REPEATS, Interval, half_sample_interval
from .._optional import import_sklearn
from ._factor_table import (
    MIN_ROWS_SHARING_VALUE,
    MUTUAL_INFORMATION_BINS,
    FactorTable,
    FixedFactorGroups,
)

FACTOR_VOTES = 2000  # a third of them test what the others have shown
DEVIATION_QUANTILE = 0.99  # in place of the largest deviation, which one row decides


def mutual_information(z: Any, factors: Any, bins: int = MUTUAL_INFORMATION_BINS) -> Tensor:
    """``I(z_j; v_k)`` in nats ``[latent, F]``, by counting: a code with more than ``bins`` values is cut into as many of equal width.

    Counts of ``N`` rows make it about ``(bins - 1)(values - 1) / (2 N)`` too large.

    >>> factors = torch.cartesian_prod(torch.arange(2), torch.arange(3)).repeat(10, 1)
    >>> torch.allclose(
    ...     mutual_information(factors, factors),
    ...     torch.tensor([2.0, 3.0]).double().log().diag(),
    ...     atol=1e-9,
    ... )
    True
    """
    return FactorTable.from_arrays(z, factors, bins).mutual_information()


def mutual_information_gap(
    z: Any,
    factors: Any,
    *,
    bins: int = MUTUAL_INFORMATION_BINS,
    repeats: int = HALF_SAMPLE_REPEATS,
    seed: int = 0,
) -> Interval:
    """``1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)``, ``a`` and ``b`` being the two codes that tell most of ``v_k``.

    Chen et al., Isolating sources of disentanglement in VAEs (2018).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(5)).repeat(5, 1)
    >>> round(mutual_information_gap(factors, factors).value, 9)
    1.0
    """
    scene = FactorTable.from_arrays(z, factors, bins)

    def gap(rows: Tensor, seed: int) -> float:
        part = scene.subset(rows)
        return (
            (_gap_of_largest_two(part.mutual_information()) / part.entropies().clamp(min=1e-300))
            .mean()
            .item()
        )

    return half_sample_interval(gap, len(scene.z), repeats=repeats, seed=seed)


def separated_attribute_predictability(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """The mean gap, over factors, between the two codes that predict it best, each alone and by thresholds.

    Prediction: the class whose mean code is nearest, found on half of the rows; scored by its balanced accuracy on the other half.

    Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts from unlabeled observations (2018).
    """
    scene = FactorTable.from_arrays(z, factors)

    def gap(rows: Tensor, seed: int) -> float:
        known, asked = scene.split(rows, seed)
        scores = [_threshold_accuracy(known, asked, k) for k in range(scene.factors.shape[1])]
        return _gap_of_largest_two(torch.stack(scores, 1)).mean().item()

    return half_sample_interval(gap, len(scene.z), repeats=repeats, seed=seed)


def modularity(
    z: Any,
    factors: Any,
    *,
    bins: int = MUTUAL_INFORMATION_BINS,
    repeats: int = HALF_SAMPLE_REPEATS,
    seed: int = 0,
) -> Interval:
    """Whether each code tells one factor: ``1 - sum_(k != a) I_jk^2 / ((F - 1) I_ja^2)``, ``a`` being the factor ``z_j`` tells most of.

    A code that tells nothing counts 0. Ridgeway and Mozer, Learning deep disentangled embeddings with the F-statistic loss (2018).
    """
    scene = FactorTable.from_arrays(z, factors, bins)

    def score(rows: Tensor, seed: int) -> float:
        squared = scene.subset(rows).mutual_information().square()
        most = squared.amax(1)
        rest = (squared.sum(1) - most) / (most.clamp(min=1e-300) * (squared.shape[1] - 1))
        return torch.where(most > 1e-24, 1 - rest, 0.0).mean().item()

    return half_sample_interval(score, len(scene.z), repeats=repeats, seed=seed)


def factor_vae_score(
    z: Any,
    factors: Any,
    *,
    threshold: float = 0.0,
    repeats: int = HALF_SAMPLE_REPEATS,
    seed: int = 0,
) -> Interval:
    """Accuracy of the majority vote that names a fixed factor by the code that varies least among rows that share it.

    Variances are relative to those over all rows; codes whose variance is at most ``threshold`` times the largest have no vote. Votes are
    collected on half of the rows and tested on the other: chance is then ``1/F`` however few rows share a value.

    Kim and Mnih, Disentangling by factorising (2018).
    """
    scene = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        variance = scene.z[rows].var(0)
        moving = variance > threshold * variance.max()
        parts = [
            part.fixed_factor_groups(FACTOR_VOTES // 2, seed) for part in scene.split(rows, seed)
        ]
        if not moving.any() or any(part is None for part in parts):
            return 1 / scene.factors.shape[1]
        (known, named), (asked, truth) = (
            (_least_varying_latent(part, variance, moving), part.factor)
            for part in parts
            if part is not None
        )
        votes = torch.zeros(scene.z.shape[1], scene.factors.shape[1])
        votes.index_put_((known, named), torch.ones(len(named)), accumulate=True)
        return (votes.argmax(1)[asked] == truth).double().mean().item()

    return half_sample_interval(score, len(scene.z), repeats=repeats, seed=seed)


def beta_vae_score(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """Accuracy of a linear classifier that names a fixed factor by the mean of ``|z_1 - z_2|`` over pairs of rows that share it.

    It learns from pairs in half of the rows, and names those in the other: chance is ``1/F``. Higgins et al., beta-VAE (2017). Needs
    scikit-learn.
    """
    linear = import_sklearn("linear_model", "the beta-VAE score")
    scene = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        known, asked = (
            part.fixed_factor_groups(FACTOR_VOTES // 4, seed) for part in scene.split(rows, seed)
        )
        if known is None or asked is None or len(known.factor.unique()) < 2:
            return 1 / scene.factors.shape[1]
        apart, others = _mean_pair_distance(known), _mean_pair_distance(asked)
        mean, scale = apart.mean(0), apart.std(0).clamp(min=1e-12)
        model = linear.LogisticRegression(max_iter=500).fit(
            ((apart - mean) / scale).numpy(), known.factor.numpy()
        )
        return float(model.score(((others - mean) / scale).numpy(), asked.factor.numpy()))

    return half_sample_interval(score, len(scene.z), repeats=repeats, seed=seed)


def interventional_robustness(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """How still a code is while its own factor is held: 1 minus its largest deviation then, over its largest of all.

    Averaged over the values of the factor, then over codes by how far they move at all; of deviations the 99 % point.
    Suter et al., Robustly disentangled causal mechanisms (2019).
    """
    scene = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        part = scene.subset(rows)
        reach = (part.z - part.z.mean(0)).abs().amax(0)
        moving = reach > 0
        if not moving.any():
            return 0.0
        held = torch.stack(
            [_fixed_factor_deviations(part.z[:, moving], column) for column in part.factors.T], 1
        )  # [moving, F]
        best = (1 - held / reach[moving, None]).amax(1)
        return ((best * reach[moving]).sum() / reach[moving].sum()).item()

    return half_sample_interval(score, len(scene.z), repeats=repeats, seed=seed)


def _least_varying_latent(groups: FixedFactorGroups, variance: Tensor, moving: Tensor) -> Tensor:
    """The code ``[votes]`` that varies least in each group, of those that move at all, relative to its ``variance`` ``[latent]``."""
    return (groups.z.var(1) / variance).masked_fill(~moving, math.inf).argmin(1)


def _mean_pair_distance(groups: FixedFactorGroups) -> Tensor:
    """``mean |z_1 - z_2|`` over pairs in each group, ``[votes, latent]``."""
    first, second = groups.z.tensor_split(2, 1)
    return (first - second).abs().mean(1)


def _gap_of_largest_two(table: Tensor) -> Tensor:
    """The largest less the second of each column ``[F]`` of ``[latent, F]``; a single code has nobody beside it."""
    padded = F.pad(table, (0, 0, 0, 1)) if len(table) == 1 else table
    first, second = padded.topk(2, 0).values
    return first - second


def _threshold_accuracy(train: FactorTable, test: FactorTable, factor: int) -> Tensor:
    """Balanced accuracy ``[latent]`` of naming a factor by the class whose mean code is nearest, for each code alone."""
    labels, truth = train.factors[:, factor], test.factors[:, factor]
    classes = F.one_hot(labels, int(torch.maximum(labels.max(), truth.max())) + 1).double()
    means = (classes.T @ train.z) / classes.sum(0)[
        :, None
    ]  # [values, latent], NaN for a value that was not there
    named = (test.z[:, :, None] - means.T.nan_to_num(math.inf)).abs().argmin(2)
    hits = (named == truth[:, None]).double()
    return torch.stack([hits[truth == value].mean(0) for value in truth.unique()]).mean(0)


def _fixed_factor_deviations(z: Tensor, factor: Tensor) -> Tensor:
    """How far codes move while a factor is held, ``[latent]``: averaged over its values; those of very few rows tell nothing of it."""
    parts = [z[factor == value] for value in factor.unique()]
    seen = [part for part in parts if len(part) >= MIN_ROWS_SHARING_VALUE] or [z]
    return torch.stack(
        [(part - part.mean(0)).abs().quantile(DEVIATION_QUANTILE, 0) for part in seen]
    ).mean(0)
