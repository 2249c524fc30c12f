"""Saving and loading rows with shapes and labels, and byte columns written by other libraries."""

import base64
import sys

import numpy as np
import polars as pl
import pytest
import torch

from aevb.data import DynamicBinarisation, Rows, UnpackBits, load, load_as, save
from aevb.data._byte_format import ByteFormat
from aevb.errors import ArgumentError, DataError, MissingExtraError, RunError

GREY = np.random.default_rng(0).integers(0, 256, (40, 6, 5)).astype(np.uint8)
REAL = np.random.default_rng(0).normal(size=(40, 3, 2)).astype(np.float32)
# written by pyarrow 26: 4 rows of FIXED_LEN_BYTE_ARRAY(6), numbers 0 to 23, without a dictionary
FIXED = base64.b64decode(
    "UEFSMRUAFTwVPCwVCBUAFQYVBhwAAAACAAAACAEAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcVBBksNQAYBnNjaGVt"
    "YRUCABUOFQwVAhgFaW1hZ2UAFggZHBkcJgAcFQ4ZJQYAGRgFaW1hZ2UVABYIFmIWYiYISRwVABUAFQIAPCkGGSYA"
    "CAAAABZiFggmCBZiACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZHBwAAACEAAAAUEFSMQ=="
)


def load_saved(path, **arguments):
    return load(path, order="time", split=(0.5, 0.25, 0.25), **arguments)


@pytest.mark.parametrize("ending", ["npy", "parquet"])
@pytest.mark.parametrize(
    "x",
    [GREY, REAL, REAL.astype(np.float64), GREY % 2],
    ids=["bytes", "float32", "float64", "binary"],
)
def test_saved_rows_are_loaded_unchanged(tmp_path, ending, x):
    save(x, tmp_path / f"x.{ending}")
    data = load_saved(tmp_path / f"x.{ending}")
    rows = torch.cat([data.train.tensor(), data.validation.tensor(), data.test.tensor()])
    np.testing.assert_array_equal(rows.numpy(), x.astype(np.float32))
    assert data.spec.event_shape == x.shape[1:]
    assert data.train.is_stored_as_bytes == (x.dtype == np.uint8)


