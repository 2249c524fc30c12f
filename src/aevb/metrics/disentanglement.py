"""Whether each latent variable tells one factor of variation, where the factors are known.

Codes are ``[N, latent]``, factors ``[N, F]`` class numbers. Intervals come from random halves of the rows. The scores were made for
rows whose factors are independent, as on a full grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.words import count
from ..errors import DataError
from .latent import THRESHOLD
from .optional import scikit, where_installed
from .ranged import REPEATS, Ranged, by_halves, from_halves, halves

BINS = 20  # of a continuous code
TOGETHER = 64  # rows that share a factor in one vote
VOTES = 2000  # a third of them test what the others have shown
TREES, DEEP = 10, 2000  # of a forest, and the rows it grows on at most
QUANTILE = 0.99  # in place of the largest deviation, which one row decides


@dataclass(frozen=True)
class DCI:
    """Eastwood and Williams: does a code tell one factor, is a factor told by one code, and is it told at all."""

    disentanglement: Ranged
    completeness: Ranged
    informativeness: Ranged  # accuracy on rows that the forests have not seen
    importance: Tensor  # [latent, F], columns sum to 1


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
    Raises ``DataError`` for fewer than 40 rows, for a factor with a single value, and for a single factor.
    """
    scene = _Scene.of(codes, factors)
    options: dict[str, Any] = {"repeats": repeats, "seed": seed}
    return Disentanglement(
        mutual_information_gap=mutual_information_gap(codes, factors, **options),
        separated_attribute_predictability=separated_attribute_predictability(codes, factors, **options),
        modularity=modularity(codes, factors, **options),
        factor_vae=factor_vae_score(codes, factors, **options),
        interventional_robustness=interventional_robustness(codes, factors, **options),
        beta_vae=where_installed(lambda: beta_vae_score(codes, factors, **options)),
        dci=where_installed(lambda: dci(codes, factors, **options)),
        mutual_information=scene.information(BINS),
        chance=1 / scene.factors.shape[1],
        rows=len(scene.codes),
    )


def mutual_information(codes: Any, factors: Any, bins: int = BINS) -> Tensor:
    """``I(z_j; v_k)`` in nats ``[latent, F]``, by counting: a code with more than ``bins`` values is cut into as many of equal width.

    Counts of ``N`` rows make it about ``(bins - 1)(values - 1) / (2 N)`` too large.

    >>> factors = torch.cartesian_prod(torch.arange(2), torch.arange(3)).repeat(10, 1)
    >>> torch.allclose(mutual_information(factors, factors), torch.tensor([2.0, 3.0]).double().log().diag(), atol=1e-9)
    True
    """
    return _Scene.of(codes, factors).information(bins)


