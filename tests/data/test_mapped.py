"""Rows that stay in their file: the same rows, the same run, and bounded memory."""

import copy
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
def way(request, monkeypatch):
    """Both ways of gathering: from small files, and from files that are large beside the memory."""
    monkeypatch.setattr(
        mapped, "_gather_limit", lambda: 0 if request.param == "row by row" else 1 << 40
    )


def both(path, x, **arguments):
    """A file read into memory, and the same file left where it is."""
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
def test_the_rows_and_the_choices_are_those_of_rows_in_memory(tmp_path, way, kind):
    held, left = both(tmp_path / "x.npy", KINDS[kind], labels=np.arange(60) % 3)
    said = tuple(sentence for sentence in left.spec.notes if "stay in the file" not in sentence)
    assert len(said) == len(left.spec.notes) - 1
    assert aevb.data.Spec.from_dict(left.spec.to_dict() | {"said": list(said)}) == held.spec
    for one, other in zip(parts(held), parts(left), strict=True):
        assert other.is_memory_mapped and not one.is_memory_mapped
        assert other.event_shape == one.event_shape and len(other) == len(one)
        assert torch.equal(other.tensor(), one.tensor()) and torch.equal(other.labels, one.labels)
        assert (
            other.tensor().dtype == torch.float32
            and other.is_stored_as_bytes == one.is_stored_as_bytes
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
def test_an_index_means_what_it_means_for_rows_in_memory(tmp_path, way, index):
    np.save(tmp_path / "x.npy", numbers(20, 2, 3).astype(np.float32))
    left = load(tmp_path / "x.npy", memory_map=True, split=(0.6, 0.2, 0.2)).train
    held = Rows(left.tensor())
    assert torch.equal(left[index], held[index])
    where = [index] if isinstance(index, int) else index
    assert torch.equal(left.subset(where).tensor(), held.subset(where).tensor())
    assert torch.equal(
        left.subset(slice(1, 11)).subset([3, 0]).tensor(),
        held.subset(slice(1, 11)).subset([3, 0]).tensor(),
    )


def test_an_index_beyond_the_end_is_refused(tmp_path):
    left = both(tmp_path / "x.npy", numbers(20, 2))[1].test
    for index in (2, -3, [2], np.array([-3])):
        with pytest.raises(IndexError):
            left[index]
    assert len(list(left)) == 2


def test_a_batch_carries_rows_their_numbers_and_the_total(tmp_path, way):
    left = both(tmp_path / "x.npy", numbers(20, 2))[1].train
    batch = left.batch(torch.tensor([15, 0]))
    assert torch.equal(batch.x, left.tensor()[[15, 0]])
    assert batch.index.tolist() == [15, 0] and batch.dataset_size == 16


def test_in_the_order_of_the_file_all_rows_are_there(tmp_path):
    held, left = both(tmp_path / "x.npy", numbers(40, 2))
    assert torch.equal(left.train.in_storage_order().tensor().msort(), held.train.tensor().msort())
    assert (np.diff(left.train.in_storage_order().stored_values.row_index) > 0).all()
    assert torch.equal(held.train.in_storage_order().tensor(), held.train.tensor())


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
def test_a_run_is_that_of_rows_in_memory_to_the_bit(tmp_path, way, options):
    held, left = both(tmp_path / "x.npy", greys(60, 5, 4), **options)
    one, other = trained(held), trained(left)
    assert [(epoch.bound, epoch.validation) for epoch in one.history] == [
        (epoch.bound, epoch.validation) for epoch in other.history
    ]
    evaluated = [
        aevb.metrics.log_likelihood(run.model, data.test, 20).mean
        for run, data in ((one, held), (other, left))
    ]
    assert evaluated[0] == evaluated[1]
    encoded = [
        aevb.inference.encode(run.model, data.test) for run, data in ((one, held), (other, left))
    ]
    assert torch.equal(*encoded)


def test_binarised_once_means_bits_in_memory(tmp_path):
    _, left = both(tmp_path / "x.npy", greys(60, 5, 4), binarise="fixed")
    assert not any(part.is_memory_mapped for part in parts(left))
    assert any("gone through once" in sentence for sentence in left.spec.notes)


def test_size_decides_where_nothing_was_asked(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", numbers(100, 2))
    assert not load(tmp_path / "x.npy").train.is_memory_mapped
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 1000)
    large = load(tmp_path / "x.npy")
    assert (
        large.train.is_memory_mapped
        and large.spec.notes[1]
        == "The rows stay in the file (1.6 KiB) and are read batch by batch."
    )
    assert not load(tmp_path / "x.npy", memory_map=False).train.is_memory_mapped
    assert load_as(tmp_path / "x.npy", large.spec).is_memory_mapped
    assert load_as(large, large.spec).is_memory_mapped
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert load(array).train.is_memory_mapped and Rows.from_array(array).is_memory_mapped
    assert any("stay in their file" in sentence for sentence in trained(array).notes)
    assert not Rows.from_array(array[:10]).is_memory_mapped


def test_part_of_a_memory_mapped_array_is_that_part(tmp_path, way):
    x = numbers(40, 3)
    np.save(tmp_path / "x.npy", x)
    array = np.load(tmp_path / "x.npy", mmap_mode="r")[7:]
    left = load(array, memory_map=True, order="time").train
    np.testing.assert_array_equal(left[:5].numpy(), x[7:12].astype(np.float32))
    np.testing.assert_array_equal(left[[4, 1]].numpy(), x[[11, 8]].astype(np.float32))


def test_flat_rows_take_a_shape(tmp_path):
    held, left = both(tmp_path / "x.npy", greys(20, 12), shape=(3, 4))
    assert left.spec.event_shape == (3, 4) and torch.equal(left.train.tensor(), held.train.tensor())
    assert load_as(tmp_path / "x.npy", left.spec, memory_map=True).event_shape == (3, 4)
    with pytest.raises(
        DataError, match=r"shape=\(5, 2\) holds 10, and a row of .* holds 12 numbers"
    ):
        load(tmp_path / "x.npy", shape=(5, 2))


def test_what_cannot_stay_in_its_file_is_refused_where_that_was_asked(tmp_path):
    np.save(tmp_path / "columns.npy", np.asfortranarray(numbers(9, 3)))
    np.save(tmp_path / "flat.npy", numbers(9))
    (tmp_path / "x.csv").write_text("a,b\n1.5,2\n3,4\n5,6\n")
    for source, error, words in (
        (tmp_path / "columns.npy", DataError, "one after the other.*ascontiguousarray"),
        (tmp_path / "flat.npy", DataError, "no rows of values"),
        (tmp_path / "x.csv", ArgumentError, "mapped=True has no meaning"),
        (numbers(9, 3), ArgumentError, "mapped=True has no meaning"),
    ):
        with pytest.raises(error, match=words):
            load(source, memory_map=True)


def test_columns_first_are_read_into_memory_where_nothing_was_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 10)
    np.save(tmp_path / "x.npy", np.asfortranarray(numbers(9, 3)))
    assert not load(tmp_path / "x.npy").train.is_memory_mapped


