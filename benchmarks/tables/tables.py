"""Real tables, and the judges of synthetic rows and imputed cells that the benchmarks share."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import AdaBoostClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

RESULTS = Path(__file__).resolve().parents[1] / "results"
DATA = Path(os.environ.get("AEVB_DATA", "data"))
ADULT_COLUMNS = (
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education-num",
    "marital-status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital-gain",
    "capital-loss",
    "hours-per-week",
    "native-country",
    "income",
)


def adult() -> pd.DataFrame:
    """The 32,561 training rows of Adult; "?" is a missing cell."""
    with gzip.open(DATA / "tabular" / "adult.data.gz", "rt") as file:
        return pd.read_csv(file, names=list(ADULT_COLUMNS), skipinitialspace=True, na_values="?")


def uci(name: str) -> pd.DataFrame:
    """A set of UCI regression, with its target as the last column."""
    found = np.load(DATA / "uci_regression" / f"{name}.npz")
    both = np.column_stack([found["x"], found["y"]])
    return pd.DataFrame(both, columns=[f"x{j}" for j in range(both.shape[1] - 1)] + ["y"])


def split(frame: pd.DataFrame, test: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(frame))
    return (
        frame.iloc[order[test:]].reset_index(drop=True),
        frame.iloc[order[:test]].reset_index(drop=True),
    )


def number_columns(frame: pd.DataFrame) -> list[str]:
    """The names of the columns of numbers."""
    return [name for name in frame if pd.api.types.is_numeric_dtype(frame[name])]


def name_columns(frame: pd.DataFrame) -> list[str]:
    """The names of all other columns."""
    numbers = set(number_columns(frame))
    return [name for name in frame if name not in numbers]


def features(frame: pd.DataFrame) -> Any:
    """Numbers standardised, names one-hot; missing cells are a level."""
    return make_column_transformer(
        (StandardScaler(), number_columns(frame)),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), name_columns(frame)),
    )


def utility(train: pd.DataFrame, test: pd.DataFrame, target: str, positive: str) -> float:
    """F1 on ``test``, the mean of the four classifiers of the TVAE paper, trained on ``train``.

    Xu et al., Modeling tabular data using conditional GAN (2019): a decision tree of depth 15, 50
    boosted stumps, logistic regression, and a network with 50 hidden units.
    """
    classifiers = (
        DecisionTreeClassifier(max_depth=15, class_weight="balanced", random_state=0),
        AdaBoostClassifier(n_estimators=50, random_state=0),
        LogisticRegression(max_iter=500, class_weight="balanced"),
        MLPClassifier((50,), max_iter=50, early_stopping=True, random_state=0),
    )
    x, y = train.drop(columns=target), train[target] == positive
    scores = [
        f1_score(
            test[target] == positive,
            make_pipeline(features(x), classifier).fit(x, y).predict(test.drop(columns=target)),
        )
        for classifier in classifiers
    ]
    return float(np.mean(scores))


def two_sample_auc(
    real: pd.DataFrame, other: pd.DataFrame, classifier: str = "boosting", folds: int = 3
) -> float:
    """How well a classifier tells two sets of rows apart: .5 not at all, 1 always."""
    x = pd.concat([real, other], ignore_index=True)
    y = np.repeat([0, 1], [len(real), len(other)])
    if classifier == "logistic":
        model = make_pipeline(features(x), LogisticRegression(max_iter=500))
    else:
        names = name_columns(x)
        encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        model = make_pipeline(
            make_column_transformer((encode, names), remainder="passthrough"),
            HistGradientBoostingClassifier(
                categorical_features=list(range(len(names))), random_state=0
            ),
        )
    return float(cross_val_score(model, x, y, scoring="roc_auc", cv=_shuffled(folds)).mean())


def _shuffled(folds: int) -> Any:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(folds, shuffle=True, random_state=0)


def copies(rows: pd.DataFrame, train: pd.DataFrame) -> float:
    """The share of rows that are exact copies of a training row."""
    known = set(map(tuple, train.astype(str).to_numpy()))
    return float(np.mean([row in known for row in map(tuple, rows.astype(str).to_numpy())]))


class NormalScores:
    """Every column as one standard normal number, ties spread at random, and back."""

    def __init__(self, frame: pd.DataFrame, seed: int) -> None:
        self.frame, self.rng = frame, np.random.default_rng(seed)
        self.sorted = {
            name: frame[name].sort_values(na_position="last").to_numpy() for name in frame
        }

    def encode(self) -> np.ndarray:
        """Normal scores ``[N, columns]``."""
        from scipy.stats import norm

        scores = []
        for name in self.frame:
            codes = self.frame[name].rank(method="dense", na_option="bottom").to_numpy()
            order = np.lexsort((self.rng.random(len(codes)), codes))
            ranks = np.empty(len(codes))
            ranks[order] = np.arange(len(codes))
            scores.append(norm.ppf((ranks + 0.5) / len(codes)))
        return np.stack(scores, 1)

    def decode(self, scores: np.ndarray) -> pd.DataFrame:
        """Rows with the marginals of the frame."""
        from scipy.stats import norm

        n = len(self.frame)
        place = np.clip((norm.cdf(scores) * n).astype(int), 0, n - 1)
        columns = {name: self.sorted[name][place[:, j]] for j, name in enumerate(self.sorted)}
        return pd.DataFrame(columns).astype(self.frame.dtypes.to_dict())


def copula_rows(train: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Rows of a Gaussian copula with the marginals of the training rows."""
    scores = NormalScores(train, seed)
    covariance = np.corrcoef(scores.encode().T)
    draws = np.random.default_rng(seed).multivariate_normal(
        np.zeros(len(covariance)), covariance, n
    )
    return scores.decode(draws)


def mixture_rows(train: pd.DataFrame, n: int, seed: int, components: int = 20) -> pd.DataFrame:
    """Rows of a Gaussian mixture on the normal scores of the training rows."""
    scores = NormalScores(train, seed)
    mixture = GaussianMixture(components, reg_covar=1e-2, random_state=seed).fit(scores.encode())
    return scores.decode(mixture.sample(n)[0])


def write_result(name: str, record: dict[str, Any]) -> None:
    """Write the record of a benchmark."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(record, indent=1) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds and its standard error."""
    x = np.array(values)
    return float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else float("nan")
