"""Scores that compare each latent variable with each factor."""

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

FACTOR_VOTES = 2000
"""Groups of rows that share a factor, for learning and for testing together."""

DEVIATION_QUANTILE = 0.99
"""Quantile in place of the largest deviation, which a single row would decide."""


def mutual_information(z: Any, factors: Any, bins: int = MUTUAL_INFORMATION_BINS) -> Tensor:
    """Compute ``I(z_j; v_k)`` from counts.

    Counts of ``N`` rows make it about ``(bins - 1)(values - 1) / (2 N)`` too large.

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        bins: A latent variable with more values is cut into as many bins of equal width.

    Returns:
        Nats ``[latent, F]``.

    Raises:
        DataError: Rows are too few, or factors do not vary.
        ArgumentError: ``bins`` is below 1.

    Example:
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
    """Compute the mutual information gap ``1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)``.

    ``a`` and ``b`` are the two latent variables with the most information about ``v_k``. Chen et
    al., Isolating sources of disentanglement in VAEs (2018).

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        bins: A latent variable with more values is cut into as many bins of equal width.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.

    Example:
        >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(5)).repeat(5, 1)
        >>> round(mutual_information_gap(factors, factors).value, 9)
        1.0
    """
    table = FactorTable.from_arrays(z, factors, bins)

    def gap(rows: Tensor, seed: int) -> float:
        part = table.subset(rows)
        return (
            (_gap_of_largest_two(part.mutual_information()) / part.entropies().clamp(min=1e-300))
            .mean()
            .item()
        )

    return half_sample_interval(gap, len(table.z), repeats=repeats, seed=seed)


def separated_attribute_predictability(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """Compute the mean gap, over factors, of the two latent variables that predict it best.

    Each variable alone predicts the class with the nearest mean, learned on half of the rows, and
    is scored by its balanced accuracy on the other half. Kumar, Sattigeri and Balakrishnan,
    Variational inference of disentangled latent concepts from unlabeled observations (2018).

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
    """
    table = FactorTable.from_arrays(z, factors)

    def gap(rows: Tensor, seed: int) -> float:
        train, test = table.split(rows, seed)
        scores = [_threshold_accuracy(train, test, k) for k in range(table.factors.shape[1])]
        return _gap_of_largest_two(torch.stack(scores, 1)).mean().item()

    return half_sample_interval(gap, len(table.z), repeats=repeats, seed=seed)


def modularity(
    z: Any,
    factors: Any,
    *,
    bins: int = MUTUAL_INFORMATION_BINS,
    repeats: int = HALF_SAMPLE_REPEATS,
    seed: int = 0,
) -> Interval:
    """Compute the modularity ``1 - sum_(k != a) I_jk^2 / ((F - 1) I_ja^2)``, averaged over ``j``.

    ``a`` is the factor that ``z_j`` has the most information about: the score is 1 where each
    latent variable depends on a single factor. A variable without information counts 0. Ridgeway
    and Mozer, Learning deep disentangled embeddings with the F-statistic loss (2018).

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        bins: A latent variable with more values is cut into as many bins of equal width.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
    """
    table = FactorTable.from_arrays(z, factors, bins)

    def score(rows: Tensor, seed: int) -> float:
        squared = table.subset(rows).mutual_information().square()
        largest = squared.amax(1)
        rest = (squared.sum(1) - largest) / (largest.clamp(min=1e-300) * (squared.shape[1] - 1))
        return torch.where(largest > 1e-24, 1 - rest, 0.0).mean().item()

    return half_sample_interval(score, len(table.z), repeats=repeats, seed=seed)


def factor_vae_score(
    z: Any,
    factors: Any,
    *,
    threshold: float = 0.0,
    repeats: int = HALF_SAMPLE_REPEATS,
    seed: int = 0,
) -> Interval:
    """Compute the FactorVAE score: the accuracy of predicting a fixed factor by majority vote.

    A vote names the latent variable that varies least among rows that share a factor, relative to
    its variance over all rows. Votes are collected on half of the rows and tested on the other:
    the chance level is then ``1/F`` however few rows share a value. Kim and Mnih, Disentangling by
    factorising (2018).

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        threshold: Variables with at most this share of the largest variance do not vote.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
    """
    table = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        variance = table.z[rows].var(0)
        varying = variance > threshold * variance.max()
        parts = [
            part.fixed_factor_groups(FACTOR_VOTES // 2, seed) for part in table.split(rows, seed)
        ]
        if not varying.any() or any(part is None for part in parts):
            return 1 / table.factors.shape[1]
        (train, labels), (test, truth) = (
            (_least_varying_latent(part, variance, varying), part.factor)
            for part in parts
            if part is not None
        )
        votes = torch.zeros(table.z.shape[1], table.factors.shape[1])
        votes.index_put_((train, labels), torch.ones(len(labels)), accumulate=True)
        return (votes.argmax(1)[test] == truth).double().mean().item()

    return half_sample_interval(score, len(table.z), repeats=repeats, seed=seed)


def beta_vae_score(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """Compute the beta-VAE score: the accuracy of a linear classifier for the fixed factor.

    Its input is the mean of ``|z_1 - z_2|`` over pairs of rows that share the factor. It learns
    from pairs in half of the rows and is tested on the other: the chance level is ``1/F``. Higgins
    et al., beta-VAE (2017). Needs scikit-learn.

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
        MissingExtraError: scikit-learn is not installed.
    """
    linear = import_sklearn("linear_model", "the beta-VAE score")
    table = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        train, test = (
            part.fixed_factor_groups(FACTOR_VOTES // 4, seed) for part in table.split(rows, seed)
        )
        if train is None or test is None or len(train.factor.unique()) < 2:
            return 1 / table.factors.shape[1]
        distances, test_distances = _mean_pair_distance(train), _mean_pair_distance(test)
        mean, scale = distances.mean(0), distances.std(0).clamp(min=1e-12)
        model = linear.LogisticRegression(max_iter=500).fit(
            ((distances - mean) / scale).numpy(), train.factor.numpy()
        )
        return float(model.score(((test_distances - mean) / scale).numpy(), test.factor.numpy()))

    return half_sample_interval(score, len(table.z), repeats=repeats, seed=seed)


def interventional_robustness(
    z: Any, factors: Any, *, repeats: int = HALF_SAMPLE_REPEATS, seed: int = 0
) -> Interval:
    """Compute how little a latent variable varies while its own factor is fixed.

    1 minus its largest deviation for a fixed factor over its largest deviation of all, averaged
    over the values of the factor, and over variables in proportion to their deviation. The largest
    deviation is the 99 % quantile. Suter et al., Robustly disentangled causal mechanisms (2019).

    Args:
        z: Latents ``[N, latent]``.
        factors: Known factors ``[N, F]``, class numbers.
        repeats: Number of random halves of the rows, for the interval.
        seed: Seed of the halves and of the score.

    Returns:
        The score with its interval, 1 at best.

    Raises:
        DataError: Rows are too few, or factors do not vary.
    """
    table = FactorTable.from_arrays(z, factors)

    def score(rows: Tensor, seed: int) -> float:
        part = table.subset(rows)
        largest = (part.z - part.z.mean(0)).abs().amax(0)
        varying = largest > 0
        if not varying.any():
            return 0.0
        fixed = torch.stack(
            [_fixed_factor_deviations(part.z[:, varying], column) for column in part.factors.T], 1
        )  # [varying, F]
        best = (1 - fixed / largest[varying, None]).amax(1)
        return ((best * largest[varying]).sum() / largest[varying].sum()).item()

    return half_sample_interval(score, len(table.z), repeats=repeats, seed=seed)


def _least_varying_latent(groups: FixedFactorGroups, variance: Tensor, varying: Tensor) -> Tensor:
    """The variable that varies least in each group, relative to its variance, ``[votes]``."""
    return (groups.z.var(1) / variance).masked_fill(~varying, math.inf).argmin(1)


def _mean_pair_distance(groups: FixedFactorGroups) -> Tensor:
    """``mean |z_1 - z_2|`` over pairs in each group, ``[votes, latent]``."""
    first, second = groups.z.tensor_split(2, 1)
    return (first - second).abs().mean(1)


def _gap_of_largest_two(table: Tensor) -> Tensor:
    """Difference of the two largest values of each column of ``[latent, F]``, ``[F]``."""
    padded = F.pad(table, (0, 0, 0, 1)) if len(table) == 1 else table
    first, second = padded.topk(2, 0).values
    return first - second


def _threshold_accuracy(train: FactorTable, test: FactorTable, factor: int) -> Tensor:
    """Balanced accuracy of each variable alone, which predicts the nearest class mean."""
    labels, truth = train.factors[:, factor], test.factors[:, factor]
    classes = F.one_hot(labels, int(torch.maximum(labels.max(), truth.max())) + 1).double()
    means = (classes.T @ train.z) / classes.sum(0)[:, None]  # [values, latent], NaN where unseen
    predicted = (test.z[:, :, None] - means.T.nan_to_num(math.inf)).abs().argmin(2)
    hits = (predicted == truth[:, None]).double()
    return torch.stack([hits[truth == value].mean(0) for value in truth.unique()]).mean(0)


def _fixed_factor_deviations(z: Tensor, factor: Tensor) -> Tensor:
    """Deviation of latents while a factor is fixed, averaged over its frequent values."""
    parts = [z[factor == value] for value in factor.unique()]
    frequent = [part for part in parts if len(part) >= MIN_ROWS_SHARING_VALUE] or [z]
    return torch.stack(
        [(part - part.mean(0)).abs().quantile(DEVIATION_QUANTILE, 0) for part in frequent]
    ).mean(0)
