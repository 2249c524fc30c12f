"""Frames and arrays with texts, dates, truth values and missing cells, through every estimator."""

import importlib
import json
import pickle
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")
import polars as pl
from sklearn.base import clone
from tests.sklearn.tables import TINY, people, take

from aevb.errors import AevbError, ArgumentError, DataError, MissingExtraError, RunError
from aevb.sklearn import VAE, VAEImputer, VAEOutlierDetector, VAESynthesizer


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    table = people()
    return table if request.param == "pandas" else pl.from_pandas(table.drop(columns="size"))


CLASSES = (VAE, VAEOutlierDetector, VAESynthesizer)
# results per row; in float64, so that sums in another order differ in the last digits only
METHODS = ("transform", "score_samples", "decision_function", "predict_proba")
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def results(estimator, X):
    """What the estimator says of each row, by method."""
    names = [name for name in METHODS if hasattr(estimator, name)]
    return {name: getattr(estimator, name)(X) for name in names}


def assert_equal(first, second, **tolerance):
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(values, second[name], err_msg=name, **(tolerance or EXACT))


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def estimator(request, frame):
    settings = TINY | ({} if request.param is VAESynthesizer else {"n_components": 2})
    return request.param(n_draws=20, **settings).fit(frame)


def test_results_of_a_row_do_not_depend_on_other_rows(estimator, frame):
    whole = results(estimator, frame)
    order = np.random.default_rng(0).permutation(len(frame))
    assert_equal(
        results(estimator, take(frame, order)), {name: x[order] for name, x in whole.items()}
    )
    for rows in ([0], [5, 7, 5], range(100, 120)):
        part = results(estimator, take(frame, list(rows)))
        assert_equal(part, {name: x[list(rows)] for name, x in whole.items()})


def test_two_fits_and_a_clone_are_equal(estimator, frame):
    first = results(estimator, frame)
    for other in (clone(estimator).fit(frame), estimator.fit(frame)):
        assert_equal(results(other, frame), first, rtol=0)


def test_pickle_and_folder_keep_results_and_dtypes(estimator, frame, tmp_path):
    estimator.save(tmp_path / "run")
    for copy in (pickle.loads(pickle.dumps(estimator)), type(estimator).load(tmp_path / "run")):
        assert_equal(results(copy, frame), results(estimator, frame), rtol=0)
        assert copy.get_params() == estimator.get_params()
        assert copy.n_features_in_ == frame.shape[1]
        assert [*copy.feature_names_in_] == [*frame.columns]
        assert copy.n_iter_ == TINY["epochs"]
        if hasattr(copy, "sample"):
            new, old = copy.sample(5), estimator.sample(5)
            assert new.equals(old)
            assert [*map(str, new.dtypes)] == [*map(str, old.dtypes)]


@pytest.mark.parametrize("cls", [VAE, VAESynthesizer])
def test_samples_have_columns_dtypes_and_legal_values(cls, frame):
    rows = cls(**TINY).fit(frame).sample(50)
    assert type(rows) is type(frame)
    assert [*rows.columns] == [*frame.columns]
    assert [*map(str, rows.dtypes)] == [*map(str, frame.dtypes)]
    for name in ("city", "member", "one", "visits"):
        assert set(rows[name]) <= set(frame[name])
    assert rows["age"].min() >= 0
    assert (rows["day"].dt.hour() if type(rows) is pl.DataFrame else rows["day"].dt.hour).max() == 0


def test_categories_of_pandas_stay_with_their_order():
    frame = people()
    rows = VAE(**TINY).fit(frame).sample(20)
    assert rows["size"].dtype == frame["size"].dtype
    assert set(rows["size"]) <= {"s", "l"}


def test_arrays_of_objects_and_numbers_come_back_as_arrays():
    frame = people()[["age", "city", "x"]]
    objects = frame.to_numpy(dtype=object)
    vae = VAE(**TINY).fit(objects)
    assert vae.sample(3).dtype == object and vae.sample(3).shape == (3, 3)
    assert set(vae.sample(20)[:, 1]) <= {"Bonn", "Kiel", "Ulm"}
    for dtype in ("float32", "float64", "int64"):
        numbers = np.random.default_rng(0).integers(0, 50, (60, 2)).astype(dtype)
        assert VAE(**TINY).fit(numbers).sample(3).dtype == dtype


def test_missing_cells_are_read_in_every_spelling():
    numbers = np.random.default_rng(0).normal(size=(100, 2)).astype(object)
    numbers[:30, 0] = None
    floats = numbers.astype(float)
    vae = VAE(n_components=1, **TINY).fit(floats)
    np.testing.assert_array_equal(vae.transform(numbers), vae.transform(floats))
    frame = pl.DataFrame(floats, schema=["x0", "x1"]).fill_nan(None)
    with pytest.warns(UserWarning, match="feature names"):
        np.testing.assert_array_equal(vae.transform(frame), vae.transform(floats))


