"""Robust distances, which choose the rows that are left out at first."""

import numpy as np
import torch

from aevb.training._trimming import robust_distances

RNG = np.random.default_rng(0)


def correlated(n_rows, noise=0.1):
    """Rows near the diagonal of three columns."""
    line = RNG.normal(size=(n_rows, 1))
    return torch.tensor(line + noise * RNG.normal(size=(n_rows, 3)))


def test_rows_across_the_correlation_are_far():
    x = torch.cat([correlated(300), torch.tensor([[1.0, -1.0, 1.0]] * 10)])
    far = robust_distances(x, 0.1, [0, 1, 2]).argsort()[-10:]
    assert sorted(far.tolist()) == [*range(300, 310)]


def test_a_dense_cluster_has_no_part_in_the_centre():
    x = torch.tensor(RNG.normal(size=(400, 4)))
    x[340:] = 3 + 0.1 * x[340:]
    found = robust_distances(x, 0.2, range(4))
    assert (found[:340] < found[340:].min()).double().mean() > 0.97  # chance: .85 at best without


def test_missing_cells_do_not_count():
    x = torch.cat([correlated(300), torch.full((2, 3), torch.nan)])
    x[300, 0] = 9.0
    found = robust_distances(x, 0.1, [0, 1, 2])
    assert found[301] == 0
    assert found[:301].argmax() == 300


def test_categories_count_with_their_frequencies():
    x = torch.tensor([[0.0]] * 8 + [[1.0]] * 2 + [[torch.nan]])
    found = robust_distances(x, 0.1)
    expected = [np.log(11 / 8)] * 8 + [np.log(11 / 2)] * 2 + [0.0]
    np.testing.assert_allclose(found, expected)


def test_distances_are_finite_where_most_cells_are_equal():
    """Without a least deviation, a column that is constant in the kept rows decides alone."""
    x = correlated(300)
    x[:, 0] = 0.0
    x[:15, 0] = 1e-3 * x[:15, 1]
    x[20, 1:] = torch.tensor([8.0, -8.0])
    found = robust_distances(x, 0.1, [0, 1, 2])
    assert found.isfinite().all()
    constant = torch.cat([x[:, 1:], torch.ones(300, 1)], 1)
    assert robust_distances(constant, 0.1, [0, 1, 2]).argmax() == 20


def test_units_do_not_matter():
    x = correlated(200)
    scaled = x * torch.tensor([1e-3, 1.0, 1e4]) + 5
    np.testing.assert_allclose(
        robust_distances(x, 0.1, [0, 1, 2]), robust_distances(scaled, 0.1, [0, 1, 2]), rtol=1e-6
    )
