"""Quality of a model: which features, rows and metrics are used, at every limit."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from tests.linear import linear_vae, set_posterior

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Rows, Spec
from aevb.inference import sample
from aevb.inference._batches import seeded_evaluation
from aevb.metrics import _quality as qualities

TABLE = Spec("table", (3,), "real", "normal", "mlp")
IMAGE = Spec("image", (8, 8), "unit", "normal", "mlp")


def rows_of(count, columns=3, seed=0, labels=None):
    x = torch.randn(count, columns, generator=torch.Generator().manual_seed(seed))
    return Rows(x * torch.arange(1.0, columns + 1), labels=labels)


def linear_model():
    torch.manual_seed(0)
    model = linear_vae(torch.randn(3, 2), torch.zeros(3), 0.5)
    gain = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    set_posterior(model, gain, torch.zeros(2), torch.tensor([0.9, 0.6]))
    return model


# features


@pytest.mark.parametrize(
    "asked, side, rows, expected",
    [
        (None, 8, 128, "pixels"),
        (None, 8, 127, 31),  # 64 values are more than half of 127 rows
        (None, 9, 1000, 64),  # 81 values are more than 64
        (None, 9, 100, 25),
        (None, 9, 12, 3),
        (None, 3, 7, 2),
        ("pixels", 9, 12, "pixels"),
        ("pca", 9, 12, 64),
        ("pca", 3, 300, 9),
        ("standardised", 8, 300, "standardised values"),
    ],
)
def test_features_of_images(asked, side, rows, expected):
    spec, train = replace(IMAGE, event_shape=(side, side)), torch.rand(150, side, side)
    found = qualities._select_features(asked, spec, Rows(train), rows)
    name = f"{expected} principal components" if isinstance(expected, int) else expected
    assert found.name == name


@pytest.mark.parametrize(
    "asked, columns, rows, expected",
    [
        (None, 6, 12, "standardised values"),
        (None, 7, 12, 3),
        (None, 7, 13, 3),
        (None, 7, 14, "standardised values"),
        (None, 70, 300, "standardised values"),
        ("pixels", 7, 12, "pixels"),
        ("pca", 7, 12, 7),
    ],
)
def test_features_of_tables(asked, columns, rows, expected):
    spec = replace(TABLE, event_shape=(columns,))
    found = qualities._select_features(asked, spec, rows_of(150, columns), rows)
    name = f"{expected} principal components" if isinstance(expected, int) else expected
    assert found.name == name


def test_images_are_in_units_of_their_range_and_columns_of_their_deviations():
    levels = replace(IMAGE, support="levels", levels=17)
    found = qualities._select_features("pixels", levels, Rows(torch.rand(20, 8, 8)), 20)
    x = torch.rand(3, 8, 8)
    assert torch.allclose(found(x), x.flatten(1).double() / 16)
    train = rows_of(150, 7)
    found = qualities._select_features(None, replace(TABLE, event_shape=(7,)), train, 12)
    other = metrics.pca_features(train, 3, unit=qualities._element_deviations(train))
    assert torch.equal(found(train), other(train))


@pytest.mark.parametrize(
    "support, levels, expected",
    [
        ("binary", None, 1.0),
        ("unit", None, 1.0),
        ("levels", 17, 16.0),
        ("levels", None, 255.0),
        ("real", None, None),
    ],
)
def test_range_of_the_data(support, levels, expected):
    assert qualities._data_range(replace(IMAGE, support=support, levels=levels)) == expected


def test_deviations_of_observed_cells():
    x = torch.tensor([[1.0, 5.0, math.nan], [2.0, 5.0, math.nan], [6.0, math.nan, math.nan]])
    found = qualities._element_deviations(Rows(x))
    assert found.tolist() == pytest.approx([numpy.std([1.0, 2.0, 6.0]), 1.0, 1.0])


def test_rows_without_missing_cells_of_more_than_a_block():
    x = torch.zeros(4099, 2)
    rows = Rows(x)
    assert qualities._complete_rows(rows) is rows
    x[0, 1], x[4095, 0], x[4097] = math.nan, math.nan, math.nan
    x[:, 1] += torch.arange(4099.0)
    kept = [index for index in range(4099) if index not in (0, 4095, 4097)]
    assert qualities._complete_rows(Rows(x)).tensor()[:, 1].tolist() == kept


@pytest.mark.parametrize("most, count", [(8, 8), (9, 9), (10, 9)])
def test_random_subset(most, count):
    rows = Rows(torch.arange(9.0)[:, None])
    found = qualities._random_subset(rows, most, 3).tensor()[:, 0].long()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    assert found.tolist() == (list(range(9)) if most >= 9 else order[:most].tolist())
    assert len(found) == count


@pytest.mark.parametrize(
    "train, held_out, complete, skipped",
    [(12, 12, 12, False), (30, 30, 11, True), (11, 30, 11, True), (30, 11, 11, True)],
)
def test_twelve_rows_are_compared_with_samples(train, held_out, complete, skipped):
    model = linear_model()
    reason = qualities._samples_skipped_reason(model, rows_of(train), rows_of(held_out), complete)
    assert (reason is not None) == skipped
    if skipped:  # the numbers that decide
        numbers = {int(word) for word in reason.replace(",", "").split() if word.isdigit()}
        few = {complete} if min(train, held_out) >= 12 else {train, held_out}
        assert few <= numbers


# everything together


@pytest.mark.parametrize(
    "is_table, rows, tested",
    [
        (True, (20, 20), True),
        (True, (19, 20), False),
        (True, (20, 19), False),
        (False, (20, 20), False),
    ],
)
def test_comparison_of_samples(is_table, rows, tested):
    a, b = (rows_of(count, seed=seed).tensor() for seed, count in enumerate(rows))
    features = metrics.pixel_features(2.0)
    found = qualities.compare_samples(a, b, features, is_table=is_table, seed=4)
    assert found.frechet_distance == metrics.frechet_distance(a, b, features, seed=4)
    assert found.kernel_distance == metrics.kernel_distance(a, b, features, seed=4)
    assert found.precision_recall == metrics.precision_recall(a, b, features, seed=4)
    expected = metrics.classifier_test(a, b, seed=4) if tested else None
    assert found.classifier_test == expected


def test_quality_collects_each_metric(monkeypatch):
    calls = []
    monkeypatch.setattr(
        qualities, "class_separation", lambda *args, **options: calls.append((args, options))
    )
    model, labels = linear_model(), torch.arange(26) % 3
    train, held_out = rows_of(40, labels=torch.arange(40) % 3), rows_of(26, seed=1, labels=labels)
    result = metrics.quality(model, train, held_out, TABLE, seed=5)
    units = train.tensor().double().std(0, correction=0)
    assert result.n_rows == 26 and result.samples_skipped_reason is None
    expected = metrics.reconstruction_quality(model, held_out, units=units)
    assert result.reconstruction.squared_error.value == pytest.approx(
        expected.squared_error.value, rel=1e-6
    )
    assert result.reconstruction.psnr is None
    features = metrics.standardised_features(train)
    with seeded_evaluation(model, 5):
        drawn = sample(model, 26)
    options = {"is_table": True, "seed": 5}
    generated = qualities.compare_samples(held_out, drawn, features, **options)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))[:26]
    baseline = qualities.compare_samples(held_out, train.subset(order), features, **options)
    for found, other in ((result.generated, generated), (result.training_baseline, baseline)):
        assert found.frechet_distance.distance == other.frechet_distance.distance
        assert found.kernel_distance.distance == other.kernel_distance.distance
        assert found.precision_recall.recall == other.precision_recall.recall
        assert found.classifier_test == other.classifier_test
    (separated, separation_options) = calls[0]
    assert (separated[0], len(separated[1]), len(separated[2])) == (model, 40, 26)
    assert separation_options == {"full": True, "seed": 5}
    z = held_out.tensor().double()[:, :2] * torch.tensor([1.0, 0.5])
    assert result.total_correlation.plug_in.value == pytest.approx(
        metrics.total_correlation(z).plug_in.value, rel=1e-5
    )
    assert result.disentanglement is result.disentanglement_chance_level is None
    quick = metrics.quality(model, train, held_out, TABLE, seed=5, full=False)
    assert quick.generated.classifier_test is None and calls[1][1]["full"] is False


@pytest.mark.parametrize("rows, known", [(15, False), (16, True)])
def test_total_correlation_of_four_times_as_many_rows(rows, known):
    """Two variables and two rows more in each of four groups."""
    result = metrics.quality(linear_model(), rows_of(20), rows_of(rows, seed=1), TABLE)
    assert (result.total_correlation is not None) == known
    assert result.class_separation is None and result.generated is not None


@pytest.mark.parametrize(
    "train, held_out, separated",
    [
        ([0, 1, 0], [1, 1, 0], True),
        ([0, 0, 0], [1, 1, 0], False),
        ([0, 1, 0], [1, -1, 1], False),
        (None, [1, 1, 0], False),
        ([0, 1, 0], None, False),
    ],
)
def test_class_separation_needs_two_classes_in_both_sets(train, held_out, separated):
    sets = [
        rows_of(3, seed=seed, labels=None if labels is None else torch.tensor(labels))
        for seed, labels in enumerate((train, held_out))
    ]
    result = metrics.quality(linear_model(), *sets, TABLE, full=False)
    assert (result.class_separation is not None) == separated
    assert result.generated is result.training_baseline is result.total_correlation is None


def test_disentanglement_has_a_chance_level(monkeypatch):
    """The scores of the latents, and those of the latents of other rows."""
    factors, calls = torch.stack([torch.arange(40) % 2, torch.arange(40) // 20], 1), []

    def record(z, factors, **options):
        calls.append((z, factors, options))
        return len(calls)

    monkeypatch.setattr(qualities, "disentanglement", record)
    held_out, model = rows_of(40, seed=1), linear_model()
    result = metrics.quality(
        model, rows_of(5), held_out, TABLE, factors=factors, full=False, seed=3
    )
    assert (result.disentanglement, result.disentanglement_chance_level) == (1, 2)
    z = model.encode(held_out.tensor()).detach()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    assert torch.allclose(calls[0][0], z) and calls[0][1:] == (factors, {"seed": 3})
    assert torch.allclose(calls[1][0], z[order])
    assert calls[1][1:] == (factors, {"repeats": 2, "seed": 3})


@pytest.mark.parametrize(
    "full, columns, held_out, used",
    [
        (True, 3, 13, 20),
        (True, 4, 13, 13),
        (False, 3, 13, 13),
        (False, 3, 12, 12),
        (True, 3, 25, 25),
    ],
)
def test_number_of_training_rows(full, columns, held_out, used, monkeypatch):
    """Fewer for long rows and quick evaluations, and as many as there are held-out rows."""
    for name, value in (
        ("MAX_REFERENCE_ROWS", 20),
        ("MAX_REFERENCE_ROWS_QUICK", 12),
        ("MAX_THOROUGH_DIMENSIONS", 3),
    ):
        monkeypatch.setattr(qualities, name, value)
    seen = []

    def record(model, train, held_out, n_rows):
        seen.append((len(train), len(held_out), n_rows))
        return "enough"

    monkeypatch.setattr(qualities, "_samples_skipped_reason", record)
    model = VAE(
        priors.Normal(1),
        posteriors.Normal(networks.MLP(columns), 1),
        likelihoods.Normal(networks.MLP(1), (columns,)),
    )
    sets = rows_of(30, columns), rows_of(held_out, columns, seed=1)
    spec = replace(TABLE, event_shape=(columns,))
    metrics.quality(model, *sets, spec, full=full)
    assert seen == [(used, held_out, min(used, held_out))]


def test_records_hold_numbers_and_names():
    value = metrics.precision_recall(rows_of(12), rows_of(13, seed=1))
    record = qualities.to_record(value)
    assert record["features"] == {"name": "pixels", "sha256": value.features.digest}
    assert record["precision"]["value"] == value.precision.value
    assert record["n_generated"] == 13
    assert qualities.to_record(torch.tensor([1.0, 2.0])) == [1.0, 2.0]
    assert qualities.to_record(TABLE.name) == "table"
