"""Storage, indexing and binarisation of rows."""

import numpy as np
import pytest
import torch

from aevb.data import DynamicBinarisation, Rows, ToFloat, UnpackBits, binarise
from aevb.errors import ArgumentError, DataError


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 16, 320, 784])
def test_unpack_is_the_inverse_of_packbits(bits):
    x = np.random.default_rng(bits).integers(0, 2, (5, bits), dtype=np.uint8)
    rows = Rows(torch.from_numpy(np.packbits(x, axis=1)), UnpackBits((bits,)))
    assert rows.event_shape == (bits,)
    assert rows.tensor().dtype == torch.float32
    np.testing.assert_array_equal(rows.tensor().numpy(), x)


def test_unpack_gives_images():
    x = np.random.default_rng(0).integers(0, 2, (3, 5, 3), dtype=np.uint8)
    rows = Rows(torch.from_numpy(np.packbits(x.reshape(3, -1), axis=1)), UnpackBits((5, 3)))
    np.testing.assert_array_equal(rows[:].numpy(), x)


@pytest.mark.parametrize(
    "index",
    [
        3,
        -1,
        slice(2, 7, 2),
        [4, 4, 0],
        torch.tensor([1, 9]),
        np.array([5, 2]),
        torch.arange(10) % 3 == 0,
    ],
)
def test_index_agrees_with_the_array(index):
    x = np.random.default_rng(0).normal(size=(10, 2, 3)).astype(np.float32)
    where = index.numpy() if isinstance(index, torch.Tensor) else index
    np.testing.assert_array_equal(Rows.from_array(x)[index].numpy(), x[where])


def test_index_beyond_the_end_raises_and_ends_iteration():
    rows = Rows.from_array([[1.0], [2.0]])
    with pytest.raises(IndexError):
        rows[2]
    assert len(list(rows)) == 2


def test_batch_carries_rows_their_numbers_and_the_total():
    rows = Rows.from_array(np.arange(12, dtype=np.uint8).reshape(6, 2))
    batch = rows.batch(torch.tensor([5, 0]))
    assert batch.x.tolist() == [[10.0, 11.0], [0.0, 1.0]]
    assert batch.x.dtype == torch.float32
    assert batch.index.tolist() == [5, 0]
    assert batch.dataset_size == 6


@pytest.mark.parametrize(
    "values, dtype",
    [
        (np.zeros((2, 2), np.uint8), torch.uint8),
        (np.zeros((2, 2), bool), torch.uint8),
        (np.zeros((2, 2), np.int64), torch.float32),
        (torch.zeros(2, 2, dtype=torch.float64), torch.float32),
        ([[1, 2], [3, 4]], torch.float32),
    ],
)
def test_of_stores_bytes_as_bytes_and_the_rest_as_float32(values, dtype):
    assert Rows.from_array(values).stored_values.dtype == dtype


def test_of_keeps_rows_and_copies_what_must_not_be_written():
    fixed = np.ones((2, 2), np.float32)
    fixed.flags.writeable = False
    rows = Rows.from_array(fixed)
    rows.stored_values[0, 0] = 5
    assert fixed[0, 0] == 1
    assert Rows.from_array(rows) is rows


@pytest.mark.parametrize(
    "values, words",
    [
        (np.zeros(3), r"reshape\(-1, 1\)"),
        (np.zeros((2, 2), complex), "complex"),
        (np.array([["a"]]), "numbers"),
        ([[1.0], [1.0, 2.0]], "numbers"),
        (None, "NoneType"),
    ],
)
def test_of_refuses_what_is_not_rows_of_numbers(values, words):
    with pytest.raises(DataError, match=words):
        Rows.from_array(values)


def test_labels_follow_rows_and_must_match_in_length():
    rows = Rows.from_array(np.arange(8.0).reshape(4, 2), labels=[3, 1, 0, 2])
    assert rows.subset([2, 0]).labels.tolist() == [0, 3]
    assert rows.subset(slice(0, 2)).tensor().tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert rows.to("cpu").labels.dtype == torch.int64
    with pytest.raises(ArgumentError, match="one class number per row") as caught:
        Rows.from_array(np.zeros((4, 2)), labels=[1, 2])
    assert caught.value.argument == "labels"


def test_binarisation_of_white_is_one_and_of_black_zero():
    for levels in (2, 17, 256):
        torch.manual_seed(0)
        ends = torch.tensor([0, levels - 1], dtype=torch.uint8).repeat(100_000, 1)
        drawn = DynamicBinarisation(levels)(ends)
        assert drawn[:, 0].sum() == 0
        assert drawn[:, 1].sum() == 100_000


@pytest.mark.parametrize("levels", [3, 17, 256])
def test_binarised_frequencies_are_the_grey_values(levels):
    torch.manual_seed(0)
    draws = 40_000
    grey = torch.arange(levels, dtype=torch.uint8).expand(draws, levels)
    frequency = DynamicBinarisation(levels)(grey).mean(0)
    wanted = torch.arange(levels) / (levels - 1)
    # five standard errors of a binomial frequency; all 256 pass with probability above 0.9998
    assert ((frequency - wanted).abs() <= 5 * (wanted * (1 - wanted) / draws).sqrt()).all()


def test_neighbouring_elements_are_drawn_independently():
    torch.manual_seed(0)
    drawn = DynamicBinarisation(3)(
        torch.ones(200_000, 4, dtype=torch.uint8)
    )  # four elements share one 64-bit draw
    correlation = torch.corrcoef(drawn.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / 200_000**0.5


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 63])
def test_any_number_of_elements_is_binarised(size):
    assert binarise(torch.full((1, size), 16), levels=17).shape == (1, size)
    assert binarise(torch.full((1, size), 16), levels=17).all()


def test_dynamic_binarisation_redraws_and_follows_the_default_generator():
    rows = Rows(torch.full((4, 100), 128, dtype=torch.uint8), DynamicBinarisation(256))
    torch.manual_seed(1)
    first, second = rows[:], rows[:]
    torch.manual_seed(1)
    assert torch.equal(rows[:], first)
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 1.0}


def test_own_generator_leaves_the_default_generator_unchanged():
    before = torch.get_rng_state()
    binarise(torch.full((10, 10), 8), 17, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_cast_is_exact_for_every_byte():
    assert ToFloat()(torch.arange(256, dtype=torch.uint8)).tolist() == list(range(256))
