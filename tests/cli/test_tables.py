"""Commands that complete, score and draw rows of tables of mixed columns."""

import csv
import json

import numpy as np
import polars
import pytest

from aevb.cli import main

N = 240


def lines_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """A table with holes, whose numbers are not written as another program would."""
    rng = np.random.default_rng(0)
    lines = [["sex", "age", "fare", "member", "land", "name"]]
    for place in range(N):
        sex = rng.choice(["Female", "Male"])
        age = f"{rng.normal(40 + 8 * (sex == 'Male'), 12):.0f}"
        fare = f"{np.exp(rng.normal(2.5, 0.8)):.2f}0"
        cells = [sex, age, fare, str(rng.random() < 0.4), rng.choice(["US", "UK", "FR"])]
        holes = rng.random(len(cells)) < 0.1
        names = [f"person, {place}"]
        lines.append(["" if hole else x for x, hole in zip(cells, holes, strict=True)] + names)
    path = tmp_path_factory.mktemp("data") / "people.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)
    return path


@pytest.fixture(scope="session")
def run(people, tmp_path_factory):
    path = tmp_path_factory.mktemp("shared") / "people"
    small = ["--latent", "2", "--hidden", "8", "--epochs", "3", "--no-report", "--quiet"]
    assert main(["fit", str(people), "--out", str(path), *small]) == 0
    return path


def test_only_missing_cells_of_the_file_are_replaced(aevb, run, people, tmp_path):
    out = tmp_path / "new" / "completed.csv"
    done = aevb("impute", run, people, "--out", out, "--samples", 20, "--draws", 2)
    assert done.code == 0
    old = lines_of(people)
    for path in (out, out.with_name("completed-1.csv"), out.with_name("completed-2.csv")):
        new = lines_of(path)
        assert len(new) == len(old)
        for before, after in zip(old, new, strict=True):
            assert all(a == b for a, b in zip(before, after, strict=True) if a)
            assert "" not in after
        legal = [{row[place] for row in new[1:]} for place in (0, 4)]
        assert legal == [{"Female", "Male"}, {"US", "UK", "FR"}]
        assert all(row[1].lstrip("-").isdigit() for row in new[1:])
    draws = [out.with_name(f"completed-{k}.csv").read_text(encoding="utf-8") for k in (1, 2)]
    assert draws[0] != draws[1]


def test_filled_cells_are_counted_and_have_intervals(aevb, run, people):
    done = aevb(
        "impute", run, people, "--out", "new.parquet", "--samples", 50, "--json",
        "--intervals", "cells.csv", "--level", 0.8,
    )  # fmt: skip
    record = json.loads(done.out)
    empty = {
        name: sum(row[place] == "" for row in lines_of(people)[1:])
        for place, name in enumerate(["sex", "age", "fare", "member", "land"])
    }
    assert record["filled"] == empty and record["level"] == 0.8 and record["rows"] == N
    assert record["out"] == ["new.parquet", "cells.csv"]
    cells = polars.read_csv("cells.csv")
    assert dict(cells["column"].value_counts().iter_rows()) == empty
    numbers = cells.filter(polars.col("column") == "fare").cast(
        {"value": polars.Float64, "low": polars.Float64, "high": polars.Float64}
    )
    assert (numbers["low"] < numbers["high"]).all() and (numbers["value"] > 0).all()
    names = cells.filter(polars.col("column") == "sex")
    assert names["low"].null_count() == len(names)
    for value, levels in names.select("value", "levels").iter_rows():
        shares = [each.rpartition(" ") for each in levels.split(", ")]
        assert shares[0][0] == value and sum(float(share) for *_, share in shares) >= 0.79
    completed = polars.read_parquet("new.parquet")
    row, value = numbers.select("row", "value").row(0)
    assert completed["fare"][row] == pytest.approx(value)