def test_missing_cells_that_no_fitted_row_has_are_read():
    X = np.random.default_rng(0).normal(size=(60, 3))
    vae = VAE(n_components=1, **TINY).fit(X)
    X[::2, 1] = np.nan
    assert np.isfinite(vae.transform(X)).all() and np.isfinite(vae.score_samples(X)).all()


def test_weight_zero_leaves_a_row_out():
    frame = people()
    weight = np.random.default_rng(0).choice([0.0, 1.0, 2.5], len(frame))
    kept = np.flatnonzero(weight)
    all_rows = VAE(**TINY).fit(frame, sample_weight=weight)
    some_rows = VAE(**TINY).fit(take(frame, kept), sample_weight=weight[kept])
    np.testing.assert_array_equal(all_rows.transform(frame), some_rows.transform(frame))
    without = VAE(**TINY).fit(take(frame, kept))
    assert not np.array_equal(without.transform(frame), some_rows.transform(frame))


def test_inverse_transform_gives_legal_rows(frame):
    vae = VAE(n_components=2, **TINY).fit(frame)
    rows = vae.inverse_transform(vae.transform(frame))
    assert [*rows.columns] == [*frame.columns] and len(rows) == len(frame)
    assert [*map(str, rows.dtypes)] == [*map(str, frame.dtypes)]
    assert set(rows["city"]) <= {"Bonn", "Kiel", "Ulm"}


@pytest.mark.parametrize("cls", [*CLASSES, VAEImputer], ids=lambda cls: cls.__name__)
def test_partial_fit_goes_on_with_the_first_schema(cls):
    frame = people()
    estimator = cls(**TINY).partial_fit(frame)
    schema, weights = estimator.run_.schema, estimator.run_.model.state_dict()
    estimator.partial_fit(take(frame, list(range(50))))
    assert estimator.n_iter_ == 2 and [each.epoch for each in estimator.run_.history] == [1, 2]
    assert estimator.run_.schema is schema
    new = estimator.run_.model.state_dict()
    assert any(not (new[name] == weights[name]).all() for name in new)


def test_partial_fit_in_parts_follows_the_density_of_all_rows():
    rng = np.random.default_rng(0)
    X = rng.choice([-3.0, 3.0], (2000, 1)) + 0.3 * rng.normal(size=(2000, 2))
    settings = TINY | {"hidden": (16,), "learning_rate": 0.01, "batch_size": 50}
    vae = VAE(n_components=1, **settings).partial_fit(X[:500])
    before = vae.score(X)
    for _ in range(4):
        for start in range(0, 2000, 500):
            vae.partial_fit(X[start : start + 500])
    # two clusters are worth up to log 4.24 - log 0.3 - log 2 = 2 nats more than one Gaussian
    assert vae.score(X) > before + 0.5


def test_a_warm_start_goes_on_with_weights_and_kinds():
    frame = people()
    vae = VAE(warm_start=True, **TINY).fit(frame)
    first = vae.run_
    vae.fit(frame)
    assert vae.n_iter_ == 2 * TINY["epochs"] and vae.run_.schema is first.schema


