"""Data sets in many files: the rows of one file, in bounded memory, encoded once."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import aevb.data._load_shards as load_shards
import aevb.data._shards as shards
from aevb import data
from aevb.data._row_sample import RowSample, row_ranks
from aevb.errors import AevbError, ArgumentError, DataError


def make_frame(rows, seed=0):
    """A table of several kinds with empty cells, line ends in quotes and texts for missing ones."""
    rng = np.random.default_rng(seed)
    age = pl.Series("age", rng.integers(18, 90, rows)).cast(pl.Int64)
    return pl.DataFrame(
        {
            "name": [f"person {number}" for number in range(rows)],
            "sex": rng.choice(["f", "m"], rows),
            "town": rng.choice(["Ulm", 'A "b"', "two\nlines"], rows),
            "age": age.set(pl.Series(rng.random(rows) < 0.1), None),
            "fare": rng.lognormal(size=rows).round(3),
            "day": pl.Series(np.datetime64("2020-01-01") + rng.integers(0, 400, rows)),
        }
    )


def write_parts(folder, frame, suffix, count=3):
    """Write a table into several files."""
    folder.mkdir(exist_ok=True)
    size = -(-len(frame) // count)
    for number in range(count):
        part = frame[number * size : (number + 1) * size]
        path = folder / f"part-{number}.{suffix}"
        getattr(part, "write_parquet" if suffix == "parquet" else "write_csv")(path)
    return str(folder / f"*.{suffix}")


def all_cells(made):
    """The rows of all parts as a frame without the identifier, sorted."""
    parts = (made.train, made.validation, made.test)
    cells = torch.cat([part.model_input(slice(None)) for part in parts])
    frame = made.spec.schema.decode(cells)
    columns = [name for name in frame.columns if name != "name"]
    return frame.select(columns).sort(columns)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """No test writes into the cache of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("blocks", [False, True])
def test_shards_hold_the_rows_of_one_file(tmp_path, monkeypatch, suffix, blocks):
    frame = make_frame(900)
    if blocks:  # every file in pieces of 64 rows, as if it were large
        monkeypatch.setattr(shards, "MAX_BLOCK_ROWS", 64)
        monkeypatch.setattr(shards, "WHOLE_BYTES", 0)
    made = data.load(write_parts(tmp_path / "parts", frame, suffix))
    kinds = {column.name: column.kind for column in made.spec.schema.columns}
    one = data.load(frame)
    assert kinds == {column.name: column.kind for column in one.spec.schema.columns}
    assert (len(made.train), len(made.validation), len(made.test)) == (720, 90, 90)
    found, wanted = all_cells(made), all_cells(one)
    for name in found.columns:
        if name == "fare":  # float32, relative to the largest value of the column
            worst = np.abs(found[name].to_numpy() - wanted[name].to_numpy()).max()
            assert worst < 1e-5 * frame["fare"].max()
        else:
            assert list(map(str, found[name])) == list(map(str, wanted[name]))


def test_blocks_do_not_change_the_data_set(tmp_path, monkeypatch):
    pattern = write_parts(tmp_path / "parts", make_frame(500), "parquet")
    whole = data.load(pattern, cache=tmp_path / "a")
    monkeypatch.setattr(shards, "MAX_BLOCK_ROWS", 37)
    pieces = data.load(pattern, cache=tmp_path / "b")
    for name in ("train", "validation", "test"):
        first, second = (getattr(each, name).tensor() for each in (whole, pieces))
        assert torch.equal(first.nan_to_num(-9), second.nan_to_num(-9))


def test_arrays_keep_their_bytes_and_a_seed_draws_other_rows(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (600, 6, 6)).astype(np.uint8)
    for number in range(3):
        np.save(tmp_path / f"{number}.npy", x[number::3])
    paths = [str(tmp_path / f"{number}.npy") for number in range(3)]
    made, other = data.load(paths), data.load(paths, seed=1)
    assert made.train.is_stored_as_bytes and made.spec.event_shape == (6, 6)
    assert not torch.equal(made.test.tensor(), other.test.tensor())
    parts = torch.cat([each.tensor() for each in (made.train, made.validation, made.test)])
    assert torch.equal(parts.flatten(1).sum(1).sort().values, rows_sums(x))


def rows_sums(x):
    """The sorted sums of rows, exact in float32 below 2**24."""
    return torch.from_numpy(x.reshape(len(x), -1).sum(1).astype(np.float32)).sort().values


def test_held_out_rows_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(load_shards, "HELD_OUT_ROWS", 20)
    monkeypatch.setattr(load_shards, "SAMPLE_ROWS", 100)
    np.save(tmp_path / "0.npy", np.random.default_rng(0).normal(size=(1000, 3)))
    made = data.load([tmp_path / "0.npy"])
    assert (len(made.train), len(made.validation), len(made.test)) == (960, 20, 20)
    assert made.spec.train_rows == 960


def test_parts_of_their_own(tmp_path):
    pattern = write_parts(tmp_path / "parts", make_frame(300), "parquet")
    make_frame(50, seed=1).write_parquet(tmp_path / "test.parquet")
    made = data.load(pattern, test=str(tmp_path / "test.parquet"))
    assert (len(made.train), len(made.validation), len(made.test)) == (270, 30, 50)