def mutual_information_gap(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """``1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)``, ``a`` and ``b`` being the two codes that tell most of ``v_k``.

    Chen et al., Isolating sources of disentanglement in VAEs (2018).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(5)).repeat(5, 1)
    >>> round(mutual_information_gap(factors, factors).value, 9)
    1.0
    """
    scene = _Scene.of(codes, factors)

    def gap(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        return (_gap(part.information(bins)) / part.entropies().clamp(min=1e-300)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def separated_attribute_predictability(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """The mean gap, over factors, between the two codes that predict it best, each alone and by thresholds.

    Prediction: the class whose mean code is nearest, found on half of the rows; scored by its balanced accuracy on the other half.

    Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts from unlabeled observations (2018).
    """
    scene = _Scene.of(codes, factors)

    def gap(rows: Tensor, seed: int) -> float:
        shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
        known, asked = (scene.some(part) for part in shuffled.tensor_split(2))
        scores = [_thresholds(known, asked, k) for k in range(scene.factors.shape[1])]
        return _gap(torch.stack(scores, 1)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def modularity(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Whether each code tells one factor: ``1 - sum_(k != a) I_jk^2 / ((F - 1) I_ja^2)``, ``a`` being the factor ``z_j`` tells most of.

    A code that tells nothing counts 0. Ridgeway and Mozer, Learning deep disentangled embeddings with the F-statistic loss (2018).
    """
    scene = _Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        squared = scene.some(rows).information(bins).square()
        most = squared.amax(1)
        rest = (squared.sum(1) - most) / (most.clamp(min=1e-300) * (squared.shape[1] - 1))
        return torch.where(most > 1e-24, 1 - rest, 0.0).mean().item()

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def factor_vae_score(codes: Any, factors: Any, *, threshold: float = THRESHOLD, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Accuracy of the majority vote that names a fixed factor by the code that varies least among rows that share it.

    Variances are relative to those over all rows; codes whose variance is at most ``threshold`` have no vote. Chance is ``1/F``.

    Kim and Mnih, Disentangling by factorising (2018).
    """
    scene = _Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        variance = part.codes.var(0)
        if not (variance > threshold).any():
            return 1 / part.factors.shape[1]
        fixed, members = part.sharing(VOTES, seed)
        relative = part.codes[members].var(1) / variance
        least = relative.masked_fill(variance <= threshold, math.inf).argmin(1)
        known = 2 * VOTES // 3
        votes = torch.zeros(part.codes.shape[1], part.factors.shape[1])
        votes.index_put_((least[:known], fixed[:known]), torch.ones(known), accumulate=True)
        return (votes.argmax(1)[least[known:]] == fixed[known:]).double().mean().item()

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def beta_vae_score(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Accuracy of a linear classifier that names a fixed factor by the mean of ``|z_1 - z_2|`` over pairs of rows that share it.

    Chance is ``1/F``. Higgins et al., beta-VAE (2017). Needs scikit-learn.
    """
    linear = scikit("linear_model", "the beta-VAE score")
    scene = _Scene.of(codes, factors)

    def score(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        fixed, members = part.sharing(VOTES // 2, seed)
        first, second = (part.codes[half] for half in members.tensor_split(2, 1))
        apart = (first - second).abs().mean(1)
        table = ((apart - apart.mean(0)) / apart.std(0).clamp(min=1e-12)).numpy()
        known = len(fixed) * 2 // 3
        model = linear.LogisticRegression(max_iter=500).fit(table[:known], fixed[:known].numpy())
        return float(model.score(table[known:], fixed[known:].numpy()))

    return by_halves(score, len(scene.codes), repeats=repeats, seed=seed)


def interventional_robustness(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """How still a code is while its own factor is held: 1 minus its largest deviation then, over its largest of all.

    Averaged over the values of the factor, then over codes by how far they move at all; of deviations the 99 % point.
    Suter et al., Robustly disentangled causal mechanisms (2019).
    """
    scene = _Scene.of(codes, factors)

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


def dci(codes: Any, factors: Any, *, repeats: int = 10, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness from what forests of decision trees use to name each factor.

    With ``R_jk`` the importance of code ``j`` for factor ``k``: ``D = sum_j rho_j (1 - H_F(R_j / sum_k R_jk))``, ``rho_j`` being the code's
    share of all importance; ``C`` is the same with codes and factors exchanged. Forests grow on half of the rows, at most 2,000; the
    other half gives the accuracy.

    Eastwood and Williams, A framework for the quantitative evaluation of disentangled representations (2018). Needs scikit-learn.
    """
    scene = _Scene.of(codes, factors)
    whole = _forests(scene, torch.arange(len(scene.codes)), seed)
    parts = [_forests(scene, half, seed + 1 + place) for place, half in enumerate(halves(len(scene.codes), repeats, seed))]
    values = torch.stack([_dci(part) for part in parts], 1)
    found = [from_halves(value, column, len(scene.codes), (0.0, 1.0)) for value, column in zip(_dci(whole).tolist(), values, strict=True)]
    return DCI(*found, importance=whole.importance)


@dataclass(frozen=True)
class _Scene:
    """Codes beside the factors they are to tell, rows with one factor in common easily found."""

    codes: Tensor  # [N, latent] float64
    factors: Tensor  # [N, F] int64, 0 ... values - 1

    @staticmethod
    def of(codes: Any, factors: Any) -> _Scene:
        table, given = (torch.as_tensor(x).detach().cpu() for x in (codes, factors))
        table, given = table.double().reshape(len(table), -1), given.reshape(len(given), -1)
        if len(table) != len(given):
            raise DataError(f"`codes` has {count(len(table), 'row')} and `factors` {count(len(given))}: give the factors of each row.")
        if len(table) < 40:
            raise DataError(f"`codes` has {count(len(table), 'row')}, and scores of factors need at least 40, to halve them.")
        if not table.isfinite().all():
            raise DataError("`codes` holds NaN or infinity; encode rows that the model can take.")
        if given.shape[1] < 2:
            raise DataError("`factors` has 1 column, and nothing can be told apart from it; give at least 2 factors.")
        columns = [column.unique(return_inverse=True) for column in given.T]
        for place, (values, _) in enumerate(columns):
            if len(values) < 2:
                raise DataError(f"factor {place} is {values[0].item():g} in all rows: leave out what does not vary.")
            if len(values) > len(table) // 2:
                raise DataError(
                    f"factor {place} has {len(values):,} values in {len(table):,} rows: cut it into classes, as torch.bucketize does."
                )
        return _Scene(table, torch.stack([places for _, places in columns], 1))

    def some(self, rows: Tensor) -> _Scene:
        return _Scene(self.codes[rows], self.factors[rows])

    def entropies(self) -> Tensor:
        """``H(v_k)`` in nats ``[F]``."""
        return torch.stack([_entropy(torch.bincount(column)) for column in self.factors.T])

    def information(self, bins: int) -> Tensor:
        """``I(z_j; v_k)`` in nats ``[latent, F]``."""
        cut = [_cut(column, bins) for column in self.codes.T]
        return torch.stack([torch.stack([_information(code, factor) for factor in self.factors.T]) for code in cut])

    def sharing(self, votes: int, seed: int) -> tuple[Tensor, Tensor]:
        """Factors ``[votes]``, and for each the numbers of rows that have one value of it in common ``[votes, TOGETHER]``."""
        generator = torch.Generator().manual_seed(seed)
        fixed = torch.randint(self.factors.shape[1], (votes,), generator=generator)
        pivots = torch.randint(len(self.codes), (votes,), generator=generator)
        members = torch.empty(votes, TOGETHER, dtype=torch.long)
        for k, column in enumerate(self.factors.T):
            mine = (fixed == k).nonzero()[:, 0]
            sizes, order = torch.bincount(column), column.argsort()
            starts, value = sizes.cumsum(0) - sizes, column[pivots[mine]]
            places = (torch.rand(len(mine), TOGETHER, generator=generator, dtype=torch.float64) * sizes[value, None]).long()
            members[mine] = order[starts[value, None] + places]
        return fixed, members


@dataclass(frozen=True)
class _Forests:
    importance: Tensor  # [latent, F]
    accuracy: Tensor  # [F]


def _forests(scene: _Scene, rows: Tensor, seed: int) -> _Forests:
    ensemble = scikit("ensemble", "DCI scores")
    shuffled = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    known, asked = (scene.some(part[:DEEP]) for part in shuffled.tensor_split(2))
    importance, accuracy = [], []
    for learnt, truth in zip(known.factors.T, asked.factors.T, strict=True):
        # every split sees all codes: one that tells nothing is then chosen by none
        forest = ensemble.RandomForestClassifier(TREES, max_features=None, random_state=seed)
        forest.fit(known.codes.numpy(), learnt.numpy())
        importance.append(torch.from_numpy(forest.feature_importances_))
        accuracy.append(float(forest.score(asked.codes.numpy(), truth.numpy())))
    return _Forests(torch.stack(importance, 1), torch.tensor(accuracy, dtype=torch.float64))


def _dci(found: _Forests) -> Tensor:
    """Disentanglement, completeness, informativeness ``[3]``."""
    weights = found.importance.sum(1) / found.importance.sum().clamp(min=1e-300)
    disentangled = (weights * _concentration(found.importance)).sum()
    return torch.stack([disentangled, _concentration(found.importance.T).mean(), found.accuracy.mean()])


def _concentration(table: Tensor) -> Tensor:
    """``1 - H(row / sum) / log(columns)`` for each row; 0 for a row of zeros."""
    if table.shape[1] == 1:
        return torch.ones(len(table), dtype=table.dtype)
    total = table.sum(1, keepdim=True)
    p = table / total.clamp(min=1e-300)
    return torch.where(total[:, 0] > 0, 1 + torch.special.xlogy(p, p).sum(1) / math.log(table.shape[1]), 0.0)


def _gap(table: Tensor) -> Tensor:
    """The largest less the second of each column ``[F]`` of ``[latent, F]``; a single code has nobody beside it."""
    padded = F.pad(table, (0, 0, 0, 1)) if len(table) == 1 else table
    first, second = padded.topk(2, 0).values
    return first - second


def _cut(code: Tensor, bins: int) -> Tensor:
    """Class numbers of a code: its values where they are few, else bins of equal width."""
    values, places = code.unique(return_inverse=True)
    if len(values) <= bins:
        return places
    low, high = code.min(), code.max()
    return ((code - low) / (high - low) * bins).long().clamp(max=bins - 1)


def _information(a: Tensor, b: Tensor) -> Tensor:
    """``H(a) + H(b) - H(a, b)`` of class numbers ``[N]``."""
    joint = torch.bincount(a * (int(b.max()) + 1) + b)
    return (_entropy(torch.bincount(a)) + _entropy(torch.bincount(b)) - _entropy(joint)).clamp(min=0)


def _entropy(counts: Tensor) -> Tensor:
    p = counts.double() / counts.sum()
    return -torch.special.xlogy(p, p).sum()


def _thresholds(known: _Scene, asked: _Scene, factor: int) -> Tensor:
    """Balanced accuracy ``[latent]`` of naming a factor by the class whose mean code is nearest, for each code alone."""
    labels, truth = known.factors[:, factor], asked.factors[:, factor]
    classes = F.one_hot(labels, int(torch.maximum(labels.max(), truth.max())) + 1).double()
    means = (classes.T @ known.codes) / classes.sum(0)[:, None]  # [values, latent], NaN for a value that was not there
    named = (asked.codes[:, :, None] - means.T.nan_to_num(math.inf)).abs().argmin(2)
    hits = (named == truth[:, None]).double()
    return torch.stack([hits[truth == value].mean(0) for value in truth.unique()]).mean(0)


def _deviations(codes: Tensor, factor: Tensor) -> Tensor:
    """How far codes move while a factor is held, ``[latent]``: averaged over its values."""
    parts = [codes[factor == value] for value in factor.unique()]
    return torch.stack([(part - part.mean(0)).abs().quantile(QUANTILE, 0) for part in parts]).mean(0)
