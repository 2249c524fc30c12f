"""The imputer: completed tables, draws, intervals, indicators, Rubin's rules."""

import pickle

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sklearn")
import polars as pl
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from tests.sklearn.tables import TINY, people, take

from aevb.errors import AevbError
from aevb.metrics import pool_estimates
from aevb.sklearn import VAEImputer

SETTINGS = TINY | {"n_draws": 50}


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    table = people().set_index(np.arange(120) + 5) if request.param == "pandas" else people()
    return table if request.param == "pandas" else pl.from_pandas(table.drop(columns="size"))


def correlated(n_rows=1500, holes=0.3):
    """Three numbers of which each tells the others, with holes; complete and with holes."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 1)) @ np.ones((1, 3)) + 0.3 * rng.normal(size=(n_rows, 3))
    X[:, 1] = 10 + 2 * X[:, 1]
    return X, np.where(rng.random(X.shape) < holes, np.nan, X)


def is_missing(frame):
    return pd.isna(frame.to_pandas() if isinstance(frame, pl.DataFrame) else frame).to_numpy()


def is_among(values, observed):
    """Whether values are observed ones, to the rounding of float32."""
    observed = observed[~np.isnan(observed)]
    return np.abs(values[:, None] - observed).min(1).max() < 1e-6 * np.abs(observed).max()


def equal(first, second):
    return first.equals(second)


@pytest.mark.parametrize("draw", ["mean", "model", "observed"])
def test_every_cell_is_filled_and_observed_ones_stay(draw, frame):
    imputer = VAEImputer(draw=draw, **SETTINGS).fit(frame)
    full = imputer.transform(frame)
    assert type(full) is type(frame) and [*full.columns] == [*frame.columns]
    assert [*map(str, full.dtypes)] == [*map(str, frame.dtypes)]
    holes = is_missing(frame)
    assert holes.any() and not is_missing(full).any()
    before, after = (
        (x.to_pandas() if isinstance(x, pl.DataFrame) else x).to_numpy(dtype=object)
        for x in (frame, full)
    )
    assert (before[~holes] == after[~holes]).all()
    assert set(full["city"]) <= {"Bonn", "Kiel", "Ulm"} and set(full["visits"]) <= set(range(5))
    if hasattr(full, "index"):
        assert (full.index == frame.index).all()
    assert equal(imputer.transform(full), full)  # idempotent
    if draw == "observed":
        assert is_among(np.asarray(full["x"]), np.asarray(frame["x"], dtype=float))


@pytest.mark.parametrize("draw", ["mean", "model", "observed"])
def test_a_row_does_not_depend_on_other_rows(draw, frame):
    imputer = VAEImputer(draw=draw, **SETTINGS).fit(frame)
    full = take(imputer.transform(frame), list(range(120)))
    order = list(np.random.default_rng(0).permutation(120))
    for rows in (order, [3], [7, 7, 1]):
        part = imputer.transform(take(frame, rows))
        expected = take(full, rows)
        for name in frame.columns:
            if name == "x":  # sums of another order
                np.testing.assert_allclose(part[name], expected[name], rtol=1e-4, atol=1e-5)
            else:
                assert [*part[name]] == [*expected[name]], name


def test_two_fits_a_clone_and_a_pickle_are_equal(frame, tmp_path):
    imputer = VAEImputer(draw="observed", **SETTINGS).fit(frame)
    full, draws = imputer.transform(frame), imputer.sample_imputations(frame, 2)
    imputer.save(tmp_path / "run")
    copies = (
        clone(imputer).fit(frame),
        pickle.loads(pickle.dumps(imputer)),
        VAEImputer.load(tmp_path / "run"),
    )
    for copy in copies:
        assert equal(copy.transform(frame), full)
        assert all(map(equal, copy.sample_imputations(frame, 2), draws))


def test_imputation_follows_the_other_columns():
    X, incomplete = correlated()
    imputer = VAEImputer(1, **(SETTINGS | {"hidden": (16,), "epochs": 20})).fit(incomplete)
    full, holes = imputer.transform(incomplete), np.isnan(incomplete)
    errors = np.abs(full - X)[holes] / np.broadcast_to(X.std(0), X.shape)[holes]
    of_means = (
        np.abs(np.nanmean(incomplete, 0) - X)[holes] / np.broadcast_to(X.std(0), X.shape)[holes]
    )
    assert errors.mean() < 0.6 * of_means.mean()
    low, high = imputer.intervals(incomplete, level=0.8)
    inside = ((low <= X) & (high >= X))[holes].mean()
    assert 0.7 < inside < 0.9  # of about 1,350 cells, and the model itself errs
    assert (low[~holes] == X[~holes]).all() and (high[~holes] == X[~holes]).all()
    narrow = imputer.intervals(incomplete, level=0.5)
    assert (narrow[1] - narrow[0])[holes].mean() < (high - low)[holes].mean()


def test_draws_vary_as_much_as_the_data():
    X, incomplete = correlated()
    holes = np.isnan(incomplete)
    for draw in ("model", "observed"):
        settings = SETTINGS | {"hidden": (16,), "epochs": 20}
        imputer = VAEImputer(1, draw=draw, **settings).fit(incomplete)
        first, second = imputer.sample_imputations(incomplete, 2)
        assert not np.array_equal(first, second)
        assert (first[~holes] == X[~holes]).all()
        for place in range(3):  # means alone would vary less
            rows = holes[:, place]
            assert first[rows, place].std() == pytest.approx(X[rows, place].std(), rel=0.15)
        other = imputer.sample_imputations(incomplete, 2, random_state=1)[0]
        assert not np.array_equal(other, first)
    assert is_among(first[:, 1], incomplete[:, 1])


def test_indicators_and_empty_columns():
    frame = people().assign(nothing=np.nan, blank=None)
    new = frame.assign(age=frame["age"].where(frame.index > 5).astype("Float64"))
    kept = [name for name in frame.columns if name not in ("nothing", "blank")]
    imputer = VAEImputer(add_indicator=True, **SETTINGS).fit(frame)
    full = imputer.transform(new)
    assert [*full.columns[:8]] == kept and [*imputer.get_feature_names_out()] == [*full.columns]
    assert "missingindicator_city" in full and "missingindicator_age" not in full
    assert (full["missingindicator_city"] == frame["city"].isna()).all()
    whole = VAEImputer(keep_empty_features=True, **SETTINGS).fit(frame).transform(frame)
    assert [*whole.columns] == [*frame.columns] and (whole["nothing"] == 0).all()
    X = frame[["age", "x", "nothing"]].to_numpy(float)
    arrays = VAEImputer(add_indicator=True, **SETTINGS).fit(X)
    assert arrays.transform(X).shape == (120, 4)
    assert [*arrays.get_feature_names_out()] == [
        "x0",
        "x1",
        "missingindicator_x1",
        "missingindicator_x2",
    ]
    table = arrays.set_output(transform="pandas").transform(X)
    assert [*table.columns] == [*arrays.get_feature_names_out()]


def test_a_constant_column_with_holes_is_filled_with_its_value():
    frame = people().assign(one=[1.0, np.nan] * 60)
    assert (VAEImputer(**SETTINGS).fit(frame).transform(frame)["one"] == 1).all()


def test_rows_without_any_value_are_filled():
    _, incomplete = correlated(200)
    incomplete[3] = np.nan
    assert np.isfinite(VAEImputer(**SETTINGS).fit(incomplete).transform(incomplete)).all()


def test_an_imputer_precedes_a_regression():
    X, incomplete = correlated()
    y = X.sum(1)
    model = make_pipeline(VAEImputer(1, **SETTINGS), LinearRegression()).fit(incomplete, y)
    assert model.score(incomplete, y) > 0.8


def test_rubins_rules():
    """Schafer (1997): T = U + (1 + 1/m) B, nu = (m - 1)(1 + m U / ((m + 1) B))^2."""
    estimates, variances = [1.2, 0.8, 1.1, 0.9, 1.5], [0.04, 0.05, 0.045, 0.05, 0.04]
    found = VAEImputer.pooled(estimates, variances)
    between, within = np.var(estimates, ddof=1), np.mean(variances)
    assert found.value == pytest.approx(np.mean(estimates))
    assert found.variance == pytest.approx(within + 1.2 * between)
    degrees = 4 * (1 + 5 * within / (6 * between)) ** 2
    assert found.degrees_of_freedom == pytest.approx(degrees)
    assert found.missing_information == pytest.approx(1.2 * between / found.variance)
    from scipy import stats

    half = stats.t.ppf(0.95, degrees) * np.sqrt(found.variance)
    assert found.interval(0.9) == pytest.approx((found.value - half, found.value + half), rel=1e-8)
    several = VAEImputer.pooled(np.c_[estimates, estimates], np.c_[variances, variances])
    assert [*several] == [found, found]
    same = pool_estimates([2.0, 2.0], [0.25, 0.25])  # nothing is missing: the normal interval
    assert same.interval() == pytest.approx((2 - 0.98, 2 + 0.98), abs=1e-4)


@pytest.mark.parametrize(
    "estimates, variances", [([1], [1]), ([1, 2], [1]), ([1, 2], [1, -1]), ([1, 2], [1, np.nan])]
)
def test_estimates_that_cannot_be_pooled(estimates, variances):
    with pytest.raises(AevbError):
        VAEImputer.pooled(estimates, variances)


def test_arguments_out_of_range_are_named():
    _, incomplete = correlated(60)
    with pytest.raises(AevbError) as found:
        VAEImputer(draw="median", **SETTINGS).fit(incomplete)
    assert found.value.argument == "draw"
    imputer = VAEImputer(**SETTINGS).fit(incomplete)
    for call, argument in (
        (lambda: imputer.sample_imputations(incomplete, 0), "n"),
        (lambda: imputer.intervals(incomplete, level=1.0), "level"),
    ):
        with pytest.raises(AevbError) as found:
            call()
        assert found.value.argument == argument


def high_values_missing():
    """Four numbers of two factors; two columns lack all values above their mean."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 4)) + 0.4 * rng.normal(size=(600, 4))
    X = (X - X.mean(0)) / X.std(0)
    return X, np.where((X > 0) & (np.arange(4) < 2), np.nan, X)


