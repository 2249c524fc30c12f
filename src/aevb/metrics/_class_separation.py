"""What codes tell about labels that the model has not seen: classes that lie apart are found by neighbours, by planes, by clusters."""

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
from ..models import VAE
from ._blocks import seeded_evaluation
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

NEIGHBOUR_BLOCK_SIZE = 2048  # held-out rows whose neighbours are looked for at once
MAX_CLASS_NUMBER = 100_000  # the largest class number


@dataclass(frozen=True)
class Clustering:
    """How well clusters of codes agree with labels: 1 is agreement, 0 what chance gives (adjusted for it)."""

    adjusted_rand_index: Interval
    adjusted_mutual_information: Interval  # adjusted
    n_clusters: int


@dataclass(frozen=True)
class Separation:
    """How well classes are told apart by codes of held-out data; ``chance`` is the accuracy of always naming the largest class."""

    neighbour_accuracy: Interval  # of posterior means
    sampled_neighbour_accuracy: Interval  # the same of draws from the posterior
    probe_accuracy: Interval | None  # None where scikit-learn is not installed
    clustering: Clustering | None
    chance_level: float
    n_classes: int
    n_rows: int  # held-out


def neighbour_accuracy(
    z: Any, labels: Any, held_out_z: Any, held_out_labels: Any, neighbours: int = 5
) -> Interval:
    """Share of held-out rows whose class most of their nearest ``neighbours`` among the codes have; of a draw the smallest class.

    Codes ``[N, latent]`` and ``[M, latent]``, labels ``[N]`` and ``[M]``, whole numbers. The interval has the noise of the held-out rows
    and that of the codes, from random halves of these; drawn again with repetition, neighbours would come in copies.

    Raises ``DataError`` for labels of a single class, ``ArgumentError`` for more neighbours than codes.

    >>> codes = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> neighbour_accuracy(codes, [0, 0, 1, 1], [[0.2], [4.9]], [0, 1], neighbours=1).value
    1.0
    """
    known, asked = (
        _to_labelled_latents(z, labels, "codes"),
        _to_labelled_latents(held_out_z, held_out_labels, "held_out"),
    )
    _count_classes(known)
    if not 1 <= neighbours <= len(known.z):
        raise ArgumentError(
            f"`neighbours` is {neighbours}; give a number from 1 to {len(known.z)}, that of the codes."
        )
    _check_same_width(known, asked)
    rows = len(known.z)
    sets = [
        torch.arange(rows),
        *(random_halves(rows, HALF_SAMPLE_REPEATS, seed=0) if rows >= 4 * neighbours else ()),
    ]
    hits = (
        torch.cat(
            [
                _vote_of_neighbours(known, part, sets, neighbours)
                for part in asked.z.split(NEIGHBOUR_BLOCK_SIZE)
            ],
            1,
        )
        == asked.labels
    )
    found = proportion_interval(hits[0])
    return (
        found
        if len(sets) == 1
        else add_independent_error(
            found,
            interval_from_halves(found.value, hits[1:].double().mean(1), rows),
            bounds=(0.0, 1.0),
        )
    )


def probe_accuracy(z: Any, labels: Any, held_out_z: Any, held_out_labels: Any) -> Interval:
    """Share of held-out rows whose class a logistic regression on the standardised codes names. Alain and Bengio (2017).

    Needs scikit-learn. Raises ``DataError`` for labels of a single class.
    """
    linear = import_sklearn("linear_model", "a linear probe")
    known, asked = (
        _to_labelled_latents(z, labels, "codes"),
        _to_labelled_latents(held_out_z, held_out_labels, "held_out"),
    )
    _count_classes(known)
    _check_same_width(known, asked)
    mean, scale = known.z.mean(0), known.z.std(0).clamp(min=1e-12)
    model = linear.LogisticRegression(max_iter=1000).fit(
        ((known.z - mean) / scale).numpy(), known.labels.numpy()
    )
    return proportion_interval(
        torch.from_numpy(model.predict(((asked.z - mean) / scale).numpy())) == asked.labels
    )


