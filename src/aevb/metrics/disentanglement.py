"""Whether each latent variable tells one factor of variation, where the factors are known.

Codes are ``[N, latent]``, factors ``[N, F]`` class numbers. Intervals come from random halves of the rows. The scores were made for
rows whose factors are independent, as on a full grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data.words import count
from ..errors import ArgumentError, DataError
from .optional import scikit, where_installed
from .ranged import REPEATS, Ranged, by_halves, from_halves, halves

BINS = 20  # of a continuous code
EACH = 10  # rows for each value of a factor, on average: of fewer, scores tell how rare values are
SEEN = 5  # rows that share a value, from which their spread says something
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
    Raises ``DataError`` for fewer than 40 rows, for a factor with a single value or one for every few rows, and for a single factor.
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
        mutual_information=scene.information(),
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
    return _Scene.of(codes, factors, bins).information()


def mutual_information_gap(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """``1/F sum_k (I(z_a; v_k) - I(z_b; v_k)) / H(v_k)``, ``a`` and ``b`` being the two codes that tell most of ``v_k``.

    Chen et al., Isolating sources of disentanglement in VAEs (2018).

    >>> factors = torch.cartesian_prod(torch.arange(4), torch.arange(5)).repeat(5, 1)
    >>> round(mutual_information_gap(factors, factors).value, 9)
    1.0
    """
    scene = _Scene.of(codes, factors, bins)

    def gap(rows: Tensor, seed: int) -> float:
        part = scene.some(rows)
        return (_gap(part.information()) / part.entropies().clamp(min=1e-300)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def separated_attribute_predictability(codes: Any, factors: Any, *, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """The mean gap, over factors, between the two codes that predict it best, each alone and by thresholds.

    Prediction: the class whose mean code is nearest, found on half of the rows; scored by its balanced accuracy on the other half.

    Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts from unlabeled observations (2018).
    """
    scene = _Scene.of(codes, factors)

    def gap(rows: Tensor, seed: int) -> float:
        known, asked = scene.split(rows, seed)
        scores = [_thresholds(known, asked, k) for k in range(scene.factors.shape[1])]
        return _gap(torch.stack(scores, 1)).mean().item()

    return by_halves(gap, len(scene.codes), repeats=repeats, seed=seed)


def modularity(codes: Any, factors: Any, *, bins: int = BINS, repeats: int = REPEATS, seed: int = 0) -> Ranged:
    """Whether each code tells one factor: ``1 - sum_(k != a) I_jk^2 / ((F - 1) I_ja^2)``, ``a`` being the factor ``z_j`` tells most of.

    A code that tells nothing counts 0. Ridgeway and Mozer, Learning deep disentangled embeddings with the F-statistic loss (2018).
    """
    scene = _Scene.of(codes, factors, bins)

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
    scene = _Scene.of(codes, factors)

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
    scene = _Scene.of(codes, factors)

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
    cut: Tensor  # [N, latent] int64, class numbers of the codes: the same ones for any of the rows

    @staticmethod
    def of(codes: Any, factors: Any, bins: int = BINS) -> _Scene:
        table, given = _numbers("codes", codes).double(), _numbers("factors", factors)
        if bins < 1:
            raise ArgumentError(f"`bins` is {bins}; cut a continuous code into at least 1.")
        if len(table) != len(given):
            raise DataError(f"`codes` has {count(len(table), 'row')} and `factors` {count(len(given))}: give the factors of each row.")
        if len(table) < 40:
            raise DataError(f"`codes` has {count(len(table), 'row')}, and scores of factors need at least 40, to halve them.")
        if not given.double().isfinite().all():
            raise DataError("`factors` holds NaN or infinity; leave out rows whose factors nobody knows.")
        if not table.isfinite().all():
            raise DataError("`codes` holds NaN or infinity; encode rows that the model can take.")
        if not table.shape[1]:
            raise DataError("`codes` has no columns; give at least 1 latent variable.")
        if given.shape[1] < 2:
            raise DataError("`factors` has 1 column, and nothing can be told apart from it; give at least 2 factors.")
        columns = [column.unique(return_inverse=True) for column in given.T]
        for place, (values, _) in enumerate(columns):
            if len(values) < 2:
                raise DataError(f"factor {place} is {values[0].item():g} in all rows: leave out what does not vary.")
            if EACH * len(values) > len(table):
                raise DataError(
                    f"factor {place} has {len(values):,} values in {len(table):,} rows, and scores need {EACH} rows for each: give more "
                    "rows, or cut it into classes, as torch.bucketize does."
                )
        cut = torch.stack([_cut(column, bins) for column in table.T], 1)
        return _Scene(table, torch.stack([places for _, places in columns], 1), cut)

    def some(self, rows: Tensor) -> _Scene:
        return _Scene(self.codes[rows], self.factors[rows], self.cut[rows])

    def split(self, rows: Tensor, seed: int) -> tuple[_Scene, _Scene]:
        """These rows in two halves: one to learn from, and one to be asked about."""
        known, asked = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))].tensor_split(2)
        return self.some(known), self.some(asked)

    def entropies(self) -> Tensor:
        """``H(v_k)`` in nats ``[F]``."""
        return torch.stack([_entropy(torch.bincount(column)) for column in self.factors.T])

    def information(self) -> Tensor:
        """``I(z_j; v_k)`` in nats ``[latent, F]``."""
        return torch.stack([torch.stack([_information(code, factor) for factor in self.factors.T]) for code in self.cut.T])

    def sharing(self, votes: int, seed: int) -> _Sharing | None:
        """Groups of rows that share a value of a factor at random, one that ``SEEN`` rows have; ``None`` where there is no such value.

        Rows come in pairs of two different ones: one that is paired with itself would tell how rare the value is.
        """
        generator = torch.Generator().manual_seed(seed)
        fixed, members = [], []
        for k, column in enumerate(self.factors.T):
            sizes, order = torch.bincount(column), column.argsort()
            common = (sizes[column] >= SEEN).nonzero()[:, 0]
            if len(common):
                pivots = common[torch.randint(len(common), (votes // self.factors.shape[1],), generator=generator)]
                starts, value = sizes.cumsum(0) - sizes, column[pivots]
                size, chance = sizes[value, None], torch.rand(2, len(pivots), TOGETHER // 2, generator=generator, dtype=torch.float64)
                first = (chance[0] * size).long()
                second = (first + 1 + (chance[1] * (size - 1)).long()) % size
                members.append(self.codes[order[starts[value, None] + torch.cat([first, second], 1)]])
                fixed.append(torch.full((len(pivots),), k))
        return _Sharing(torch.cat(fixed), torch.cat(members)) if fixed else None


@dataclass(frozen=True)
class _Sharing:
    factor: Tensor  # [votes], which is shared
    codes: Tensor  # [votes, TOGETHER, latent], of rows that share its value


def _stillest(groups: _Sharing, variance: Tensor, moving: Tensor) -> Tensor:
    """The code ``[votes]`` that varies least in each group, of those that move at all, relative to its ``variance`` ``[latent]``."""
    return (groups.codes.var(1) / variance).masked_fill(~moving, math.inf).argmin(1)


def _apart(groups: _Sharing) -> Tensor:
    """``mean |z_1 - z_2|`` over pairs in each group, ``[votes, latent]``."""
    first, second = groups.codes.tensor_split(2, 1)
    return (first - second).abs().mean(1)


def _numbers(name: str, given: Any) -> Tensor:
    """A table ``[N, columns]`` on the CPU. Raises ``DataError`` for what holds no numbers."""
    try:
        table = torch.as_tensor(given).detach().cpu()
    except (TypeError, ValueError) as error:
        raise DataError(f"`{name}` holds no numbers: number what has names, as numpy.unique(..., return_inverse=True) does.") from error
    return table.reshape(len(table), -1) if len(table) else table.reshape(0, 0)


@dataclass(frozen=True)
class _Forests:
    importance: Tensor  # [latent, F]
    accuracy: Tensor  # [F]


def _forests(scene: _Scene, rows: Tensor, seed: int) -> _Forests:
    ensemble = scikit("ensemble", "DCI scores")
    reach = scene.codes.abs().amax(0).clamp(min=1e-300)  # trees know order alone, and scikit-learn float32 alone
    parts = (part.some(torch.arange(min(DEEP, len(part.codes)))) for part in scene.split(rows, seed))
    known, asked = (replace(part, codes=part.codes / reach) for part in parts)
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
    """How far codes move while a factor is held, ``[latent]``: averaged over its values; those of very few rows tell nothing of it."""
    parts = [codes[factor == value] for value in factor.unique()]
    seen = [part for part in parts if len(part) >= SEEN] or [codes]
    return torch.stack([(part - part.mean(0)).abs().quantile(QUANTILE, 0) for part in seen]).mean(0)
