"""Chow-Liu trees equal plain enumeration."""

import itertools
import math

import pytest
import torch

from aevb.metrics._baselines import _chow_liu as chow_liu

pytestmark = pytest.mark.usefixtures("float64")


def chain(rows=400, levels=2):
    """Columns 2 - 0 - 3 - 1, each mostly a copy of the last."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda: torch.randint(levels, (rows,), generator=generator)  # noqa: E731
    found = {2: draw()}
    for place, parent in ((0, 2), (3, 0), (1, 3)):
        keeps = torch.rand(rows, generator=generator) < 0.8
        found[place] = torch.where(keeps, found[parent], draw())
    return torch.stack([found[place] for place in range(4)], 1).double()


def pair_information(x, i, j, levels):
    """Mutual information in nats by counting."""
    total = 0.0
    for a, b in itertools.product(range(levels), repeat=2):
        both = ((x[:, i] == a) & (x[:, j] == b)).double().mean().item()
        each = (x[:, i] == a).double().mean().item() * (x[:, j] == b).double().mean().item()
        total += both * math.log(both / each) if both else 0.0
    return total


@pytest.mark.parametrize("levels", [2, 3])
def test_the_tree_has_the_most_mutual_information_of_all_trees(levels):
    x = chain(levels=levels)
    tree = chow_liu.fit_chow_liu(x, levels)
    pairs = list(itertools.combinations(range(4), 2))
    information = {pair: pair_information(x, *pair, levels) for pair in pairs}
    trees = [  # three pairs of four columns have a cycle only where a column is left out
        edges
        for edges in itertools.combinations(pairs, 3)
        if {place for pair in edges for place in pair} == set(range(4))
    ]
    best = max(trees, key=lambda edges: sum(information[pair] for pair in edges))
    edges = {tuple(sorted((d, p))) for d, p in enumerate(tree.parents.tolist()) if d != p}
    assert edges == set(best) == {(0, 2), (0, 3), (1, 3)}


@pytest.mark.parametrize("levels", [2, 3])
def test_probabilities_of_all_rows_sum_to_one(levels):
    tree = chow_liu.fit_chow_liu(chain(levels=levels), levels)
    grid = torch.tensor(list(itertools.product(range(levels), repeat=4))).double()
    assert tree.log_prob(grid).exp().sum().item() == pytest.approx(1, abs=1e-12)
    outside = tree.log_prob(torch.tensor([[levels, 0.0, 0.0, 0.0], [math.nan, 0.0, 0.0, 0.0]]))
    assert outside[0] == -math.inf and outside[1].isnan()


def test_shares_are_smoothed_frequencies_given_the_parent():
    x = chain(30)
    (tree,) = chow_liu.fit_trees(chow_liu.one_hot_levels(x, 2), 2, [2.0])
    rows = x[:5].tolist()
    expected = []
    for row in rows:
        total = 0.0
        for column, parent in enumerate(tree.parents.tolist()):
            marginal = ((x[:, column] == row[column]).sum().item() + 0.5) / 31
            same = x[:, parent] == row[parent] if parent != column else x[:, column] >= 0
            hits = (same & (x[:, column] == row[column])).sum().item()
            total += math.log((hits + 2 * marginal) / (same.sum().item() + 2))
        expected.append(total)
    assert tree.log_prob(x[:5]).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_every_fifth_row_chooses_the_smoothing(noise):
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand(60, 6, generator=generator) < 0.3).double()
    x[:, 1] = x[:, 0] if noise == 0 else x[:, 1]
    held_out = torch.arange(60) % 5 == 4
    trees = chow_liu.fit_trees(chow_liu.one_hot_levels(x[~held_out], 2), 2, chow_liu.SMOOTHINGS)
    scores = [tree.log_prob(x[held_out]).sum().item() for tree in trees]
    best = chow_liu.SMOOTHINGS[scores.index(max(scores))]
    assert chow_liu.fit_chow_liu(x, 2).smoothing == best
