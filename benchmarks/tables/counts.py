"""Count models of 400 blood cells with and without library size and batch; memory of a sparse fit.

    python benchmarks/tables/counts.py [CELLS.npz]      # counts, genes, batch
    python benchmarks/tables/counts.py --memory         # 20,000 x 5,000, 2 % filled

``log p`` is that of a held-out cell in nats: given the library size and the batch where a model is
conditioned on them, so that only rows of the table with one condition are compared. *Mixing* is the
share of other batches among the 15 nearest cells in the latent space, over the share at random.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse
import torch

import aevb
from aevb.data._splits import split_rows
from aevb.runs import Run

CELLS = Path(os.environ.get("AEVB_DATA", ".")) / "single_cell/pbmc_citeseq_400.npz"
GENES, NEIGHBOURS, EPOCHS, SEEDS = 1000, 15, 150, (0, 1, 2)
CONDITIONS = {"none": (), "batch": ("batch",), "library size": ("library_size",)}
CONDITIONS["batch, library size"] = ("batch", "library_size")


def variable_genes(x: np.ndarray) -> np.ndarray:
    """Return the genes of the largest variance of log(1 + x), at equal library sizes."""
    size = x.sum(1, keepdims=True)
    return np.argsort(-np.log1p(x / size * np.median(size)).var(0))[:GENES]


def mixing(z: np.ndarray, batch: np.ndarray) -> float:
    """Return the share of other batches among neighbours, over the share at random."""
    distance = np.square(z[:, None] - z[None]).sum(-1)
    np.fill_diagonal(distance, np.inf)
    near = np.argsort(distance, 1)[:, :NEIGHBOURS]
    return float((batch[near] != batch[:, None]).mean() / (batch[:, None] != batch).mean())


def rate_given_library(data: aevb.data.Dataset) -> torch.Tensor:
    """Return log p of test cells under Poisson rates that are shares times the library size."""
    train, test = (part.tensor().double() for part in (data.train, data.test))
    share = (train.sum(0) + 0.5) / (train + 0.5).sum()
    rate = share * test.sum(1, keepdim=True)
    return torch.distributions.Poisson(rate).log_prob(test).sum(1)


def fit(x: np.ndarray, batch: np.ndarray, names: tuple[str, ...], likelihood: str, seed: int):
    """Return the run of one model."""
    context = {name: batch if name == "batch" else None for name in names} or None
    data = aevb.data.load(scipy.sparse.csr_matrix(x), likelihood=likelihood, condition=context)
    torch.manual_seed(seed)
    recipe = aevb.presets.count_vae(data.spec, latent=10, hidden=[128])
    result = aevb.fit(
        recipe, data, epochs=EPOCHS, batch_size=32, patience=20, seed=seed, progress=False
    )
    return Run.from_fit(result, data)


def score(run: Run, batch: np.ndarray) -> list[float]:
    """Return log p of test cells, its error, median, mixing, and the share of depth in latents."""
    found = run.evaluate(samples=500)
    parts = (run.data().train, run.data().validation, run.data().test)
    z = np.concatenate([aevb.inference.encode(run, part).numpy() for part in parts])
    x = np.concatenate([part.tensor().numpy() for part in parts])
    split = split_rows(len(z), (0.8, 0.1, 0.1), "random", seed=0)
    order = np.concatenate([split.train, split.validation, split.test])
    design = np.c_[np.ones(len(z)), z]
    depth = np.log(x.sum(1))
    rest = depth - design @ np.linalg.lstsq(design, depth, rcond=None)[0]
    estimate = found.log_likelihood
    middle, share = float(estimate.per_datum.median()), 1 - rest.var() / depth.var()
    return [estimate.mean, estimate.standard_error, middle, mixing(z, batch[order]), share]


def compare(path: Path) -> None:
    """Print the table of models."""
    with np.load(path) as file:
        counts, batch = file["counts"].astype(np.int64), file["batch"].astype(int).astype(str)
    x = counts[:, variable_genes(counts)]
    print(f"{len(x)} cells, {GENES} genes, {np.mean(x > 0):.0%} filled, batches {np.unique(batch)}")
    first = None
    print("likelihood | given | log p | s.e. | median | mixing | R2 of log depth | seconds")
    for likelihood in ("poisson", "negative_binomial", "zero_inflated_negative_binomial"):
        for title, names in CONDITIONS.items():
            start = time.perf_counter()
            runs = [fit(x, batch, names, likelihood, seed) for seed in SEEDS]
            scores = np.array([score(run, batch) for run in runs]).mean(0)
            seconds = (time.perf_counter() - start) / len(runs)
            numbers = " | ".join(f"{value:.2f}" for value in scores)
            print(f"{likelihood} | {title} | {numbers} | {seconds:.0f}", flush=True)
            first = first or runs[0]
    baseline = {
        k: (round(float(v.mean()), 1), round(float(v.median()), 1))
        for k, v in first.baselines.log_prob(first.data().test).items()
    }
    print("baselines (mean, median):", baseline)
    given = rate_given_library(first.data())
    print(f"Poisson shares given the library size: {given.mean():.1f}, {given.median():.1f}")


def memory() -> None:
    """Print the growth of the peak memory of one epoch, beside the size of the dense array."""
    rng, n, d = np.random.default_rng(0), 20_000, 5_000
    cells = n * d // 50
    place = (rng.integers(0, n, cells), rng.integers(0, d, cells))
    values = rng.integers(1, 400, cells).astype(np.float32)
    matrix = scipy.sparse.csr_matrix((values, place), (n, d))
    small = aevb.data.load(rng.poisson(1.0, (300, 50)), likelihood="negative_binomial")
    aevb.fit(aevb.presets.count_vae(small.spec, hidden=[8]), small, epochs=1, progress=False)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    data = aevb.data.load(matrix, likelihood="negative_binomial")
    recipe = aevb.presets.count_vae(data.spec, latent=4, hidden=[32])
    aevb.fit(recipe, data, epochs=1, progress=False)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"peak memory +{growth:.0f} MiB for one epoch; dense float32 {4 * n * d / 2**20:.0f} MiB")


if __name__ == "__main__":
    if "--memory" in sys.argv:
        memory()
    else:
        compare(Path(sys.argv[1]) if len(sys.argv) > 1 else CELLS)
