"""Separation of classes equals plain loops over neighbours, probes and clusters."""

import math
from collections import Counter

import numpy
import pytest
import scipy.stats
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score
from tests.linear import linear_vae, set_posterior

from aevb import metrics
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError
from aevb.inference import encode
from aevb.inference._batches import seeded_evaluation
from aevb.metrics import _class_separation as separation
from aevb.metrics._intervals import interval_from_halves, random_halves

CENTRES = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 2.0]], dtype=torch.float64)


def classes(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (rows,), generator=generator)
    noise = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    return CENTRES[labels] + noise * torch.tensor([1.0, 0.5]), labels


def ends(interval):
    return interval.value, interval.low, interval.high


def wilson(hits, rows):
    interval = scipy.stats.binomtest(int(hits), rows).proportion_ci(method="wilson")
    return hits / rows, interval.low, interval.high


def vote(z, labels, query, neighbours):
    """The most frequent class of the nearest rows, the smallest of equally frequent ones."""
    distance = ((query[:, None] - z) ** 2).sum(2)
    found = []
    for row in distance.argsort(1)[:, :neighbours]:
        counts = Counter(labels[row].tolist())
        found.append(max(sorted(counts), key=counts.__getitem__))
    return numpy.array(found)


@pytest.mark.parametrize("block", [7, 2048])
@pytest.mark.parametrize(
    "rows, neighbours", [(31, 1), (31, 8), (32, 8), (31, 31), (83, 2), (83, 3), (20, 5)]
)
def test_votes_of_neighbours(rows, neighbours, block, monkeypatch):
    """Halves of the reference rows have the neighbours for a vote from four times as many rows."""
    monkeypatch.setattr(separation, "NEIGHBOUR_BLOCK_SIZE", block)
    (z, labels), (query, truth) = classes(rows, 1), classes(23, 2)
    predicted = vote(z.numpy(), labels.numpy(), query.numpy(), neighbours)
    value, low, high = wilson((predicted == truth.numpy()).sum(), 23)
    if rows >= 4 * neighbours:
        shares = [
            (
                vote(z[half].numpy(), labels[half].numpy(), query.numpy(), neighbours)
                == truth.numpy()
            ).mean()
            for half in random_halves(rows, 20, 0)
        ]
        own = interval_from_halves(value, torch.tensor(shares), rows)
        low = max(0.0, value - math.hypot(value - low, value - own.low))
        high = min(1.0, value + math.hypot(high - value, own.high - value))
    result = metrics.knn_accuracy(z, labels, query, truth, neighbours=neighbours)
    assert ends(result) == pytest.approx((value, low, high), rel=1e-9)


def test_five_neighbours_vote_by_default():
    (z, labels), (query, truth) = classes(31, 1), classes(23, 2)
    five = metrics.knn_accuracy(z, labels, query, truth, neighbours=5)
    assert metrics.knn_accuracy(z, labels, query, truth) == five


@pytest.mark.parametrize(
    "change, error",
    [
        ({"neighbours": 0}, ArgumentError),
        ({"neighbours": 7}, ArgumentError),
        ({"labels": [2] * 6}, DataError),
        ({"labels": [0, 1]}, DataError),
        ({"labels": [0, 1, 0, 1, 0, 0.5]}, DataError),
        ({"labels": [0, 1, 0, 1, 0, -1]}, DataError),
        ({"labels": [0, 1, 0, 1, 0, 100_001]}, DataError),
        ({"labels": list("abcabc")}, DataError),
        ({"z": torch.zeros(6, 3)}, DataError),
        ({"z": torch.tensor([[math.inf, 0.0]] + [[0.0, 1.0]] * 5)}, DataError),
        ({"held_out_z": torch.zeros(0, 2), "held_out_labels": []}, DataError),
        ({"held_out_labels": [0, 1, 2]}, DataError),
    ],
)
def test_limits_of_neighbours_and_labels(change, error):
    good = {
        "z": torch.arange(12).reshape(6, 2),
        "labels": [0, 0, 0, 1, 1, 1],
        "held_out_z": torch.tensor([[0, 1], [10, 11]]),
        "held_out_labels": [0, 1],
        "neighbours": 1,
    }
    assert metrics.knn_accuracy(**good).value == 1
    with pytest.raises(error):
        metrics.knn_accuracy(**good | change)


def test_class_numbers_up_to_100_000():
    assert separation._to_class_numbers([0, 3.0, 100_000]).tolist() == [0, 3, 100_000]
    assert separation._to_class_numbers(torch.tensor([[1], [2]])).tolist() == [1, 2]


def test_linear_probe_of_standardised_latents():
    (z, labels), (query, truth) = classes(31, 1), classes(23, 2)
    scale = torch.tensor([1e-3, 50.0])
    mean, deviation = z.numpy().mean(0), z.numpy().std(0, ddof=1)
    model = LogisticRegression(max_iter=1000).fit((z.numpy() - mean) / deviation, labels.numpy())
    hits = (model.predict((query.numpy() - mean) / deviation) == truth.numpy()).sum()
    result = metrics.linear_probe_accuracy(z * scale, labels, query * scale, truth)
    assert ends(result) == pytest.approx(wilson(hits, 23))
    constant = torch.cat([z, torch.ones(31, 1)], 1), torch.cat([query, torch.ones(23, 1)], 1)
    assert metrics.linear_probe_accuracy(constant[0], labels, constant[1], truth) == result
    with pytest.raises(DataError):
        metrics.linear_probe_accuracy(z, labels, query[:, :1], truth)


