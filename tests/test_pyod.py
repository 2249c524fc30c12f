"""The detector keeps PyOD's contract: direction, labels, thresholds, probabilities, clones."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

pytest.importorskip("pyod")

from aevb.pyod import VAE
from aevb.sklearn import VAEOutlierDetector

RNG = np.random.default_rng(0)
NORMAL = RNG.multivariate_normal([0, 0, 0], [[1, 0.9, 0], [0.9, 1, 0], [0, 0, 1]], 230)
UNUSUAL = RNG.uniform(-6, 6, (30, 3))
TRAIN = np.concatenate([NORMAL[:180], UNUSUAL[:20]])
TEST, LABELS = np.concatenate([NORMAL[180:], UNUSUAL[20:]]), np.repeat([0, 1], [50, 10])


@pytest.fixture(scope="module")
def detector() -> VAE:
    return VAE(contamination=0.1, hidden=(16,), epochs=20, n_draws=20, random_state=0).fit(TRAIN)


def test_the_attributes_of_the_fit(detector):
    assert (
        detector.decision_scores_.shape == (200,) and detector.decision_scores_.dtype == np.float64
    )
    assert detector.labels_.sum() == 20  # the share of outliers that was given
    assert (detector.labels_ == (detector.decision_scores_ > detector.threshold_)).all()
    for name in ("_mu", "_sigma"):
        assert getattr(detector, name) is not None
    np.testing.assert_array_equal(detector.decision_function(TRAIN), detector.decision_scores_)


def test_larger_scores_are_more_unusual(detector):
    scores = detector.decision_function(TEST)
    assert scores.shape == (60,)
    assert roc_auc_score(LABELS, scores) > 0.9  # rows off the plane of the others
    np.testing.assert_array_equal(scores, -detector.detector_.score_samples(TEST))


def test_labels_and_probabilities(detector):
    scores = detector.decision_function(TEST)
    assert (detector.predict(TEST) == (scores > detector.threshold_)).all()
    for method in ("linear", "unify"):
        probabilities = detector.predict_proba(TEST, method=method)
        assert probabilities.shape == (60, 2)
        assert probabilities.min() >= 0 and probabilities.max() <= 1
    _, confidence = detector.predict(TEST, return_confidence=True)
    assert confidence.shape == (60,) and confidence.min() >= 0 and confidence.max() <= 1
    with pytest.raises(ValueError, match="something"):
        detector.predict_proba(TEST, method="something")


def test_clones_and_pickles(detector):
    copy = clone(detector)
    assert copy.get_params() == detector.get_params() and not hasattr(copy, "detector_")
    again = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(again.decision_function(TEST), detector.decision_function(TEST))


def test_its_parameters_are_those_of_the_estimator():
    assert set(VAE().get_params()) <= set(VAEOutlierDetector().get_params())


@pytest.mark.parametrize("share", [0.0, 0.6, -1.0])
def test_impossible_shares_are_refused(share):
    with pytest.raises(ValueError, match="contamination"):
        VAE(contamination=share).fit(TRAIN)
