"""Samples, reconstructions and codes of a model, measured together against held-out rows."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from ..data import Rows
from ..data._spec import Spec
from ..inference import sample
from ..models import VAE
from ._blocks import seeded_evaluation
from ._class_separation import Separation, separation
from ._features import (
    PRINCIPAL_COMPONENTS,
    Features,
    as_features,
    pca_features,
    pixel_features,
    standardised_features,
)
from ._intervals import JackknifeEstimate
from ._latent import posterior_means, total_correlation
from ._optional import none_if_not_installed
from .disentanglement import Disentanglement, disentanglement
from .samples import (
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    ReconstructionQuality,
    TwoSampleTest,
    classifier_test,
    frechet_distance,
    kernel_distance,
    precision_recall,
    reconstruction_quality,
)

MAX_RAW_PIXELS = 64  # pixels up to which they are compared as they are
MIN_QUALITY_ROWS = 12  # rows of each, for the balls of five neighbours in half of them
MAX_REFERENCE_ROWS, MAX_REFERENCE_ROWS_QUICK = (
    10_000,
    2000,
)  # training rows that neighbours and principal components come from, and where that is to be quick
MAX_THOROUGH_DIMENSIONS = 1024  # numbers of a datum from which on it is quick with fewer rows only


@dataclass(frozen=True)
class SampleComparison:
    """How close some rows are to held-out data, in every measure that is on."""

    frechet: FrechetDistance
    kernel: KernelDistance
    precision_recall: PrecisionRecall
    classifier_test: TwoSampleTest | None  # of tables, where scikit-learn is installed


@dataclass(frozen=True)
class Quality:
    """What a model makes up, what it gives back, and what its codes tell; ``None`` where a measure has no meaning."""

    n_rows: int  # held-out
    reconstruction: ReconstructionQuality  # of a table in units of each column's deviation: 1 is what the columns' means leave
    samples: SampleComparison | None  # as many draws from the model as there are held-out rows
    training_baseline: (
        SampleComparison | None
    )  # as many training rows in their place: what a perfect model would reach
    reason_not_sampled: str | None  # why no samples were compared
    separation: Separation | None  # of labelled data
    total_correlation: JackknifeEstimate | None
    disentanglement: Disentanglement | None  # where factors are known
    disentanglement_chance_level: (
        Disentanglement | None
    )  # the same with the codes of other rows: what chance gives


def compare_samples(
    real: Any, candidates: Any, features: Features, *, is_table: bool = False, seed: int = 0
) -> SampleComparison:
    """All measures of how close ``candidates`` are to ``real``; the classifier's test where they are tables."""
    return SampleComparison(
        frechet_distance(real, candidates, features, seed=seed),
        kernel_distance(real, candidates, features, seed=seed),
        precision_recall(real, candidates, features, seed=seed),
        none_if_not_installed(lambda: classifier_test(real, candidates, seed=seed))
        if is_table and min(len(real), len(candidates)) >= 20
        else None,
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
    full: bool = True,
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
    most = (
        MAX_REFERENCE_ROWS
        if full and spec.dimensions <= MAX_THOROUGH_DIMENSIONS
        else MAX_REFERENCE_ROWS_QUICK
    )
    train, held_out = (
        rows.to(model.device)
        for rows in (_random_subset(train, max(most, len(held_out)), seed), held_out)
    )
    whole = tuple(map(_complete_rows, (train, held_out)))
    size = min(map(len, whole))  # so that both comparisons are of as many rows
    unasked, real = (
        _reason_not_sampled(model, train, held_out, size),
        _random_subset(whole[1], size, seed),
    )
    used = None if unasked else _select_features(features, spec, whole[0], size)
    options: dict[str, Any] = {"is_table": full and not spec.image, "seed": seed}
    labelled = all(
        rows.labels is not None and len(rows.labels[rows.labels >= 0].unique()) > 1
        for rows in (train, held_out)
    )
    codes = posterior_means(model, held_out)
    return Quality(
        n_rows=len(held_out),
        reconstruction=reconstruction_quality(
            model,
            held_out,
            _data_range(spec),
            units=None if spec.image else _element_deviations(train),
        ),
        samples=compare_samples(real, _draw_samples(model, real, mean, seed), used, **options)
        if used
        else None,
        training_baseline=compare_samples(
            real, _random_subset(whole[0], size, seed), used, **options
        )
        if used
        else None,
        reason_not_sampled=unasked,
        separation=separation(model, train, held_out, full=full, seed=seed) if labelled else None,
        total_correlation=total_correlation(codes)
        if 1 < codes.shape[1] <= len(codes) // 4 - 2
        else None,
        disentanglement=None if factors is None else disentanglement(codes, factors, seed=seed),
        disentanglement_chance_level=None
        if factors is None
        else disentanglement(codes[_random_order(len(codes), seed)], factors, repeats=2, seed=seed),
    )


def to_record(value: Any) -> Any:
    """Any of these results as what JSON can hold; features by name and hash."""
    if isinstance(value, Features):
        return {"name": value.name, "sha256": value.digest}
    if isinstance(value, Tensor):
        return value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_record(getattr(value, field.name)) for field in fields(value)}
    return value