def test_scores_stand_beside_rows(aevb, run, people):
    lines = lines_of(people)
    lines[8][1] = "300"
    with open("strange.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    done = aevb("score", run, "strange.csv", "--out", "scores.csv", "--samples", 20)
    listed = done.out.split("\n\n")[1].splitlines()
    assert done.code == 0 and len(listed) == 6 and max(map(len, listed)) <= 80
    scores = polars.read_csv("scores.csv")
    assert len(scores) == N and scores["unlikely"][7] and scores["column_1"][7] == "age"
    assert scores["log_p"].arg_min() == 7
    again = aevb("score", run, "strange.csv", "--out", "scores.json", "--samples", 20, "--json")
    record = json.loads(again.out)
    assert record["unlikely"] == scores["unlikely"].sum() and record["rows"] == N
    assert record["least_likely"][0]["row"] == 7
    assert next(iter(record["least_likely"][0]["columns"])) == "age"
    with open("scores.json", encoding="utf-8") as file:
        assert json.load(file)[7]["column_1"] == "age"


def test_rows_meet_conditions(aevb, run):
    where = ["--where", "sex=Female", "--where", "age>50"]
    done = aevb("sample", run, "-n", 40, *where, "--out", "rows.csv", "--json")
    rows, record = polars.read_csv("rows.csv"), json.loads(done.out)
    assert rows["sex"].unique().to_list() == ["Female"] and rows["age"].min() > 50
    assert len(rows) == 40 and record["n"] == 40
    assert 0 < record["probability"] < 0.5 and record["method"] in ("importance", "metropolis")
    assert aevb("sample", run, "-n", 40, *where, "--out", "again.jsonl").code == 0
    assert polars.read_ndjson("again.jsonl")["age"].to_list() == rows["age"].to_list()


def test_levels_are_drawn_equally_often(aevb, refused, run):
    done = aevb("sample", run, "-n", 40, "--balance", "sex", "--out", "rows.csv", "--json")
    counts = polars.read_csv("rows.csv")["sex"].value_counts()
    assert counts["count"].to_list() == [20, 20]
    assert json.loads(done.out)["balance"] == "sex"
    refused("sample", run, "--balance", "nothing", "--out", "rows.csv")
    refused("sample", run, "--balance", "sex", "--mean", "--out", "rows.csv")


def test_quiet_commands_print_nothing(aevb, run, people):
    for command in ("impute", "score"):
        done = aevb(command, run, people, "--out", f"{command}.csv", "--samples", 50, "--quiet")
        assert done.code == 0 and done.out == ""


def test_a_row_with_an_empty_column_of_text_is_filled(aevb, run, people):
    lines = lines_of(people)
    with open("one.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([lines[0], ["", *lines[1][1:]]])
    assert aevb("impute", run, "one.csv", "--out", "full.csv", "--samples", 20).code == 0
    assert polars.read_csv("full.csv")["sex"][0] in ("Female", "Male")


@pytest.mark.parametrize(
    "options",
    [
        ["--out", "folder"],
        ["--out", "x.docx"],
        ["--out", "x"],
        ["--out", "there.csv"],
        ["--out", "x.csv", "--intervals", "x.csv"],
        ["--out", "x.csv", "--intervals", "x.png"],
        ["--out", "there-1.csv", "--intervals", "there.csv"],
        ["--out", "x.csv", "--draws", -1],
        ["--out", "x.csv", "--level", 1.5],
        ["--out", "x.csv", "--samples", 0],
    ],
)
def test_wrong_options_leave_everything_as_it_was(refused, run, people, tmp_path, options):
    (tmp_path / "folder").mkdir()
    (tmp_path / "there.csv").write_text("old")
    refused("impute", run, people, *options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "there.csv"]
    assert (tmp_path / "there.csv").read_text() == "old"


@pytest.mark.parametrize("command", ["impute", "score"])
@pytest.mark.parametrize("change", ["no column", "infinite", "text", "no rows"])
def test_wrong_tables_are_refused(refused, run, people, tmp_path, command, change):
    lines = [row[:] for row in lines_of(people)[:20]]
    if change == "no column":
        lines = [row[:1] + row[2:] for row in lines]
    elif change == "no rows":
        lines = lines[:1]
    else:
        lines[5][2] = "inf" if change == "infinite" else "dear"
    with (tmp_path / "wrong.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    refused(command, run, "wrong.csv", "--out", "x.csv", "--samples", 5)
    assert not (tmp_path / "x.csv").exists()


def test_columns_are_found_by_name_and_new_levels_are_kept(aevb, run, people):
    lines = [[*row[::-1], "extra"] for row in lines_of(people)[:20]]
    lines[3][5] = "Other"
    with open("other.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    done = aevb("impute", run, "other.csv", "--out", "full.csv", "--samples", 50, "--json")
    assert {"unseen_categories", "columns_ignored"} <= {
        note["code"] for note in json.loads(done.out)["notes"]
    }
    full = lines_of(type(people)("full.csv"))
    assert full[0] == lines[0] and full[3][5] == "Other"


@pytest.mark.parametrize(
    "where",
    [
        ["age>60", "age<50"],
        ["age>60 and age<50"],
        ["fare<0"],
        ["age<-5"],
        ["nothing=1"],
        ["sex=Neither"],
        ["sex>Female"],
        ["age~3"],
        ["age>old"],
        ["age>5000"],
        [""],
    ],
)
def test_conditions_that_cannot_be_met_are_refused(refused, run, where):
    options = [option for text in where for option in ("--where", text)]
    refused("sample", run, "-n", 3, *options, "--out", "rows.csv")


def test_images_have_no_cells_to_fill_and_no_columns(refused, digits):
    refused("impute", digits, "digits", "--out", "x.csv")
    refused("sample", digits, "--where", "a=1", "--out", "x.png")
