"""Imputation of tables: error and coverage on cells that were removed at random.

Adult (numbers and names) with 10, 30 and 50 % of the cells of the held-out rows removed, against
scikit-learn's `IterativeImputer` on the numbers and the most frequent level on the names; six sets
of UCI regression and Adult with 20 % removed, against `IterativeImputer` with a random forest.
The error of numbers is the mean squared error over the removed cells in units of the variance of
their column, of the mean of 200 draws; that of names is the share of wrong levels. An interval at
90 % should contain 90 % of the removed numbers. Models are fitted to rows with holes of the same
kind. Sets of fewer than 2,000 rows are split, emptied and fitted with three seeds, since a few
hundred removed cells say little.

Takes about 25 minutes on two cores; --quick takes 2 minutes and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd
import tables
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from aevb.sklearn import VAEImputer

UCI = ("concrete", "energy", "kin8nm", "power_plant", "protein", "yacht")
ROWS, TEST, LEVEL, DRAWS = 8000, 2000, 0.9, 200
SEEDS, FEW_ROWS = 3, 2000  # several seeds for small sets
LEVELS = ("binary", "ordinal", "categorical")  # whose cells have sets instead of intervals


def remove_cells(frame: pd.DataFrame, share: float, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The frame with a share of its cells removed at random, and their mask."""
    gone = np.random.default_rng(seed).random(frame.shape) < share
    return frame.mask(pd.DataFrame(gone, columns=frame.columns, index=frame.index)), gone


def number_error(
    truth: pd.DataFrame, filled: pd.DataFrame, gone: np.ndarray, scale: pd.Series
) -> float:
    """The mean squared error of removed numbers over the variance of their column."""
    names = list(scale.index)
    away = (filled[names].astype(float) - truth[names].astype(float)) / scale
    places = [list(truth.columns).index(name) for name in names]
    known = gone[:, places] & truth[names].notna().to_numpy()
    return float(np.square(away.to_numpy())[known].mean())


def name_error(truth: pd.DataFrame, filled: pd.DataFrame, gone: np.ndarray) -> float:
    """The share of wrong levels among removed names."""
    names = tables.name_columns(truth)
    places = [list(truth.columns).index(name) for name in names]
    known = gone[:, places] & truth[names].notna().to_numpy()
    return float((filled[names].astype(str) != truth[names].astype(str)).to_numpy()[known].mean())


def classical(
    train: pd.DataFrame, rows: pd.DataFrame, estimator: Any = None, seed: int = 0
) -> pd.DataFrame:
    """`IterativeImputer` on standardised numbers and codes of names."""
    names = tables.name_columns(train)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    both = [train.copy(), rows.copy()]
    if names:
        encode.fit(train[names])
        both = [
            f.assign(**dict(zip(names, encode.transform(f[names]).T, strict=True))) for f in both
        ]
    scaler = StandardScaler().fit(both[0].astype(float))
    imputer = IterativeImputer(estimator, random_state=seed).fit(
        scaler.transform(both[0].astype(float))
    )
    filled = scaler.inverse_transform(imputer.transform(scaler.transform(both[1].astype(float))))
    return pd.DataFrame(filled, columns=rows.columns)


def most_frequent(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The most frequent level of each column of names."""
    names = tables.name_columns(train)
    return rows.fillna({name: train[name].mode()[0] for name in names})


def coverage(
    truth: pd.DataFrame, low: pd.DataFrame, high: pd.DataFrame, gone: np.ndarray, names: list[str]
) -> float:
    """The share of the removed cells of these columns that are inside their interval."""
    places = [list(truth.columns).index(name) for name in names]
    known = gone[:, places] & truth[names].notna().to_numpy()
    inside = (truth[names] >= low[names].astype(float)) & (
        truth[names] <= high[names].astype(float)
    )
    return float(inside.to_numpy()[known].mean())


def compare(
    frame: pd.DataFrame, share: float, seed: int, options: Any, forest: bool
) -> dict[str, Any]:
    """Errors and coverage of the model and of the classical imputers on one table."""
    train, test = tables.split(frame, min(TEST, len(frame) // 4), seed)
    train = train.iloc[:ROWS]
    train_holes, _ = remove_cells(train, share, seed + 1)
    holes, gone = remove_cells(test, share, seed + 2)
    scale = train[tables.number_columns(train)].std()
    start = time.perf_counter()
    epochs = "auto" if options.epochs is None else options.epochs
    imputer = VAEImputer(epochs=epochs, random_state=seed).fit(train_holes)
    fitted, run = time.perf_counter() - start, imputer.run_
    level = imputer.calibrated_level(LEVEL)
    imputed = run.impute(holes, seed=seed, level=level, draws=DRAWS)
    means = sum(draw[scale.index].astype(float) for draw in imputed.draws) / DRAWS
    intervals = [each.name for each in run.schema.modelled if each.kind not in LEVELS]
    estimator = (
        RandomForestRegressor(50, max_depth=None, random_state=seed, n_jobs=2) if forest else None
    )
    other = classical(train_holes, holes, estimator, seed)
    record = {
        "rows": len(train),
        "share": share,
        "seed": seed,
        "seconds": fitted,
        "mse": number_error(test, means, gone, scale),
        "mse_classical": number_error(test, other, gone, scale),
        "level": level,
        "coverage": coverage(test, imputed.low, imputed.high, gone, intervals),
    }
    if tables.name_columns(test):
        record["wrong"] = name_error(test, imputed.frame, gone)
        record["wrong_frequent"] = name_error(test, most_frequent(train_holes, holes), gone)
    return record


def write(records: list[dict[str, Any]], data: list[str]) -> None:
    """Write the records of these sets, and keep those of others, in the order of the sets."""
    path = tables.RESULTS / "imputation.json"
    known = json.loads(path.read_text(encoding="utf-8"))["records"] if path.exists() else []
    kept = [record for record in known if record["data"] not in data]
    place = lambda record: (record["iterative_imputer"], record["data"] == "adult", record["data"])  # noqa: E731
    tables.write_result("imputation", {"records": sorted([*kept, *records], key=place)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="epochs of the model; chosen by default")
    parser.add_argument("--quick", action="store_true", help="one share of Adult and one UCI set")
    parser.add_argument("--data", nargs="+", help="only these sets; others keep their record")
    options = parser.parse_args()
    chosen = options.data or [*UCI, "adult"]
    records: list[dict[str, Any]] = []
    cases = [("adult", share, False) for share in ((0.3,) if options.quick else (0.1, 0.3, 0.5))]
    cases += [(name, 0.2, True) for name in (UCI[:1] if options.quick else (*UCI, "adult"))]
    for name, share, forest in cases:
        if name not in chosen:
            continue
        frame = tables.adult() if name == "adult" else tables.uci(name)
        other = "random forest" if forest else "Bayesian ridge"
        for seed in range(SEEDS if len(frame) < FEW_ROWS else 1):
            found = compare(frame.iloc[:10_000] if forest else frame, share, seed, options, forest)
            records.append({"data": name, "iterative_imputer": other, **found})
            print(records[-1], flush=True)
        if not options.quick:  # after each, because a forest may take long
            write(records, chosen)


if __name__ == "__main__":
    main()