@pytest.mark.parametrize("clusters, seeds", [(None, 2), (2, 1), (10, 3)])
def test_agreement_of_clusters(clusters, seeds):
    z, labels = classes(21, 3)
    number = 3 if clusters is None else clusters

    def agreement(rows, seed):
        assigned = KMeans(number, n_init=1, random_state=seed).fit_predict(z[rows].numpy())
        truth = labels[rows].numpy()
        return adjusted_rand_score(truth, assigned), adjusted_mutual_info_score(truth, assigned)

    means = numpy.mean([agreement(torch.arange(21), seed) for seed in range(seeds)], 0)
    halves = [agreement(half, seeds + index) for index, half in enumerate(random_halves(21, 20, 0))]
    result = metrics.clustering(z, labels, clusters, seeds=seeds)
    found = result.adjusted_rand_index, result.adjusted_mutual_information
    for interval, value, column in zip(found, means, numpy.transpose(halves), strict=True):
        expected = interval_from_halves(value, torch.tensor(column), 21, (-1.0, 1.0))
        assert ends(interval) == pytest.approx(ends(expected), rel=1e-5, abs=1e-6)  # float32
    assert result.n_clusters == number


@pytest.mark.parametrize("options", [{"clusters": 0}, {"clusters": 11}, {"seeds": 0}])
def test_limits_of_clusters(options):
    with pytest.raises(ArgumentError) as caught:
        metrics.clustering(*classes(21, 3), **options)
    assert (caught.value.argument, caught.value.value) == next(iter(options.items()))


def labelled_rows(rows, seed, unlabelled):
    x, labels = classes(rows, seed)
    labels[:unlabelled] = -1
    return Rows(torch.cat([x, x[:, :1]], 1).float(), labels=labels)


@pytest.fixture
def model():
    vae = linear_vae(torch.randn(3, 2), torch.zeros(3), 1.0)
    gain = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    set_posterior(vae, gain, torch.zeros(2), torch.tensor([0.9, 0.6]))
    return vae


@pytest.mark.parametrize("unlabelled", [0, 4])
@pytest.mark.parametrize("full", [True, False])
def test_class_separation_is_of_labelled_rows(model, unlabelled, full):
    train, held_out = (labelled_rows(33, 1, unlabelled), labelled_rows(24, 2, unlabelled))
    kept = [rows.subset((rows.labels >= 0).nonzero()[:, 0]) for rows in (train, held_out)]
    with seeded_evaluation(model, 7):
        draws = [encode(model, rows, sample=True) for rows in kept]
    (z, query), (labels, truth) = (
        [rows.tensor()[:, :2].double() for rows in kept],
        [rows.labels for rows in kept],
    )
    result = metrics.class_separation(model, train, held_out, neighbours=3, full=full, seed=7)
    assert ends(result.knn_accuracy) == pytest.approx(
        ends(metrics.knn_accuracy(z, labels, query, truth, 3))
    )
    assert ends(result.knn_accuracy_sampled) == pytest.approx(
        ends(metrics.knn_accuracy(draws[0], labels, draws[1], truth, 3))
    )
    largest = Counter(labels.tolist()).most_common(1)[0][0]
    assert result.chance_level == pytest.approx((truth == largest).double().mean().item())
    assert (result.n_classes, result.n_rows) == (3, 24 - unlabelled)
    assert (result.linear_probe_accuracy is None) == (result.clustering is None) == (not full)
    if full:
        assert result.linear_probe_accuracy == metrics.linear_probe_accuracy(
            z, labels, query, truth
        )
        assert result.clustering.n_clusters == 3


@pytest.mark.parametrize(
    "labels, clusters",
    [([0, 1, 2, 0, 1, 2], 3), ([0, 1] * 3, 3), ([0, 1, 2, 0, 1], None), ([1] * 6, None)],
)
def test_clusters_need_two_rows_for_each(model, labels, clusters):
    train = Rows(torch.randn(4, 3), labels=torch.tensor([0, 1, 2, 2]))
    held_out = Rows(torch.randn(len(labels), 3), labels=torch.tensor(labels))
    result = metrics.class_separation(model, train, held_out)  # five neighbours, of four rows
    assert (result.clustering and result.clustering.n_clusters) == clusters
    assert result.linear_probe_accuracy is not None
    assert result.chance_level == labels.count(2) / len(labels)


def test_unlabelled_rows_are_refused(model):
    labelled, bare = labelled_rows(9, 1, 0), Rows(torch.randn(5, 3))
    for pair in ((labelled, bare), (bare, labelled)):
        with pytest.raises(DataError):
            metrics.class_separation(model, *pair)