def test_rows_of_every_kind_are_saved_as_they_are_read(tmp_path):
    packed = Rows(
        torch.from_numpy(np.packbits((GREY % 2).reshape(40, -1), axis=1)), UnpackBits((6, 5))
    )
    save(packed, tmp_path / "bits.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "bits.npy"), GREY % 2)
    assert np.load(tmp_path / "bits.npy").dtype == np.uint8
    torch.manual_seed(0)
    save(Rows(torch.from_numpy(GREY), DynamicBinarisation(256)), tmp_path / "drawn.npy")
    assert set(np.unique(np.load(tmp_path / "drawn.npy"))) == {0, 1}
    save(load(tmp_path / "bits.npy", memory_map=True, order="time").train, tmp_path / "again.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "again.npy"), GREY[:32] % 2)


def test_saving_in_pieces_equals_saving_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("aevb._memory.MAX_ELEMENTS_PER_BLOCK", 70)
    for ending in ("npy", "parquet"):
        save(GREY, tmp_path / f"x.{ending}")
        np.testing.assert_array_equal(
            load_as(tmp_path / f"x.{ending}", load(GREY).spec).tensor().numpy(), GREY
        )


def test_labels_go_into_a_column(tmp_path):
    save(Rows.from_array(GREY, labels=np.arange(40) % 3), tmp_path / "x.parquet")
    data = load_saved(tmp_path / "x.parquet", labels="label")
    assert data.train.labels.tolist() == [i % 3 for i in range(20)] and data.spec.class_names == (
        "0",
        "1",
        "2",
    )
    with pytest.raises(ArgumentError, match="no place for labels"):
        save(Rows.from_array(GREY, labels=np.arange(40)), tmp_path / "x.npy")


def test_other_libraries_read_bytes_and_their_metadata(tmp_path):
    save(GREY, tmp_path / "x.parquet")
    assert pl.read_parquet_schema(tmp_path / "x.parquet") == {"row": pl.Binary}
    assert (
        pl.read_parquet_metadata(tmp_path / "x.parquet")["aevb"]
        == '{"column": "row", "shape": [6, 5], "kind": "uint8"}'
    )
    assert pl.read_parquet(tmp_path / "x.parquet")["row"][7] == GREY[7].tobytes()


@pytest.mark.parametrize(
    "rows, name, error, words",
    [
        (GREY, "x.csv", ArgumentError, r'\.npy, \.parquet, not as "\.csv"'),
        (GREY, "x.parqet", ArgumentError, 'Did you mean ".parquet"'),
        (GREY[:0], "x.npy", DataError, "no rows"),
        (GREY, "file.txt/x.npy", RunError, "could not be written"),
    ],
)
def test_unsupported_formats_are_refused_on_save(tmp_path, rows, name, error, words):
    (tmp_path / "file.txt").write_text("in the way")
    with pytest.raises(error, match=words):
        save(rows, tmp_path / name)


def test_files_are_replaced_atomically(tmp_path, monkeypatch):
    save(GREY, tmp_path / "x.npy")
    monkeypatch.setattr(Rows, "__getitem__", lambda rows, index: pytest.fail("the disk is full"))
    with pytest.raises(pytest.fail.Exception):
        save(REAL, tmp_path / "x.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), GREY)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_without_polars_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r'pip install "aevb\[tables\]"'):
        save(GREY, tmp_path / "x.parquet")


def test_bytes_of_a_fixed_length_are_rows_of_bytes(tmp_path):
    (tmp_path / "fixed.parquet").write_bytes(FIXED)
    data = load_saved(tmp_path / "fixed.parquet")
    assert data.spec.event_shape == (6,) and data.train.is_stored_as_bytes
    np.testing.assert_array_equal(data.train.tensor().numpy(), np.arange(12).reshape(2, 6))
    assert load_saved(tmp_path / "fixed.parquet", shape=(2, 3)).spec.event_shape == (2, 3)


def test_bytes_of_other_lengths_are_refused(tmp_path):
    for cells, words in (
        ([b"abc", b"ab", b"abc"], "there are 2 and 3 bytes"),
        ([b"abc", None, b"abc"], "1 empty cell"),
        ([b""] * 3, "no values"),
    ):
        pl.DataFrame({"x": pl.Series(cells, dtype=pl.Binary)}).write_parquet(tmp_path / "x.parquet")
        with pytest.raises(DataError, match=words):
            load(tmp_path / "x.parquet")


@pytest.mark.parametrize("dtype", [pl.UInt8, pl.Int64, pl.Float32])
def test_lists_keep_their_numbers(tmp_path, dtype):
    x = GREY.reshape(40, -1)[:, :7].astype(np.int64)
    pl.DataFrame({"x": pl.Series(x.tolist(), dtype=pl.List(dtype))}).write_parquet(
        tmp_path / "x.parquet"
    )
    np.testing.assert_array_equal(load_as(tmp_path / "x.parquet", load(x).spec).tensor().numpy(), x)
    for cells, words in (
        ([[1, 2], [3], [4, 5]], "there are 1 and 2 numbers"),
        ([[1], None, [2]], "1 empty cell"),
        ([[1], [None], [2]], "NaN"),
    ):
        pl.DataFrame({"x": pl.Series(cells, dtype=pl.List(dtype))}).write_parquet(
            tmp_path / "x.parquet"
        )
        with pytest.raises(DataError, match=words):
            load(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "record, words",
    [
        ("nonsense", "cannot be read"),
        ('{"column": "row"}', "cannot be read"),
        ('{"column": "row", "shape": [2, 3], "kind": "object"}', "says"),
        ('{"column": "row", "shape": [0], "kind": "uint8"}', "says"),
        (
            '{"column": "row", "shape": [2, 4], "kind": "uint8"}',
            "says 8 bytes for each row, and a row has 6",
        ),
        (
            '{"column": "row", "shape": [2, 3], "kind": "float32"}',
            "says 24 bytes for each row, and a row has 6",
        ),
    ],
)
def test_edited_shape_metadata_is_refused(tmp_path, record, words):
    pl.DataFrame({"row": [b"abcdef"] * 4}).write_parquet(
        tmp_path / "x.parquet", metadata={"aevb": record}
    )
    with pytest.raises(DataError, match=words):
        load(tmp_path / "x.parquet")


def test_shape_metadata_applies_to_its_own_column(tmp_path):
    metadata = ByteFormat("row", (2, 3), "uint8").to_metadata()
    pl.DataFrame({"row": [b"abcdef"] * 4, "other": [b"ab"] * 4}).write_parquet(
        tmp_path / "x.parquet", metadata=metadata
    )
    assert load(tmp_path / "x.parquet", key="row").spec.event_shape == (2, 3)
    assert load(tmp_path / "x.parquet", key="other").spec.event_shape == (2,)


def test_flat_rows_take_a_shape_and_a_wrong_one_is_refused():
    flat = GREY.reshape(40, -1)
    spec = load(flat, shape=(6, 5)).spec
    assert spec.event_shape == (6, 5) and "images of 6 x 5" in str(spec.notes[0])
    np.testing.assert_array_equal(load_as(flat, spec).tensor().numpy(), GREY)
    assert load(GREY, shape=[6, 5]).spec == load(GREY).spec
    with pytest.raises(DataError, match=r"holds 35 .* holds 30") as caught:
        load(flat, shape=(7, 5))
    assert (caught.value.argument, caught.value.value) == ("shape", (7, 5))
    with pytest.raises(ArgumentError, match="`shape` is"):
        load(flat, shape=(0, 5))
    with pytest.raises(DataError, match=r"rows of shape \(29,\)"):
        load_as(flat[:, :29], spec)
