"""Damaged files end in an error of the library; contents that would fill the memory are refused."""

import gzip
import io
import struct
import subprocess
import zipfile
import zlib

import numpy as np
import pytest

from aevb.data import _compression, load
from aevb.errors import AevbError, DataError

pl = pytest.importorskip("polars")

X = np.random.default_rng(0).normal(size=(12, 2)).round(3)
FRAME = pl.DataFrame({"a": X[:, 0], "n": np.arange(12), "k": ["p", "q", None] * 4})
MUTATIONS = 100  # of each format
TOKENS = [bytes([byte]) for byte in b"\0\xff\"',\n\r{[-#"] + [b"9" * 30, b"\xff" * 4]


def written(method, **arguments):
    """Return what a method of a frame writes."""
    file = io.BytesIO()
    getattr(FRAME, method)(file, **arguments)
    return file.getvalue()


def saved(save, *arrays, **named):
    """Return what a function of NumPy or SciPy writes."""
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def zipped(name, content):
    """Return an archive with one member."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def sparse_archive():
    """Return a sparse matrix as SciPy writes it."""
    sparse = pytest.importorskip("scipy.sparse")
    return saved(sparse.save_npz, sparse.csr_matrix(np.maximum(X, 0)))


FILES = {
    "t.csv": lambda: written("write_csv"),
    "t.txt": lambda: "# ä\n1,5;2\n2,5;3\n4;5 €\n6;7\n".encode("cp1252"),
    "t.csv.gz": lambda: gzip.compress(written("write_csv")),
    "t.csv.zip": lambda: zipped("t.csv", written("write_csv")),
    "t.jsonl": lambda: written("write_ndjson"),
    "t.parquet": lambda: written("write_parquet"),
    "t.arrow": lambda: written("write_ipc"),
    "t.feather": lambda: written("write_ipc_stream"),
    "t.arff": lambda: (
        b"@relation r\n@attribute a real\n@attribute k {p,q}\n@data\n1,p\n2,q\n?,p\n4,q\n"
    ),
    "x.npy": lambda: saved(np.save, X),
    "x.npz": lambda: saved(np.savez, x=X),
    "s.npz": sparse_archive,
    "x.idx": lambda: struct.pack(">BBBB3I", 0, 0, 8, 3, 5, 2, 2) + bytes(range(20)),
}


def mutate(content, rng):
    """Return the content with a few random changes."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        place, kind = int(rng.integers(len(content) + 1)), rng.integers(5)
        token = TOKENS[rng.integers(len(TOKENS))]
        if kind == 0:
            content[place : place + 1] = bytes([rng.integers(256)])
        elif kind == 1:
            del content[place : place + int(rng.integers(1, 20))]
        elif kind == 2:
            content[place:place] = token
        elif kind == 3:
            content[place : place + len(token)] = token
        elif rng.random() < 0.3:
            del content[place:]
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_read_or_refused(tmp_path, name, capfd):
    content, rng, path = FILES[name](), np.random.default_rng(0), tmp_path / name
    refusals = []
    for _ in range(MUTATIONS):
        path.write_bytes(mutate(content, rng))
        try:
            load(path)
        except AevbError as error:
            refusals.append(error)
    assert refusals
    assert all(each.argument is not None or str(path) in str(each) for each in refusals)
    capfd.readouterr()  # a panic of polars writes to stderr


@pytest.fixture
def small_memory(monkeypatch):
    """Pretend that 2 MB are available."""
    monkeypatch.setattr(_compression, "available_memory", lambda: 2_000_000)


BOMBS = {
    "t.csv.gz": lambda: gzip.compress(b"a,b\n" + b"1,2\n" * 1_000_000),
    "t.zip": lambda: zipped("t.csv", b"a,b\n" + b"1,2\n" * 1_000_000),
    "t.csv": lambda: b"a," * 1_000 + b"b\n" + b"1," * 1_000 + b"2\n",  # 2 KB for each column
    "line.csv": lambda: b"1," * 50_000,  # 100 bytes for each cell of the first lines
    "x.npy.gz": lambda: gzip.compress(saved(np.save, np.zeros((1000, 1000)))),
    "x.npz": lambda: saved(np.savez_compressed, x=np.zeros((1000, 1000))),
    "t.parquet": lambda: saved(pl.DataFrame({"a": np.zeros(1_000_000)}).write_parquet),
    "s.npz": lambda: saved(
        np.savez, format=b"coo", shape=(10**6, 10**6), data=[1.0], row=[0], col=[0]
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_contents_that_would_fill_the_memory_are_refused(tmp_path, small_memory, name):
    (tmp_path / name).write_bytes(BOMBS[name]())
    with pytest.raises(DataError, match="memory") as caught:
        load(tmp_path / name)
    assert "allow_large=True" in str(caught.value.suggestions[0])


def test_large_contents_are_read_on_request(tmp_path, small_memory):
    path = tmp_path / "x.npy.gz"
    path.write_bytes(gzip.compress(saved(np.save, np.eye(600))))
    assert load(path, allow_large=True).spec.event_shape == (600,)


def test_expansion_ends_at_the_limit(tmp_path, small_memory, monkeypatch):
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress(bytes(100_000_000), 1))
    read, chunks = _compression.check_size, []
    monkeypatch.setattr(
        _compression, "check_size", lambda size, *rest: (chunks.append(size), read(size, *rest))
    )
    with pytest.raises(DataError, match="memory"):
        load(tmp_path / "x.npy.gz")
    assert max(chunks) <= 2 * _compression.CHUNK_BYTES


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 9)}\n"
    content = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + bytes(80)
    (tmp_path / "x.npy").write_bytes(content)
    (tmp_path / "x.npz").write_bytes(zipped("x.npy", content))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="truncated"):
            load(tmp_path / name)


def test_an_image_of_enormous_size_is_refused_before_it_is_decoded(tmp_path, small_memory):
    pytest.importorskip("PIL")

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    head = struct.pack(">IIBBBBB", 9000, 9000, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9)))
    (tmp_path / "a.png").write_bytes(content + chunk(b"IEND", b""))
    with pytest.raises(DataError, match=r"a\.png.*memory"):
        load(tmp_path)


@pytest.mark.parametrize("ending", ["mat", "h5ad"])
def test_a_library_that_crashes_or_hangs_is_an_error(tmp_path, monkeypatch, ending):
    for module in ("scipy.io", "h5py"):
        pytest.importorskip(module)
    path = tmp_path / f"x.{ending}"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(512, b"x"))
    with pytest.raises(DataError, match=f"x.{ending}"):
        load(path)

    def crash(command, **_):
        return subprocess.CompletedProcess(command, -11, b"", b"")

    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    for behaviour in (crash, hang):
        monkeypatch.setattr(subprocess, "run", behaviour)
        with pytest.raises(DataError, match=f"x.{ending}"):
            load(path)