def test_other_shards_are_encoded_for_a_spec(tmp_path):
    made = data.load(write_parts(tmp_path / "parts", make_frame(300), "parquet"))
    frame = make_frame(200, seed=1)
    rows = data.load_as(write_parts(tmp_path / "more", frame, "csv"), made.spec)
    wanted = data.load_as(frame, made.spec).tensor()
    assert torch.equal(rows.tensor().nan_to_num(-9), wanted.nan_to_num(-9))
    for file in (tmp_path / "home").rglob("rows.bin"):
        file.write_bytes(file.read_bytes()[:-4])
    again = data.load_as(str(tmp_path / "more" / "*.csv"), made.spec)
    assert torch.equal(again.tensor().nan_to_num(-9), wanted.nan_to_num(-9))


def test_encoded_rows_are_used_again_until_a_file_changes(tmp_path, monkeypatch):
    pattern = write_parts(tmp_path / "parts", make_frame(300), "parquet")
    first = data.load(pattern)
    reads, read = [], shards._iter_parquet
    monkeypatch.setattr(shards, "_iter_parquet", lambda path: reads.append(path) or read(path))
    again = data.load(pattern)
    assert not reads and torch.equal(
        again.train.tensor().nan_to_num(-9), first.train.tensor().nan_to_num(-9)
    )
    make_frame(150, seed=3).write_parquet(tmp_path / "parts" / "part-2.parquet")
    assert len(data.load(pattern).train) == 280 and reads


def test_a_damaged_file_of_encoded_rows_is_written_again(tmp_path):
    pattern = write_parts(tmp_path / "parts", make_frame(300), "parquet")
    made = data.load(pattern, cache=tmp_path / "cache")
    file = next((tmp_path / "cache").rglob("rows.bin"))
    file.write_bytes(file.read_bytes()[:-4])
    again = data.load(pattern, cache=tmp_path / "cache")
    assert torch.equal(again.train.tensor().nan_to_num(-9), made.train.tensor().nan_to_num(-9))


@pytest.mark.parametrize("settings", [{}, {"decimal": ","}])
def test_a_german_table_in_blocks(tmp_path, monkeypatch, settings):
    monkeypatch.setattr(shards, "WHOLE_BYTES", 0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)).round(3)
    lines = "\n".join(f"{a};{b}".replace(".", ",") for a, b in x)
    (tmp_path / "x.csv").write_text("first;second\n" + lines + "\n")
    made = data.load([tmp_path / "x.csv"], **settings)
    cells = torch.cat([part.tensor() for part in (made.train, made.validation, made.test)])
    assert made.spec.columns == ("first", "second")
    # float32 of numbers below 4
    assert np.allclose(np.sort(cells[:, 0].numpy()), np.sort(x[:, 0]), atol=1e-6)


@pytest.mark.parametrize(
    "case, error",
    [
        ("columns", DataError),
        ("shapes", DataError),
        ("truncated", DataError),
        ("kinds of files", DataError),
        ("repeated", DataError),
        ("none", DataError),
        ("no rows", DataError),
        ("condition", ArgumentError),
        ("cache of one file", ArgumentError),
    ],
)
def test_bad_shards_are_refused(tmp_path, case, error):
    frame = make_frame(40)
    frame.write_parquet(tmp_path / "0.parquet")
    np.save(tmp_path / "0.npy", np.zeros((20, 3)))
    settings = {}
    if case == "columns":
        frame.drop("age").write_parquet(tmp_path / "1.parquet")
    if case == "truncated":
        content = (tmp_path / "0.parquet").read_bytes()
        (tmp_path / "1.parquet").write_bytes(content[: len(content) // 2])
    source = str(tmp_path / "*.parquet")
    if case == "shapes":
        np.save(tmp_path / "1.npy", np.zeros((20, 4)))
        source = str(tmp_path / "*.npy")
    if case == "kinds of files":
        source = [tmp_path / "0.parquet", tmp_path / "0.npy"]
    if case == "repeated":
        source = [tmp_path / "0.parquet"] * 2
    if case == "none":
        source = str(tmp_path / "*.arrow")
    if case == "no rows":
        frame[:0].write_parquet(tmp_path / "0.parquet")
    if case == "condition":
        settings = {"condition": "sex"}
    if case == "cache of one file":
        source, settings = str(tmp_path / "0.parquet"), {"cache": str(tmp_path)}
    with pytest.raises(error) as found:
        data.load(source, **settings)
    assert isinstance(found.value, AevbError) and found.value.argument


def test_empty_files_are_skipped(tmp_path):
    frame = make_frame(100)
    pattern = write_parts(tmp_path / "parts", frame, "parquet")
    frame[:0].write_parquet(tmp_path / "parts" / "part-9.parquet")
    assert sum(map(len, (lambda d: (d.train, d.validation, d.test))(data.load(pattern)))) == 100


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 30))
def test_a_sample_does_not_depend_on_the_blocks(sizes, size):
    rows = np.arange(sum(sizes))
    whole, parts = RowSample(size, 5), RowSample(size, 5)
    whole.add(rows)
    for part in np.split(rows, np.cumsum(sizes)[:-1]):
        parts.add(part)
    if not len(rows):
        return
    first, second = (np.concatenate(each.blocks()) for each in (whole, parts))
    assert np.array_equal(first, second) and len(first) == min(size, len(rows))
    smallest = np.sort(np.argsort(row_ranks(0, len(rows), 5))[:size])
    assert np.array_equal(first, smallest)


def test_ranks_are_uniform_and_differ_between_seeds():
    ranks = row_ranks(0, 100_000, 0)
    assert len(np.unique(ranks)) == len(ranks)
    share = (ranks < 2**63).mean()
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(len(ranks))  # five standard errors
    other = row_ranks(0, 100_000, 1)
    both = ((ranks < 2**63) & (other < 2**63)).mean()
    assert abs(both - 0.25) < 5 * np.sqrt(0.25 * 0.75 / len(ranks))
