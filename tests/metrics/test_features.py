"""Features equal numpy formulas, whatever the block size."""

import hashlib
import math

import numpy
import pytest
import torch
from torch import nn

from aevb import metrics
from aevb.errors import ArgumentError, DataError
from aevb.metrics import _features as features
from aevb.metrics._features import Features, as_features


def table(rows, columns, seed=0):
    """Columns of rising spread, in eighths: exact in float32, which rows are read in."""
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    return (8 * x.double() * torch.arange(1.0, columns + 1)).round() / 8


def test_values_in_units():
    x = table(5, 4)
    images = x.reshape(5, 2, 2)
    units = torch.tensor([[1.0, 2.0], [5.0, 10.0]])
    assert torch.equal(metrics.pixel_features()(images), x)
    assert torch.equal(metrics.pixel_features(4.0)(images), x / 4)
    assert torch.equal(metrics.pixel_features(units)(images), x / units.flatten())
    digests = [metrics.pixel_features(unit).digest for unit in (1.0, 4.0, units, 2 * units)]
    assert len(set(digests)) == 4 and {len(digest) for digest in digests} == {12}
    assert metrics.pixel_features().digest == hashlib.sha256(b"pixels").hexdigest()[:12]


def test_standardised_values():
    x = table(7, 3)
    x[:, 1] = 4.0
    found = as_features("standardised", x)
    expected = (x.numpy() - x.numpy().mean(0)) / [x[:, 0].numpy().std(), 1.0, x[:, 2].numpy().std()]
    numpy.testing.assert_allclose(found(x), expected, atol=1e-12)
    numpy.testing.assert_allclose(found(x[2:4]), expected[2:4], atol=1e-12)
    assert found.digest != as_features("standardised", x + 1).digest


@pytest.mark.parametrize(
    "rows, columns, asked, number",
    [(9, 4, 2, 2), (9, 4, 64, 4), (5, 4, 64, 4), (4, 4, 64, 3), (3, 7, 64, 2), (3, 7, 1, 1)],
)
@pytest.mark.parametrize("unit", [1.0, 0.5, None])
def test_principal_components(rows, columns, asked, number, unit):
    """The projections on the directions of largest variance, up to their signs."""
    unit = torch.arange(1.0, columns + 1) if unit is None else unit
    x, other = table(rows, columns), table(6, columns, seed=1)
    scaled, seen = ((each / unit).numpy() for each in (x, other))
    directions = numpy.linalg.svd(scaled - scaled.mean(0)).Vh[:number]
    found = features.pca_features(x, asked, unit)
    expected = (seen - scaled.mean(0)) @ directions.T
    numpy.testing.assert_allclose(abs(found(other).numpy()), abs(expected), atol=1e-10)
    with pytest.raises(DataError):
        features.pca_features(x[:1], asked, unit)
    digests = {
        features.pca_features(*change).digest
        for change in ((x, asked, unit), (x, asked, 2 * torch.ones(columns)), (x + 1, asked, unit))
    }
    assert len(digests) == 3


def test_pca_is_resolved_by_name():
    x = table(9, 3)
    assert torch.equal(as_features("pca", x)(x), features.pca_features(x)(x))
    assert torch.equal(as_features("pixels", x)(x), x)


@pytest.mark.parametrize("rows", [1023, 1024, 1025, 2049])
def test_blocks_of_1024_rows(rows):
    seen = []

    def record(x):
        seen.append(len(x))
        return x.sum(1)

    x = torch.arange(rows)[:, None].double()
    assert torch.equal(as_features(record, x)(x), x)
    assert seen == [min(1024, rows - start) for start in range(0, rows, 1024)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:-1],
        lambda x: x.sum(),
        lambda x: x.tolist(),
        lambda x: x / 0,
        lambda x: x.unknown,
    ],
    ids=["rows", "scalar", "list", "infinite", "error"],
)
def test_wrong_features_are_refused(function):
    with pytest.raises(DataError):
        Features("wrong", function)(table(5, 2))


def test_the_first_broken_row_is_counted_over_all_blocks():
    x = torch.zeros(1030, 2)
    x[1026:] = math.nan
    with pytest.raises(DataError, match="row 1026"):
        metrics.pixel_features()(x)
    with pytest.raises(DataError):
        metrics.pixel_features()(torch.zeros(0, 2))


def test_errors_of_the_library_are_passed_on():
    def refuse(x):
        raise ArgumentError("no", argument="x", value=1)

    with pytest.raises(ArgumentError):
        Features("refusing", refuse)(table(5, 2))


def test_networks_run_in_evaluation_mode():
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).train()
    found, x = as_features(network, None), table(5, 3)
    assert torch.equal(found(x), network[0](x.float()).double().detach())
    assert network.training and network[1].training
    assert found.digest == features.module_digest(network) and len(found.digest) == 12
    other = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
    assert features.module_digest(other) != found.digest
    assert features.module_digest(nn.ReLU()) is None
    assert as_features(lambda x: x, None).digest is None
    assert as_features(nn.ReLU(), None)(x).min() == 0
    ready = Features("ready", nn.Identity())
    assert as_features(ready, None) is ready


@pytest.mark.parametrize("value", ["colours", "net.txt", 3, None])
def test_unknown_features_are_refused(value):
    with pytest.raises(ArgumentError) as caught:
        as_features(value, table(5, 2))
    assert (caught.value.argument, caught.value.value) == ("features", value)


def test_files_have_a_known_ending_and_exist(tmp_path):
    with pytest.raises(ArgumentError):
        features.load_features(tmp_path / "net.txt")
    with pytest.raises(DataError):
        features.load_features(tmp_path / "net.pt2")


def test_digests_depend_on_types_shapes_and_values():
    x = torch.tensor([1.0, 2.0])
    digests = [
        features.tensor_digest(each)
        for each in ([], [x], [x, x], [x.double()], [x[:, None]], [x.flip(0)], [x[:1], x[1:]])
    ]
    assert len(set(digests)) == 7
    assert features.tensor_digest([x, None, 3]) == features.tensor_digest([x])
    content = hashlib.sha256(b"torch.float32(2,)" + x.numpy().tobytes()).hexdigest()
    assert features.tensor_digest([x]) == content[:12]
