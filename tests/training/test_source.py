"""Which rows are in which batch, of rows in memory, of a file and of an iterable."""

import numpy as np
import pytest
import torch

import aevb
from aevb import Batch
from aevb.data import Rows
from aevb.errors import ArgumentError, DataError
from aevb.training._source import IterableSource, MemorySource, check_not_empty, make_source

CPU = torch.device("cpu")
X = torch.arange(22.0).view(11, 2)


def order(seed: int, epoch: int, count: int = 11) -> list[int]:
    generator = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(count, generator=generator).tolist()


def memory(batch_size=4, seed=5, dtype=torch.float32, rows=None) -> MemorySource:
    rows = Rows.from_array(X) if rows is None else rows
    return MemorySource(rows, batch_size, seed, CPU, dtype)


@pytest.mark.parametrize("seed", [0, 5, 2**62])
@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_an_epoch_has_whole_batches_in_the_order_of_seed_and_epoch(seed, skip):
    source = memory(seed=seed)
    assert (source.steps, source.batch_size, len(source.rows)) == (2, 4, 11)
    for epoch in (0, 3):
        expected = order(seed, epoch)
        assert source.epoch_order(epoch).tolist() == source.device_order(epoch).tolist() == expected
        batches = [batch.x for batch in source.iter_epoch(epoch, skip)]
        assert len(batches) == max(0, 2 - skip)
        for number, x in enumerate(batches, skip):
            assert torch.equal(x, X[expected[4 * number : 4 * number + 4]])


@pytest.mark.parametrize(
    "size, steps, reduced", [(1, 11, False), (5, 2, False), (11, 1, False), (12, 1, True)]
)
def test_a_batch_has_at_most_all_rows(size, steps, reduced):
    source = memory(size)
    assert (source.steps, source.batch_size) == (steps, min(size, 11))
    assert [(n.code, n.data) for n in source.notes] == (
        [("batch_reduced", {"rows": 11, "batch_size": 12})] if reduced else []
    )


def test_first_rows_are_for_checks_and_shuffled_rows_for_initialisation():
    source = memory()
    assert torch.equal(source.first_batch().x, X[:4])
    assert torch.equal(source.initialisation_batch(7).x, X[order(5, 0)[:7]])
    assert len(source.initialisation_batch(100).x) == 11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_batches_have_the_type_of_the_model(dtype):
    source = memory(dtype=dtype)
    batch = source.batch(torch.tensor([3, 0]))
    assert batch.x.dtype == dtype and batch.context is None
    assert batch.x.tolist() == [[6.0, 7.0], [0.0, 1.0]]
    assert batch.index.tolist() == [3, 0] and batch.dataset_size == 11


def test_rows_of_a_file_have_no_order_on_the_device(tmp_path):
    np.save(tmp_path / "rows.npy", X.numpy())
    dataset = aevb.data.load(tmp_path / "rows.npy", memory_map=True)
    assert dataset.train.is_memory_mapped
    source = make_source(dataset.train, 2, 0, CPU, torch.float32)
    assert source.device_order(0) is None
    count = len(dataset.train)
    assert source.epoch_order(1).tolist() == order(0, 1, count)
    assert [note.code for note in source.notes] == ["rows_in_file"]
    whole = make_source(dataset, 2, 0, CPU, torch.float32)
    assert whole.notes == () and len(whole.rows) == count
    both = make_source(dataset.train, 100, 0, CPU, torch.float32)
    assert [note.code for note in both.notes] == ["batch_reduced", "rows_in_file"]


def test_the_context_has_the_type_of_the_model_too():
    data = aevb.data.load(X.numpy(), condition=np.arange(11.0) / 7)
    for dtype in (torch.float32, torch.float64):
        batch = make_source(data.train, 3, 0, CPU, dtype).first_batch()
        assert batch.context.dtype == batch.x.dtype == dtype
        assert batch.context.shape[0] == 3


def test_an_iterable_is_read_once_per_epoch():
    parts = [X[:3], X[3:4].numpy(), (X[4:6], "label"), [X[6:8]], Batch(X[8:], None, None, 40)]
    source = make_source(parts, 4, 0, CPU, torch.float64)
    assert isinstance(source, IterableSource) and source.notes == ()
    assert (source.steps, source.batch_size, source.rows) == (None, None, None)
    assert source.device_order(0) is None
    assert torch.equal(source.first_batch().x, X[:3].double())
    assert torch.equal(source.initialisation_batch(1).x, X[:3].double())
    bounds = [(0, 3), (3, 4), (4, 6), (6, 8), (8, 11)]
    for skip in (0, 2, 5):
        batches = list(source.iter_epoch(7, skip))
        assert len(batches) == 5 - skip
        for batch, (start, end) in zip(batches, bounds[skip:], strict=True):
            assert batch.x.dtype == torch.float64 and torch.equal(batch.x, X[start:end].double())
    assert list(source.iter_epoch(0, 0))[4].dataset_size == 40
    with pytest.raises(NotImplementedError):
        source.batch(torch.arange(2))


def test_an_iterator_keeps_the_batch_that_was_looked_at():
    source = make_source(iter([X[:3], X[3:6], X[6:]]), 4, 0, CPU, torch.float32)
    assert [note.code for note in source.notes] == ["iterator_single_pass"]
    for _ in range(3):
        assert torch.equal(source.first_batch().x, X[:3])
    assert [len(batch.x) for batch in source.iter_epoch(0, 0)] == [3, 3, 5]
    assert list(source.iter_epoch(1, 0)) == []
    again = make_source(iter([X[:3], X[3:6], X[6:]]), 4, 0, CPU, torch.float32)
    again.first_batch()
    assert [len(batch.x) for batch in again.iter_epoch(0, 1)] == [3, 5]


def test_fields_of_a_batch_are_placed_and_the_offset_is_for_raw_rows():
    context, index = torch.ones(3, 1), torch.arange(3)
    raw, record = X[:3], Batch(X[:3], context, index, 9)
    source = IterableSource([raw, record], CPU, torch.float64, 2.0)
    first, second = source.iter_epoch(0, 0)
    assert torch.equal(first.x, X[:3].double() - 2)
    assert first.context is None and first.index is None
    assert torch.equal(second.x, X[:3].double())
    assert second.context.dtype == torch.float64 and second.index.dtype == torch.int64
    assert second.dataset_size == 9


@pytest.mark.parametrize(
    "data, size, error, argument",
    [
        (X, 0, ArgumentError, "batch_size"),
        (X, -1, ArgumentError, "batch_size"),
        (X[:0], 1, DataError, "data"),
        (3, 1, DataError, "data"),
    ],
)
def test_what_no_source_can_be_made_of(data, size, error, argument):
    with pytest.raises(error) as caught:
        make_source(data, size, 0, CPU, torch.float32)
    assert caught.value.argument == argument


def test_an_iterable_without_batches_and_rows_without_a_row_are_refused():
    with pytest.raises(DataError) as caught:
        make_source([], 1, 0, CPU, torch.float32).first_batch()
    assert caught.value.argument == "data"
    with pytest.raises(DataError) as caught:
        check_not_empty(Rows.from_array(X[:0]), "validation")
    assert caught.value.argument == "validation"
    one = Rows.from_array(X[:1])
    assert check_not_empty(one, "validation") is one
    assert make_source(X, 1, 0, CPU, torch.float32).steps == 11


def test_rows_are_read_in_the_units_of_the_model():
    source = make_source(X.numpy() + 5, 4, 0, CPU, torch.float32, 5.0)
    assert torch.equal(source.first_batch().x, X[:4])
