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
from sklearn.linear_model import LogisticRegression
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
