"""Scores of the rows of a table, flags and the columns behind them."""

import numpy as np
import polars
import pytest
import torch
from tests.runs.tables import numbers_run, people, people_run

import aevb
from aevb import metrics
from aevb.errors import ArgumentError
from aevb.runs import Run

FRAME = people().head(60)


@pytest.fixture(scope="module")
def found():
    return people_run().score(FRAME, samples=50, quantile=0.05)


def test_scores_are_log_likelihoods(found):
    run = people_run()
    scores = metrics.log_likelihood(run, run.rows(FRAME), 50)
    assert np.allclose(found.frame["log_p"], scores.per_datum, atol=1e-4)
    assert found.frame.columns == [
        "log_p", "standard_error", "unlikely",
        "column_1", "surprise_1", "column_2", "surprise_2", "column_3", "surprise_3",
    ]  # fmt: skip
    assert np.allclose(found.frame["standard_error"], found.explanation.log_p_error)


def test_the_threshold_is_a_quantile_of_reference_rows(found):
    run = people_run()
    assert found.reference == "train" and found.reference_rows == len(run.data().train)
    scores = metrics.log_likelihood(run, run.data().train, 50).per_datum
    assert found.threshold == pytest.approx(torch.quantile(scores.double(), 0.05).item(), abs=1e-4)
    below = found.frame["log_p"] < found.threshold
    assert found.frame["unlikely"].equals(below, check_names=False)
    assert found.notes[-1].code == "threshold"


def test_an_impossible_cell_is_flagged_and_named():
    age = [140 if place == 7 else age for place, age in enumerate(FRAME["age"])]
    hours = [900 if place == 9 else hours for place, hours in enumerate(FRAME["hours"])]
    found = people_run().score(
        FRAME.with_columns(age=polars.Series(age), hours=polars.Series(hours)), samples=50
    )
    assert found.frame["unlikely"][7] and found.frame["unlikely"][9]
    assert (found.frame["column_1"][7], found.frame["column_1"][9]) == ("age", "hours")
    for place in (1, 2):
        assert (found.frame[f"surprise_{place}"] >= found.frame[f"surprise_{place + 1}"]).all()


def test_the_number_of_columns_and_the_library_are_those_asked_for():
    pandas = pytest.importorskip("pandas")
    frame = people_run().score(FRAME.head(5).to_pandas(), samples=20, columns=1).frame
    assert isinstance(frame, pandas.DataFrame) and "column_2" not in frame
    assert people_run().score(FRAME.head(5), samples=20, columns=99).frame.width == 3 + 2 * 6


def test_tables_of_numbers_and_images_are_scored(run):
    frame = polars.DataFrame({"a": [0.0, 0.0], "b": [100.0, 160.0], "c": [0.0, 0.0]})
    found = numbers_run().score(frame, samples=100)
    assert found.frame["unlikely"].to_list() == [False, True]
    assert found.frame["column_1"][1] in ("a", "b")
    pixels = run.score(run.data().test.subset(range(3)), samples=20)
    assert all(len(name.split(", ")) == 2 for name in pixels.frame["column_1"])
    assert pixels.reference == "validation"


@pytest.mark.parametrize("options", [{"quantile": 0.0}, {"quantile": 1}, {"columns": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ArgumentError) as caught:
        people_run().score(FRAME, **options)
    assert caught.value.argument == next(iter(options))


def test_rows_whose_cells_depend_on_each_other_are_scored_without_columns():
    x = np.eye(3, dtype=np.uint8)[np.random.default_rng(0).integers(3, size=300)]
    data = aevb.data.load(x)
    recipe = aevb.presets.vae(data.spec, latent=1, hidden=[4])
    run = Run.from_fit(aevb.fit(recipe, data, epochs=1, progress=False), data)
    assert data.spec.likelihood == "bernoulli_tree"
    found = run.score(x[:5], samples=20)
    assert found.frame.columns == ["log_p", "standard_error", "unlikely"]
    assert found.explanation is None and "no_columns" in {note.code for note in found.notes}
    scores = metrics.log_likelihood(run, run.rows(x[:5]), 20)
    assert np.allclose(found.frame["log_p"], scores.per_datum, atol=1e-6)
    assert [row.columns for row in found.least_likely(2)] == [{}, {}]
