"""Held-out log p(x) of the default model of a table, beside classical densities of the same rows.

Every set is read with the defaults of the library and fitted with the default settings of
`aevb fit`, on random splits into 80 % training, 10 % validation and 10 % test rows. The classical
models are fitted to the training rows: a Gaussian with full covariance, and a mixture of 1 to 20
such Gaussians whose number BIC chooses (scikit-learn, standardised columns, `reg_covar=1e-6`).
Log p(x) of the model is an importance-weighted estimate, a lower bound in expectation.
Differences are paired by row; their standard error is that of the mean over splits.

A set in the form "numbers" is an array, whose cells have densities; in the form "kinds" it is a
data frame whose columns have the kinds of their schema, and repeated values have probabilities.
There the classical models are those of `aevb evaluate`, in the same measure.

Takes about 20 minutes on one core. --sets and --forms measure a part and keep the records of the
others; with other --splits nothing is written.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import tables
import torch
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import aevb
from aevb.metrics._baselines._fit import fit_baselines
from aevb.runs import Run, RunSettings

SETS = (
    *("geyser", "mpg", "prices_sp500", "concrete", "power_plant", "vowels"),
    *("yacht", "energy", "kin8nm", "protein", "wine"),
)
WITH_KINDS = ("geyser", "mpg", "concrete", "yacht", "energy")  # sets in which values repeat
ORDER = [("numbers", each) for each in SETS] + [("kinds", each) for each in WITH_KINDS]
MAX_ROWS, SPLITS = 8000, 5
COMPONENTS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
K_LIMIT = 0.7


def read(name: str) -> pd.DataFrame:
    """The numbers of a set: complete rows, no dates and no copies of a column."""
    if name == "wine":
        return load_wine(as_frame=True).data
    if name == "vowels":
        rows = np.load(tables.DATA / "anomaly" / "40_vowels.npz")["X"]
        return pd.DataFrame(rows, columns=[f"x{j}" for j in range(rows.shape[1])])
    path = tables.DATA / "tabular" / f"{name}.csv"
    if not path.exists():
        return tables.uci(name).sample(frac=1, random_state=0)[:MAX_ROWS].reset_index(drop=True)
    drop = {"mpg": ["cylinders", "model_year"], "prices_sp500": ["adjclose"]}.get(name, [])
    frame = pd.read_csv(path).drop(columns=drop).select_dtypes("number")
    return frame.dropna().astype(float).reset_index(drop=True)


def log_density_of_mixture(train: np.ndarray, test: np.ndarray, k: Iterable[int]) -> Any:
    """The mixture with the lowest BIC, and its log-density of the test rows."""
    shift, scale = train.mean(0), train.std(0)
    x = (train - shift) / scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [
            GaussianMixture(each, reg_covar=1e-6, random_state=0).fit(x)
            for each in k
            if each * x.shape[1] < len(x)
        ]
    best = min(found, key=lambda each: each.bic(x))
    return best, best.score_samples((test - shift) / scale) - np.log(scale).sum()


def classical_of_numbers(data: aevb.Dataset) -> tuple[dict[str, np.ndarray], int]:
    """Log-densities of the test rows by the Gaussian and the mixture."""
    train, test = (rows.tensor().double().numpy() for rows in (data.train, data.test))
    varies = train.std(0) > 0
    train, test = train[:, varies], test[:, varies]
    _, gaussian = log_density_of_mixture(train, test, (1,))
    mixture, log_p = log_density_of_mixture(train, test, COMPONENTS)
    return {"gaussian": gaussian, "mixture": log_p}, mixture.n_components


def classical_of_kinds(run: Run, data: aevb.Dataset) -> tuple[dict[str, np.ndarray], int]:
    """Log p(x) of the test rows by the baselines of an evaluation."""
    baselines = fit_baselines(run.model, data.train, data.spec)
    found = {name: values.numpy() for name, values in baselines.log_prob(data.test).items()}
    components = [each.details.get("components", 1) for each in baselines.members]
    if "mixture" not in found:  # too few rows, or fewer than two columns of numbers
        found["mixture"] = found.get("gaussian", found["independent"])
    found.setdefault("gaussian", found["independent"])
    return found, max(components)


def measure(frame: pd.DataFrame, form: str, split: int, samples: int) -> dict[str, Any]:
    """Fit the default to one split, and compare it with the classical models on its test rows."""
    source = frame if form == "kinds" else frame.to_numpy()
    data = aevb.data.load(source, seed=split)
    start = time.process_time()
    run = RunSettings("table", seed=split).fit(data=data, progress=False)
    seconds = time.process_time() - start
    found = aevb.metrics.log_likelihood(run.model, data.test, samples=samples, seed=split)
    own = found.per_datum.numpy()
    others, components = (
        classical_of_kinds(run, data) if form == "kinds" else classical_of_numbers(data)
    )
    above = {name: own - values for name, values in others.items()}
    return {
        "split": split,
        "seconds": seconds,
        "components": components,
        "log_p": float(own.mean()),
        "high_k": float((found.pareto_k > K_LIMIT).float().mean()),
        **{name: float(values.mean()) for name, values in others.items()},
        **{f"above_{name}": float(values.mean()) for name, values in above.items()},
        **{
            f"error_{name}": float(values.std(ddof=1) / len(values) ** 0.5)
            for name, values in above.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", help="some sets only")
    parser.add_argument("--forms", nargs="+", default=["numbers", "kinds"])
    parser.add_argument("--splits", type=int, default=SPLITS)
    parser.add_argument("--samples", type=int, default=500, help="importance samples per row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = known_records()
    for form in options.forms:
        for name in options.sets or (SETS if form == "numbers" else WITH_KINDS):
            frame = read(name)
            found = [
                measure(frame, form, split, options.samples) for split in range(options.splits)
            ]
            size = {"rows": len(frame), "columns": frame.shape[1]}
            records[form, name] = {"data": name, "form": form} | size | {"splits": found}
            print(summary(records[form, name]), flush=True)
            if options.splits == SPLITS:  # after each set, because all of them take long
                listed = [records[each] for each in ORDER if each in records]
                tables.write_result("density", {"samples": options.samples, "records": listed})


def known_records() -> dict[tuple[str, str], dict[str, Any]]:
    """The records of an earlier run, by form and set."""
    path = tables.RESULTS / "density.json"
    if not path.exists():
        return {}
    records = json.loads(path.read_text(encoding="utf-8"))["records"]
    return {(each["form"], each["data"]): each for each in records}


def summary(record: dict[str, Any]) -> str:
    """One line of the result of a set."""
    splits = record["splits"]
    parts = [f"{record['data']:13s} {record['form']:7s} {record['rows']:6d} {record['columns']:3d}"]
    for name in ("gaussian", "mixture"):
        mean, error = tables.mean_and_error([each[f"above_{name}"] for each in splits])
        parts.append(f"above {name} {mean:+.3f} +- {error:.3f}")
    for name in ("log_p", "high_k", "components", "seconds"):
        parts.append(f"{name} {np.mean([each[name] for each in splits]):.2f}")
    return "  ".join(parts)


if __name__ == "__main__":
    main()
