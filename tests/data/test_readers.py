"""Array files (npy, npz, IDX): plain, compressed and damaged."""

import gzip
import struct

import numpy as np
import pytest

from aevb._registry import _REGISTER, register
from aevb.data import RawData, ReaderRegistration, load, load_as
from aevb.errors import AevbError, ArgumentError, DataError

X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
GREY = np.random.default_rng(0).integers(0, 256, (20, 4, 5)).astype(np.uint8)


def idx(array, code):
    return (
        struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
        + array.astype(array.dtype.newbyteorder(">")).tobytes()
    )


def rows(path, like, **arguments):
    """Return all rows of a file, loaded with the spec of an array."""
    return load_as(path, load(like).spec, **arguments).tensor().numpy()


def test_npy_is_read(tmp_path):
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(rows(tmp_path / "x.npy", X), X)
    assert load(str(tmp_path / "x.npy")).spec.name == "x"


def test_npy_may_be_gzipped(tmp_path):
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    np.testing.assert_array_equal(rows(tmp_path / "x.npy.gz", X), X)


def test_npz_with_one_array_needs_no_key(tmp_path):
    np.savez(tmp_path / "x.npz", only=X)
    np.testing.assert_array_equal(rows(tmp_path / "x.npz", X), X)


def test_npz_with_several_arrays_requires_a_key(tmp_path):
    np.savez(tmp_path / "x.npz", values=X, target=np.arange(20) % 4)
    with pytest.raises(DataError, match=r"2 arrays: values, target\. Choose one with key"):
        load(tmp_path / "x.npz")
    for arguments, wrong in (
        ({"key": "vales"}, "key"),
        ({"key": "values", "labels": "y"}, "labels"),
    ):
        with pytest.raises(DataError, match="holds values, target") as caught:
            load(tmp_path / "x.npz", **arguments)
        assert (caught.value.argument, caught.value.value) == (wrong, arguments[wrong])
        nearest = ['Did you mean key="values"?'] if wrong == "key" else []
        assert [str(text) for text in caught.value.suggestions] == nearest
    np.testing.assert_array_equal(rows(tmp_path / "x.npz", X, key="values"), X)


def test_npz_labels_are_a_separate_array(tmp_path):
    np.savez(tmp_path / "x.npz", values=X, target=np.arange(20) % 4)
    data = load(tmp_path / "x.npz", labels="target", order="time")
    assert data.train.labels.tolist() == [i % 4 for i in range(16)]
    np.testing.assert_array_equal(data.train.tensor().numpy(), X[:16])


@pytest.mark.parametrize(
    "ending", ["images-idx3-ubyte", "images.idx3-ubyte", "images.idx", "images-idx3-ubyte.gz"]
)
def test_idx_is_read(tmp_path, ending):
    content = idx(GREY, 0x08)
    (tmp_path / ending).write_bytes(gzip.compress(content) if ending.endswith("gz") else content)
    np.testing.assert_array_equal(rows(tmp_path / ending, GREY), GREY)


@pytest.mark.parametrize(
    "dtype, code", [("i1", 0x09), ("i2", 0x0B), ("i4", 0x0C), ("f4", 0x0D), ("f8", 0x0E)]
)
def test_idx_types_are_read(tmp_path, dtype, code):
    x = (np.random.default_rng(0).normal(size=(6, 3)) * 50).astype(dtype)
    (tmp_path / "x.idx").write_bytes(idx(x, code))
    np.testing.assert_array_equal(rows(tmp_path / "x.idx", x), x.astype(np.float32))


@pytest.mark.parametrize(
    "content, words",
    [
        (idx(GREY, 0x08)[:-1], "shape .20, 4, 5., 400 bytes, but holds 399"),
        (idx(GREY, 0x08) + b"x", "but holds 401"),
        (idx(GREY, 0x08)[:6], "truncated"),
        (b"\1" + idx(GREY, 0x08)[1:], "not an IDX file: it begins with 01 00"),
        (idx(GREY, 0x07), "not an IDX file"),
        (b"", "begins with nothing"),
        (idx(np.arange(5, dtype=np.uint8), 0x08), r"reshape\(-1, 1\)"),
    ],
)
def test_damaged_idx_is_refused(tmp_path, content, words):
    (tmp_path / "x.idx").write_bytes(content)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "x.idx")


def test_pickled_objects_are_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    objects = np.empty((3, 1), dtype=object)
    objects[:] = Trap()
    np.save(tmp_path / "x.npy", objects)
    np.savez(tmp_path / "x.npz", x=objects)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match=f"{name}.*pickled Python objects"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    "name", ["x.npy", "x.npz", "x.parquet", "x.csv.gz", "x.npy.gz", "x.idx", "x.png.npz"]
)
def test_error_for_unreadable_content_names_the_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"this is no data file\n" * 50)
    with pytest.raises(DataError, match=name):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.npy.gz"])
@pytest.mark.parametrize("keep", [0, 5, 60, -20])
def test_truncated_files_are_refused(tmp_path, name, keep):
    np.save(tmp_path / "x.npy", X)
    np.savez_compressed(tmp_path / "x.npz", x=X)
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=name):
        load(path)


def test_damaged_byte_in_an_archive_is_detected(tmp_path):
    np.savez(tmp_path / "x.npz", x=X)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz"):
        load(tmp_path / "x.npz")


def test_missing_file_suggests_the_nearest_name(tmp_path):
    np.save(tmp_path / "values.npy", X)
    with pytest.raises(DataError, match=r'valeus\.npy.*no such file.*Did you mean "values.npy"'):
        load(tmp_path / "valeus.npy")
    with pytest.raises(DataError, match="no such file"):
        load(str(tmp_path / "nowhere" / "x.npy"))


@pytest.mark.parametrize("name", ["x.docx", "x.rds", "x.pkl", "plain", "x.gz"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="ending") as caught:
        load(tmp_path / name)
    assert (caught.value.argument, caught.value.value) == ("source", str(tmp_path / name))
    for entry in ReaderRegistration.all().values():
        assert all(suffix in str(caught.value) for suffix in entry.suffixes)


@pytest.mark.parametrize("arguments", [{"key": "x"}, {"labels": "y"}])
def test_irrelevant_options_are_refused(tmp_path, arguments):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ArgumentError, match="no meaning") as caught:
        load(tmp_path / "x.npy", **arguments)
    assert (caught.value.argument, caught.value.value) == next(iter(arguments.items()))


def test_a_registered_reader_reads_its_files(tmp_path, monkeypatch):
    monkeypatch.setitem(_REGISTER, "reader", ReaderRegistration.all())

    @register(ReaderRegistration(name="bytes", suffixes=(".raw",), reads="bytes"))
    def read_bytes(path, options):
        values = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3)
        return RawData(path.stem, f'file "{path}"', values)

    (tmp_path / "x.raw").write_bytes(bytes(range(60)))
    assert load(tmp_path / "x.raw", order="time").test.tensor()[-1].tolist() == [57, 58, 59]


def test_every_reader_describes_itself():
    for entry in ReaderRegistration.all().values():
        assert entry.reads and entry.title and (entry.suffixes or entry.matches)


def test_errors_inside_a_reader_become_data_errors(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 2)))
    with pytest.raises(AevbError, match="no values"):
        load(tmp_path / "x.npy")
