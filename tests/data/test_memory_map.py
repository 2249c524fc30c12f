"""Memory-mapped rows: same rows and training run as in memory, with bounded memory."""

import copy
import dataclasses
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

import aevb
from aevb.data import Rows, load, load_as
from aevb.data import _memory_map as mapped
from aevb.data import _statistics as look
from aevb.errors import ArgumentError, DataError


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def greys(*shape, high=256, seed=0):
    return np.random.default_rng(seed).integers(0, high, shape)


@pytest.fixture(params=["through the map", "row by row"])
def gathering(request, monkeypatch):
    """Both ways to gather rows: from small files, and from files larger than memory."""
    monkeypatch.setattr(
        mapped, "_gather_limit", lambda: 0 if request.param == "row by row" else 1 << 40
    )


def both(path, x, **arguments):
    """Load a file into memory, and memory-map the same file."""
    np.save(path, x)
    return load(path, **arguments), load(path, memory_map=True, **arguments)


KINDS = {
    "bytes": greys(60, 5, 4).astype(np.uint8),
    "flags": greys(60, 9, high=2).astype(bool),
    "whole numbers beyond bytes": greys(60, 3, high=5000),
    "bytes as int64": greys(60, 3),
    "float64": numbers(60, 3),
    "float32, big end first": numbers(60, 3).astype(">f4"),
    "float16": numbers(60, 3).astype(np.float16),
    "colours behind": greys(60, 6, 7, 3).astype(np.uint8),
    "colours behind in [0, 1]": np.random.default_rng(0).random((60, 6, 7, 3)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_memory_mapped_rows_and_spec_equal_those_in_memory(tmp_path, gathering, kind):
    in_memory, on_disk = both(tmp_path / "x.npy", KINDS[kind], labels=np.arange(60) % 3)
    others = tuple(note for note in on_disk.spec.notes if note.code != "rows_in_file")
    assert len(others) == len(on_disk.spec.notes) - 1
    assert dataclasses.replace(on_disk.spec, notes=others) == in_memory.spec
    for first, second in zip(parts(in_memory), parts(on_disk), strict=True):
        assert second.is_memory_mapped and not first.is_memory_mapped
        assert second.event_shape == first.event_shape and len(second) == len(first)
        assert torch.equal(second.tensor(), first.tensor()) and torch.equal(
            second.labels, first.labels
        )
        assert (
            second.tensor().dtype == torch.float32
            and second.is_stored_as_bytes == first.is_stored_as_bytes
        )


def parts(data):
    return data.train, data.validation, data.test


INDICES = [
    3,
    -1,
    slice(2, 9, 2),
    slice(5, 2),
    [4, 4, 0],
    [-1, 0],
    torch.tensor([1, 9]),
    np.array([5, 2]),
    torch.arange(12) % 3 == 0,
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_agrees_with_rows_in_memory(tmp_path, gathering, index):
    np.save(tmp_path / "x.npy", numbers(20, 2, 3).astype(np.float32))
    on_disk = load(tmp_path / "x.npy", memory_map=True, split=(0.6, 0.2, 0.2)).train
    in_memory = Rows(on_disk.tensor())
    assert torch.equal(on_disk[index], in_memory[index])
    where = [index] if isinstance(index, int) else index
    assert torch.equal(on_disk.subset(where).tensor(), in_memory.subset(where).tensor())
    assert torch.equal(
        on_disk.subset(slice(1, 11)).subset([3, 0]).tensor(),
        in_memory.subset(slice(1, 11)).subset([3, 0]).tensor(),
    )


def test_an_index_beyond_the_end_is_refused(tmp_path):
    on_disk = both(tmp_path / "x.npy", numbers(20, 2))[1].test
    for index in (2, -3, [2], np.array([-3])):
        with pytest.raises(IndexError):
            on_disk[index]
    assert len(list(on_disk)) == 2


def test_a_batch_carries_rows_their_numbers_and_the_total(tmp_path, gathering):
    on_disk = both(tmp_path / "x.npy", numbers(20, 2))[1].train
    batch = on_disk.batch(torch.tensor([15, 0]))
    assert torch.equal(batch.x, on_disk.tensor()[[15, 0]])
    assert batch.index.tolist() == [15, 0] and batch.dataset_size == 16


def test_storage_order_contains_all_rows(tmp_path):
    in_memory, on_disk = both(tmp_path / "x.npy", numbers(40, 2))
    assert torch.equal(
        on_disk.train.in_storage_order().tensor().msort(), in_memory.train.tensor().msort()
    )
    assert (np.diff(on_disk.train.in_storage_order().stored_values.row_index) > 0).all()
    assert torch.equal(in_memory.train.in_storage_order().tensor(), in_memory.train.tensor())


def trained(data, out=None):
    spec = data.spec if isinstance(data, aevb.data.Dataset) else load(np.asarray(data)).spec
    torch.manual_seed(0)
    recipe = aevb.presets.vae(spec, latent=2, hidden=[8])
    return aevb.fit(recipe, data, epochs=3, batch_size=8, progress=False)


@pytest.mark.parametrize(
    "options",
    [{}, {"binarise": "dynamic"}, {"binarise": "fixed"}, {"likelihood": "normal"}],
    ids=str,
)
def test_memory_mapped_run_is_bit_identical_to_run_in_memory(tmp_path, gathering, options):
    in_memory, on_disk = both(tmp_path / "x.npy", greys(60, 5, 4), **options)
    first, second = trained(in_memory), trained(on_disk)
    assert [(epoch.bound, epoch.validation) for epoch in first.history] == [
        (epoch.bound, epoch.validation) for epoch in second.history
    ]
    evaluated = [
        aevb.metrics.log_likelihood(run.model, data.test, 20).mean
        for run, data in ((first, in_memory), (second, on_disk))
    ]
    assert evaluated[0] == evaluated[1]
    encoded = [
        aevb.inference.encode(run.model, data.test)
        for run, data in ((first, in_memory), (second, on_disk))
    ]
    assert torch.equal(*encoded)


def test_fixed_binarisation_is_kept_as_bits_in_memory(tmp_path):
    _, on_disk = both(tmp_path / "x.npy", greys(60, 5, 4), binarise="fixed")
    assert not any(part.is_memory_mapped for part in parts(on_disk))
    assert any(note.code == "binarised_in_memory" for note in on_disk.spec.notes)


def test_file_size_decides_memory_mapping_by_default(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", numbers(100, 2))
    assert not load(tmp_path / "x.npy").train.is_memory_mapped
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 1000)
    large = load(tmp_path / "x.npy")
    assert large.train.is_memory_mapped
    assert (large.spec.notes[1].code, large.spec.notes[1].data) == (
        "rows_in_file",
        {"size": "1.6 KiB"},
    )
    assert not load(tmp_path / "x.npy", memory_map=False).train.is_memory_mapped
    assert load_as(tmp_path / "x.npy", large.spec).is_memory_mapped
    assert load_as(large, large.spec).is_memory_mapped
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert load(array).train.is_memory_mapped and Rows.from_array(array).is_memory_mapped
    assert any("stay in their file" in str(note) for note in trained(array).notes)
    assert not Rows.from_array(array[:10]).is_memory_mapped


def test_slice_of_a_memory_mapped_array_is_read_correctly(tmp_path, gathering):
    x = numbers(40, 3)
    np.save(tmp_path / "x.npy", x)
    array = np.load(tmp_path / "x.npy", mmap_mode="r")[7:]
    on_disk = load(array, memory_map=True, order="time").train
    np.testing.assert_array_equal(on_disk[:5].numpy(), x[7:12].astype(np.float32))
    np.testing.assert_array_equal(on_disk[[4, 1]].numpy(), x[[11, 8]].astype(np.float32))


def test_flat_rows_take_a_shape(tmp_path):
    in_memory, on_disk = both(tmp_path / "x.npy", greys(20, 12), shape=(3, 4))
    assert on_disk.spec.event_shape == (3, 4) and torch.equal(
        on_disk.train.tensor(), in_memory.train.tensor()
    )
    assert load_as(tmp_path / "x.npy", on_disk.spec, memory_map=True).event_shape == (3, 4)
    with pytest.raises(DataError, match=r"holds 10 .* holds 12") as caught:
        load(tmp_path / "x.npy", shape=(5, 2))
    assert (caught.value.argument, caught.value.value) == ("shape", (5, 2))


def test_memory_mapping_of_unsupported_sources_is_refused(tmp_path):
    np.save(tmp_path / "columns.npy", np.asfortranarray(numbers(9, 3)))
    np.save(tmp_path / "flat.npy", numbers(9))
    (tmp_path / "x.csv").write_text("a,b\n1.5,2\n3,4\n5,6\n")
    for source, error, words in (
        (tmp_path / "columns.npy", DataError, "one after the other.*ascontiguousarray"),
        (tmp_path / "flat.npy", DataError, "no rows of values"),
        (tmp_path / "x.csv", ArgumentError, "no meaning for file"),
        (numbers(9, 3), ArgumentError, "no meaning for the array"),
    ):
        with pytest.raises(error, match=words) as caught:
            load(source, memory_map=True)
        assert (caught.value.argument, caught.value.value) == ("memory_map", True)


def test_fortran_order_is_read_into_memory_by_default(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 10)
    np.save(tmp_path / "x.npy", np.asfortranarray(numbers(9, 3)))
    assert not load(tmp_path / "x.npy").train.is_memory_mapped


def test_damaged_files_are_detected(tmp_path):
    np.save(tmp_path / "x.npy", numbers(20, 3))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-8])
    with pytest.raises(DataError, match=r"x\.npy.*cannot be read"):
        load(tmp_path / "x.npy", memory_map=True)
    objects = np.empty((3, 1), dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    with pytest.raises(DataError, match=r"o\.npy.*pickled Python objects"):
        load(tmp_path / "o.npy", memory_map=True)


def test_error_names_a_truncated_file(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "_gather_limit", lambda: 0)
    on_disk = both(tmp_path / "x.npy", numbers(200, 3))[1].train
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(DataError, match=r"x\.npy.*has become shorter"):
        on_disk[:]


def test_short_reads_are_completed(tmp_path, gathering, monkeypatch):
    in_memory, on_disk = both(tmp_path / "x.npy", numbers(40, 3))
    read = mapped._read_at
    monkeypatch.setattr(
        mapped, "_read_at", lambda handle, content, place: read(handle, content[:7], place)
    )
    assert torch.equal(on_disk.train.tensor(), in_memory.train.tensor()) and torch.equal(
        on_disk.train[:5], in_memory.train[:5]
    )


def test_copied_rows_open_the_file_again(tmp_path, gathering):
    in_memory, on_disk = both(tmp_path / "x.npy", numbers(40, 3))
    copied = copy.deepcopy(on_disk.train)
    assert copied.stored_values.file.handle != on_disk.train.stored_values.file.handle
    del on_disk
    assert torch.equal(copied.tensor(), in_memory.train.tensor())


def test_invalid_values_are_reported_in_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(look, "CHUNK_ELEMENTS", 30)
    x = numbers(100, 3)
    x[57, 2] = np.nan
    x[80] = np.inf
    for source in (x, tmp_path / "x.npy"):
        np.save(tmp_path / "x.npy", x)
        with pytest.raises(
            DataError,
            match=r"holds 4 NaN or infinite cells, the first in row 57, column 2 .*value nan",
        ):
            load(source, memory_map=None if source is x else True)


def test_unsupported_row_is_reported_with_its_index(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 10)
    model = trained(load(greys(60, 4, high=2), order="time")).model
    np.save(tmp_path / "x.npy", np.where(np.arange(80).reshape(20, 4) == 50, 3, 1).astype(np.uint8))
    with pytest.raises(DataError, match="row 12 of `x` holds 3"):
        aevb.metrics.rate_distortion(model, np.load(tmp_path / "x.npy", mmap_mode="r"))


@pytest.mark.parametrize("by_column", [True, False])
def test_blockwise_moments_equal_full_moments(monkeypatch, by_column):
    x = numbers(500, 3) * [1, 1e3, 0] + [0, 1e6, 7]
    index = np.random.default_rng(1).permutation(500)[:400]
    table = x[index] if by_column else x[index].reshape(-1, 1)
    monkeypatch.setattr(look, "CHUNK_ELEMENTS", 3 * 7)
    statistics = look.moments(x, index, by_column)
    # float64 sums of 400 numbers near 1e6 in another order: 400 roundings of 1e-16
    np.testing.assert_allclose(statistics.mean, table.mean(0), rtol=1e-12)
    np.testing.assert_allclose(statistics.deviation, table.std(0), rtol=1e-9, atol=1e-12)
    assert statistics.constant.tolist() == ([False, False, True] if by_column else [False])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_stays_bounded(tmp_path):
    """Reading, training, evaluating and encoding use less memory than half the file size."""
    few = numbers(2048, 1024).astype(np.float32)
    np.save(tmp_path / "few.npy", few)
    with (tmp_path / "many.npy").open("wb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f4", "fortran_order": False, "shape": (8 * 2048, 1024)}
        )
        for _ in range(8):
            file.write(few.data)
    script = """
        import pathlib, sys
        import torch
        import aevb
        from aevb.data import _memory_map

        def peak_memory(path):
            data = aevb.data.load(path, memory_map=True)
            recipe = aevb.presets.vae(data.spec, latent=2, hidden=[4])
            settings = {"epochs": 1, "batch_size": 256, "progress": False, "compile": False}
            model = aevb.fit(recipe, data, **settings).model
            aevb.metrics.log_likelihood(model, data.test.subset(slice(0, 64)), 4)
            aevb.inference.encode(model, aevb.data.load_as(path, data.spec, memory_map=True))
            lines = pathlib.Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])  # KiB

        torch.set_num_threads(1)
        _memory_map._gather_limit = lambda: 0  # as for a file larger than memory
        small = peak_memory(sys.argv[1])  # includes what the libraries need once
        print(small, peak_memory(sys.argv[2]))
    """
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(script),
        str(tmp_path / "few.npy"),
        str(tmp_path / "many.npy"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    before, after = map(int, done.stdout.split())
    size = (tmp_path / "many.npy").stat().st_size / 1024
    assert after - before < size / 2  # KiB; pieces of at most 8 MiB and their temporaries