def test_damage_is_found(tmp_path):
    np.save(tmp_path / "x.npy", numbers(20, 3))
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-8])
    with pytest.raises(DataError, match=r"x\.npy.*cannot be read"):
        load(tmp_path / "x.npy", memory_map=True)
    objects = np.empty((3, 1), dtype=object)
    np.save(tmp_path / "o.npy", objects, allow_pickle=True)
    with pytest.raises(DataError, match=r"o\.npy.*pickled Python objects"):
        load(tmp_path / "o.npy", memory_map=True)


def test_a_file_that_becomes_shorter_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "_gather_limit", lambda: 0)
    left = both(tmp_path / "x.npy", numbers(200, 3))[1].train
    with (tmp_path / "x.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(DataError, match=r"x\.npy.*has become shorter"):
        left[:]


def test_a_reading_that_comes_in_parts_is_put_together(tmp_path, way, monkeypatch):
    held, left = both(tmp_path / "x.npy", numbers(40, 3))
    read = mapped._read_at
    monkeypatch.setattr(
        mapped, "_read_at", lambda handle, content, place: read(handle, content[:7], place)
    )
    assert torch.equal(left.train.tensor(), held.train.tensor()) and torch.equal(
        left.train[:5], held.train[:5]
    )


def test_a_copy_opens_the_file_for_itself(tmp_path, way):
    held, left = both(tmp_path / "x.npy", numbers(40, 3))
    copied = copy.deepcopy(left.train)
    assert copied.stored_values.file.handle != left.train.stored_values.file.handle
    del left
    assert torch.equal(copied.tensor(), held.train.tensor())


def test_what_is_broken_is_named_in_whichever_piece_it_lies(tmp_path, monkeypatch):
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


def test_a_model_finds_the_row_it_cannot_take(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "MAP_MIN_BYTES", 10)
    model = trained(load(greys(60, 4, high=2), order="time")).model
    np.save(tmp_path / "x.npy", np.where(np.arange(80).reshape(20, 4) == 50, 3, 1).astype(np.uint8))
    with pytest.raises(DataError, match="row 12 of `x` holds 3"):
        aevb.metrics.rate_distortion(model, np.load(tmp_path / "x.npy", mmap_mode="r"))


@pytest.mark.parametrize("by_column", [True, False])
def test_moments_of_pieces_are_those_of_the_whole(monkeypatch, by_column):
    x = numbers(500, 3) * [1, 1e3, 0] + [0, 1e6, 7]
    index = np.random.default_rng(1).permutation(500)[:400]
    table = x[index] if by_column else x[index].reshape(-1, 1)
    monkeypatch.setattr(look, "CHUNK_ELEMENTS", 3 * 7)
    found = look.moments(x, index, by_column)
    # float64 sums of 400 numbers near 1e6 in another order: 400 roundings of 1e-16
    np.testing.assert_allclose(found.mean, table.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, table.std(0), rtol=1e-9, atol=1e-12)
    assert found.constant.tolist() == ([False, False, True] if by_column else [False])


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_memory_stays_bounded(tmp_path):
    """Reading, training, evaluating and encoding a file make the process grow by less than half of it."""
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
        from aevb.data import mapped

        def everything(path):
            data = aevb.data.load(path, mapped=True)
            recipe = aevb.presets.vae(data.spec, latent=2, hidden=[4])
            model = aevb.fit(recipe, data, epochs=1, batch_size=256, progress=False, compile=False).model
            aevb.metrics.log_likelihood(model, data.test.subset(slice(0, 64)), 4)
            aevb.inference.encode(model, aevb.data.load_as(path, data.spec, mapped=True))
            lines = pathlib.Path("/proc/self/status").read_text().splitlines()
            return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])  # KiB at the peak

        torch.set_num_threads(1)
        mapped._room = lambda: 0  # as where the file is large beside the memory
        print(everything(sys.argv[1]), everything(sys.argv[2]))  # the first has what the libraries need once
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
