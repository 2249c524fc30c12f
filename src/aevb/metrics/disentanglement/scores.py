"""Scores that compare each latent variable with each factor, one number a score."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..optional import scikit
from ..ranged import REPEATS, Ranged, by_halves
from .scene import BINS, SEEN, Scene, Sharing

VOTES = 2000  # a third of them test what the others have shown
QUANTILE = 0.99  # in place of the largest deviation, which one row decides


def mutual_information(codes: Any, factors: Any, bins: int = BINS) -> Tensor:
    """``I(z_j; v_k)`` in nats ``[latent, F]``, by counting: a code with more than ``bins`` values is cut into as many of equal width.

    Counts of ``N`` rows make it about ``(bins - 1)(values - 1) / (2 N)`` too large.

    >>> factors = torch.cartesian_prod(torch.arange(2), torch.arange(3)).repeat(10, 1)
    >>> torch.allclose(mutual_information(factors, factors), torch.tensor([2.0, 3.0]).double().log().diag(), atol=1e-9)
    True
    """
    return Scene.of(codes, factors, bins).information()


def mutual_information_gap(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """``1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)``, ``a`` and ``b`` being the two codes that tell most of ``v_k``.

    Chen et al., Isolating sources of disentanglement in VAEs (2018).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(5)).repeat(5, 1)
    >>> round(mutual_information_gap(factors, factors).value, 9)
    1.0
    """
    scene = Scene.of(codes, factors, bins)

    def gap(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        return (_gap(part.information()) / part.entropies().clamp(min=1e-300)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def separated_attribute_predictability(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """The mean gap, over factors, between the two codes that predict it best, each alone and by thresholds.

    Prediction: the class whose mean code is nearest, found on half of the rows; scored by its balanced accuracy on the other half.

    Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts from unlabeled observations (2018).
    """
    scene = Scene.of(codes, factors)

    def gap(rows: Tensor, seed: int) -> float:
        known, asked = scene.split(rows, seed)
        scores = [_thresholds(known, asked, k) for k in range(scene.factors.shape[1])]
        return _gap(torch.stack(scores, 1)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def modularity(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Whether each code tells one factor: ``1 - sum_(k != a) I_jk^2 / ((F - 1) I_ja^2)``, ``a`` being the factor ``z_j`` tells most of.

    A code that tells nothing counts 0. Ridgeway and Mozer, Learning deep disentangled embeddings with the F-statistic loss (2018).
    """
    scene = Scene.of(codes, factors, bins)

    def score(rows: Tensor, seed: int) -> float:
        squared = scene.some(rows).information().square()
        most = squared.amax(1)
        rest = (squared.sum(1) - most) / (most.clamp(min=1e-300) * (squared.shape[1] - 1))
        return torch.where(most > 1e-24, 1 - rest, 0.0).mean().item()

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def factor_vae_score(codes: Any, factors: Any, *, threshold: float = 0.0, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Accuracy of the majority vote that names a fixed factor by the code that varies least among rows that share it.

    Variances are relative to those over all rows; codes whose variance is at most ``threshold`` times the largest have no vote. Votes are
    collected on half of the rows and tested on the other: chance is then ``1/F`` however few rows share a value.

    Kim and Mnih, Disentangling by factorising (2018).
    """
    scene = Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        variance = scene.codes[rows].var(0)
        moving = variance > threshold * variance.max()
        parts = [part.sharing(VOTES // 2, seed) for part in scene.split(rows, seed)]
        if not moving.any() or any(part is None for part in parts):
            return 1 / scene.factors.shape[1]
        (known, named), (asked, truth) = ((_stillest(part, variance, moving), part.factor) for part in parts if part is not None)
        votes = torch.zeros(scene.codes.shape[1], scene.factors.shape[1])
        votes.index_put_((known, named), torch.ones(len(named)), accumulate=True)
        return (votes.argmax(1)[asked] == truth).double().mean().item()

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def beta_vae_score(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Accuracy of a linear classifier that names a fixed factor by the mean of ``|z_1 - z_2|`` over pairs of rows that share it.

    It learns from pairs in half of the rows, and names those in the other: chance is ``1/F``. Higgins et al., beta-VAE (2017). Needs
    scikit-learn.
    """
    linear = scikit("linear_model", "the beta-VAE score")
    scene = Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        known, asked = (part.sharing(VOTES // 4, seed) for part in scene.split(rows, seed))
        if known is None or asked is None or len(known.factor.unique()) < 2:
            return 1 / scene.factors.shape[1]
        apart, others = _apart(known), _apart(asked)
        mean, scale = apart.mean(0), apart.std(0).clamp(min=1e-12)
        model = linear.LogisticRegression(max_iter=500).fit(((apart - mean) / scale).numpy(), known.factor.numpy())
        return float(model.score(((others - mean) / scale).numpy(), asked.factor.numpy()))

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def interventional_robustness(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """How still a code is while its own factor is held: 1 minus its largest deviation then, over its largest of all.

    Averaged over the values of the factor, then over codes by how far they move at all; of deviations the 99 % point.
    Suter et al., Robustly disentangled causal mechanisms (2019).
    """
    scene = Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        reach = (part.codes - part.codes.mean(0)).abs().amax(0)
        moving = reach > 0
        if not moving.any():
            return 0.0
        held = torch.stack([_deviations(part.codes[:, moving], column) for column in part.factors.T], 1)  # [moving, F]
        best = (1 - held / reach[moving, None]).amax(1)
        return ((best * reach[moving]).sum() / reach[moving].sum()).item()

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def _stillest(groups: Sharing, variance: Tensor, moving: Tensor) -> Tensor:
    """The code ``[votes]`` that varies least in each group, of those that move at all, relative to its ``variance`` ``[latent]``."""
    return (groups.codes.var(1) / variance).masked_fill(~moving, math.inf).argmin(1)


def _apart(groups: Sharing) -> Tensor:
    """``mean |z_1 - z_2|`` over pairs in each group, ``[votes, latent]``."""
    first, second = groups.codes.tensor_split(2, 1)
    return (first - second).abs().mean(1)


def _gap(table: Tensor) -> Tensor:
    """The largest less the second of each column ``[F]`` of ``[latent, F]``; a single code has nobody beside it."""
    padded = F.pad(table, (0, 0, 0, 1)) if len(table) == 1 else table
    first, second = padded.topk(2, 0).values
    return first - second


def _thresholds(known: Scene, asked: Scene, factor: int) -> Tensor:
    """Balanced accuracy ``[latent]`` of naming a factor by the class whose mean code is nearest, for each code alone."""
    labels, truth = known.factors[:, factor], asked.factors[:, factor]
    classes = F.one_hot(labels, int(torch.maximum(labels.max(), truth.max())) + 1).double()
    means = (classes.T @ known.codes) / classes.sum(0)[:, None]  # [values, latent], NaN for a value that was not there
    named = (asked.codes[:, :, None] - means.T.nan_to_num(math.inf)).abs().argmin(2)
    hits = (named == truth[:, None]).double()
    return torch.stack([hits[truth == value].mean(0) for value in truth.unique()]).mean(0)


def _deviations(codes: Tensor, factor: Tensor) -> Tensor:
    """How far codes move while a factor is held, ``[latent]``: averaged over its values; those of very few rows tell nothing of it."""
    parts = [codes[factor == value] for value in factor.unique()]
    seen = [part for part in parts if len(part) >= SEEN] or [codes]
    return torch.stack([(part - part.mean(0)).abs().quantile(QUANTILE, 0) for part in seen]).mean(0)
