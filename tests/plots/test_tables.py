"""Panels of mixed columns show shares, and matrices show associations."""

import numpy as np
import pytest
from tests.plots.axes import image_array

from aevb import plots
from aevb.networks import Column
from aevb.plots._tables import number_edges


def bar_widths(panel, filled):
    return [bar.get_width() for bar in panel.patches if bar.get_fill() == filled]


def test_bars_are_shares_of_the_observed_cells():
    column = Column("c", "categorical", "categorical", levels=("a", "b", "c"))
    x, y = np.array([[0.0], [0.0], [1.0], [np.nan], [2.0]]), np.array([[1.0], [2.0]])
    (panel,) = plots.column_marginals(x, y, [column]).child_axes
    assert bar_widths(panel, True) == [0.5, 0.25, 0.25]
    assert bar_widths(panel, False) == [0.0, 0.5, 0.5]
    assert [text.get_text() for text in panel.get_yticklabels()] == ["a", "b", "c"]


def test_the_rarest_categories_share_a_bar():
    column = Column("c", "categorical", "categorical", levels=tuple("abcdefghij"))
    x = np.repeat(np.arange(10.0), np.arange(1, 11))[:, None]
    (panel,) = plots.column_marginals(x, x[:6], [column]).child_axes
    assert panel.get_yticklabels()[-1].get_text() == "3 others"
    assert bar_widths(panel, True)[-1] == pytest.approx(6 / 55)  # of the levels a, b and c
    assert bar_widths(panel, False)[-1] == pytest.approx(1.0)


def test_histograms_are_shares_without_the_atoms():
    column = Column("h", "spiky", "spiky", shift=38.0, scale=7.0, atoms=(40.0,), edges=(0.0, 99.0))
    hours = np.array([40.0, 40.0, 40.0, *np.linspace(10, 60, 7)])
    x = ((hours - 38) / 7).astype(np.float32)[:, None]
    (panel,) = plots.column_marginals(x, x, [column]).child_axes
    assert sum(panel.patches[0].get_data().values) == pytest.approx(0.7)
    assert panel.lines[0].get_ydata().tolist() == pytest.approx([0.3])


def test_positive_numbers_have_a_logarithmic_axis_and_dates_have_dates():
    price = Column("price", "positive", "log_normal", scale=3.0)
    day = Column("day", "date", "discretised_logistic", shift=19000.0, scale=90.0, step=1.0)
    rows = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    rows[:, 1] = np.round(rows[:, 1] * 90) / 90
    first, second = plots.column_marginals(rows, rows, [price, day]).child_axes
    assert (first.get_xscale(), second.get_xscale()) == ("log", "linear")


@pytest.mark.parametrize("step", [0.5, 1.0])
def test_bins_of_a_grid_hold_as_many_values_each(step):
    x = step * np.arange(3, 100)
    edges = number_edges(x, x, step)
    inner = (x > edges[0]) & (x < edges[-1])
    counts = np.histogram(x[inner], edges)[0]
    assert len(set(counts.tolist())) == 1 and not np.isin(edges, x).any()


def test_panels_end_at_their_limit():
    columns = [Column(str(i), "continuous", "normal") for i in range(30)]
    rows = np.zeros((3, 30))
    assert len(plots.column_marginals(rows, rows, columns).child_axes) == 24


def test_associations_and_their_difference():
    a, b = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[1.0, np.nan], [np.nan, 1.0]])
    panels = plots.associations(a, b, ["x", "y"]).child_axes
    np.testing.assert_allclose(image_array(panels[0]), a)
    difference = np.ma.masked_invalid(image_array(panels[2]))
    assert difference[0, 0] == 0 and difference.mask[0, 1]
