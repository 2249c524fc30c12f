"""What codes tell about labels that the model has not seen: classes that lie apart are found by neighbours, by planes, by clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..data import Rows
from ..data.words import count
from ..errors import ArgumentError, DataError
from ..inference import encode
from ..models import VAE
from .latent import encodings
from .optional import scikit, where_installed
from .ranged import Ranged, over_seeds, share
from .sweep import evaluating

BLOCK = 2048  # held-out rows whose neighbours are looked for at once


@dataclass(frozen=True)
class Clustering:
    """How well clusters of codes agree with labels: 1 is agreement, 0 what chance gives (adjusted for it)."""

    adjusted_rand: Ranged
    mutual_information: Ranged  # adjusted
    clusters: int


@dataclass(frozen=True)
class Separation:
    """How well classes are told apart by codes of held-out data; ``chance`` is the accuracy of always naming the largest class."""

    neighbours: Ranged  # of posterior means
    drawn: Ranged  # the same of draws from the posterior
    probe: Ranged | None  # None where scikit-learn is not installed
    clustering: Clustering | None
    chance: float
    classes: int
    rows: int  # held-out


def neighbour_accuracy(codes: Any, labels: Any, held_out: Any, held_out_labels: Any, neighbours: int = 5) -> Ranged:
    """Share of held-out rows whose class most of their nearest ``neighbours`` among the codes have; of a draw the smallest class.

    Codes ``[N, latent]`` and ``[M, latent]``, labels ``[N]`` and ``[M]``. The interval is over held-out rows; with the codes drawn again
    with repetition, neighbours would come in copies.

    Raises ``DataError`` for labels of a single class and for fewer codes than neighbours.

    >>> codes = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> neighbour_accuracy(codes, [0, 0, 1, 1], [[0.2], [4.9]], [0, 1], neighbours=1).value
    1.0
    """
    known, asked = _labelled(codes, labels, "codes"), _labelled(held_out, held_out_labels, "held_out")
    _check(known)
    if not 1 <= neighbours <= len(known.codes):
        raise ArgumentError(f"`neighbours` is {neighbours}; give a number from 1 to {len(known.codes)}, that of the codes.")
    near = torch.cat([torch.cdist(part, known.codes).topk(neighbours, largest=False).indices for part in asked.codes.split(BLOCK)])
    votes = F.one_hot(known.labels[near], int(known.labels.max()) + 1).sum(1)
    return share(votes.argmax(1) == asked.labels)


def probe_accuracy(codes: Any, labels: Any, held_out: Any, held_out_labels: Any) -> Ranged:
    """Share of held-out rows whose class a logistic regression on the standardised codes names. Alain and Bengio (2017).

    Needs scikit-learn. Raises ``DataError`` for labels of a single class.
    """
    linear = scikit("linear_model", "a linear probe")
    known, asked = _labelled(codes, labels, "codes"), _labelled(held_out, held_out_labels, "held_out")
    _check(known)
    mean, scale = known.codes.mean(0), known.codes.std(0).clamp(min=1e-12)
    model = linear.LogisticRegression(max_iter=1000).fit(((known.codes - mean) / scale).numpy(), known.labels.numpy())
    return share(torch.from_numpy(model.predict(((asked.codes - mean) / scale).numpy())) == asked.labels)


def clustering(codes: Any, labels: Any, clusters: int | None = None, *, seeds: int = 5) -> Clustering:
    """Agreement of labels with clusters of codes by k-means, as many as there are classes by default; over seeds of its beginning.

    Hubert and Arabie, Comparing partitions (1985); Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison (2010).
    Needs scikit-learn. Raises ``DataError`` for labels of a single class.
    """
    cluster, scores = (scikit(module, "clustering of codes") for module in ("cluster", "metrics"))
    known = _labelled(codes, labels, "codes")
    number = clusters or _check(known)
    table, truth = known.codes.numpy(), known.labels.numpy()
    found = [cluster.KMeans(number, n_init=1, random_state=seed).fit_predict(table) for seed in range(seeds)]
    return Clustering(
        over_seeds([float(scores.adjusted_rand_score(truth, part)) for part in found]),
        over_seeds([float(scores.adjusted_mutual_info_score(truth, part)) for part in found]),
        number,
    )


def separation(model: VAE, train: Rows, held_out: Rows, *, neighbours: int = 5, everything: bool = True, seed: int = 0) -> Separation:
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
    sets = [_of_known_class(rows) for rows in (train, held_out)]
    known, asked = (_Labelled(encodings(model, rows).double(), _classes(rows.labels)) for rows in sets)
    with evaluating(model, seed):
        drawn = [encode(model, rows.to(model.device), rows.context, sample=True) for rows in sets]
    classes = _check(known)
    both = known.codes, known.labels, asked.codes, asked.labels
    nearest = min(neighbours, len(known.codes))
    largest = torch.bincount(known.labels).argmax()
    return Separation(
        neighbours=neighbour_accuracy(*both, neighbours=nearest),
        drawn=neighbour_accuracy(drawn[0], known.labels, drawn[1], asked.labels, neighbours=nearest),
        probe=where_installed(lambda: probe_accuracy(*both)) if everything else None,
        clustering=where_installed(lambda: clustering(asked.codes, asked.labels, min(classes, len(asked.codes)))) if everything else None,
        chance=(asked.labels == largest).double().mean().item(),
        classes=classes,
        rows=len(asked.codes),
    )


@dataclass(frozen=True)
class _Labelled:
    codes: Tensor  # [N, latent] float64
    labels: Tensor  # [N] int64


def _labelled(codes: Any, labels: Any, name: str) -> _Labelled:
    table, classes = torch.as_tensor(codes).detach().cpu().double(), _classes(labels)
    table = table.reshape(len(table), -1)
    if len(table) != len(classes):
        raise DataError(f"`{name}` has {count(len(table), 'row')} and {count(len(classes), 'label')}: give one label per row.")
    return _Labelled(table, classes)


def _of_known_class(rows: Rows) -> Rows:
    """The rows whose class somebody knows."""
    return rows if rows.labels is None or (rows.labels >= 0).all() else rows.subset((rows.labels >= 0).nonzero()[:, 0])


def _classes(labels: Any) -> Tensor:
    return torch.as_tensor(labels).detach().cpu().long().reshape(-1)


def _check(known: _Labelled) -> int:
    """The number of classes. Raises ``DataError`` for one."""
    classes = known.labels.unique()
    if len(classes) < 2:
        raise DataError(f"all {count(len(known.labels), 'label')} are of one class, which cannot be told apart; give rows of at least 2.")
    return len(classes)
