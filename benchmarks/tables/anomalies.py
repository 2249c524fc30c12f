"""Anomaly detection on ten sets of ADBench, semi-supervised and unsupervised.

Semi-supervised: train on half of the normal rows, test on the rest and all anomalies. Unsupervised:
train and test on all rows. Columns are standardised by the training rows. Area under the ROC curve
times 100, means over seeds. One model of `aevb.sklearn.VAEOutlierDetector` with its defaults gives
all of its scores; the other detectors are those of PyOD with their defaults.

Takes about 15 minutes on one core for 5 seeds; --sets, --seeds and --modes take parts of it. What
is in the record of --out already is not computed again. The record anomalies_clean.json has the
first three detectors with --modes semi --options '{"trim": 0.02, "epochs": 120}' --seeds 3.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import tables
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from pyod.models.pca import PCA
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from aevb.runs._outliers import outlier_reference, outlier_scores
from aevb.sklearn import VAEOutlierDetector

FOLDER = tables.DATA / "anomaly"
METHODS = ("log_prob", "elbo", "latent_knn")
DRAWS = 20
OTHERS = {
    "isolation forest": lambda seed, rank: IForest(random_state=seed),
    "k nearest neighbours": lambda seed, rank: KNN(),
    "PCA": lambda seed, rank: PCA(n_components=rank),
    "ECOD": lambda seed, rank: ECOD(),
}


def parts(path: Path, mode: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows, and whether test rows are anomalies."""
    with np.load(path) as archive:
        x, y = archive["X"].astype(np.float64), archive["y"].astype(bool)
    if mode == "unsupervised":
        scaled = StandardScaler().fit_transform(x)
        return scaled, scaled, y
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(~y))
    train, rest = np.split(normal, [len(normal) // 2])
    test = np.concatenate([rest, np.flatnonzero(y)])
    scaler = StandardScaler().fit(x[train])
    return scaler.transform(x[train]), scaler.transform(x[test]), y[test]


def scores(
    train: np.ndarray, test: np.ndarray, seed: int, options: dict[str, Any]
) -> Iterator[tuple[str, np.ndarray, float]]:
    """Name, scores of test rows (larger: more unusual) and seconds of each detector."""
    start = time.process_time()
    detector = VAEOutlierDetector(random_state=seed, **options).fit(train)
    seconds = time.process_time() - start
    run = detector.run_.in_float64()
    rows, known = (run.rows(detector._read(each)) for each in (test, train))
    for method in METHODS:
        reference = outlier_reference(run, known, method, samples=DRAWS, seed=seed)
        found = outlier_scores(run, rows, method, reference=reference, samples=DRAWS, seed=seed)
        yield f"aevb, {method}", -found.numpy(), seconds
    varies = train.std(0) > 1e-6
    rank = int(np.linalg.matrix_rank(train[:, varies]))  # PCA divides by every variance
    for name, make in OTHERS.items():
        start = time.process_time()
        other = make(seed, rank).fit(train[:, varies])
        yield name, other.decision_function(test[:, varies]), time.process_time() - start


def main() -> None:
    """Score every set, print the means, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = sorted(path.stem for path in FOLDER.glob("*.npz"))
    parser.add_argument("--sets", nargs="+", default=names, choices=names)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--modes", nargs="+", default=["semi", "unsupervised"])
    parser.add_argument("--options", type=json.loads, default={}, help="JSON: other parameters")
    parser.add_argument("--out", type=Path, help="where to write the record")
    options = parser.parse_args()
    records: list[dict[str, Any]] = []
    if options.out is not None and options.out.exists():
        records = json.loads(options.out.read_text(encoding="utf-8"))
    for seed, name, mode in product(range(options.seeds), options.sets, options.modes):
        where = {"set": name.split("_", 1)[1], "mode": mode, "seed": seed}
        if any(where.items() <= each.items() for each in records):
            continue
        train, test, y = parts(FOLDER / f"{name}.npz", mode, seed)
        for detector, found, seconds in scores(train, test, seed, options.options):
            found = found.clip(-1e300, 1e300)  # ECOD: infinite beyond the training rows
            area = round(100 * float(roc_auc_score(y, found)), 3)
            own = {"detector": detector, "auroc": area, "seconds": round(seconds, 1)}
            records.append(where | own)
        print(f"{where['set']:12} {mode:13} {seed}", line(records, where), flush=True)
        if options.out is not None:
            options.out.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    for mode in options.modes:
        print(f"{'mean':12} {mode:13}", line(records, {"mode": mode}))


def line(records: list[dict[str, Any]], where: dict[str, Any]) -> str:
    """The mean of each detector over the records of a set, mode or seed."""
    own = [each for each in records if where.items() <= each.items()]
    detectors = dict.fromkeys(each["detector"] for each in own)
    means = {d: mean(each["auroc"] for each in own if each["detector"] == d) for d in detectors}
    return "  ".join(f"{detector} {area:.1f}" for detector, area in means.items())


if __name__ == "__main__":
    main()
