"""A run of a small table with columns of every kind, and of one with numbers only."""

import datetime as dt
from functools import cache

import numpy as np
import polars

import aevb
from aevb.runs import Run

N = 600


def people(n: int = N, holes: float = 0.1) -> polars.DataFrame:
    """A table of people, the same at each call."""
    rng = np.random.default_rng(0)
    sex = rng.choice(["Female", "Male"], n, p=[0.4, 0.6])
    age = np.clip(rng.normal(38 + 6 * (sex == "Male"), 13, n), 17, 90).round().astype(int)
    columns = {
        "sex": sex.tolist(),
        "age": age.tolist(),
        "fare": np.exp(rng.normal(2.5 + 0.8 * (sex == "Female"), 0.8, n)).round(2).tolist(),
        "hours": np.where(rng.random(n) < 0.45, 40, rng.integers(1, 80, n)).tolist(),
        "land": rng.choice(["US", "UK"], n).tolist(),
        "day": [dt.date(2020, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 900, n)],
        "name": [f"person {place}" for place in range(n)],
        "planet": ["Earth"] * n,
    }
    columns["land"][:150] = [f"island {place % 50}" for place in range(150)]
    for name in ("sex", "age", "fare", "hours", "day"):
        for place in np.flatnonzero(rng.random(n) < holes):
            columns[name][place] = None
    return polars.DataFrame(columns)


def fit(frame, preset, **options) -> Run:
    data = aevb.data.load(frame)
    recipe = getattr(aevb.presets, preset)(data.spec, latent=2, hidden=[16], **options)
    return Run.from_fit(aevb.fit(recipe, data, epochs=8, progress=False, device="cpu"), data)


@cache
def people_run() -> Run:
    return fit(people(), "table_vae")


@cache
def numbers_run() -> Run:
    """A run of complete real numbers, of which the second follows the first."""
    x = np.random.default_rng(0).normal(size=(N, 3))
    x[:, 1] = 100 + 9 * x[:, 0] + x[:, 1]
    return fit(polars.DataFrame({name: x[:, place] for place, name in enumerate("abc")}), "vae")
