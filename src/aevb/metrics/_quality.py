"""Quality of samples, reconstructions and latents of a model, against held-out rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from ..data import Rows, Schema
from ..data._spec import Spec
from ..inference import sample
from ..inference._batches import seeded_evaluation
from ..models import VAE
from ..networks import Column
from ._class_separation import ClassSeparation, class_separation
from ._disentanglement._disentanglement import Disentanglement, disentanglement
from ._features import (
    PRINCIPAL_COMPONENTS,
    Features,
    as_features,
    check_features,
    pca_features,
    pixel_features,
    standardised_features,
)
from ._intervals import JackknifeEstimate
from ._latent import posterior_means, total_correlation
from ._optional import none_if_not_installed
from ._samples._classifier_test import (
    MIN_CLASSIFIER_ROWS,
    ClassifierName,
    TwoSampleTest,
    classifier_test,
)
from ._samples._frechet import FrechetDistance, frechet_distance
from ._samples._kernel_distance import KernelDistance, kernel_distance
from ._samples._precision_recall import PrecisionRecall, precision_recall
from ._samples._reconstruction import ReconstructionQuality, reconstruction_quality
from ._table_features import cell_units, table_features
from ._tables._associations import AssociationComparison, compare_associations
from ._tables._closest_records import ClosestRecords, closest_records
from ._tables._hidden_cells import HiddenCells, hidden_cells_or_none
from ._tables._marginals import MarginalComparison, compare_marginals
from ._tables._membership import MembershipAttack, membership_attack_or_none

MAX_RAW_PIXELS = 64
"""Most pixels of an image whose values are compared directly."""

MIN_QUALITY_ROWS = 12
"""Fewest rows of either set: five neighbours must exist in half of them."""

MAX_REFERENCE_ROWS = 10_000
"""Training rows for neighbours and principal components."""

MAX_REFERENCE_ROWS_QUICK = 2000
"""The same where the evaluation has to be quick."""

MAX_TABLE_DRAWS = 5000
"""Draws from a model of a table whose columns are compared with held-out rows."""

MAX_THOROUGH_DIMENSIONS = 1024
"""Most values of a row for which more training rows are used."""


@dataclass(frozen=True)
class SampleComparison:
    """How close some rows are to held-out data.

    Args:
        frechet_distance: Distance of Gaussians.
        kernel_distance: Distance by a kernel.
        precision_recall: What the sets cover of each other.
        classifier_test: For tables, where scikit-learn is installed.
        linear_classifier_test: The same with logistic regression, which sees less.
        marginals: Distances of the columns of a table with a schema.
        associations: Associations between these columns.
    """

    frechet_distance: FrechetDistance
    kernel_distance: KernelDistance
    precision_recall: PrecisionRecall
    classifier_test: TwoSampleTest | None
    linear_classifier_test: TwoSampleTest | None = None
    marginals: MarginalComparison | None = None
    associations: AssociationComparison | None = None


@dataclass(frozen=True)
class Quality:
    """Quality of samples, reconstructions and latents; ``None`` where a metric is not defined.

    Args:
        n_rows: Number of held-out rows.
        reconstruction: Errors of reconstructions; for a table in units of each column's standard
            deviation, so that 1 is the error of the columns' means.
        generated: As many draws from the model as there are held-out rows.
        training_baseline: As many training rows: what a perfect model would reach.
        samples_skipped_reason: Why no samples were compared.
        class_separation: Separation of classes, for labelled data.
        total_correlation: Dependence between latent variables.
        disentanglement: Scores against known factors.
        disentanglement_chance_level: The same scores with the latents of other rows.
        closest_records: How close samples of a table with a schema are to training rows; in them
            the cells are missing that are missing in the held-out rows.
        hidden_cells: Coverage of the intervals of its imputed cells.
        membership: Whether log p(x) tells its training rows from held-out rows.
    """

    n_rows: int
    reconstruction: ReconstructionQuality
    generated: SampleComparison | None
    training_baseline: SampleComparison | None
    samples_skipped_reason: str | None
    class_separation: ClassSeparation | None
    total_correlation: JackknifeEstimate | None
    disentanglement: Disentanglement | None
    disentanglement_chance_level: Disentanglement | None
    closest_records: ClosestRecords | None = None
    hidden_cells: HiddenCells | None = None
    membership: MembershipAttack | None = None


def compare_samples(
    real: Any, candidates: Any, features: Features, *, is_table: bool = False, seed: int = 0
) -> SampleComparison:
    """Every metric of how close ``candidates`` are to ``real``; the classifier for tables."""
    test = linear = None
    if is_table and min(len(real), len(candidates)) >= MIN_CLASSIFIER_ROWS:
        test, linear = (
            none_if_not_installed(
                partial(classifier_test, real, candidates, classifier=name, seed=seed)
            )
            for name in get_args(ClassifierName)
        )
    return SampleComparison(
        frechet_distance(real, candidates, features, seed=seed),
        kernel_distance(real, candidates, features, seed=seed),
        precision_recall(real, candidates, features, seed=seed),
        test,
        linear,
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
    """Compute the quality of a model on held-out rows, with training rows as a baseline.

    Args:
        model: The model. Its weights are not changed.
        train: Training rows.
        held_out: Held-out rows.
        spec: Description of the data.
        features: Features in which samples are compared, as for ``frechet_distance``. By default
            pixels of small images, principal components of larger ones, and standardised columns,
            computed from the training rows.
        mean: Whether to compare means of ``p(x|z)`` instead of draws.
        factors: Known factors ``[N, F]`` of the held-out rows.
        full: Whether to compute clusters, probes and the classifier test, too, which take seconds
            and need scikit-learn.
        seed: Seed of all draws.

    Returns:
        The metrics.

    Raises:
        DataError: A row has another shape, or lies outside the likelihood's support.
    """
    if features is not None:
        check_features(features)
    thorough = full and spec.dimensions <= MAX_THOROUGH_DIMENSIONS
    most = max(MAX_REFERENCE_ROWS if thorough else MAX_REFERENCE_ROWS_QUICK, len(held_out))
    all_train = train  # copies of any row count
    train, held_out = (
        rows.to(model.device) for rows in (_random_subset(train, most, seed), held_out)
    )
    columns = None if spec.schema is None or features is not None else spec.schema.modelled
    complete_train, complete = (
        rows if columns else _complete_rows(rows) for rows in (train, held_out)
    )
    size = min(len(complete_train), len(complete))  # both comparisons are of as many rows
    reason = _samples_skipped_reason(model, train, held_out, size)
    real: Any = _random_subset(complete, size, seed)
    generated = baseline = None
    if reason is None:
        options: dict[str, Any] = {"is_table": full and not spec.image, "seed": seed}
        drawn: Any = _draw_samples(model, real, mean, seed)
        other: Any = _random_subset(complete_train, size, seed)
        if columns is None:
            used = _select_features(features, spec, complete_train, size)
        else:
            used, (real, drawn, other) = _table_cells(columns, train, real, drawn, other)
        generated = compare_samples(real, drawn, used, **options)
        baseline = compare_samples(real, other, used, **options)
    closest = hidden = membership = None
    if spec.schema is not None:
        if generated is not None and baseline is not None:
            draws = _draw_table(model, held_out, spec.schema, mean, seed)
            generated = _with_table(generated, held_out, draws, spec.schema)
            baseline = _with_table(
                baseline, held_out, _random_subset(train, MAX_TABLE_DRAWS, seed), spec.schema
            )
            closest = _closest_records(draws, all_train, held_out, spec.schema, seed)
        hidden = hidden_cells_or_none(model, held_out, spec.schema, seed)
        membership = membership_attack_or_none(model, train, held_out, seed)
    labelled = all(
        rows.labels is not None and len(rows.labels[rows.labels >= 0].unique()) > 1
        for rows in (train, held_out)
    )
    separation = None
    if labelled:
        separation = class_separation(model, train, held_out, full=full, seed=seed)
    z = posterior_means(model, held_out)
    units, names = None if spec.image else _element_deviations(train), None
    if spec.schema is not None:
        units, names = cell_units(spec.schema.modelled, train)
    scores = chance = None
    if factors is not None:
        scores = disentanglement(z, factors, seed=seed)
        shuffled = z[_random_order(len(z), seed)]
        chance = disentanglement(shuffled, factors, repeats=2, seed=seed)
    return Quality(
        n_rows=len(held_out),
        reconstruction=reconstruction_quality(
            model, held_out, _data_range(spec), units=units, names=names
        ),
        generated=generated,
        training_baseline=baseline,
        samples_skipped_reason=reason,
        class_separation=separation,
        total_correlation=total_correlation(z) if 1 < z.shape[1] <= len(z) // 4 - 2 else None,
        disentanglement=scores,
        disentanglement_chance_level=chance,
        closest_records=closest,
        hidden_cells=hidden,
        membership=membership,
    )


def to_record(value: Any) -> Any:
    """Any of these results as JSON can hold it; features by name and hash."""
    if isinstance(value, Features):
        return {"name": value.name, "sha256": value.digest}
    if isinstance(value, Tensor | np.ndarray):
        return value.tolist()
    if isinstance(value, tuple):
        return [to_record(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_record(getattr(value, field.name)) for field in fields(value)}
    return value


def _select_features(features: Any, spec: Spec, train: Rows, n_rows: int) -> Features:
    """The features that were asked for, or those that suit the data.

    Images are in units of their range, so that the constant 1 of the kernel is of their size. By
    default there are fewer features than half of the ``n_rows`` rows: a covariance of more is
    mostly noise.
    """
    unit = _data_range(spec) or 1.0
    few = max(2, min(PRINCIPAL_COMPONENTS, n_rows // 4))
    if features == "pixels" or (
        features is None and spec.image and spec.dimensions <= min(MAX_RAW_PIXELS, n_rows // 2)
    ):
        return pixel_features(unit)
    if features == "pca" or (features is None and spec.image):
        return pca_features(train, PRINCIPAL_COMPONENTS if features else few, unit=unit)
    if features is None and spec.dimensions > n_rows // 2:
        return pca_features(train, few, unit=_element_deviations(train))
    return standardised_features(train) if features is None else as_features(features, train)


def _table_cells(
    columns: Sequence[Column], train: Rows, real: Rows, drawn: Tensor, other: Rows
) -> tuple[Features, list[Tensor]]:
    """Features of the cells of a table, in which draws lack the cells that the real rows lack."""
    cells = table_features(columns)
    missing = real.tensor().isnan().to(drawn.device)
    tables = [cells(x) for x in (train, real, drawn.masked_fill(missing, math.nan), other)]
    varies = torch.cat(tables).std(0) > 0
    known, *tables = (table[:, varies] for table in tables)
    used = Features(cells.name, lambda x: x.double(), cells.digest)
    if known.shape[1] > len(real) // 2:
        used = pca_features(known, max(2, min(PRINCIPAL_COMPONENTS, len(real) // 4)))
    return used, tables


def _draw_table(model: VAE, held_out: Rows, schema: Schema, mean: bool, seed: int) -> Tensor:
    """Draws as they are generated: with values that the columns can hold.

    Contexts are those of the held-out rows in turn.
    """
    places = torch.arange(MAX_TABLE_DRAWS) % len(held_out)
    with seeded_evaluation(model, seed):
        drawn = sample(model, MAX_TABLE_DRAWS, held_out.subset(places).context, mean=mean)
    return schema.encode(schema.decode(drawn, seed=seed)).tensor()


def _with_table(
    comparison: SampleComparison, held_out: Rows, candidates: Any, schema: Schema
) -> SampleComparison:
    """The comparison with that of the columns and of their associations."""
    return replace(
        comparison,
        marginals=compare_marginals(held_out, candidates, schema),
        associations=compare_associations(held_out, candidates, schema),
    )


def _closest_records(
    draws: Tensor, train: Rows, held_out: Rows, schema: Schema, seed: int
) -> ClosestRecords:
    """Distances to training rows; draws lack the cells that the held-out rows lack."""
    missing = held_out.tensor().cpu().isnan()[torch.arange(len(draws)) % len(held_out)]
    return closest_records(draws.masked_fill(missing, math.nan), train, held_out, schema, seed=seed)


def _complete_rows(rows: Rows) -> Rows:
    """The rows without missing cells, for which features exist."""
    complete = torch.cat(
        [
            rows[start : start + 4096].isfinite().flatten(1).all(1)
            for start in range(0, len(rows), 4096)
        ]
    )
    return rows if complete.all() else rows.subset(complete.nonzero()[:, 0])


def _samples_skipped_reason(model: VAE, train: Rows, held_out: Rows, n_rows: int) -> str | None:
    """Why samples cannot be compared with data."""
    if not model.posterior.has_density:
        return "an autoencoder has no samples"
    if n_rows >= MIN_QUALITY_ROWS:
        return None
    if min(len(train), len(held_out)) >= MIN_QUALITY_ROWS:
        return (
            f"samples need {MIN_QUALITY_ROWS} held-out and training rows without missing cells, "
            f"and there are {n_rows}"
        )
    return (
        f"samples need {MIN_QUALITY_ROWS} held-out and as many training rows, and there are "
        f"{len(held_out):,} and {len(train):,}"
    )


def _element_deviations(rows: Rows) -> Tensor:
    """Standard deviation of the observed cells of each element, ``[*event]``; 1 for constants."""
    table = rows.tensor().double()
    observed = ~table.isnan()
    count = observed.sum(0).clamp(min=1)
    mean = table.nan_to_num(0.0).sum(0) / count
    deviation = (torch.where(observed, table - mean, 0.0).square().sum(0) / count).sqrt()
    return torch.where(deviation > 0, deviation, 1.0)


def _data_range(spec: Spec) -> float | None:
    """Difference of the largest and the smallest possible value, ``None`` where unknown."""
    return {"binary": 1.0, "unit": 1.0, "levels": (spec.levels or 256) - 1.0}.get(spec.support)


def _draw_samples(model: VAE, held_out: Rows, mean: bool, seed: int) -> Tensor:
    """As many draws as held-out rows, with their context where there is one."""
    with seeded_evaluation(model, seed):
        return sample(model, len(held_out), held_out.context, mean=mean)


def _random_subset(rows: Rows, max_rows: int, seed: int) -> Rows:
    """At most ``max_rows`` rows at random."""
    return rows if len(rows) <= max_rows else rows.subset(_random_order(len(rows), seed)[:max_rows])


def _random_order(n_rows: int, seed: int) -> Tensor:
    """Row numbers in random order."""
    return torch.randperm(n_rows, generator=torch.Generator().manual_seed(seed))
