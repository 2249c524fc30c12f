"""Hidden cells are counted as covered, and intervals of data from the model have their level."""

import math

import pytest
import torch

from aevb import VAE, likelihoods, metrics, networks, posteriors, priors
from aevb.data import Rows, Schema
from aevb.errors import ArgumentError, DataError
from aevb.inference import Imputation
from aevb.inference._impute import MissingCategories
from aevb.metrics._tables import _hidden_cells
from aevb.networks import Column

SCHEMA = Schema(
    (
        Column("x", "continuous", "normal", shift=3.0, scale=2.0),
        Column("c", "categorical", "categorical", levels=("a", "b", "c", "d")),
        Column("y", "continuous", "normal"),
    ),
    100,
)


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        columns = SCHEMA.modelled
        encoder = networks.Columns(networks.MLP(networks.Columns.width(columns)), columns)
        likelihood = likelihoods.Columns(networks.MLP(2), columns)
        model = VAE(priors.Normal(2), posteriors.Normal(encoder, 2), likelihood)
    model.posterior.get_submodule("heads.head").weight.data.zero_()  # the posterior is the prior
    head = likelihood.get_submodule("heads.head")
    head.weight.data.zero_()  # the cells are independent of z
    head.bias.data[:] = torch.tensor([0.5, -0.5, 1.0, 0.0, -1.0, -2.0])
    return model


def test_cells_of_the_model_itself_are_covered_at_their_level(model):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        rows = Rows.from_array(model.sample(400))
    found = metrics.hidden_cells(
        model, rows, SCHEMA, level=0.8, hidden_share=0.3, samples=100, seed=2
    )
    assert found.numbers.low < 0.8 < found.numbers.high
    assert found.categories.low > 0.8  # the fewest categories with 0.8 have 0.9 or more
    assert [column.name for column in found.columns] == ["x", "c", "y"]
    hidden = sum(column.n_cells for column in found.columns)
    assert abs(hidden - 360) < 5 * math.sqrt(1200 * 0.3 * 0.7)
    assert all(column.relative_error < 1.3 for column in found.columns)


def test_intervals_sets_and_errors_are_counted_by_hand(model, monkeypatch):
    x = torch.tensor([[0.0, 1.0, 5.0], [2.0, 3.0, math.nan], [4.0, 1.0, 7.0], [6.0, 1.0, 9.0]])
    hidden = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]]).bool()
    empty = hidden | x.isnan()
    imputed = torch.tensor([[1.0, 1.0, 5.0], [2.5, 1.0, 0.0], [4.0, 1.0, 7.0], [6.0, 1.0, 9.0]])
    cells = torch.tensor([[1, 1], [2, 1]])
    result = Imputation(
        imputed, imputed, imputed[None][:0], imputed[:, 0], 1,
        torch.where(empty, torch.tensor([[0.5], [1.0], [0.0], [0.0]]), x),
        torch.where(empty, torch.tensor([[1.5], [2.0], [0.0], [0.0]]), x),
        MissingCategories(
            cells, torch.zeros(2, 3), torch.tensor([[False, True, True], [False, True, False]])
        ),
        0.9,
    )  # fmt: skip
    monkeypatch.setattr(_hidden_cells, "impute", lambda *_, **__: result)
    monkeypatch.setattr(_hidden_cells, "_choose_cells", lambda *_: hidden)
    found = _hidden_cells.hidden_cells(model, Rows.from_array(x), SCHEMA)
    numbers, names = found.columns
    assert (numbers.n_cells, numbers.coverage.value) == (2, 0.5)  # 0 is below 0.5; 2 is an end
    assert numbers.relative_error == pytest.approx((1 + 0.25) / (25 + 9))  # the others' mean is 5
    # a category beyond those that were drawn is in no set
    assert (names.n_cells, names.coverage.value, names.relative_error) == (2, 0.5, 1.0)
    assert (found.numbers.value, found.categories.value, found.n_rows) == (0.5, 0.5, 4)


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_impossible_shares_are_refused(model, share):
    with pytest.raises(ArgumentError) as caught:
        metrics.hidden_cells(model, Rows.from_array(torch.zeros(4, 3)), SCHEMA, hidden_share=share)
    assert caught.value.argument == "hidden_share"


def test_rows_without_a_hidden_cell_are_refused(model):
    rows = Rows.from_array(torch.full((4, 3), math.nan))
    with pytest.raises(DataError):
        metrics.hidden_cells(model, rows, SCHEMA)
    assert _hidden_cells.hidden_cells_or_none(model, rows, SCHEMA) is None


def test_levels_of_intervals_of_data_from_the_model_are_uniform(model):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        rows = Rows.from_array(model.sample(200))
    levels = _hidden_cells.interval_levels(model, rows, samples=100)
    assert len(levels) == 400  # every number once, and no category
    # three standard errors of the mean of 400 uniform numbers, and of the share below 0.9
    assert levels.mean() == pytest.approx(0.5, abs=0.044)
    assert (levels < 0.9).mean() == pytest.approx(0.9, abs=0.045)


def test_the_level_of_a_repeated_value_is_the_least_whose_closed_interval_has_it(
    model, monkeypatch
):
    """Draws are 0, 0, 0, 0 and 1: 0 is in every interval, and 1 in those of 0.6 or more."""
    rows = Rows.from_array(torch.tensor([[0.0, 1.0, 1.0]] * 3))
    drawn = torch.tensor([0.0, 0, 0, 0, 1]).reshape(5, 1, 1).expand(5, 3, 3)

    def impute(model, x, *args, **options):
        low = torch.zeros(3, 3)
        low[:, 1] = math.nan
        return Imputation(
            x, x, drawn, x, 1, low, low, MissingCategories(*[torch.empty(0)] * 3), level=0.9
        )

    monkeypatch.setattr(_hidden_cells, "impute", impute)
    levels = _hidden_cells.interval_levels(model, rows)
    assert levels == pytest.approx([0, 0, 0, 0.6, 0.6, 0.6])