def clustering(z: Any, labels: Any, clusters: int | None = None, *, seeds: int = 5) -> Clustering:
    """Agreement of labels with clusters of codes by k-means, as many as there are classes by default.

    The value is the mean over ``seeds`` of where the clusters begin; the interval comes from random halves of the codes, each with a
    beginning of its own.

    Hubert and Arabie, Comparing partitions (1985); Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison (2010).
    Needs scikit-learn. Raises ``DataError`` for labels of a single class, ``ArgumentError`` for more clusters than half of the codes.
    """
    cluster, scores = (
        import_sklearn(module, "clustering of codes") for module in ("cluster", "metrics")
    )
    known = _to_labelled_latents(z, labels, "codes")
    classes, rows = _count_classes(known), len(known.z)
    number = classes if clusters is None else clusters
    for name, value, most in (("clusters", number, rows // 2), ("seeds", seeds, math.inf)):
        if not 1 <= value <= most:
            raise ArgumentError(
                f"`{name}` is {value}; give 1 or more"
                + (f", at most half of the {rows} codes." if value > most else ".")
            )

    def agreement(part: Tensor, seed: int) -> list[float]:
        table, truth = known.z[part].numpy(), known.labels[part].numpy()
        found = cluster.KMeans(number, n_init=1, random_state=seed).fit_predict(table)
        return [
            float(scores.adjusted_rand_score(truth, found)),
            float(scores.adjusted_mutual_info_score(truth, found)),
        ]

    whole = torch.tensor([agreement(torch.arange(rows), seed) for seed in range(seeds)]).mean(0)
    parts = torch.tensor(
        [
            agreement(half, seeds + place)
            for place, half in enumerate(random_halves(rows, HALF_SAMPLE_REPEATS, seed=0))
        ]
    )
    ranged = [
        interval_from_halves(value, column, rows, (-1.0, 1.0))
        for value, column in zip(whole.tolist(), parts.T, strict=True)
    ]
    return Clustering(*ranged, n_clusters=number)


def separation(
    model: VAE,
    train: Rows,
    held_out: Rows,
    *,
    neighbours: int = 5,
    full: bool = True,
    seed: int = 0,
) -> Separation:
    """How well classes are told apart by the codes of held-out rows, with those of labelled training rows to compare with.

    Codes are means of the posterior, and for ``drawn`` one draw for each row: neighbours do not see how small codes are, so means that
    move by a thousandth of the posterior's noise still tell classes, and draws do not. ``everything`` is the probe and the clusters, too,
    which need scikit-learn. Raises ``DataError`` for rows without labels, or with a single class.

    >>> from aevb import data, likelihoods, networks, posteriors, priors
    >>> digits = data.load("digits")
    >>> likelihood = likelihoods.DiscretisedLogistic(networks.MLP(2, [8]), (8, 8), levels=17)
    >>> model = VAE(priors.Normal(2), posteriors.Normal(networks.MLP(64, [8]), 2), likelihood)
    >>> found = separation(model, digits.train, digits.test)
    >>> found.classes, found.rows, 0.05 < found.chance < 0.2
    (10, 180, True)
    """
    for name, rows in (("train", train), ("held_out", held_out)):
        if rows.labels is None:
            raise DataError(f"`{name}` has no labels to tell apart; load the data with labels=...")
    sets = [_rows_with_labels(rows) for rows in (train, held_out)]
    known, asked = (
        _LabelledLatents(posterior_means(model, rows).double(), _to_class_numbers(rows.labels))
        for rows in sets
    )
    with seeded_evaluation(model, seed):
        drawn = [encode(model, rows.to(model.device), rows.context, sample=True) for rows in sets]
    classes = _count_classes(known)
    both = known.z, known.labels, asked.z, asked.labels
    nearest = min(neighbours, len(known.z))
    largest = torch.bincount(known.labels).argmax()
    return Separation(
        neighbour_accuracy=neighbour_accuracy(*both, neighbours=nearest),
        sampled_neighbour_accuracy=neighbour_accuracy(
            drawn[0], known.labels, drawn[1], asked.labels, neighbours=nearest
        ),
        probe_accuracy=none_if_not_installed(lambda: probe_accuracy(*both)) if full else None,
        clustering=none_if_not_installed(lambda: clustering(asked.z, asked.labels, classes))
        if full and classes <= len(asked.z) // 2 and len(asked.labels.unique()) > 1
        else None,
        chance_level=(asked.labels == largest).double().mean().item(),
        n_classes=classes,
        n_rows=len(asked.z),
    )


@dataclass(frozen=True)
class _LabelledLatents:
    z: Tensor  # [N, latent] float64
    labels: Tensor  # [N] int64


def _to_labelled_latents(z: Any, labels: Any, name: str) -> _LabelledLatents:
    table, classes = torch.as_tensor(z).detach().cpu().double(), _to_class_numbers(labels)
    if not len(table):
        raise DataError(f"`{name}` has no rows: give at least one.")
    table = table.reshape(len(table), -1)
    if len(table) != len(classes):
        raise DataError(
            f"`{name}` has {format_count(len(table), 'row')} and {format_count(len(classes), 'label')}: give one label per row."
        )
    if not table.isfinite().all():
        raise DataError(f"`{name}` holds NaN or infinity; encode rows that the model can take.")
    return _LabelledLatents(table, classes)


def _check_same_width(reference: _LabelledLatents, query: _LabelledLatents) -> None:
    if reference.z.shape[1] != query.z.shape[1]:
        raise DataError(
            f"`codes` has {format_count(reference.z.shape[1], 'latent variable')} and `held_out` {query.z.shape[1]}: give codes of one model."
        )


def _vote_of_neighbours(
    reference: _LabelledLatents, query_z: Tensor, subsets: Sequence[Tensor], neighbours: int
) -> Tensor:
    """The class that most of the nearest codes name ``[sets, n]``, among those of each set of row numbers."""
    rows = len(reference.z)
    # of half of the codes the nearest few are, all but surely, among eight times as many of all
    near = torch.cdist(query_z, reference.z).topk(min(rows, 8 * neighbours), largest=False).indices
    votes = F.one_hot(reference.labels[near], int(reference.labels.max()) + 1)  # [n, near, classes]
    named = []
    for part in subsets:
        there = torch.zeros(rows, dtype=torch.bool).index_fill_(0, part, True)[near]
        counted = there & (there.cumsum(1) <= neighbours)
        named.append((votes * counted[..., None]).sum(1).argmax(1))
    return torch.stack(named)


def _rows_with_labels(rows: Rows) -> Rows:
    """The rows whose class somebody knows."""
    return (
        rows
        if rows.labels is None or (rows.labels >= 0).all()
        else rows.subset((rows.labels >= 0).nonzero()[:, 0])
    )


def _to_class_numbers(labels: Any) -> Tensor:
    """Labels as int64 ``[N]``. Raises ``DataError`` for what is no class number."""
    try:
        given = torch.as_tensor(labels).detach().cpu().reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError(
            "labels are class numbers; turn names into numbers, as numpy.unique(labels, return_inverse=True) does."
        ) from error
    classes = given.long()
    odd = given[(classes != given) | (classes < 0) | (classes > MAX_CLASS_NUMBER)]
    if len(odd):
        raise DataError(
            f"a label is {odd[0].item():g}, and classes are whole numbers from 0 to {MAX_CLASS_NUMBER:,}; leave out rows of unknown class, and number "
            "the classes, as numpy.unique(labels, return_inverse=True) does."
        )
    return classes


def _count_classes(labelled: _LabelledLatents) -> int:
    """The number of classes. Raises ``DataError`` for one."""
    classes = labelled.labels.unique()
    if len(classes) < 2:
        raise DataError(
            f"all {format_count(len(labelled.labels), 'label')} are of one class, which cannot be told apart; give rows of at least 2."
        )
    return len(classes)
