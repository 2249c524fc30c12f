"""Synthetic rows with constraints, in chosen shares, and from private training."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn")
import pandas as pd
import polars as pl
from sklearn.base import clone
from tests.sklearn.tables import TINY, people

from aevb.data import Identifier, Less, Range, Together, Unique
from aevb.errors import AevbError, ArgumentError, DataError
from aevb.sklearn import VAE, VAESynthesizer

CONSTRAINTS = [
    Identifier("id", "C-{number:03}"),
    Less("low", "high"),
    Less("x", "y"),
    Less("start", "end"),
    Together("city", "country"),
    Range("age", 30, 60),
    Range("high", None, 60),
    Unique("low", "age"),
]


def orders(n_rows: int = 150) -> pd.DataFrame:
    """A table that fulfils the constraints."""
    rng = np.random.default_rng(0)
    place, days = rng.integers(0, 3, n_rows), rng.integers(0, 300, n_rows)
    start = pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")
    x, low = rng.normal(size=n_rows), rng.integers(0, 50, n_rows)
    frame = pd.DataFrame(
        {
            "low": low,
            "high": np.minimum(low + rng.integers(0, 20, n_rows), 60),
            "x": x,
            "y": x + rng.exponential(1, n_rows),
            "start": start,
            "end": start + pd.to_timedelta(rng.integers(0, 30, n_rows), unit="D"),
            "city": np.array(["Paris", "Lyon", "Bonn"], object)[place],
            "country": np.array(["FR", "FR", "DE"], object)[place],
            "age": rng.integers(30, 61, n_rows),
            "sex": rng.choice(["f", "m"], n_rows, p=[0.8, 0.2]),
        }
    ).drop_duplicates(["low", "age"], ignore_index=True)
    frame.insert(0, "id", [f"C-{row + 1:03}" for row in range(len(frame))])
    frame.loc[:3, "x"] = None
    return frame


@pytest.fixture(scope="module", params=["pandas", "polars"])
def fitted(request):
    frame = orders() if request.param == "pandas" else pl.from_pandas(orders())
    return VAESynthesizer(constraints=CONSTRAINTS, **TINY).fit(frame), frame


def as_pandas(rows) -> pd.DataFrame:
    return rows if isinstance(rows, pd.DataFrame) else rows.to_pandas()


def test_every_row_fulfils_every_constraint(fitted):
    synthesizer, frame = fitted
    rows = synthesizer.sample(200)
    assert type(rows) is type(frame)
    assert [*rows.columns] == [*frame.columns]
    assert [*map(str, rows.dtypes)] == [*map(str, frame.dtypes)]
    cells = as_pandas(rows)
    for first, second in (("low", "high"), ("x", "y"), ("start", "end")):
        assert (cells[first] <= cells[second]).all()
    assert cells["age"].between(30, 60).all() and cells["high"].max() <= 60
    assert not cells.duplicated(["low", "age"]).any()
    known = orders()
    assert set(zip(cells["city"], cells["country"], strict=True)) <= set(
        zip(known["city"], known["country"], strict=True)
    )
    assert cells["id"].tolist() == [f"C-{row:03}" for row in range(1, 201)]
    assert [*cells.index] == [*range(200)]
    assert 0 < synthesizer.acceptance_rate_ < 1


@pytest.mark.parametrize(
    "balance, counts",
    [
        ("sex", {"f": 20, "m": 20}),
        ({"sex": {"f": 0.25, "m": 0.75}}, {"f": 10, "m": 30}),
        ("country", {"FR": 20, "DE": 20}),
        ({"city": {"Bonn": 0.1, "Paris": 0.9}}, {"Bonn": 4, "Paris": 36}),
    ],
)
def test_levels_have_the_shares_that_were_asked_for(fitted, balance, counts):
    rows = as_pandas(fitted[0].sample(40, balance=balance, where="x>-1"))
    name = balance if isinstance(balance, str) else next(iter(balance))
    assert rows[name].value_counts().to_dict() == counts
    assert (rows["x"] > -1).all() and not rows.duplicated(["low", "age"]).any()
    assert rows["id"].tolist() == [f"C-{row:03}" for row in range(1, 41)]


def test_rows_fulfil_conditions_on_columns_that_are_not_modelled(fitted):
    rows = as_pandas(fitted[0].sample(10, where={"country": "DE"}))
    assert set(rows["country"]) == {"DE"}
    rows = as_pandas(fitted[0].sample(10, where=["high>25", "sex=m", "end>=2020-03-01"]))
    assert (rows["high"] > 25).all() and set(rows["sex"]) == {"m"}
    assert (rows["end"] >= "2020-03-01").all()


def test_a_predicate_holds_and_its_rate_is_told(fitted):
    synthesizer, _ = fitted
    rows = as_pandas(synthesizer.sample(20, accept=lambda frame: frame["low"] > 20))
    assert (rows["low"] > 20).all()
    assert 0 < synthesizer.acceptance_rate_ < 1


def test_files_and_clones_keep_the_constraints(fitted, tmp_path):
    synthesizer, frame = fitted
    rows, scores = synthesizer.sample(30), synthesizer.score_samples(frame)
    synthesizer.save(tmp_path / "run")
    copies = [
        pickle.loads(pickle.dumps(synthesizer)),
        VAESynthesizer.load(tmp_path / "run"),
        clone(synthesizer).fit(frame),
    ]
    for copy in copies:
        assert copy.sample(30).equals(rows)
        assert copy.get_params() == synthesizer.get_params()
        np.testing.assert_array_equal(copy.score_samples(frame), scores)


def test_other_parameters_after_the_fit_change_nothing(fitted):
    synthesizer, _ = fitted
    rows = synthesizer.sample(5)
    copy = pickle.loads(pickle.dumps(synthesizer)).set_params(constraints=None)
    assert copy.sample(5).equals(rows)


def test_levels_of_a_table_without_constraints_have_equal_numbers():
    frame = people()
    synthesizer = VAESynthesizer(**TINY).fit(frame)
    rows = synthesizer.sample(31, balance="city")
    assert sorted(rows["city"].value_counts()) == [10, 10, 11]
    assert rows.dtypes.equals(frame.dtypes)
    assert synthesizer.sample(31, balance="city").equals(rows)
    array = frame[["age", "city", "x"]].to_numpy(dtype=object)
    drawn = VAESynthesizer(**TINY).fit(array).sample(9, balance="x1")
    assert drawn.shape == (9, 3) and [*np.unique(drawn[:, 1])] == ["Bonn", "Kiel", "Ulm"]
    numbers = pd.DataFrame(array[:, :1].astype(int))
    drawn = VAESynthesizer(constraints=[Range("0", 20, 90)], **TINY).fit(numbers + 2).sample(9)
    assert [*drawn.columns] == [0] and drawn[0].min() >= 20


@pytest.mark.parametrize(
    "arguments, argument",
    [
        ({"balance": "town"}, "balance"),
        ({"balance": "x"}, "balance"),
        ({"balance": {"sex": {"f": 0.5}}}, "balance"),
        ({"balance": {"sex": {"f": 1.5, "m": -0.5}}}, "balance"),
        ({"balance": {"sex": {"f": 0.5, "d": 0.5}}}, "where"),
        ({"balance": {"sex": 0.5}}, "balance"),
        ({"where": "town=Ulm"}, "where"),
        ({"where": "country=IT"}, "where"),
        ({"accept": lambda frame: frame["low"] > 1e9, "max_tries": 2}, "accept"),
        ({"accept": lambda frame: True}, "accept"),
        ({"n_samples": 0}, "n_samples"),
        ({"max_tries": 0}, "max_tries"),
    ],
)
def test_what_no_row_can_fulfil_is_named(fitted, arguments, argument):
    with pytest.raises(AevbError) as found:
        fitted[0].sample(**{"n_samples": 10, **arguments})
    assert found.value.argument == argument


@pytest.mark.parametrize(
    "constraint", [Range("age", 200, 300), Less("high", "low"), Less("low", "none"), Unique("sex")]
)
def test_a_constraint_that_rows_do_not_fulfil_is_named(constraint):
    with pytest.raises((ArgumentError, DataError)) as found:
        VAESynthesizer(constraints=[constraint], **TINY).fit(orders())
    assert found.value.argument == "constraints"


def test_further_rows_must_fulfil_the_constraints():
    frame = orders()[["low", "high"]]
    synthesizer = VAESynthesizer(constraints=[Less("low", "high")], **TINY).partial_fit(frame)
    synthesizer.partial_fit(frame[:50])
    with pytest.raises(DataError):
        synthesizer.partial_fit(
            frame.rename(columns={"low": "high", "high": "low"})[["low", "high"]]
        )


def test_weights_without_validation_rows_are_used():
    frame = people(60)
    vae = VAE(validation_fraction=0, **TINY).fit(frame, sample_weight=np.arange(60) + 1.0)
    assert vae.n_iter_ == 2


PRIVATE = TINY | {"epsilon": 3.0, "delta": 1e-3}


def test_private_training_tells_what_it_gave_away_and_leaves_rare_texts_out(tmp_path):
    pytest.importorskip("opacus")
    frame = people(300).drop(columns="size")
    frame.loc[:2, "city"] = "Rare"
    synthesizer = VAESynthesizer(**PRIVATE, constraints=[Range("age", 18, 90)]).fit(frame)
    found = synthesizer.privacy_
    assert 0 < found["epsilon"] <= 3 and found["delta"] == 1e-3 and found["noise_multiplier"] > 0
    assert found["not_covered"] and "city" in found["levels_from_rows"]
    assert "age" in found["scales_from_rows"]
    assert len(synthesizer.run_.data().validation) == 0
    assert "Rare" not in set(synthesizer.sample(200)["city"])
    synthesizer.save(tmp_path / "run")
    assert "Rare" not in (tmp_path / "run" / "model.json").read_text()
    for copy in (VAESynthesizer.load(tmp_path / "run"), pickle.loads(pickle.dumps(synthesizer))):
        assert copy.privacy_ == found
        assert copy.sample(9).equals(synthesizer.sample(9))
    assert VAESynthesizer(**TINY).fit(frame).privacy_ is None


@pytest.mark.parametrize(
    "parameters, argument",
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": -1.0}, "epsilon"),
        ({"delta": 1.0}, "delta"),
        ({"max_norm": 0.0}, "max_norm"),
        ({"min_level_rows": 0}, "min_level_rows"),
        ({"options": {"epsilon": 2.0}}, "options"),
        ({"options": {"refit": True}}, None),
    ],
)
def test_what_private_training_cannot_use_is_refused(parameters, argument):
    with pytest.raises(AevbError) as found:
        VAESynthesizer(**PRIVATE | parameters).fit(people(60))
    assert argument is None or found.value.argument == argument


def test_a_second_private_training_is_refused():
    pytest.importorskip("opacus")
    frame = people(60)
    for spend in (
        lambda x: x.partial_fit(frame),
        lambda x: x.fit(frame, sample_weight=np.ones(60)),
        lambda x: x.set_params(warm_start=True).fit(frame).fit(frame),
    ):
        with pytest.raises(ArgumentError):
            spend(VAESynthesizer(**PRIVATE))
