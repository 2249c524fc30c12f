"""How close samples are to data: in the distance of two clouds of features, and in what each cloud covers of the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import Rows
from ..data.spec import is_image
from ..data.words import count
from ..errors import ArgumentError, DataError
from ..memory import enough_memory, rows_at_once
from ..models import VAE
from ..objectives.ssim import ssim
from .features import Features, as_features
from .optional import scikit
from .ranged import GROUPS, REPEATS, Ranged, from_halves, grouped, halves, jackknife, over_rows, share, wider, wilson
from .sweep import blocks, dtype_of, evaluating, rows_of

ALIKE = 1e-13  # of their squared lengths: two rows whose squared distance is below it are the same up to rounding
DEGREE = 3  # of the kernel


@dataclass(frozen=True)
class FrechetDistance:
    """Squared distance between the Gaussians with the moments of two sets of features."""

    distance: Ranged  # as it is computed and published; few rows make it too large
    corrected: Ranged  # without the bias that falls as one over the number of rows; may be below 0 where the truth is 0
    features: Features
    real: int  # rows
    generated: int
    dimensions: int
    constant: int  # features that are the same for all rows of either set

    @property
    def said(self) -> tuple[str, ...]:
        """What a reader of the number should know."""
        few = min(self.real, self.generated)
        thin = f"{count(few, 'row')} for {count(self.dimensions, 'feature')}: the plain distance is much too large; compare like with like."
        same = f"{self.constant} of {count(self.dimensions, 'feature')} are the same for all rows of a set."
        return (*((thin,) if few < 2 * self.dimensions else ()), *((same,) if self.constant else ()))


@dataclass(frozen=True)
class KernelDistance:
    """The squared maximum mean discrepancy with the kernel ``(x . y / D + 1)^3``, without bias: below 0 by chance where sets agree."""

    distance: Ranged
    features: Features
    real: int
    generated: int


@dataclass(frozen=True)
class PrecisionRecall:
    """What two clouds cover of each other; all four are 1 for identical sets."""

    precision: Ranged  # share of samples inside of a ball of real data
    recall: Ranged  # share of real data inside of a ball of samples
    density: Ranged  # mean number of real balls around a sample, over the number of neighbours
    coverage: Ranged  # share of real data with a sample inside of their ball
    features: Features
    real: int
    generated: int
    neighbours: int


@dataclass(frozen=True)
class Reconstruction:
    """How close data come back, each over data; ``data_range`` is what signal is compared with."""

    squared_error: Ranged  # mean over the elements of a datum, in the units of the data squared
    psnr: Ranged  # dB: 10 log10(data_range^2 / squared error), averaged over data
    ssim: Ranged | None  # of images
    data_range: float


@dataclass(frozen=True)
class TwoSampleTest:
    """Whether a classifier tells samples from data: accuracy 1/2 where it cannot."""

    accuracy: Ranged
    p_value: float  # of an accuracy at least as high where both sets are drawn from one distribution
    rows: int  # held-out rows, half of them samples


def frechet(mean_a: Tensor, covariance_a: Tensor, mean_b: Tensor, covariance_b: Tensor) -> float:
    """``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` of two Gaussians: means ``[D]``, covariances ``[D, D]``.

    The trace of the root is the sum of the singular values of ``R_a^T R_b`` with ``S = R R^T``: exact for singular covariances, too,
    where the root of the product does not exist in floating point.

    Dowson and Landau, The Frechet distance between multivariate normal distributions (1982).

    >>> one = torch.ones(1, 1, dtype=torch.float64)
    >>> frechet(one[0], one, 4 * one[0], 9 * one)
    13.0
    """
    root = torch.linalg.svdvals(_root(covariance_a).T @ _root(covariance_b)).sum()
    apart = (mean_a.double() - mean_b.double()).square().sum()
    return (apart + covariance_a.double().trace() + covariance_b.double().trace() - 2 * root).clamp(min=0).item()


def frechet_distance(real: Any, generated: Any, features: Any = "pixels", *, groups: int = GROUPS, seed: int = 0) -> FrechetDistance:
    """The Frechet distance of features of two sets of data ``[N, *event]``, with an interval by the jackknife.

    ``features`` are ``"pixels"`` (the numbers as they are), ``"standardised"`` and ``"pca"`` (by the real rows), the path of a ``.pt2`` or
    ``.onnx`` network, a function, or ``metrics.features.encoder(model)``. ``groups`` of rows of both sets are left out in turn.

    Heusel et al., GANs trained by a two time-scale update rule (2017); Chong and Forsyth, Effectively unbiased FID (2020), on its bias.
    Raises ``DataError`` for fewer than 4 rows, and for features that are constant over each set.

    >>> x = torch.randn(200, 3)
    >>> frechet_distance(x, x).distance.value < 1e-9, frechet_distance(x, x + 1).distance.value > 2.9
    (True, True)
    """
    used = as_features(features, real)
    a, b = _both(real, generated, used, least=4)
    constant = int(((a == a[0]).all(0) | (b == b[0]).all(0)).sum())
    if (a == a[0]).all() and (b == b[0]).all():
        raise DataError(
            f'every one of the {a.shape[1]} features "{used.name}" is constant over `real`, and over `generated`: no distance of clouds '
            'can be measured in them; use features="pixels".'
        )
    sets = [_Moments.of(table, group) for table, group in zip((a, b), _groups(a, b, groups, seed), strict=True)]
    whole = frechet(*sets[0].all, *sets[1].all)
    without = [frechet(*sets[0].without(g), *sets[1].without(g)) for g in range(len(sets[0].sizes))]
    found = jackknife(whole, torch.tensor(without, dtype=torch.float64))
    return FrechetDistance(found.plain, found.corrected, used, len(a), len(b), a.shape[1], constant)


def kernel_distance(
    real: Any, generated: Any, features: Any = "pixels", *, groups: int = GROUPS, rows: int = 5000, seed: int = 0
) -> KernelDistance:
    """``E k(x, x') + E k(y, y') - 2 E k(x, y)`` of features, pairs of a row with itself left out, with an interval by the jackknife.

    ``k(x, y) = (x . y / D + 1)^3``. Of more than ``rows`` rows that many are taken at random, without repetition.

    Binkowski et al., Demystifying MMD GANs (2018). Raises ``DataError`` for fewer than 4 rows.

    >>> x = torch.randn(500, 4)
    >>> bool(kernel_distance(x[:250], x[250:] + 1).distance.low > 0)
    True
    """
    used = as_features(features, real)
    a, b = (_some(table, rows, seed) for table in _both(real, generated, used, least=4))
    of_a, of_b = _groups(a, b, groups, seed)
    within = [_Pairs(_kernel_sums(table, table, of, of, itself=False), of) for table, of in ((a, of_a), (b, of_b))]
    across = _kernel_sums(a, b, of_a, of_b)
    without = [_discrepancy(within, across, g) for g in range(int(of_a.max()) + 1)]
    found = jackknife(_discrepancy(within, across, None), torch.tensor(without, dtype=torch.float64))
    return KernelDistance(found.plain, used, len(a), len(b))


def precision_recall(
    real: Any,
    generated: Any,
    features: Any = "pixels",
    neighbours: int = 5,
    *,
    repeats: int = REPEATS,
    rows: int = 3000,
    seed: int = 0,
) -> PrecisionRecall:
    """Precision, recall, density and coverage of features, with intervals from random halves of the rows, and for shares Wilson's, too.

    The ball of a row reaches to the nearest but ``neighbours`` of its own set; what lies inside is nearer than that, or equal to the
    row. Of more than ``rows`` rows that many are taken at random, without repetition.

    Kynkaanniemi et al., Improved precision and recall metric (2019); Naeem et al., Reliable fidelity and diversity metrics (2020).
    Raises ``DataError`` for too few rows to halve them.

    >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
    >>> found = precision_recall(x, x)
    >>> [round(one.value, 6) for one in (found.precision, found.recall, found.density, found.coverage)]
    [1.0, 1.0, 1.0, 1.0]
    """
    if neighbours < 1:
        raise ArgumentError(f"`neighbours` is {neighbours}; give at least 1.")
    used = as_features(features, real)
    a, b = (_some(table, rows, seed) for table in _both(real, generated, used, least=2 * (neighbours + 1)))
    within_a, within_b, across = _squared(a, a), _squared(b, b), _squared(a, b)
    parts = [
        _prdc(within_a[i][:, i], within_b[j][:, j], across[i][:, j], neighbours)
        for i, j in zip(halves(len(a), repeats, seed), halves(len(b), repeats, seed + 1), strict=True)
    ]
    whole, few = _prdc(within_a, within_b, across, neighbours), min(len(a), len(b))
    bounds = ((0.0, 1.0), (0.0, 1.0), (0.0, math.inf), (0.0, 1.0))
    ranged = [
        from_halves(value, of_halves, few, within)
        for value, of_halves, within in zip(whole.tolist(), torch.stack(parts, 1), bounds, strict=True)
    ]
    sizes = len(b), len(a), None, len(a)  # rows that each is a share of: of all or none, halves have none left to differ by
    ranged = [value if size is None else wider(value, wilson(value.value, size)) for value, size in zip(ranged, sizes, strict=True)]
    return PrecisionRecall(*ranged, features=used, real=len(a), generated=len(b), neighbours=neighbours)


def reconstruction_quality(model: VAE, x: Any, data_range: float | None = None, *, block: int = 256) -> Reconstruction:
    """Squared error, PSNR and, for images, SSIM between data ``[N, *event]`` and their reconstructions, the decoder's means.

    Empty cells do not count. ``data_range`` is the distance between the smallest and the largest value there can be (that of ``x`` by
    default).

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(64, [8]), 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (8, 8)))
    >>> found = reconstruction_quality(model, torch.ones(5, 8, 8), data_range=1.0)
    >>> found.ssim is not None, found.psnr.value > 0
    (True, True)
    """
    rows = rows_of(model, x)
    low, high, whole = _span(rows)
    span = high - low if data_range is None else data_range
    if not span > 0:
        raise ArgumentError(f"`data_range` is {span:g}; give the distance between the smallest and the largest value, as data_range=255.")
    image, block = is_image(model.event_shape) and whole, rows_at_once(math.prod(model.event_shape), most=block)
    errors, similar = [], []
    with evaluating(model, seed=0), enough_memory("in an evaluation", block=block):
        for batch in blocks(rows, block, dtype_of(model)):
            made = model.decode(model.infer(batch).mean, batch.context)
            errors.append((batch.x - made).double().square().flatten(1).nanmean(1).cpu())
            if image:
                similar.append(ssim(_pictures(batch.x), _pictures(made), span).double().cpu())
    squared = torch.cat(errors)
    decibels = 10 * (span**2 / squared.clamp(min=torch.finfo(torch.float32).eps ** 2 * span**2)).log10()
    return Reconstruction(over_rows(squared), over_rows(decibels), over_rows(torch.cat(similar)) if image else None, span)


def classifier_test(real: Any, generated: Any, *, seed: int = 0) -> TwoSampleTest:
    """Train gradient-boosted trees to tell samples from data on half of the rows, and test them on the other half.

    As many samples as data are taken. The p-value is that of the normal distribution to which the accuracy tends,
    ``N(1/2, 1 / (4 n))``, where both are draws from one distribution. Made for tables; images are taken as rows of pixels.

    Lopez-Paz and Oquab, Revisiting classifier two-sample tests (2017). Needs scikit-learn. Raises ``DataError`` for fewer than 20 rows.
    """
    ensemble = scikit("ensemble", "the classifier two-sample test")
    a, b = (Rows.of(x) for x in (real, generated))
    size = min(len(a), len(b))
    if size < 20:
        raise DataError(f"a classifier that tells samples from data needs at least 20 rows of each, and there are {size}.")
    order = torch.randperm(2 * size, generator=torch.Generator().manual_seed(seed))
    table = torch.cat([_some(rows.tensor().flatten(1).cpu(), size, seed) for rows in (a, b)])[order].numpy()
    truth = (torch.arange(2 * size) >= size)[order]
    model = ensemble.HistGradientBoostingClassifier(random_state=seed).fit(table[:size], truth[:size].numpy())
    hits = torch.from_numpy(model.predict(table[size:])) == truth[size:]
    accuracy = share(hits)
    z = (accuracy.value - 0.5) * 2 * math.sqrt(len(hits))
    return TwoSampleTest(accuracy, 0.5 * math.erfc(z / math.sqrt(2)), len(hits))


@dataclass(frozen=True)
class _Moments:
    """Sums of features and of their products, over all rows, and what each group of rows has in them."""

    table: Tensor  # [N, D], centred at the mean of all rows
    centre: Tensor  # [D]
    scatter: Tensor  # [D, D]
    group: Tensor  # [N]
    sizes: Tensor  # [G]

    @staticmethod
    def of(table: Tensor, group: Tensor) -> _Moments:
        centre = table.mean(0)
        centred = table - centre
        return _Moments(centred, centre, centred.T @ centred, group, torch.bincount(group))

    @property
    def all(self) -> tuple[Tensor, Tensor]:
        return self.centre, self.scatter / (len(self.table) - 1)

    def without(self, group: int) -> tuple[Tensor, Tensor]:
        """Mean and covariance of the rows that are not in this group."""
        out = self.table[self.group == group]
        rest = len(self.table) - len(out)
        shift = -out.sum(0) / rest
        return self.centre + shift, (self.scatter - out.T @ out - rest * torch.outer(shift, shift)) / (rest - 1)


@dataclass(frozen=True)
class _Pairs:
    """Sums of the kernel over pairs of rows within one set, by their groups ``[G, G]``."""

    sums: Tensor
    group: Tensor

    def mean(self, left_out: int | None) -> Tensor:
        rows = len(self.group) if left_out is None else int((self.group != left_out).sum())
        return _left(self.sums, left_out) / (rows * (rows - 1))


def _discrepancy(within: list[_Pairs], across: Tensor, left_out: int | None) -> float:
    sizes = [len(part.group) if left_out is None else int((part.group != left_out).sum()) for part in within]
    cross = _left(across, left_out) / math.prod(sizes)
    return (within[0].mean(left_out) + within[1].mean(left_out) - 2 * cross).item()


def _left(sums: Tensor, left_out: int | None) -> Tensor:
    """The sum over all groups but one, on either side."""
    if left_out is None:
        return sums.sum()
    return sums.sum() - sums[left_out].sum() - sums[:, left_out].sum() + sums[left_out, left_out]


def _kernel_sums(a: Tensor, b: Tensor, of_a: Tensor, of_b: Tensor, itself: bool = True) -> Tensor:
    """Sums of the kernel by groups ``[G, G]``, a block of rows at a time."""
    by_b = F.one_hot(of_b, int(of_b.max()) + 1).double()
    sums = torch.zeros(int(of_a.max()) + 1, by_b.shape[1], dtype=torch.float64)
    for start in range(0, len(a), 512):
        rows = slice(start, start + 512)
        values = (a[rows] @ b.T / a.shape[1] + 1) ** DEGREE
        if not itself:
            values[torch.arange(len(values)), torch.arange(start, start + len(values))] = 0
        sums.index_add_(0, of_a[rows], values @ by_b)
    return sums


def _prdc(within_a: Tensor, within_b: Tensor, across: Tensor, neighbours: int) -> Tensor:
    """Precision, recall, density, coverage ``[4]`` from squared distances of real rows, samples, and one to the other."""
    radius_a, radius_b = (table.kthvalue(neighbours + 1, 1).values for table in (within_a, within_b))
    in_real = (across < radius_a[:, None]) | (across == 0)  # [real, samples]
    in_made = (across < radius_b[None]) | (across == 0)
    shares = in_real.any(0), in_made.any(1), in_real.double().sum(0) / neighbours, in_real.any(1)
    return torch.stack([part.double().mean() for part in shares])


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances ``[N, M]``, exactly 0 between equal rows."""
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    apart = lengths - 2 * a @ b.T
    return torch.where(apart < ALIKE * lengths, 0.0, apart)


def _root(covariance: Tensor) -> Tensor:
    """``R`` with ``R R^T`` the covariance, which may be singular; what rounding made negative counts as 0."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return vectors * values.clamp(min=0).sqrt()


def _both(real: Any, generated: Any, features: Features, least: int) -> tuple[Tensor, Tensor]:
    a, b = features(real), features(generated)
    for name, table in (("real", a), ("generated", b)):
        if len(table) < least:
            raise DataError(f"`{name}` has {count(len(table), 'row')}, and this distance and its interval need at least {least}.")
    if a.shape[1] != b.shape[1]:
        raise DataError(f"`real` has {a.shape[1]} features and `generated` {b.shape[1]}: give data of one shape.")
    return a, b


def _some(table: Tensor, rows: int, seed: int) -> Tensor:
    """At most so many rows, at random without repetition."""
    if len(table) <= rows:
        return table
    return table[torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))[:rows]]


def _groups(a: Tensor, b: Tensor, groups: int, seed: int) -> tuple[Tensor, Tensor]:
    """The group of each row, as many groups in either set, of at least two rows; the same where the sets have one size."""
    if groups < 2:
        raise ArgumentError(f"`groups` is {groups}; leave out at least 2 in turn.")
    most = min(groups, len(a) // 2, len(b) // 2)
    return grouped(len(a), most, seed), grouped(len(b), most, seed)


def _span(rows: Rows) -> tuple[float, float, bool]:
    """The smallest and the largest value, and whether no cell is empty; a piece at a time, since rows may lie in a file."""
    low, high, whole = math.inf, -math.inf, True
    for start in range(0, len(rows), 4096):
        piece = rows[start : start + 4096]
        there = piece[~piece.isnan()]
        whole = whole and there.numel() == piece.numel()
        low, high = min(low, *there.aminmax().min.reshape(1).tolist(), low), max(high, *there.aminmax().max.reshape(1).tolist(), high)
    return low, high, whole


def _pictures(x: Tensor) -> Tensor:
    return x if x.dim() == 4 else x.unsqueeze(1)