class TestMissingNotAtRandom:
    settings = {
        "n_components": 2,
        "hidden": (16,),
        "epochs": 60,
        "batch_size": 64,
        "learning_rate": 1e-2,
        "n_draws": 50,
        "random_state": 0,
    }

    @pytest.mark.parametrize("mnar", ["self", "high"])
    def test_values_that_hide_themselves_are_imputed_beyond_the_observed_ones(self, mnar, tmp_path):
        X, holes = high_values_missing()
        hidden = np.isnan(holes)
        errors = {}
        for name in (None, mnar):
            imputer = VAEImputer(mnar=name, **self.settings).fit(holes)
            filled = imputer.transform(holes)
            errors[name] = np.sqrt(np.mean((filled - X)[hidden] ** 2))
        # 1.13 and .37; the mean of all hidden values has an error of .6
        assert errors[mnar] < 0.5 < 1 < errors[None]
        assert min(imputer.masking_.values()) > 2 and [*imputer.masking_] == ["x0", "x1"]
        low, high = imputer.intervals(holes)
        inside = ((low <= X) & (high >= X))[hidden].mean()
        assert 0.8 < inside < 0.97  # .86 of 583 cells: a normal model of truncated data
        imputer.save(tmp_path / "imputer")
        again = VAEImputer.load(tmp_path / "imputer")
        np.testing.assert_array_equal(again.transform(holes), filled)
        assert again.masking_ == imputer.masking_

    def test_the_wrong_direction_leaves_the_observed_side(self):
        _, holes = high_values_missing()
        filled = VAEImputer(mnar="low", **self.settings).fit(holes).transform(holes)
        assert filled[np.isnan(holes)].max() <= 0

    def test_other_columns_are_missing_at_random(self):
        imputer = VAEImputer(mnar="self", **SETTINGS).fit(people())
        assert [*imputer.masking_] == ["x", "visits"]  # of which visits is a whole number
        completed = imputer.transform(people())
        assert completed.notna().all().all() and completed["visits"].dtype == "Int64"

    @pytest.mark.parametrize(
        "settings, argument",
        [({"mnar": "both"}, "mnar"), ({"mnar": "self", "preset": "table_vae"}, "preset")],
    )
    def test_settings_that_contradict_are_refused(self, settings, argument):
        with pytest.raises(AevbError) as error:
            VAEImputer(**settings, **TINY).fit(people())
        assert error.value.argument == argument

    def test_rows_without_missing_numbers_are_refused(self):
        with pytest.raises(AevbError) as error:
            VAEImputer(mnar="self", **TINY).fit(np.random.default_rng(0).normal(size=(50, 3)))
        assert error.value.argument == "mnar"


def test_intervals_are_calibrated_by_cells_of_validation_rows(tmp_path):
    """The model alone is too unsure: its intervals at 90 % contain more than 93 %."""
    truth, X = correlated()
    imputer = VAEImputer(epochs=40, hidden=(8,), n_draws=100, random_state=0).fit(X)
    level = imputer.calibrated_level(0.9)
    low, high = imputer.intervals(X, level=0.9)
    inside = ((low <= truth) & (truth <= high))[np.isnan(X)].mean()
    # 320 cells of 150 rows calibrate: two standard errors are .034
    assert level != 0.9 and inside == pytest.approx(0.9, abs=0.034)
    assert VAEImputer.load(imputer.save(tmp_path / "run")).calibrated_level(0.9) == level
    assert 0.2 < imputer.calibrated_level(0.5) < level


def test_intervals_without_validation_rows_are_those_of_the_model():
    imputer = VAEImputer(**SETTINGS | {"validation_fraction": 0.0}).fit(correlated(60)[1])
    assert imputer.calibrated_level(0.8) == 0.8
