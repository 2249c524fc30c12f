"""Separation of classes in the latent space: by neighbours, a linear probe and clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import Rows
from ..data._formatting import format_count
from ..errors import ArgumentError, DataError
from ..inference import encode
from ..inference._batches import seeded_evaluation
from ..models import VAE
from ._intervals import (
    HALF_SAMPLE_REPEATS,
    Interval,
    add_independent_error,
    interval_from_halves,
    proportion_interval,
    random_halves,
)
from ._latent import posterior_means
from ._optional import import_sklearn, none_if_not_installed

NEIGHBOUR_BLOCK_SIZE = 2048
"""Held-out rows whose neighbours are computed at once."""

MAX_CLASS_NUMBER = 100_000
"""Largest class number."""


@dataclass(frozen=True)
class Clustering:
    """Agreement of clusters of latents with labels: 1 is agreement, 0 the chance level.

    Args:
        adjusted_rand_index: Hubert and Arabie (1985).
        adjusted_mutual_information: Vinh et al. (2010).
        n_clusters: Number of clusters.
    """

    adjusted_rand_index: Interval
    adjusted_mutual_information: Interval
    n_clusters: int


@dataclass(frozen=True)
class ClassSeparation:
    """How well the latents of held-out rows separate classes.

    Args:
        knn_accuracy: Accuracy of the nearest neighbours of posterior means.
        knn_accuracy_sampled: The same of draws from the posterior.
        linear_probe_accuracy: Accuracy of a logistic regression; ``None`` without scikit-learn.
        clustering: Agreement of clusters with the classes; ``None`` without scikit-learn.
        chance_level: Accuracy of always predicting the largest class.
        n_classes: Number of classes.
        n_rows: Number of held-out rows.
    """

    knn_accuracy: Interval
    knn_accuracy_sampled: Interval
    linear_probe_accuracy: Interval | None
    clustering: Clustering | None
    chance_level: float
    n_classes: int
    n_rows: int


def knn_accuracy(
    z: Any, labels: Any, held_out_z: Any, held_out_labels: Any, neighbours: int = 5
) -> Interval:
    """Compute the accuracy of the majority class among nearest neighbours; ties go to the smallest.

    The interval includes the noise of the held-out rows, and that of the reference rows from random
    halves: rows that are drawn with replacement would be their own neighbours.

    Args:
        z: Latents of the reference rows, ``[N, latent]``.
        labels: Their classes, whole numbers ``[N]``.
        held_out_z: Latents of the held-out rows, ``[M, latent]``.
        held_out_labels: Their classes, ``[M]``.
        neighbours: Number of neighbours.

    Returns:
        The accuracy with its interval.

    Raises:
        DataError: There is a single class, or latents and labels do not fit.
        ArgumentError: There are more neighbours than reference rows.

    Example:
        >>> z = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
        >>> knn_accuracy(z, [0, 0, 1, 1], [[0.2], [4.9]], [0, 1], neighbours=1).value
        1.0
    """
    reference = _to_labelled_latents(z, labels, "z")
    query = _to_labelled_latents(held_out_z, held_out_labels, "held_out_z")
    _count_classes(reference)
    rows = len(reference.z)
    if not 1 <= neighbours <= rows:
        raise ArgumentError(
            f"give a number from 1 to {rows}, the number of latents",
            argument="neighbours",
            value=neighbours,
        )
    _check_same_width(reference, query)
    subsets = [torch.arange(rows)]
    if rows >= 4 * neighbours:
        subsets += random_halves(rows, HALF_SAMPLE_REPEATS, seed=0)
    votes = [
        _vote_of_neighbours(reference, part, subsets, neighbours)
        for part in query.z.split(NEIGHBOUR_BLOCK_SIZE)
    ]
    hits = torch.cat(votes, 1) == query.labels
    accuracy = proportion_interval(hits[0])
    if len(subsets) == 1:
        return accuracy
    halves = interval_from_halves(accuracy.value, hits[1:].double().mean(1), rows)
    return add_independent_error(accuracy, halves, bounds=(0.0, 1.0))


def linear_probe_accuracy(z: Any, labels: Any, held_out_z: Any, held_out_labels: Any) -> Interval:
    """Compute the accuracy of a logistic regression on standardised latents.

    Alain and Bengio (2017). Needs scikit-learn.

    Args:
        z: Latents of the training rows, ``[N, latent]``.
        labels: Their classes, whole numbers ``[N]``.
        held_out_z: Latents of the held-out rows, ``[M, latent]``.
        held_out_labels: Their classes, ``[M]``.

    Returns:
        The accuracy with its interval.

    Raises:
        DataError: There is a single class, or latents and labels do not fit.
        MissingExtraError: scikit-learn is not installed.
    """
    linear = import_sklearn("linear_model", "a linear probe")
    train = _to_labelled_latents(z, labels, "z")
    test = _to_labelled_latents(held_out_z, held_out_labels, "held_out_z")
    _count_classes(train)
    _check_same_width(train, test)
    mean, scale = train.z.mean(0), train.z.std(0).clamp(min=1e-12)
    model = linear.LogisticRegression(max_iter=1000).fit(
        ((train.z - mean) / scale).numpy(), train.labels.numpy()
    )
    predicted = torch.from_numpy(model.predict(((test.z - mean) / scale).numpy()))
    return proportion_interval(predicted == test.labels)


def clustering(z: Any, labels: Any, clusters: int | None = None, *, seeds: int = 5) -> Clustering:
    """Measure the agreement of labels with k-means clusters of latents.

    The value is the mean over ``seeds`` starting points; the interval comes from random halves of
    the latents, each with its own starting point.

    Hubert and Arabie, Comparing partitions (1985); Vinh, Epps and Bailey, Information theoretic
    measures for clusterings comparison (2010). Needs scikit-learn.

    Args:
        z: Latents ``[N, latent]``.
        labels: Classes, whole numbers ``[N]``.
        clusters: Number of clusters; that of the classes by default.
        seeds: Number of starting points.

    Returns:
        The adjusted Rand index and the adjusted mutual information.

    Raises:
        DataError: There is a single class, or latents and labels do not fit.
        ArgumentError: There are more clusters than half of the latents.
        MissingExtraError: scikit-learn is not installed.
    """
    cluster, scores = (
        import_sklearn(module, "clustering of latents") for module in ("cluster", "metrics")
    )
    data = _to_labelled_latents(z, labels, "z")
    classes, rows = _count_classes(data), len(data.z)
    number = classes if clusters is None else clusters
    for name, value, most in (("clusters", number, rows // 2), ("seeds", seeds, math.inf)):
        if not 1 <= value <= most:
            limit = f", at most half of the {rows} latents" if value > most else ""
            raise ArgumentError(f"give 1 or more{limit}", argument=name, value=value)

    def agreement(part: Tensor, seed: int) -> list[float]:
        table, truth = data.z[part].numpy(), data.labels[part].numpy()
        assigned = cluster.KMeans(number, n_init=1, random_state=seed).fit_predict(table)
        return [
            float(scores.adjusted_rand_score(truth, assigned)),
            float(scores.adjusted_mutual_info_score(truth, assigned)),
        ]

    means = torch.tensor([agreement(torch.arange(rows), seed) for seed in range(seeds)]).mean(0)
    halves = torch.tensor(
        [
            agreement(half, seeds + index)
            for index, half in enumerate(random_halves(rows, HALF_SAMPLE_REPEATS, seed=0))
        ]
    )
    intervals = [
        interval_from_halves(value, column, rows, (-1.0, 1.0))
        for value, column in zip(means.tolist(), halves.T, strict=True)
    ]
    return Clustering(*intervals, n_clusters=number)


def class_separation(
    model: VAE,
    train: Rows,
    held_out: Rows,
    *,
    neighbours: int = 5,
    full: bool = True,
    seed: int = 0,
) -> ClassSeparation:
    """Measure how well latents separate the classes of held-out rows.

    Latents are posterior means, and for ``knn_accuracy_sampled`` one draw per row: neighbours do
    not depend on the scale of the latents, so that means which vary by a thousandth of the
    posterior's noise still separate classes, and draws do not.

    Args:
        model: The model. Its weights are not changed.
        train: Labelled training rows, the reference.
        held_out: Labelled held-out rows.
        neighbours: Number of neighbours.
        full: Whether to compute the linear probe and the clusters, too, which need scikit-learn.
        seed: Seed of the draws.

    Returns:
        The accuracies with their chance level.

    Raises:
        DataError: Rows have no labels, or a single class.

    Example:
        >>> from aevb import data, likelihoods, networks, posteriors, priors
        >>> digits = data.load("digits")
        >>> likelihood = likelihoods.DiscretisedLogistic(networks.MLP(2, [8]), (8, 8), levels=17)
        >>> model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(64, [8]), 2), likelihood)
        >>> result = class_separation(model, digits.train, digits.test)
        >>> result.n_classes, result.n_rows, 0.05 < result.chance_level < 0.2
        (10, 180, True)
    """
    for name, rows in (("train", train), ("held_out", held_out)):
        if rows.labels is None:
            raise DataError(
                f"`{name}` has no labels", suggestions=("Load the data with labels=...",)
            )
    sets = [_rows_with_labels(rows) for rows in (train, held_out)]
    reference, query = (
        _LabelledLatents(posterior_means(model, rows).double(), _to_class_numbers(rows.labels))
        for rows in sets
    )
    with seeded_evaluation(model, seed):
        draws = [encode(model, rows.to(model.device), rows.context, sample=True) for rows in sets]
    classes = _count_classes(reference)
    both = reference.z, reference.labels, query.z, query.labels
    nearest = min(neighbours, len(reference.z))
    largest = torch.bincount(reference.labels).argmax()
    probe = clusters = None
    if full:
        probe = none_if_not_installed(lambda: linear_probe_accuracy(*both))
    if full and classes <= len(query.z) // 2 and len(query.labels.unique()) > 1:
        clusters = none_if_not_installed(lambda: clustering(query.z, query.labels, classes))
    return ClassSeparation(
        knn_accuracy=knn_accuracy(*both, neighbours=nearest),
        knn_accuracy_sampled=knn_accuracy(
            draws[0], reference.labels, draws[1], query.labels, neighbours=nearest
        ),
        linear_probe_accuracy=probe,
        clustering=clusters,
        chance_level=(query.labels == largest).double().mean().item(),
        n_classes=classes,
        n_rows=len(query.z),
    )


@dataclass(frozen=True)
class _LabelledLatents:
    z: Tensor  # [N, latent] float64
    labels: Tensor  # [N] int64


def _to_labelled_latents(z: Any, labels: Any, name: str) -> _LabelledLatents:
    """Checked latents with their labels."""
    table, classes = torch.as_tensor(z).detach().cpu().double(), _to_class_numbers(labels)
    if not len(table):
        raise DataError(f"`{name}` has no rows", suggestions=("Give at least one",))
    table = table.reshape(len(table), -1)
    if len(table) != len(classes):
        raise DataError(
            f"`{name}` has {format_count(len(table), 'row')} and "
            f"{format_count(len(classes), 'label')}",
            suggestions=("Give one label per row",),
        )
    if not table.isfinite().all():
        raise DataError(
            f"`{name}` holds NaN or infinity", suggestions=("Encode rows that the model can take",)
        )
    return _LabelledLatents(table, classes)


def _check_same_width(reference: _LabelledLatents, query: _LabelledLatents) -> None:
    """Refuse latents of different models."""
    if reference.z.shape[1] != query.z.shape[1]:
        raise DataError(
            f"`z` has {format_count(reference.z.shape[1], 'latent variable')} and `held_out_z` "
            f"{query.z.shape[1]}",
            suggestions=("Give latents of one model",),
        )


def _vote_of_neighbours(
    reference: _LabelledLatents, query_z: Tensor, subsets: Sequence[Tensor], neighbours: int
) -> Tensor:
    """Majority class of the nearest latents within each set of row numbers, ``[sets, n]``."""
    rows = len(reference.z)
    # the nearest few of a random half are almost surely among eight times as many of all
    near = torch.cdist(query_z, reference.z).topk(min(rows, 8 * neighbours), largest=False).indices
    votes = F.one_hot(reference.labels[near], int(reference.labels.max()) + 1)  # [n, near, classes]
    classes = []
    for part in subsets:
        inside = torch.zeros(rows, dtype=torch.bool).index_fill_(0, part, True)[near]
        counted = inside & (inside.cumsum(1) <= neighbours)
        classes.append((votes * counted[..., None]).sum(1).argmax(1))
    return torch.stack(classes)


def _rows_with_labels(rows: Rows) -> Rows:
    """The rows with a label."""
    return (
        rows
        if rows.labels is None or (rows.labels >= 0).all()
        else rows.subset((rows.labels >= 0).nonzero()[:, 0])
    )


def _to_class_numbers(labels: Any) -> Tensor:
    """Labels as int64 ``[N]``; ``DataError`` for what is no class number."""
    try:
        values = torch.as_tensor(labels).detach().cpu().reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(
            "labels are class numbers",
            suggestions=(
                "Turn names into numbers, as numpy.unique(labels, return_inverse=True) does",
            ),
        ) from error
    classes = values.long()
    odd = values[(classes != values) | (classes < 0) | (classes > MAX_CLASS_NUMBER)]
    if len(odd):
        raise DataError(
            f"a label is {odd[0].item():g}, and classes are whole numbers from 0 to "
            f"{MAX_CLASS_NUMBER:,}",
            suggestions=(
                "Leave out rows of unknown class, and number the classes, as "
                "numpy.unique(labels, return_inverse=True) does",
            ),
        )
    return classes


def _count_classes(labelled: _LabelledLatents) -> int:
    """The number of classes; ``DataError`` for a single one."""
    classes = labelled.labels.unique()
    if len(classes) < 2:
        raise DataError(
            f"all {format_count(len(labelled.labels), 'label')} are of one class",
            suggestions=("Give rows of at least 2 classes",),
        )
    return len(classes)