@pytest.mark.parametrize(
    "settings, argument",
    [
        ({"n_components": 0}, "n_components"),
        ({"n_components": 1.5}, "n_components"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": "many"}, "epochs"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"hidden": ("a",)}, "hidden"),
        ({"preset": "vea"}, "preset"),
        ({"preset": "sigma_vae"}, "preset"),
        ({"preset": "cvae"}, "preset"),
        ({"validation_fraction": 1}, "validation_fraction"),
        ({"unseen": "drop"}, "unseen"),
        ({"options": {"betta": 1}}, "options"),
        ({"options": ["beta"]}, "options"),
        ({"kinds": ["count"]}, "kinds"),
        ({"options": {"epochs": 1}}, "options"),
        ({"options": {"beta": "x"}}, "beta"),
        ({"kinds": {"age": "text"}}, "kinds"),
        ({"random_state": -1}, "random_state"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_a_parameter_that_no_fit_can_use_is_named(settings, argument):
    with pytest.raises(AevbError) as found:
        VAE(**(TINY | settings)).fit(people(40))
    assert found.value.argument == argument


def test_latents_of_another_width_are_refused():
    vae = VAE(n_components=2, **TINY).fit(people(40))
    with pytest.raises(DataError) as found:
        vae.inverse_transform(np.zeros((5, 3)))
    assert found.value.argument == "Z"


@pytest.mark.parametrize("weight", [np.zeros(40), -np.ones(40), np.ones(39), np.full(40, np.nan)])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(ValueError, match="weight"):
        VAE(**TINY).fit(people(40), sample_weight=weight)


@pytest.mark.parametrize("cell", [[1, 2], (1, 2), {"a": 1}, {1}, np.ones(2)])
def test_cells_of_several_values_are_refused(cell):
    X = np.empty((30, 2), dtype=object)
    X[:] = np.random.default_rng(0).normal(size=(30, 2))
    X[3, 1] = cell
    with pytest.raises((TypeError, ValueError)) as found:
        VAE(**TINY).fit(X)
    assert "x1" in str(found.value)
    frame = people(30).assign(several=[cell] + [None] * 29)
    with pytest.raises((TypeError, ValueError)) as found:
        VAE(**TINY).fit(frame)
    assert "several" in str(found.value)


def test_no_rows_and_other_columns_are_refused(frame):
    vae = VAE(**TINY).fit(frame)
    with pytest.raises(DataError) as found:
        vae.transform(frame[:0])
    assert found.value.argument == "X"
    with pytest.raises(ValueError, match="0 sample"):
        VAE(**TINY).fit(np.random.default_rng(0).normal(size=(20, 2))).transform(np.empty((0, 2)))
    with pytest.raises(ValueError, match="Feature names"):
        vae.transform(frame[[*frame.columns][:2]])
    with pytest.raises(ValueError, match="in the same order"):
        vae.transform(frame[[*frame.columns][::-1]])


def test_y_is_ignored_missing_or_not():
    frame = people(40)
    y = np.full(40, np.nan)
    first, second = VAE(**TINY).fit(frame, y), VAE(**TINY).fit(frame)
    np.testing.assert_array_equal(first.transform(frame), second.transform(frame))


def test_a_new_category_is_missing_or_refused():
    frame = people(60)
    new = frame.assign(city="Berlin")
    missing = frame.assign(city=None)
    vae = VAE(**TINY).fit(frame)
    np.testing.assert_array_equal(vae.transform(new), vae.transform(missing))
    strict = VAE(unseen="refuse", **TINY).partial_fit(frame)
    for method in (strict.partial_fit, strict.transform):
        with pytest.raises(DataError) as found:
            method(new)
        assert found.value.argument == "X"


def test_a_folder_of_another_estimator_or_of_none(tmp_path):
    frame = people(40)
    VAE(**TINY).fit(frame).save(tmp_path / "run")
    with pytest.raises(ArgumentError) as found:
        VAEOutlierDetector.load(tmp_path / "run")
    assert found.value.argument == "path"
    with pytest.raises(RunError):
        VAE.load(tmp_path / "nothing")
    with pytest.raises(RunError):  # which exists
        VAE(**TINY).fit(frame).save(tmp_path / "run")
    VAE(**TINY).fit(frame).save(tmp_path / "run", overwrite=True)


@pytest.mark.parametrize(
    "change",
    [
        {"class": None},
        {"state": None},
        {"state": {}},
        {"parameters": []},
        {"texts": ["nothing"]},
        {"texts": 3},
    ],
)
def test_a_damaged_record_of_an_estimator_is_an_error_of_the_folder(change, tmp_path):
    VAE(**TINY).fit(people(40)).save(tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    record = json.loads(path.read_text())
    record["training"]["estimator"] |= change
    path.write_text(json.dumps(record))
    with pytest.raises((ArgumentError, RunError)):
        VAE.load(tmp_path / "run")


def test_a_record_replaces_no_method(tmp_path):
    vae = VAE(**TINY).fit(people(40))
    vae.save(tmp_path / "run")
    path = tmp_path / "run" / "model.json"
    record = json.loads(path.read_text())
    record["training"]["estimator"]["state"] |= {"transform": 1, "__class__": 2, "run_": 3}
    path.write_text(json.dumps(record))
    copy = VAE.load(tmp_path / "run")
    np.testing.assert_array_equal(copy.transform(people(40)), vae.transform(people(40)))


def test_a_run_of_the_command_is_an_estimator(tmp_path):
    frame = people(60)
    run = VAE(**TINY).fit(frame).run_
    run.save(tmp_path / "run")
    vae = VAE.load(tmp_path / "run")
    assert vae.transform(frame).shape[0] == 60
    assert [*vae.sample(3).columns] == [*frame.columns]


def test_notes_tell_what_was_chosen():
    vae = VAE(**TINY).fit(people(40))
    assert {"column_kinds", "cells_missing"} <= {note.code for note in vae.notes_}


def test_a_missing_package_is_one_sentence(monkeypatch):
    for name in [*sys.modules]:
        if name.split(".")[0] == "sklearn" or name.startswith("aevb.sklearn"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError) as found:
        importlib.import_module("aevb.sklearn")
    assert "aevb[sklearn]" in str(found.value)
