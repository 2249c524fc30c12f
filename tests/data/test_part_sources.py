"""Validation and test rows from sources of their own, and splits without some part."""

import numpy as np
import polars as pl
import pytest
import torch

import aevb
from aevb.data import load
from aevb.errors import ArgumentError, DataError
from aevb.runs import Run

RNG = np.random.default_rng(0)
TRAIN, VALIDATION, TEST = (RNG.normal(mean, 1, (n, 3)) for n, mean in ((40, 0), (7, 5), (9, 9)))


def sizes(data):
    return [len(part) for part in (data.train, data.validation, data.test)]


def code_of(data, code):
    return next(note for note in data.spec.notes if note.code == code)


def test_choices_come_from_the_training_rows_alone():
    data = load(TRAIN, validation=VALIDATION, test=TEST)
    assert sizes(data) == [40, 7, 9]
    np.testing.assert_allclose(data.spec.shift, TRAIN.mean(0), rtol=1e-6)
    np.testing.assert_allclose(data.test.tensor(), TEST, rtol=1e-6)
    assert code_of(data, "split").data["validation"] == 7


@pytest.mark.parametrize(
    "own, split, expected",
    [
        ({"test": TEST}, None, [36, 4, 9]),
        ({"validation": VALIDATION}, None, [40, 7, 0]),
        ({"validation": VALIDATION}, (0.75, 0, 0.25), [30, 7, 10]),
        ({"test": TEST}, (0.75, 0.25, 0), [30, 10, 9]),
        ({"test": TEST}, (1, 0, 0), [40, 0, 9]),
        ({}, (0.9, 0.1, 0), [36, 4, 0]),
        ({}, (1, 0, 0), [40, 0, 0]),
    ],
)
def test_sizes_of_parts(own, split, expected):
    options = {} if split is None else {"split": split}
    assert sizes(load(TRAIN, **own, **options)) == expected


@pytest.mark.parametrize("write", ["npy", "csv", "parquet"])
def test_files(tmp_path, write):
    for name, values in (("a", TRAIN), ("b", VALIDATION), ("c", TEST)):
        path = tmp_path / f"{name}.{write}"
        if write == "npy":
            np.save(path, values)
        else:
            frame = pl.DataFrame(values, schema=["x", "y", "z"])
            # columns are matched by name
            frame = frame if name == "a" else frame.select("z", "x", "y")
            frame.write_csv(path) if write == "csv" else frame.write_parquet(path)
    a, b, c = (tmp_path / f"{name}.{write}" for name in "abc")
    data = load(a, validation=b, test=str(c))
    np.testing.assert_allclose(data.validation.tensor(), VALIDATION, rtol=1e-6)
    np.testing.assert_allclose(data.test.tensor(), TEST, rtol=1e-6)


def test_a_schema_of_the_training_rows_encodes_all_parts():
    train = pl.DataFrame({"kind": ["a", "b"] * 20, "x": TRAIN[:, 0]})
    test = pl.DataFrame({"x": TEST[:, 0], "kind": ["b", "c", None] * 3})
    data = load(train, test=test)
    levels = data.spec.schema.columns[0].levels
    assert tuple(levels) == ("a", "b") and sizes(data) == [36, 4, 9]
    # level b, an unknown level, an empty cell
    cells = data.test.tensor()[:3, 0]
    assert cells[0] == 1 and cells[1:].isnan().all()


def test_arrays_of_one_archive(tmp_path):
    path = tmp_path / "all.npz"
    labels, others = np.arange(40) % 3, np.arange(9) % 3
    np.savez(path, train=TRAIN, test=TEST, y=labels, y_test=others)
    data = load(path, key="train", labels="y", test_key="test", test_labels="y_test")
    assert sizes(data) == [36, 4, 9]
    assert torch.equal(data.test.labels, torch.from_numpy(others))
    both = load(path, key="train", validation_key="test", test=path, test_key="test")
    assert sizes(both) == [40, 9, 9]


@pytest.mark.parametrize(
    "options, error, argument",
    [
        ({"validation": TEST[:, :2]}, DataError, "validation"),
        ({"test": TEST[:0]}, DataError, "test"),
        ({"test": pl.DataFrame({"x": [1.0]})}, DataError, "test"),
        ({"test": TEST, "split": (0.8, 0.1, 0.1000001)}, ArgumentError, "split"),
        ({"test": TEST, "split": (0.5, 0.25, 0.25)}, ArgumentError, "split"),
        ({"test": TEST, "condition": np.arange(40) % 2}, ArgumentError, "condition"),
        ({"test_labels": "y"}, ArgumentError, "test_labels"),
        ({"test": "missing.npy"}, DataError, "test"),
    ],
)
def test_refusals_name_the_part(options, error, argument):
    source = pl.DataFrame(TRAIN, schema=["x", "y", "z"]) if argument == "test" else TRAIN
    with pytest.raises(error) as caught:
        load(source, **options)
    assert caught.value.argument == argument


@pytest.mark.parametrize("split, part", [((0.9, 0.1, 0), "validation"), ((1, 0, 0), "train")])
def test_a_run_without_test_rows_says_what_it_uses(split, part, tmp_path):
    data = load(TRAIN, split=split)
    assert data.evaluation_part == part and data.evaluation_rows is getattr(data, part)
    recipe = aevb.presets.vae(data.spec, hidden=[4])
    run = Run.from_fit(aevb.fit(recipe, data, epochs=1, progress=False, device="cpu"), data)
    found = run.evaluate(samples=5)
    (note,) = [note for note in found.notes if note.code == "no_test_rows"]
    assert note.level == "warning" and note.data == {"part": part, "rows": found.n}
    assert found.n == len(getattr(data, part))
    # training rows are no duplicates of held-out rows here, because there are none
    assert "duplicates_across_split" not in {each.code for each in run.diagnose().findings}
    assert len(run.encode()) == found.n
    if part == "validation":  # one report is enough
        return
    pytest.importorskip("matplotlib")
    assert run.report(out=tmp_path / "report.html", samples=2).exists()
