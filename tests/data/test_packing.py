"""Bit-packed rows give the same batches and the same training run as bytes."""

import numpy as np
import pytest
import torch

import aevb
from aevb.data import DynamicBinarisation, Rows, UnpackBits, load, load_as
from aevb.data import _packing as packing


def bits(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 2, shape).astype(np.uint8)


def greys(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 17, shape).astype(np.uint8)


@pytest.fixture
def both(monkeypatch):
    """Load the same data as bytes and as packed bits."""

    def load_both(x, **arguments):
        plain = load(x, **arguments)
        monkeypatch.setattr(packing, "PACK_MIN_ELEMENTS", 1)
        return plain, load(x, **arguments)

    return load_both


def parts(data):
    return data.train, data.validation, data.test


@pytest.mark.parametrize("shape", [(64,), (5, 3), (28, 28), (1,)], ids=str)
def test_packed_batches_equal_byte_batches(both, shape):
    x = bits(40, *shape)
    x[0] = 1
    plain, packed = both(x, labels=np.arange(40) % 2)
    assert packed.spec == plain.spec
    for plain_part, packed_part in zip(parts(plain), parts(packed), strict=True):
        assert isinstance(packed_part.transform, UnpackBits) and packed_part.stored_values.shape[
            1
        ] == -(-x[0].size // 8)
        index = torch.tensor([2, 0, 2])
        assert (
            torch.equal(packed_part.batch(index).x, plain_part.batch(index).x)
            and packed_part.batch(index).x.dtype == torch.float32
        )
        assert torch.equal(packed_part.tensor(), plain_part.tensor()) and torch.equal(
            packed_part.labels, plain_part.labels
        )


@pytest.mark.parametrize("how", ["dynamic", "fixed"])
def test_fixed_binarisation_is_packed(both, how):
    plain, packed = both(greys(40, 6, 5), binarise=how)
    for plain_part, packed_part in zip(parts(plain)[1:], parts(packed)[1:], strict=True):
        assert isinstance(packed_part.transform, UnpackBits) and torch.equal(
            packed_part.tensor(), plain_part.tensor()
        )
    assert isinstance(packed.train.transform, UnpackBits if how == "fixed" else DynamicBinarisation)
    assert torch.equal(
        load_as(greys(9, 6, 5), packed.spec).tensor(), load_as(greys(9, 6, 5), plain.spec).tensor()
    )


def test_packed_run_is_bit_identical_to_byte_run(both):
    def history(data):
        torch.manual_seed(0)
        recipe = aevb.presets.vae(data.spec, latent=2, hidden=[8])
        return [
            (epoch.bound, epoch.validation)
            for epoch in aevb.fit(recipe, data, epochs=4, batch_size=8, progress=False).history
        ]

    plain, packed = both(bits(80, 5, 3))
    assert history(packed) == history(plain)


def test_small_and_grey_data_stay_bytes(monkeypatch):
    assert not isinstance(load(bits(40, 9)).train.transform, UnpackBits)
    monkeypatch.setattr(packing, "PACK_MIN_ELEMENTS", 1)
    assert not isinstance(load(greys(40, 9)).train.transform, UnpackBits)
    packed = load(bits(40, 9))
    assert packed.train.stored_values.numel() == 32 * 2  # two bytes for nine bits
    assert isinstance(load_as(bits(5, 9), packed.spec).transform, UnpackBits)


def test_every_byte_is_unpacked():
    every = torch.arange(256, dtype=torch.uint8)[:, None]
    np.testing.assert_array_equal(
        Rows(every, UnpackBits((8,))).tensor().numpy(), np.unpackbits(every.numpy(), axis=1)
    )
