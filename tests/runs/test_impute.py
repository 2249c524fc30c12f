"""Missing cells of tables as data frames, with intervals and sets of levels."""

import numpy as np
import polars
import pytest
import torch
from tests.runs.tables import numbers_run, people, people_run

from aevb import inference
from aevb.errors import IncompatibleError

FRAME = people().head(80)
COLUMNS = ["sex", "age", "fare", "hours", "day"]


@pytest.fixture(scope="module")
def found():
    return people_run().impute(FRAME, draws=3, samples=100, level=0.8)


def test_missing_cells_are_filled_and_all_others_stay(found):
    for frame in (found.frame, *found.draws):
        assert frame.columns == FRAME.columns and frame.dtypes == FRAME.dtypes
        assert sum(frame.null_count().row(0)) == 0
        for name in FRAME.columns:
            there = FRAME[name].is_not_null()
            assert frame[name].filter(there).equals(FRAME[name].filter(there), check_names=False)
    assert found.filled == {
        name: FRAME[name].null_count() for name in [*COLUMNS[:4], "land", "day"]
    }
    assert len(found.draws) == 3 and not found.draws[0].equals(found.draws[1])


def test_values_are_those_of_the_model(found):
    run = people_run()
    x = run.rows(FRAME)
    cells = inference.impute(run, x, 100, draws=3, level=0.8)
    has_missing = x.tensor().isnan().any(1)
    decoded = run.spec.schema.decode(cells.x, FRAME)
    assert found.frame["age"].equals(decoded["age"]) and found.frame["sex"].equals(decoded["sex"])
    expected = cells.effective_sample_size.where(has_missing, torch.nan)
    torch.testing.assert_close(found.effective_sample_size, expected, equal_nan=True)


def test_intervals_lie_about_the_values_of_numbers(found):
    for name in ("age", "fare", "hours", "day"):
        missing = FRAME[name].is_null()
        low, value, high = (
            each[name].filter(missing) for each in (found.low, found.frame, found.high)
        )
        assert (low <= value).all() and (value <= high).all() and (low < high).any()
    assert found.low["sex"].equals(FRAME["sex"]) and found.high["sex"].equals(FRAME["sex"])


def test_sets_hold_the_most_probable_levels(found):
    missing = FRAME["sex"].is_null().arg_true().to_list()
    assert list(found.sets["sex"]) == missing and set(found.sets) == {"sex", "land"}
    for row, levels in found.sets["sex"].items():
        assert next(iter(levels)) == found.frame["sex"][row]
        assert sum(levels.values()) >= 0.8 and sum(list(levels.values())[:-1]) < 0.8


def test_files_and_other_libraries_are_completed(found, tmp_path):
    FRAME.write_csv(tmp_path / "people.csv")
    of_file = people_run().impute(tmp_path / "people.csv", samples=100, level=0.8)
    assert of_file.frame["age"].equals(found.frame["age"])
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(tmp_path / "people.csv")
    of_pandas = people_run().impute(frame, samples=100).frame
    assert isinstance(of_pandas, pandas.DataFrame)
    assert of_pandas["age"].tolist() == found.frame["age"].to_list()


def test_a_row_is_imputed_alike_among_other_rows(found):
    some = people_run().impute(FRAME[40:45], samples=100, level=0.8)
    assert some.frame["sex"].equals(found.frame["sex"][40:45])
    ages = np.array([some.high["age"].to_list(), found.high["age"][40:45].to_list()])
    assert (abs(ages[0] - ages[1]) <= 1).all()  # up to rounding of matrix products


def test_the_test_rows_are_imputed_by_default():
    run = people_run()
    found = run.impute(samples=20)
    assert len(found.frame) == len(run.data().test)
    assert found.frame["sex"].null_count() == 0


def test_few_effective_samples_are_noted():
    note = people_run().impute(FRAME, samples=10).notes[-1]
    assert note.code == "few_effective_samples" and note.data["rows"] <= note.data["total"]


def test_a_table_of_numbers_is_refused():
    with pytest.raises(IncompatibleError):
        numbers_run().impute(polars.DataFrame({"a": [1.0], "b": [None], "c": [1.0]}))
