"""Features of encoded cells."""

import math

import pytest
import torch
from tests.catalogue import COLUMNS
from torch import nn

from aevb.errors import ArgumentError
from aevb.networks import MLP, Column, Columns, Condition, ConditionedNetwork, Labels

ALL = [column for columns in COLUMNS.values() for column in columns]


def features(columns, cells):
    return Columns(nn.Identity(), columns)(torch.tensor(cells))


def test_numbers_are_standardised_and_clipped():
    columns = [
        Column("a", "continuous", "normal"),
        Column("b", "count", "negative_binomial", scale=9.0),
        Column("c", "bounded", "beta", low=0.0, high=2.0),
    ]
    found = features(columns, [[50.0, 9.0, 0.5], [torch.nan, torch.nan, 1.0], [-50.0, 0.0, 0.0]])
    root = math.sqrt(3)
    # numbers, then counts
    expected = [[10.0, 0.0, 0.0], [0.0, root, 0.0], [-10.0, -root, -math.log(10)]]
    assert torch.allclose(found[:, :3], torch.tensor(expected))
    assert found[:, 3:].tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_levels_and_atoms_have_an_input_of_their_own():
    columns = [
        Column("a", "categorical", "categorical", levels=tuple("xyz")),
        Column("b", "spiky", "spiky", shift=38.3, scale=11.7, atoms=(20.0, 40.0), edges=(0.0, 9.0)),
    ]
    atom = torch.tensor((40.0 - 38.3) / 11.7, dtype=torch.float64).float().item()
    found = features(columns, [[2.0, atom], [torch.nan, 0.1]])
    assert found[:, 1:].tolist() == [[0, 0, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1, 0]]
    assert found[0, 0].item() == pytest.approx(atom)


def test_dates_have_waves():
    """20,000 days after 1970 is 4 October 2024, a Friday; the waves turn once a period."""
    day = Column("a", "date", "normal", shift=20_000.0, scale=300.0, unit="day")
    found = features([day], [[0.0], [7 / 300], [torch.nan]])
    week = 2 * math.pi * (20_000 % 7) / 7
    assert found[0, [1, 3]].tolist() == pytest.approx([math.sin(week), math.cos(week)], abs=1e-5)
    assert torch.allclose(found[1, [1, 3]], found[0, [1, 3]], atol=1e-4)
    assert not found[2, :-1].any()
    second = Column("a", "date", "normal", shift=1.7e9, scale=1e7, unit="second")
    assert Columns.width([second]) == 1 + 6 + 1


def test_many_levels_are_embedded():
    column = Column("a", "categorical", "categorical", levels=tuple(range(41)))
    network = Columns(nn.Identity(), [column, column])
    found = network(torch.tensor([[3.0, 3.0], [torch.nan, 40.0]]))
    assert found.shape == (2, Columns.width([column, column])) == (2, 2 + 2 * 16)
    first, second = network.embedding.weight.split(41)
    assert torch.equal(found[0, 2:], torch.cat([first[3], second[3]]))
    assert not found[1, 2:18].any() and torch.equal(found[1, 18:], second[40])


def test_width_is_that_of_the_features():
    found = features(ALL, [[0.5] * len(ALL), [torch.nan] * len(ALL)])
    assert found.shape == (2, Columns.width(ALL)) and found.isfinite().all()


def test_takes_a_context():
    condition = Condition([Labels("class", ["a", "b"])])
    network = Columns(ConditionedNetwork(MLP(Columns.width(ALL), [5], context=2), condition), ALL)
    x = torch.full((3, len(ALL)), torch.nan)
    assert network(x, condition.to_context("b", 3).float()).shape == (3, 5)


@pytest.mark.parametrize("columns", [[], [Column("id", "identifier")]])
def test_columns_without_cells_are_refused(columns):
    for build in (lambda: Columns(nn.Identity(), columns), lambda: Columns.width(columns)):
        with pytest.raises(ArgumentError) as error:
            build()
        assert error.value.argument == "columns"


def test_hidden_cells_are_missing_for_the_network_in_training_only():
    columns = [Column(name, "continuous", "normal") for name in "abcd"]
    network, cells = Columns(nn.Identity(), columns, hide=0.25), torch.ones(4000, 4)
    flags = network.train()(cells)[:, 4:]
    # four standard errors of the share of 16,000 cells
    assert flags.mean().item() == pytest.approx(0.25, abs=0.014)
    assert torch.equal(network(cells).square().sum(-1), torch.full((4000,), 4.0))
    assert not network.eval()(cells)[:, 4:].any()
    with pytest.raises(ArgumentError) as caught:
        Columns(nn.Identity(), columns, hide=1.0)
    assert (caught.value.argument, caught.value.value) == ("hide", 1.0)
