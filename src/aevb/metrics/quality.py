"""Samples, reconstructions and codes of a model, measured together against held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Rows
from ..data.spec import Spec
from ..inference import sample
from ..models import VAE
from .codes import Separation, separation
from .disentanglement import Disentanglement, disentanglement
from .features import COMPONENTS, Features, as_features, pixels, principal_components, standardised
from .latent import encodings, total_correlation
from .optional import where_installed
from .ranged import Jackknifed
from .samples import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    Reconstruction,
    TwoSampleTest,
    classifier_test,
    frechet_distance,
    kernel_distance,
    precision_recall,
    reconstruction_quality,
)
from .sweep import evaluating

FLAT = 64  # pixels up to which they are compared as they are
LEAST = 12  # rows of each, for the balls of five neighbours in half of them
KNOWN, FEWER = 10_000, 2000  # training rows that neighbours and principal components come from, and where that is to be quick
WIDE = 1024  # numbers of a datum from which on it is quick with fewer rows only


@dataclass(frozen=True)
class Closeness:
    """How close some rows are to held-out data, in every measure that is on."""

    frechet: FrechetDistance
    kernel: KernelDistance
    cover: PrecisionRecall
    test: TwoSampleTest | None  # of tables, where scikit-learn is installed


@dataclass(frozen=True)
class Quality:
    """What a model makes up, what it gives back, and what its codes tell; ``None`` where a measure has no meaning."""

    rows: int  # held-out
    reconstruction: Reconstruction  # of a table in units of each column's deviation: 1 is what the columns' means leave
    samples: Closeness | None  # as many draws from the model as there are held-out rows
    training: Closeness | None  # as many training rows in their place: what a perfect model would reach
    unasked: str | None  # why no samples were compared
    separation: Separation | None  # of labelled data
    total_correlation: Jackknifed | None
    disentanglement: Disentanglement | None  # where factors are known
    shuffled: Disentanglement | None  # the same with the codes of other rows: what chance gives


def closeness(real: Any, others: Any, features: Features, *, table: bool = False, seed: int = 0) -> Closeness:
    """All measures of how close ``others`` are to ``real``; the classifier's test where they are tables."""
    return Closeness(
        frechet_distance(real, others, features, seed=seed),
        kernel_distance(real, others, features, seed=seed),
        precision_recall(real, others, features, seed=seed),
        where_installed(lambda: classifier_test(real, others, seed=seed)) if table and min(len(real), len(others)) >= 20 else None,
    )


def quality(
    model: VAE,
    train: Rows,
    held_out: Rows,
    spec: Spec,
    *,
    features: Any = None,
    mean: bool = False,
    factors: Tensor | None = None,
    everything: bool = True,
    seed: int = 0,
) -> Quality:
    """Measure a model on held-out rows, with training rows to compare with.

    Args:
        features: what samples are compared in, as for ``frechet_distance``; pixels of small images, principal components of larger
            ones, and standardised columns by default, by the training rows.
        mean: compare means of ``p(x|z)`` in place of draws.
        factors: known factors ``[N, F]`` of the held-out rows.
        everything: clusters, probes and the classifier's test, too, which take seconds and need scikit-learn.
    """
    most = KNOWN if everything and spec.dimensions <= WIDE else FEWER
    train, held_out = (rows.to(model.device) for rows in (_few(train, max(most, len(held_out)), seed), held_out))
    whole = tuple(map(_complete, (train, held_out)))
    size = min(map(len, whole))  # so that both comparisons are of as many rows
    unasked, real = _unasked(model, train, held_out, size), _few(whole[1], size, seed)
    used = None if unasked else _compared_in(features, spec, whole[0], size)
    options: dict[str, Any] = {"table": everything and not spec.image, "seed": seed}
    labelled = all(rows.labels is not None and len(rows.labels[rows.labels >= 0].unique()) > 1 for rows in (train, held_out))
    codes = encodings(model, held_out)
    return Quality(
        rows=len(held_out),
        reconstruction=reconstruction_quality(model, held_out, _range(spec), units=None if spec.image else _deviations(train)),
        samples=closeness(real, _drawn(model, real, mean, seed), used, **options) if used else None,
        training=closeness(real, _few(whole[0], size, seed), used, **options) if used else None,
        unasked=unasked,
        separation=separation(model, train, held_out, everything=everything, seed=seed) if labelled else None,
        total_correlation=total_correlation(codes) if 1 < codes.shape[1] <= len(codes) // 4 - 2 else None,
        disentanglement=None if factors is None else disentanglement(codes, factors, seed=seed),
        shuffled=None if factors is None else disentanglement(codes[_order(len(codes), seed)], factors, repeats=2, seed=seed),
    )


