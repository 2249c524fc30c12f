"""The outlier detector: scores, threshold, contributions, robust training."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.metrics import roc_auc_score
from tests.sklearn.tables import TINY, people

from aevb.errors import AevbError, IncompatibleError
from aevb.sklearn import VAEOutlierDetector

METHODS = ("log_prob", "elbo", "typicality", "latent_knn")


def contaminated(n_rows=400, share=0.1):
    """Rows near a plane, of which some are far from it; and which those are."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2)) @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(n_rows, 5))
    outlier = np.arange(n_rows) < share * n_rows
    X[outlier] += 3 * rng.normal(size=(outlier.sum(), 5))
    return X, outlier


@pytest.mark.parametrize("method", METHODS)
def test_outliers_have_lower_scores(method):
    X, outlier = contaminated()
    settings = TINY | {"hidden": (16,), "epochs": 30, "learning_rate": 0.01}
    detector = VAEOutlierDetector(2, method=method, contamination=0.1, n_draws=20, **settings)
    predicted = detector.fit_predict(X)
    assert (predicted == -1).sum() == 40
    # typical is not unusually likely either, and neighbours in the latent see no residuals
    assert roc_auc_score(outlier, -detector.score_samples(X)) > (
        0.9 if method in ("log_prob", "elbo") else 0.6
    )
    proba = detector.predict_proba(X)
    assert ((proba >= 0) & (proba <= 1)).all()
    np.testing.assert_allclose(proba.sum(1), 1)
    order = np.argsort(detector.decision_function(X))
    assert (np.diff(proba[order, 1]) <= 1e-12).all()


@pytest.mark.parametrize("method", METHODS[:3])
def test_contributions_and_remainder_sum_to_the_score(method):
    frame = people()
    detector = VAEOutlierDetector(method=method, n_draws=20, **TINY).fit(frame)
    found = detector.explain(frame)
    assert [*found.columns] == [*(n for n in frame.columns if n != "one"), "remainder", "score"]
    assert (found.index == frame.index).all()
    np.testing.assert_allclose(found.drop(columns="score").to_numpy().sum(1), found["score"])
    np.testing.assert_array_equal(found["score"], detector.score_samples(frame))
    assert (found.loc[frame["city"].isna(), "city"] == 0).all()  # a missing cell has no part


def test_the_column_of_an_outlier_has_the_lowest_contribution():
    X, _ = contaminated(share=0)
    settings = TINY | {"hidden": (16,), "epochs": 30, "learning_rate": 0.01}
    detector = VAEOutlierDetector(2, **settings).fit(X)
    wrong = X[:50].copy()
    wrong[np.arange(50), np.arange(50) % 5] += 3
    found = detector.explain(wrong).to_numpy()[:, :5]
    assert (found.argmin(1) == np.arange(50) % 5).mean() > 0.8


def test_distances_of_encodings_have_no_columns():
    X, _ = contaminated(60)
    with pytest.raises(IncompatibleError) as found:
        VAEOutlierDetector(method="latent_knn", **TINY).fit(X).explain(X)
    assert found.value.argument == "method"


def test_trimming_keeps_outliers_out_of_the_model():
    """Without trimming the model explains the cluster of outliers; with it, it stays unlikely."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(340, 4)), 3 + 0.1 * rng.normal(size=(60, 4))])
    outlier = np.arange(400) >= 340
    settings = TINY | {"hidden": (16,), "epochs": 40, "learning_rate": 0.01}
    scores = {
        trim: roc_auc_score(
            outlier, -VAEOutlierDetector(2, trim=trim, **settings).fit(X).score_samples(X)
        )
        for trim in (0.0, 0.16)
    }
    assert scores[0.16] > 0.95 > 0.85 > scores[0.0]


def test_long_tails_are_likelihoods_of_real_numbers():
    detector = VAEOutlierDetector(heavy_tails=True, **TINY).fit(people())
    columns = {each.name: each.likelihood for each in detector.run_.schema.modelled}
    assert columns["x"] == columns["age"] == "student_t"
    assert columns["city"] == "categorical"


def test_numbers_of_every_kind_are_continuous():
    """Of an array and of a frame alike; texts, dates and truth values keep their kinds."""
    rng = np.random.default_rng(0)
    spiky = np.where(rng.random(200) < 0.4, 0, rng.normal(size=200))
    columns = [rng.poisson(3, 200), rng.integers(0, 5, 200), np.exp(rng.normal(size=200)), spiky]
    X = np.stack([*columns, rng.integers(0, 2, 200)], 1).astype(float)
    frame = people().assign(twice=lambda each: 2 * each["x"])
    found = [VAEOutlierDetector(**TINY).fit(each).run_.schema.columns for each in (X, frame)]
    assert [column.kind for column in found[0]] == ["continuous"] * 4 + ["binary"]
    kinds = {column.name: column.kind for column in found[1]}
    assert kinds["age"] == kinds["x"] == kinds["twice"] == "continuous"
    assert kinds["city"] == "categorical"
    chosen = VAEOutlierDetector(kinds={"age": "integer"}, **TINY).fit(people()).run_.schema
    assert {column.name: column.kind for column in chosen.columns}["age"] == "integer"


def test_values_far_from_repeated_ones_are_unusual():
    """The cell of a spike or of the last level of a grid says nothing of the distance."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    X[:, 0] = np.where(rng.random(400) < 0.5, 0, X[:, 0].round(1))
    detector = VAEOutlierDetector(**(TINY | {"hidden": (16,)})).fit(X)
    line = np.zeros((4, 3))
    line[:, 0] = [0, 4, 8, 16]
    assert (np.diff(detector.score_samples(line)) < 0).all()


@pytest.mark.parametrize(
    "settings, argument",
    [
        ({"contamination": 0}, "contamination"),
        ({"contamination": 0.51}, "contamination"),
        ({"contamination": "some"}, "contamination"),
        ({"method": "reconstruction"}, "method"),
        ({"trim": 0.5}, "trim"),
        ({"trim": -0.1}, "trim"),
    ],
)
def test_a_parameter_out_of_range_is_named(settings, argument):
    with pytest.raises(AevbError) as found:
        VAEOutlierDetector(**(TINY | settings)).fit(people(40))
    assert found.value.argument == argument
