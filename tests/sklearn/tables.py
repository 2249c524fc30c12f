"""Tables of the tests of the estimators."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
import pandas as pd

# small enough that hundreds of fits take seconds
TINY = {"hidden": (8,), "epochs": 2, "random_state": 0, "device": "cpu"}


def people(n_rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """A table with numbers, texts, dates, truth values, constants and missing cells."""
    rng = np.random.default_rng(seed)
    days = pd.to_timedelta(rng.integers(0, 400, n_rows), unit="D")
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n_rows),
            "city": rng.choice(["Bonn", "Kiel", "Ulm"], n_rows),
            "day": pd.Timestamp("2024-01-01") + days,
            "x": rng.normal(size=n_rows),
            "member": rng.choice([True, False], n_rows),
            "size": pd.Categorical(rng.choice(["s", "l"], n_rows), ["s", "m", "l"], ordered=True),
            "visits": pd.array(rng.integers(0, 5, n_rows), dtype="Int64"),
            "one": 1,
        }
    )
    for name in ("city", "day", "x", "visits"):
        frame.loc[rng.random(n_rows) < 0.2, name] = None
    return frame


def take(frame, rows):
    """Some rows of a frame of any library, or of an array."""
    return frame.iloc[rows].reset_index(drop=True) if hasattr(frame, "iloc") else frame[rows]
