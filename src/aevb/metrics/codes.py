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
from ..data.words import count
from ..errors import ArgumentError, DataError
from ..inference import encode
from ..models import VAE
from .latent import encodings
from .optional import scikit, where_installed
from .ranged import REPEATS, Ranged, from_halves, halves, share, summed
from .sweep import evaluating

BLOCK = 2048  # held-out rows whose neighbours are looked for at once
MOST = 100_000  # the largest class number


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

    Codes ``[N, latent]`` and ``[M, latent]``, labels ``[N]`` and ``[M]``, whole numbers. The interval has the noise of the held-out rows
    and that of the codes, from random halves of these; drawn again with repetition, neighbours would come in copies.

    Raises ``DataError`` for labels of a single class, ``ArgumentError`` for more neighbours than codes.

    >>> codes = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    >>> neighbour_accuracy(codes, [0, 0, 1, 1], [[0.2], [4.9]], [0, 1], neighbours=1).value
    1.0
    """
    known, asked = _labelled(codes, labels, "codes"), _labelled(held_out, held_out_labels, "held_out")
    _check(known)
    if not 1 <= neighbours <= len(known.codes):
        raise ArgumentError(f"`neighbours` is {neighbours}; give a number from 1 to {len(known.codes)}, that of the codes.")
    _same_width(known, asked)
    rows = len(known.codes)
    sets = [torch.arange(rows), *(halves(rows, REPEATS, seed=0) if rows >= 4 * neighbours else ())]
    hits = torch.cat([_named(known, part, sets, neighbours) for part in asked.codes.split(BLOCK)], 1) == asked.labels
    found = share(hits[0])
    return found if len(sets) == 1 else summed(found, from_halves(found.value, hits[1:].double().mean(1), rows), bounds=(0.0, 1.0))


def probe_accuracy(codes: Any, labels: Any, held_out: Any, held_out_labels: Any) -> Ranged:
    """Share of held-out rows whose class a logistic regression on the standardised codes names. Alain and Bengio (2017).

    Needs scikit-learn. Raises ``DataError`` for labels of a single class.
    """
    linear = scikit("linear_model", "a linear probe")
    known, asked = _labelled(codes, labels, "codes"), _labelled(held_out, held_out_labels, "held_out")
    _check(known)
    _same_width(known, asked)
    mean, scale = known.codes.mean(0), known.codes.std(0).clamp(min=1e-12)
    model = linear.LogisticRegression(max_iter=1000).fit(((known.codes - mean) / scale).numpy(), known.labels.numpy())
    return share(torch.from_numpy(model.predict(((asked.codes - mean) / scale).numpy())) == asked.labels)


def clustering(codes: Any, labels: Any, clusters: int | None = None, *, seeds: int = 5) -> Clustering:
    """Agreement of labels with clusters of codes by k-means, as many as there are classes by default.

    The value is the mean over ``seeds`` of where the clusters begin; the interval comes from random halves of the codes, each with a
    beginning of its own.

    Hubert and Arabie, Comparing partitions (1985); Vinh, Epps and Bailey, Information theoretic measures for clusterings comparison (2010).
    Needs scikit-learn. Raises ``DataError`` for labels of a single class, ``ArgumentError`` for more clusters than half of the codes.
    """
    cluster, scores = (scikit(module, "clustering of codes") for module in ("cluster", "metrics"))
    known = _labelled(codes, labels, "codes")
    classes, rows = _check(known), len(known.codes)
    number = classes if clusters is None else clusters
    for name, value, most in (("clusters", number, rows // 2), ("seeds", seeds, math.inf)):
        if not 1 <= value <= most:
            raise ArgumentError(f"`{name}` is {value}; give 1 or more" + (f", at most half of the {rows} codes." if value > most else "."))

    def agreement(part: Tensor, seed: int) -> list[float]:
        table, truth = known.codes[part].numpy(), known.labels[part].numpy()
        found = cluster.KMeans(number, n_init=1, random_state=seed).fit_predict(table)
        return [float(scores.adjusted_rand_score(truth, found)), float(scores.adjusted_mutual_info_score(truth, found))]

    whole = torch.tensor([agreement(torch.arange(rows), seed) for seed in range(seeds)]).mean(0)
    parts = torch.tensor([agreement(half, seeds + place) for place, half in enumerate(halves(rows, REPEATS, seed=0))])
    ranged = [from_halves(value, column, rows, (-1.0, 1.0)) for value, column in zip(whole.tolist(), parts.T, strict=True)]
    return Clustering(*ranged, clusters=number)


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
        clustering=where_installed(lambda: clustering(asked.codes, asked.labels, classes))
        if everything and classes <= len(asked.codes) // 2 and len(asked.labels.unique()) > 1
        else None,
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
    if not len(table):
        raise DataError(f"`{name}` has no rows: give at least one.")
    table = table.reshape(len(table), -1)
    if len(table) != len(classes):
        raise DataError(f"`{name}` has {count(len(table), 'row')} and {count(len(classes), 'label')}: give one label per row.")
    if not table.isfinite().all():
        raise DataError(f"`{name}` holds NaN or infinity; encode rows that the model can take.")
    return _Labelled(table, classes)


def _same_width(known: _Labelled, asked: _Labelled) -> None:
    if known.codes.shape[1] != asked.codes.shape[1]:
        raise DataError(
            f"`codes` has {count(known.codes.shape[1], 'latent variable')} and `held_out` {asked.codes.shape[1]}: give codes of one model."
        )


def _named(known: _Labelled, asked: Tensor, sets: Sequence[Tensor], neighbours: int) -> Tensor:
    """The class that most of the nearest codes name ``[sets, n]``, among those of each set of row numbers."""
    rows = len(known.codes)
    # of half of the codes the nearest few are, all but surely, among eight times as many of all
    near = torch.cdist(asked, known.codes).topk(min(rows, 8 * neighbours), largest=False).indices
    votes = F.one_hot(known.labels[near], int(known.labels.max()) + 1)  # [n, near, classes]
    named = []
    for part in sets:
        there = torch.zeros(rows, dtype=torch.bool).index_fill_(0, part, True)[near]
        counted = there & (there.cumsum(1) <= neighbours)
        named.append((votes * counted[..., None]).sum(1).argmax(1))
    return torch.stack(named)


def _of_known_class(rows: Rows) -> Rows:
    """The rows whose class somebody knows."""
    return rows if rows.labels is None or (rows.labels >= 0).all() else rows.subset((rows.labels >= 0).nonzero()[:, 0])


def _classes(labels: Any) -> Tensor:
    """Labels as int64 ``[N]``. Raises ``DataError`` for what is no class number."""
    try:
        given = torch.as_tensor(labels).detach().cpu().reshape(-1)
    except (TypeError, ValueError) as error:
        raise DataError("labels are class numbers; turn names into numbers, as numpy.unique(labels, return_inverse=True) does.") from error
    classes = given.long()
    odd = given[(classes != given) | (classes < 0) | (classes > MOST)]
    if len(odd):
        raise DataError(
            f"a label is {odd[0].item():g}, and classes are whole numbers from 0 to {MOST:,}; leave out rows of unknown class, and number "
            "the classes, as numpy.unique(labels, return_inverse=True) does."
        )
    return classes


def _check(known: _Labelled) -> int:
    """The number of classes. Raises ``DataError`` for one."""
    classes = known.labels.unique()
    if len(classes) < 2:
        raise DataError(f"all {count(len(known.labels), 'label')} are of one class, which cannot be told apart; give rows of at least 2.")
    return len(classes)