def as_record(value: Any) -> Any:
    """Any of these results as what JSON can hold; features by name and hash."""
    if isinstance(value, Features):
        return {"name": value.name, "sha256": value.digest}
    if isinstance(value, Tensor):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_record(getattr(value, field.name)) for field in fields(value)}
    return value


def _compared_in(features: Any, spec: Spec, train: Rows, size: int) -> Features:
    """Pictures in units of their range, so that the kernel's 1 is of their size; what was asked for, or what suits the data.

    By default fewer features than half of the rows that are compared, ``size``: a covariance of more is mostly noise.
    """
    unit, few = _range(spec) or 1.0, max(2, min(COMPONENTS, size // 4))
    if features == "pixels" or (features is None and spec.image and spec.dimensions <= min(FLAT, size // 2)):
        return pixels(unit)
    if features == "pca" or (features is None and spec.image):
        return principal_components(train, COMPONENTS if features else few, unit=unit)
    if features is None and spec.dimensions > size // 2:
        return principal_components(train, few, unit=_deviations(train))
    return standardised(train) if features is None else as_features(features, train)


def _complete(rows: Rows) -> Rows:
    """The rows without empty cells, which alone have a place among features."""
    there = torch.cat([rows[start : start + 4096].isfinite().flatten(1).all(1) for start in range(0, len(rows), 4096)])
    return rows if there.all() else rows.subset(there.nonzero()[:, 0])


def _unasked(model: VAE, train: Rows, held_out: Rows, size: int) -> str | None:
    """Why samples cannot be compared with data."""
    if not model.posterior.density:
        return "an autoencoder has none"
    if size >= LEAST:
        return None
    if min(len(train), len(held_out)) >= LEAST:
        return f"comparing samples takes {LEAST} rows without empty cells, of held-out and of training rows, and there are {size}"
    return f"comparing samples takes {LEAST} held-out and as many training rows, and there are {len(held_out):,} and {len(train):,}"


def _deviations(rows: Rows) -> Tensor:
    """The standard deviation of each element over rows, ``[*event]``, of cells that are there; 1 where it does not vary."""
    table = rows.tensor().double()
    there = ~table.isnan()
    count = there.sum(0).clamp(min=1)
    mean = table.nan_to_num(0.0).sum(0) / count
    deviation = (torch.where(there, table - mean, 0.0).square().sum(0) / count).sqrt()
    return torch.where(deviation > 0, deviation, 1.0)


def _range(spec: Spec) -> float | None:
    """The distance between the smallest and the largest value there can be; ``None`` where nobody knows."""
    return {"binary": 1.0, "unit": 1.0, "levels": (spec.levels or 256) - 1.0}.get(spec.support)


def _drawn(model: VAE, held_out: Rows, mean: bool, seed: int) -> Tensor:
    """As many draws as held-out rows, in their contexts where they have some."""
    with evaluating(model, seed):
        return sample(model, len(held_out), held_out.context, mean=mean)


def _few(rows: Rows, most: int, seed: int) -> Rows:
    return rows if len(rows) <= most else rows.subset(_order(len(rows), seed)[:most])


def _order(rows: int, seed: int) -> Tensor:
    return torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
