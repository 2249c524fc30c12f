"""Tables of latents and factors: limits, bins, information and groups that share a factor."""

import math
from collections import Counter

import numpy
import pytest
import torch

from aevb.errors import DataError
from aevb.metrics._disentanglement import _factor_table as tables
from aevb.metrics._disentanglement._factor_table import FactorTable


def random_table(rows=53, seed=1):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    z[:, 2] = z[:, 2].round()
    factors = torch.stack(
        [torch.arange(rows) % 5 * 2, torch.randint(2, (rows,), generator=generator) + 7], 1
    )
    return z, factors


def with_one(value, others):
    """A column of 40 rows with two values and another one."""
    column = torch.arange(40.0)[:, None] % 2 * others
    column[7] = value
    return column


def entropy(values):
    shares = [count / len(values) for count in Counter(values).values()]
    return -sum(share * math.log(share) for share in shares)


@pytest.mark.parametrize(
    "z, factors, accepted",
    [
        (torch.rand(40, 2), torch.arange(40) % 2, False),  # one factor
        (torch.rand(40, 2), torch.stack([torch.arange(40) % 2] * 2, 1), True),
        (torch.rand(39, 2), torch.stack([torch.arange(39) % 2] * 2, 1), False),
        (torch.rand(41, 2), torch.stack([torch.arange(40) % 2] * 2, 1), False),
        (torch.rand(40, 1), torch.stack([torch.arange(40) % 4] * 2, 1), True),  # 10 rows a value
        (torch.rand(40, 1), torch.stack([torch.arange(40) % 5] * 2, 1), False),
        (torch.rand(40, 2), torch.stack([torch.arange(40) % 2, torch.ones(40)], 1), False),
        (torch.rand(40, 0), torch.stack([torch.arange(40) % 2] * 2, 1), False),
        (with_one(math.nan, 0.5), torch.stack([torch.arange(40) % 2] * 2, 1), False),
        (torch.rand(40, 1), torch.cat([with_one(math.inf, 1.0), with_one(0.0, 1.0)], 1), False),
        (torch.rand(0, 1), torch.rand(0, 2), False),
        ([["a"]] * 40, torch.stack([torch.arange(40) % 2] * 2, 1), False),
    ],
)
def test_limits_of_rows_and_values(z, factors, accepted):
    if accepted:
        assert len(FactorTable.from_arrays(z, factors).z) == 40
    else:
        with pytest.raises(DataError):
            FactorTable.from_arrays(z, factors)


def test_factors_are_numbered_and_events_are_flattened():
    z, factors = random_table()
    table = FactorTable.from_arrays(z.reshape(53, 3, 1), factors)
    assert torch.equal(table.z, z) and table.z.dtype == torch.float64
    assert torch.equal(table.factors, torch.stack([factors[:, 0] // 2, factors[:, 1] - 7], 1))


@pytest.mark.parametrize("bins", [1, 4, 6, 7, 20])
def test_bins_are_of_equal_width_for_more_values_than_bins(bins):
    values = torch.tensor([0.0, 1.0, 1.0, 2.5, 4.0, 7.9, 10.0, 8.0]).double()  # 7 values
    codes = tables._discretise(values, bins)
    if bins >= 7:
        assert codes.tolist() == [0, 1, 1, 2, 3, 4, 6, 5]
    else:
        edges = numpy.linspace(0, 10, bins + 1)[1:-1]
        assert codes.tolist() == numpy.digitize(values.numpy(), edges).tolist()


def test_information_from_counts():
    z, factors = random_table()
    table = FactorTable.from_arrays(z, factors, bins=6)
    columns = [list(map(int, column)) for column in table.factors.T.tolist()]
    codes = [list(map(int, column)) for column in table.binned_z.T.tolist()]
    expected = [
        [entropy(a) + entropy(b) - entropy(list(zip(a, b, strict=True))) for b in columns]
        for a in codes
    ]
    numpy.testing.assert_allclose(table.mutual_information(), expected, atol=1e-12)
    numpy.testing.assert_allclose(table.entropies(), list(map(entropy, columns)), atol=1e-12)
    part = table.subset(torch.tensor([5, 2, 7]))
    assert torch.equal(part.z, z[[5, 2, 7]])
    assert torch.equal(part.factors, table.factors[[5, 2, 7]])
    assert torch.equal(part.binned_z, table.binned_z[[5, 2, 7]])


def test_split_has_every_row_once():
    z, factors = random_table()
    z[:, 0] = torch.arange(53)
    table, rows = FactorTable.from_arrays(z, factors), torch.arange(3, 24)
    train, test = table.split(rows, seed=4)
    order = torch.randperm(21, generator=torch.Generator().manual_seed(4)) + 3
    assert train.z[:, 0].tolist() == order[:11].tolist()
    assert test.z[:, 0].tolist() == order[11:].tolist()


def test_groups_share_a_frequent_value():
    """Values with 5 rows have groups and values with 4 have none; pairs are of two rows."""
    rows = torch.arange(21)
    first = torch.tensor([0] * 5 + [1] * 4 + [2] * 12)[torch.randperm(21)]
    second = torch.tensor([0] * 3 + [1] * 18)[torch.randperm(21)]
    table = FactorTable(rows[:, None].double(), torch.stack([first, second], 1), rows[:, None])
    groups = table.fixed_factor_groups(701, seed=2)
    assert groups.factor.tolist() == [0] * 350 + [1] * 350
    assert groups.z.shape == (700, tables.ROWS_PER_VOTE, 1)
    members = groups.z[:, :, 0].long()
    for k, numbers in ((0, {0, 2}), (1, {1})):
        values = table.factors[members[groups.factor == k], k]
        assert (values == values[:, :1]).all() and set(values[:, 0].tolist()) == numbers
        pairs = members[groups.factor == k].reshape(350, 2, -1)
        assert (pairs[:, 0] != pairs[:, 1]).all()
        column = table.factors[:, k].tolist()
        possible = {
            (a, b)
            for a in range(21)
            for b in range(21)
            if a != b and column[a] == column[b] in numbers
        }
        flat = pairs.permute(0, 2, 1).reshape(-1, 2)
        found = set(map(tuple, flat.tolist()))
        assert found == possible  # 11,200 pairs of at most 306 kinds
    # a value is drawn as often as it has rows: 5 of 17, within five standard errors
    share = (table.factors[members[:350, 0], 0] == 0).double().mean().item()
    assert share == pytest.approx(5 / 17, abs=5 * math.sqrt(5 * 12 / 17**2 / 350))


def test_groups_need_a_frequent_value():
    rows = torch.arange(12)
    rare = torch.stack([rows // 4, rows // 3], 1)
    assert FactorTable(rows[:, None], rare, rows[:, None]).fixed_factor_groups(10, 0) is None
