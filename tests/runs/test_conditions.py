"""Rows of a table drawn under conditions, in the units of the data."""

import datetime as dt

import polars
import pytest
from tests.runs.tables import numbers_run, people, people_run

from aevb.errors import ArgumentError, IncompatibleError


def test_every_row_meets_the_conditions():
    where = ["sex=Female", "age>40", "hours<=40", "day>=2021-06-01", "planet=Earth"]
    found = people_run().condition(where, 200, samples=500)
    rows = found.rows
    assert rows.columns == people().columns and len(rows) == 200
    assert rows["sex"].unique().to_list() == ["Female"]
    assert rows["age"].min() == 41 and rows["hours"].max() <= 40
    assert rows["day"].min() >= dt.date(2021, 6, 1) and rows["fare"].n_unique() > 100
    assert 0 < found.probability < 1 and found.notes[-1].code == "drawn_by_importance"


def test_probabilities_are_those_of_the_models_own_rows():
    run = people_run()
    rows = run.sample(20_000, seed=3)
    share = (
        rows.select((polars.col("sex") == "Female") & (polars.col("age") > 60)).to_series().mean()
    )
    found = run.condition(["sex=Female", "age>60"], 10)
    assert found.probability == pytest.approx(share, rel=5 / (share * 20_000) ** 0.5)


def test_sample_takes_conditions_and_values():
    run = people_run()
    rows = run.sample(30, where={"age": 33, "sex": "Male"}, seed=1)
    assert rows["age"].to_list() == [33] * 30 and rows["sex"].to_list() == ["Male"] * 30
    assert rows.equals(run.sample(30, where=["age=33", "sex=Male"], seed=1))
    assert not rows.equals(run.sample(30, where=["age=33", "sex=Male"], seed=2))


def test_a_rare_level_is_drawn_as_it_is():
    run = people_run()
    (land,) = [column for column in run.spec.schema.columns if column.name == "land"]
    rare = land.pooled[0]
    assert len(land.pooled) > 10
    assert run.sample(20, where=f"land={rare}")["land"].unique().to_list() == [rare]


def test_columns_of_numbers_are_conditioned_in_their_units():
    run = numbers_run()
    rows = run.sample(400, where=["b>110", "c<0"])
    assert (rows[:, 1] > 110).all() and (rows[:, 2] < 0).all()
    assert rows[:, 0].mean() > 0.3  # b follows a
    assert (run.sample(10, where="b=95.5")[:, 1] - 95.5).abs().max() < 1e-5


@pytest.mark.parametrize(
    "where",
    ["age>500", ["age>60", "age<50"], "name=x", "sex=X", "height>3", "planet=Mars"],
    ids=str,
)
def test_conditions_that_never_occur_are_refused(where):
    with pytest.raises(ArgumentError) as caught:
        people_run().sample(5, where=where)
    assert caught.value.argument == "where"


def test_conditions_need_columns_and_draws(run):
    with pytest.raises(IncompatibleError):
        run.sample(3, where="a>1")
    with pytest.raises(ArgumentError):
        people_run().sample(3, where="age>40", mean=True)
