"""The estimators inside scikit-learn: pipelines, searches, routing, output containers."""

import pickle
import pickletools

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn")
import pandas as pd
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_is_fitted
from tests.sklearn.tables import TINY, people

import sklearn
from aevb.sklearn import VAE, VAEImputer, VAEOutlierDetector, VAESynthesizer


def digits():
    X, y = load_digits(return_X_y=True)
    return X[:300], y[:300]


def test_a_pipeline_is_scored_and_searched_by_two_processes():
    X, y = digits()
    pipeline = make_pipeline(VAE(n_components=4, **TINY), LogisticRegression(max_iter=20))
    grid = {"vae__n_components": [2, 4], "vae__epochs": [1]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(X, y)
    assert search.best_estimator_[0].transform(X).shape == (
        300,
        search.best_params_["vae__n_components"],
    )
    density = GridSearchCV(VAE(**TINY), {"n_components": [1, 2]}, cv=2).fit(X)
    assert density.best_score_ == max(density.cv_results_["mean_test_score"])


def test_a_column_transformer_embeds_a_part_of_a_frame():
    frame = people()
    y = frame["age"] > 40
    parts = ColumnTransformer(
        [
            ("mixed", VAE(n_components=2, **TINY), ["city", "day", "x"]),
            ("age", StandardScaler(), ["age"]),
        ]
    )
    model = make_pipeline(parts, LogisticRegression())
    assert cross_val_score(model, frame, y, cv=3, error_score="raise").mean() > 0.9
    names = parts.fit(frame).get_feature_names_out()
    assert [*names] == ["mixed__vae0", "mixed__vae1", "age__age"]
    importance = permutation_importance(model.fit(frame, y), frame, y, n_repeats=2, random_state=0)
    assert importance.importances_mean.argmax() == 0


@pytest.mark.parametrize("container, library", [("pandas", pd), ("polars", pl)])
def test_output_containers_have_names(container, library):
    frame = people()
    table = VAE(n_components=2, **TINY).set_output(transform=container).fit_transform(frame)
    assert isinstance(table, library.DataFrame)
    assert [*table.columns] == ["vae0", "vae1"] and len(table) == len(frame)


def test_weights_are_routed():
    frame, weight = people(60), np.r_[np.zeros(30), np.ones(30)]
    with sklearn.config_context(enable_metadata_routing=True):
        model = make_pipeline(VAE(**TINY).set_fit_request(sample_weight=True))
        routed = model.fit(frame, sample_weight=weight)[0]
    own = VAE(**TINY).fit(frame, sample_weight=weight)
    np.testing.assert_array_equal(routed.transform(frame), own.transform(frame))


@pytest.mark.parametrize("cls", [VAE, VAEImputer, VAEOutlierDetector, VAESynthesizer])
def test_joblib_keeps_an_estimator_in_a_pipeline(cls, tmp_path):
    frame = people(60)
    model = make_pipeline(cls(**TINY)).fit(frame)
    joblib.dump(model, tmp_path / "model.joblib")
    copy = joblib.load(tmp_path / "model.joblib")
    check_is_fitted(copy[0])
    assert copy[0].run_.schema == model[0].run_.schema
    texts = (arg for _, arg, _ in pickletools.genops(pickle.dumps(model)) if isinstance(arg, str))
    assert not [text for text in texts if text.startswith(("torch", "aevb.models", "aevb.runs"))]


def test_html_and_text_tell_what_was_set():
    vae = VAE(n_components=2, **TINY)
    assert "n_components=2" in repr(vae)
    html = vae.fit(people(40))._repr_html_()
    assert "VAE" in html and "n_components" in html


def titanic_like():
    """Passengers with the dtypes and the holes of the Titanic table; whether each survived."""
    rng = np.random.default_rng(0)
    sex, age = rng.choice(["male", "female"], 300), rng.normal(30, 12, 300).clip(1).round()
    fare = rng.lognormal(3, 1, 300).round(2)
    frame = pd.DataFrame(
        {
            "pclass": rng.integers(1, 4, 300),
            "sex": sex,
            "age": np.where(rng.random(300) < 0.2, np.nan, age),
            "fare": fare,
            "embarked": rng.choice(["S", "C", "Q", None], 300, p=[0.7, 0.18, 0.1, 0.02]),
            "alone": rng.choice([True, False], 300),
        }
    )
    return frame, rng.random(300) < np.where(sex == "female", 0.9, 0.1)


def mpg_like():
    """Cars with a name, numbers and holes; their consumption."""
    rng = np.random.default_rng(0)
    weight = rng.normal(3000, 600, 300).round()
    frame = pd.DataFrame(
        {
            "weight": weight,
            "horsepower": np.where(rng.random(300) < 0.05, np.nan, (weight / 30).round()),
            "cylinders": rng.choice([4, 6, 8], 300),
            "origin": rng.choice(["usa", "japan", "europe"], 300),
            "name": [f"car {i % 80}" for i in range(300)],
        }
    )
    return frame, 50 - weight / 100 + rng.normal(size=300)


class TestSkrub:
    """`skrub.tabular_pipeline` puts its cleaning in front of an estimator."""

    skrub = property(lambda self: pytest.importorskip("skrub"))
    wide = TINY | {"hidden": (16,), "epochs": 30, "learning_rate": 1e-2}

    def test_an_embedding_between_cleaning_and_a_classifier(self):
        frame, y = titanic_like()
        model = self.skrub.tabular_pipeline(make_pipeline(VAE(**TINY), LogisticRegression()))
        cleaner, embedding, classifier = model.fit(frame, y)[:-2], model[-2], model[-1]
        cleaned = cleaner.transform(frame)
        alone = VAE(**TINY).fit(cleaned).transform(cleaned)
        np.testing.assert_array_equal(embedding.transform(cleaned), alone)
        np.testing.assert_array_equal(model.predict(frame), classifier.predict(alone))
        search = GridSearchCV(
            make_pipeline(VAE(**TINY), LogisticRegression()), {"vae__n_components": [1, 2]}, cv=2
        )
        assert self.skrub.tabular_pipeline(search).fit(frame, y).predict(frame).shape == (300,)

    def test_an_imputer_of_the_raw_frame_in_front_of_a_regressor(self):
        frame, y = mpg_like()
        cleaned = self.skrub.tabular_pipeline(Ridge())
        model = make_pipeline(VAEImputer(**TINY), *(step for _, step in cleaned.steps))
        assert cross_val_score(model, frame, y, cv=3, error_score="raise").mean() > 0.9
        direct = self.skrub.tabular_pipeline(VAEOutlierDetector(**TINY)).fit(frame)
        assert set(direct.predict(frame)) == {-1, 1}

    def test_an_array_of_digits(self):
        X, y = digits()
        head = make_pipeline(VAE(n_components=8, **self.wide), LogisticRegression())
        assert self.skrub.tabular_pipeline(head).fit(X, y).score(X, y) > 0.5

    @pytest.mark.parametrize("container, library", [("pandas", pd), ("polars", pl)])
    def test_a_synthesizer_after_the_cleaner_keeps_its_dtypes(self, container, library):
        frame, _ = titanic_like()
        frame = frame if library is pd else pl.from_pandas(frame)
        cleaned = self.skrub.Cleaner().fit_transform(frame)
        rows = VAESynthesizer(**TINY).fit(cleaned).sample(20)
        assert isinstance(rows, library.DataFrame)
        assert [*map(str, rows.dtypes)] == [*map(str, cleaned.dtypes)]