def _select_features(features: Any, spec: Spec, train: Rows, n_rows: int) -> Features:
    """Pictures in units of their range, so that the kernel's 1 is of their size; what was asked for, or what suits the data.

    By default fewer features than half of the rows that are compared, ``size``: a covariance of more is mostly noise.
    """
    unit, few = _data_range(spec) or 1.0, max(2, min(PRINCIPAL_COMPONENTS, n_rows // 4))
    if features == "pixels" or (
        features is None and spec.image and spec.dimensions <= min(MAX_RAW_PIXELS, n_rows // 2)
    ):
        return pixel_features(unit)
    if features == "pca" or (features is None and spec.image):
        return pca_features(train, PRINCIPAL_COMPONENTS if features else few, unit=unit)
    if features is None and spec.dimensions > n_rows // 2:
        return pca_features(train, few, unit=_element_deviations(train))
    return standardised_features(train) if features is None else as_features(features, train)


def _complete_rows(rows: Rows) -> Rows:
    """The rows without empty cells, which alone have a place among features."""
    there = torch.cat(
        [
            rows[start : start + 4096].isfinite().flatten(1).all(1)
            for start in range(0, len(rows), 4096)
        ]
    )
    return rows if there.all() else rows.subset(there.nonzero()[:, 0])


def _reason_not_sampled(model: VAE, train: Rows, held_out: Rows, n_rows: int) -> str | None:
    """Why samples cannot be compared with data."""
    if not model.posterior.has_density:
        return "an autoencoder has none"
    if n_rows >= MIN_QUALITY_ROWS:
        return None
    if min(len(train), len(held_out)) >= MIN_QUALITY_ROWS:
        return f"comparing samples takes {MIN_QUALITY_ROWS} rows without empty cells, of held-out and of training rows, and there are {n_rows}"
    return f"comparing samples takes {MIN_QUALITY_ROWS} held-out and as many training rows, and there are {len(held_out):,} and {len(train):,}"


def _element_deviations(rows: Rows) -> Tensor:
    """The standard deviation of each element over rows, ``[*event]``, of cells that are there; 1 where it does not vary."""
    table = rows.tensor().double()
    there = ~table.isnan()
    count = there.sum(0).clamp(min=1)
    mean = table.nan_to_num(0.0).sum(0) / count
    deviation = (torch.where(there, table - mean, 0.0).square().sum(0) / count).sqrt()
    return torch.where(deviation > 0, deviation, 1.0)


def _data_range(spec: Spec) -> float | None:
    """The distance between the smallest and the largest value there can be; ``None`` where nobody knows."""
    return {"binary": 1.0, "unit": 1.0, "levels": (spec.levels or 256) - 1.0}.get(spec.support)


def _draw_samples(model: VAE, held_out: Rows, mean: bool, seed: int) -> Tensor:
    """As many draws as held-out rows, in their contexts where they have some."""
    with seeded_evaluation(model, seed):
        return sample(model, len(held_out), held_out.context, mean=mean)


def _random_subset(rows: Rows, max_rows: int, seed: int) -> Rows:
    return rows if len(rows) <= max_rows else rows.subset(_random_order(len(rows), seed)[:max_rows])


def _random_order(n_rows: int, seed: int) -> Tensor:
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed))
