"""Data frames as files."""

import datetime as dt
import json

import numpy as np
import pandas
import polars
import pyarrow
import pytest

from aevb.data._write_frame import FRAME_WRITERS, write_frame
from aevb.errors import ArgumentError

CELLS = {
    "n": [1, None, 3],
    "x": [0.5, None, float("1e300")],
    "name": ["ü, x", None, '"q"'],
    "day": [dt.date(2020, 2, 29), None, dt.date(2021, 1, 1)],
}
FRAMES = {
    "pandas": pandas.DataFrame(CELLS, index=list("abc")).astype({"n": "Int64"}),
    "polars": polars.DataFrame(CELLS),
    "pyarrow": pyarrow.table(CELLS),
}


@pytest.mark.parametrize("ending", FRAME_WRITERS)
@pytest.mark.parametrize("library", FRAMES)
def test_cells_are_read_back_and_missing_ones_are_empty(library, ending, tmp_path):
    path = tmp_path / f"cells{ending}"
    write_frame(FRAMES[library], path)
    if ending == ".csv":
        read = polars.read_csv(path, try_parse_dates=True)
        assert "NaN" not in path.read_text(encoding="utf-8").replace("name", "")
    elif ending == ".parquet":
        read = polars.read_parquet(path)
    else:
        text = path.read_text(encoding="utf-8")
        records = json.loads(text) if ending == ".json" else map(json.loads, text.splitlines())
        read = polars.DataFrame(list(records)).with_columns(polars.col("day").str.to_date())
    assert read.select(list(CELLS)).fill_nan(None).to_dict(as_series=False) == CELLS


def test_other_classes_of_cells_become_json(tmp_path):
    cells = {"t": [dt.timedelta(minutes=1)], "i": [np.int8(3)], "d": [dt.time(3, 4)]}
    write_frame(pandas.DataFrame(cells, dtype=object), tmp_path / "x.jsonl")
    assert json.loads((tmp_path / "x.jsonl").read_text()) == {"t": 60, "i": 3, "d": "03:04:00"}


def test_unknown_endings_are_refused(tmp_path):
    with pytest.raises(ArgumentError) as caught:
        write_frame(FRAMES["polars"], tmp_path / "x.docx")
    assert caught.value.argument == "path" and not list(tmp_path.iterdir())
