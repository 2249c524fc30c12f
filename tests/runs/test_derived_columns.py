"""Runs of a table with columns that are functions of another one."""

import math

import numpy as np
import polars
import pytest
from tests.runs.tables import fit

from aevb import data, runs
from aevb.metrics._comparability import ComparabilityKey
from aevb.runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings

N = 300
RNG = np.random.default_rng(0)
CODE = RNG.integers(0, 3, N)
FRAME = polars.DataFrame(
    {
        "name": np.array(["ash", "oak", "elm"])[CODE],
        "code": CODE,
        "age": RNG.integers(20, 60, N),
        "height": RNG.normal(10 + CODE, 2),
    }
).with_columns(old=polars.col("age") >= 40)
MODELLED = ("name", "age", "height")


@pytest.fixture(scope="module")
def run():
    return fit(FRAME, "table_vae")


def test_samples_conditions_and_reconstructions_have_possible_pairs(run):
    names = dict(zip(FRAME["code"], FRAME["name"], strict=True))
    frames = [
        run.sample(50),
        run.condition(["code=1", "old=true"], 50).rows,
        run.reconstruct(FRAME),
    ]
    for frame in frames:
        assert frame.columns == FRAME.columns
        assert frame["name"].to_list() == [names[code] for code in frame["code"]]
        assert frame["old"].equals(frame["age"] >= 40, check_names=False)
    assert set(frames[1]["code"]) == {1} and frames[1]["age"].min() >= 40


def test_a_contradiction_has_probability_0_and_is_named_first(run):
    frame = FRAME.head(20).with_columns(code=(polars.int_range(20) == 7) + polars.col("code"))
    wrong = frame["code"] != FRAME.head(20)["code"]
    found = run.score(frame, samples=20)
    assert wrong.sum() == 1 and found.log_p[7] == -math.inf and found.frame["unlikely"][7]
    assert (found.frame["column_1"][7], found.frame["surprise_1"][7]) == ("code", math.inf)
    assert found.least_likely(1)[0].row == 7
    whole = run.score(FRAME.head(20), samples=20)
    assert found.frame.filter(~wrong).equals(whole.frame.filter(~wrong))
    evaluation = run.evaluate(frame, samples=5)
    notes = {
        note.code: note for note in (*evaluation.notes, *run.data_notes(frame, run.rows(frame)))
    }
    assert notes["contradictions"].data == {"columns": {"code": 1}}
    assert math.isfinite(evaluation.log_likelihood.mean)


def test_empty_cells_are_filled_from_both_sides(run):
    holes = {"name": [0, 1], "code": [1, 2], "age": [3], "old": [3, 4]}
    frame = FRAME.head(9).with_columns(
        polars.when(polars.int_range(9).is_in(rows))
        .then(None)
        .otherwise(polars.col(name))
        .alias(name)
        for name, rows in holes.items()
    )
    found = run.impute(frame, draws=2, samples=20)
    assert found.filled == {"name": 2, "code": 2, "age": 1, "height": 0, "old": 2}
    for made in (found.frame, *found.draws):
        assert made["name"][0] == FRAME["name"][0] and made["code"][2] == FRAME["code"][2]
        assert made["old"].equals(made["age"] >= 40, check_names=False)
        assert (made["name"][1], made["code"][1]) in set(FRAME.select("name", "code").iter_rows())
    assert found.sets["name"][0] == {FRAME["name"][0]: 1.0}
    lines = found.intervals()
    assert len(lines) == 7 and lines.filter(column="code")["low"].null_count() == 2


def test_runs_that_model_a_column_twice_can_be_read_resumed_and_compared(tmp_path):
    """As runs that were made before columns could be derived."""
    FRAME.write_csv(tmp_path / "trees.csv")
    kinds = {"code": "ordinal", "old": "binary"}
    folders = []
    for name, asked in (("once", ()), ("twice", tuple(f"{n}={k}" for n, k in kinds.items()))):
        folders.append(tmp_path / name)
        RunSettings(
            str(tmp_path / "trees.csv"),
            DataSettings(kinds=asked),
            ModelSettings(hidden=(8,), latent=2),
            TrainingSettings(epochs=1),
        ).fit(folders[-1], device="cpu", progress=False)
    config = folders[1] / "config.toml"
    config.write_text(
        "".join(line for line in config.read_text().splitlines(True) if "kinds" not in line)
    )
    opened = [Run.open(folder, device="cpu") for folder in folders]
    assert opened[0].spec.columns == MODELLED and opened[1].spec.columns == tuple(FRAME.columns)
    assert opened[1].data().spec.columns == tuple(FRAME.columns)
    result = runs.compare(opened, samples=2)
    assert result.same_rows and all(each.exclusion_reason is None for each in result.runs)


def test_a_density_is_not_compared_with_a_function(run):
    frame = FRAME.select("name", "height", cm=100 * FRAME["height"])
    own, other = (
        ComparabilityKey.from_model(run.model, data.load(frame, kinds=kinds).spec)
        for kinds in (None, {"cm": "continuous"})
    )
    assert own.columns == other.columns and "cm" in own.reason_incomparable(other)
    assert own.reason_incomparable(own) is None
