"""Run folders of earlier formats, and records of tables that were damaged."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from aevb import data
from aevb._persistence import FORMAT_VERSION
from aevb.errors import RunError
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings

FIRST = Path(__file__).parent / "format_1"  # written by the first format, with 2 epochs each
EXPECTED = json.loads((FIRST / "expected.json").read_text())
SMALL = ModelSettings(latent=1, hidden=(4,))
SETTINGS = {
    "table": RunSettings("table.csv", model=replace(SMALL, preset="vae")),
    "digits": RunSettings("digits", model=replace(SMALL, latent=2)),
    "conditional": RunSettings(
        "table.csv", data=DataSettings(condition=("weight",)), model=replace(SMALL, preset="cvae")
    ),
}
# another processor or version of torch adds in another order
CLOSE = {"rel": 1e-3, "abs": 1e-4}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A copy of the folders, beside the table that they were trained on."""
    shutil.copytree(FIRST, tmp_path / "runs")
    monkeypatch.chdir(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("name", SETTINGS)
def test_runs_of_the_first_format_are_evaluated(name, folder):
    assert json.loads((folder / name / "model.json").read_text())["format"] == 1
    run = Run.open(folder / name, device="cpu", trust_source=True)
    numbers = {number.key: number.value for number in run.evaluate(samples=20, max_rows=20).numbers}
    # classical models are fitted again, and there may be better ones today
    expected = {k: x for k, x in EXPECTED[name]["numbers"].items() if "baseline" not in k}
    assert {key: numbers[key] for key in expected} == pytest.approx(expected, **CLOSE)


@pytest.mark.parametrize("name", SETTINGS)
def test_runs_of_the_first_format_are_resumed(name, folder):
    longer = replace(SETTINGS[name], training=TrainingSettings(epochs=3))
    longer.fit(folder / name, device="cpu", progress=False, resume=True)
    record = json.loads((folder / name / "model.json").read_text())
    assert (record["format"], record["epoch"]) == (FORMAT_VERSION, 3)
    last = json.loads((folder / name / "history.jsonl").read_text().splitlines()[-1])
    expected = EXPECTED[name]["resumed"]
    assert {key: last[key] for key in expected} == pytest.approx(expected, **CLOSE)


def edit(folder, change):
    record = json.loads((folder / "table" / "model.json").read_text())
    change(record)
    (folder / "table" / "model.json").write_text(json.dumps(record))
    return folder / "table"


def test_later_formats_are_refused(folder):
    path = edit(folder, lambda record: record.update(format=FORMAT_VERSION + 1))
    with pytest.raises(RunError) as caught:
        Run.open(path)
    assert caught.value.suggestions


def schema_record(**changes):
    """The record of the schema of a table of the run's size, with changes of one column."""
    columns = [data.Column(f"c{i}", "continuous", "normal") for i in range(4)]
    record = data.Schema(tuple(columns), 40).to_dict()
    record["columns"][1] |= changes
    return record


@pytest.mark.parametrize(
    "schema",
    [
        "text",
        [],
        3,
        {},
        {"rows": 3, "unseen": "missing"},
        schema_record() | {"rows": -1},
        schema_record() | {"unseen": "perhaps"},
        schema_record() | {"columns": {}},
        schema_record() | {"columns": None},
        schema_record() | {"columns": [None] * 4},
        schema_record() | {"columns": schema_record()["columns"][:2]},
        schema_record(kind="nonsense"),
        schema_record(likelihood="nonsense"),
        schema_record(shift="far"),
        schema_record(scale=0.0),
        schema_record(scale=None),
        schema_record(levels=3),
        schema_record(likelihood="categorical", kind="categorical", levels=None),
        schema_record(name=["a"]),
        schema_record(unknown=1),
    ],
    ids=range(20),
)
def test_damaged_records_of_a_table_are_refused(schema, folder):
    path = edit(folder, lambda record: record["data"].update(schema=schema))
    with pytest.raises(RunError) as caught:
        Run.open(path)
    assert "model.json" in caught.value.reason and "\n" not in caught.value.reason


def test_the_record_of_a_table_names_the_cells_of_the_model(folder):
    names = [f"c{i}" for i in range(4)]
    changes = {"schema": schema_record(), "columns": names}
    assert Run.open(edit(folder, lambda record: record["data"].update(changes))).spec.schema
    changes["columns"] = [*names[1:], "c0"]
    with pytest.raises(RunError):
        Run.open(edit(folder, lambda record: record["data"].update(changes)))
