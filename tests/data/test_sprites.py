"""Sprites: every image is one combination of factors, which can be read back from the image."""

import numpy as np
import pytest
import torch

from aevb.data import _sprites as sprites
from aevb.data import load
from aevb.errors import ArgumentError, DataError


def test_every_combination_has_a_distinct_image():
    pictures = sprites.sprite_images()
    assert pictures.shape == (6144, 32, 32) and set(np.unique(pictures)) == {0, 1}
    assert len(np.unique(pictures.reshape(6144, -1), axis=0)) == 6144
    assert len(np.unique(sprites.factor_combinations(), axis=0)) == 6144


def test_factors_of_rows_in_any_order():
    rows = np.random.default_rng(0).permutation(6144)[:500]
    np.testing.assert_array_equal(
        sprites.sprite_factors(sprites.sprite_images()[rows]).numpy(),
        sprites.factor_combinations()[rows],
    )


def test_position_factors_only_move_the_shape():
    """One step in x moves the shape two pixels right, one step in y two pixels down."""
    table = {
        tuple(row): picture
        for row, picture in zip(
            sprites.factor_combinations().tolist(), sprites.sprite_images(), strict=True
        )
    }
    for shape in range(3):
        first = table[shape, 1, 3, 2, 2]
        np.testing.assert_array_equal(np.roll(first, 2, axis=1), table[shape, 1, 3, 3, 2])
        np.testing.assert_array_equal(np.roll(first, 4, axis=0), table[shape, 1, 3, 2, 4])


def test_larger_scales_cover_more_pixels():
    pixels = sprites.sprite_images().reshape(3, 4, 8 * 8 * 8, -1).sum(-1).mean(-1)
    assert (np.diff(pixels, axis=1) > 0).all()


def test_labels_are_the_selected_factor():
    data = load("sprites")
    assert data.spec.class_names == ("ellipse", "heart", "square") and len(data.train) == 4916
    assert torch.equal(data.test.labels, sprites.sprite_factors(data.test)[:, 0])
    turned = load("sprites", labels="rotation")
    assert torch.equal(turned.train.labels, sprites.sprite_factors(turned.train)[:, 2])
    with pytest.raises(ArgumentError, match='Did you mean labels="rotation"') as caught:
        load("sprites", labels="rotations")
    assert (caught.value.argument, caught.value.value) == ("labels", "rotations")


@pytest.mark.parametrize(
    "rows, words",
    [
        (np.zeros((2, 8, 8)), "sprites are 32 x 32"),
        (np.ones((2, 32, 32)), "2 rows of `rows`, the first of them row 0"),
    ],
)
def test_invalid_sprites_are_refused(rows, words):
    with pytest.raises(DataError, match=words):
        sprites.sprite_factors(rows)
