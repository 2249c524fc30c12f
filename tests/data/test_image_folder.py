"""Folders of images."""

import sys

import numpy as np
import pytest

from aevb.data import load, load_as
from aevb.errors import ArgumentError, DataError, MissingExtraError

Image = pytest.importorskip("PIL.Image")


def picture(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path, pixels, mode=None):
    path.parent.mkdir(exist_ok=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def all_rows(folder):
    data = load(folder, order="time")
    return np.concatenate(
        [part.tensor().numpy() for part in (data.train, data.validation, data.test)]
    )


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "tiff", "PNG"])
def test_grey_images_are_read_exactly(tmp_path, ending):
    for i in range(4):
        save(tmp_path / f"{i}.{ending}", picture(i, 5, 7))
    np.testing.assert_array_equal(all_rows(tmp_path), [picture(i, 5, 7) for i in range(4)])
    assert load(tmp_path).spec.event_shape == (5, 7)
    assert load(tmp_path).spec.name == tmp_path.name


def test_colour_images_have_channels_first(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", picture(i, 5, 7, 3))
    np.testing.assert_array_equal(
        all_rows(tmp_path), [np.moveaxis(picture(i, 5, 7, 3), -1, 0) for i in range(4)]
    )


@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp", "gif"])
def test_lossy_formats_are_read(tmp_path, ending):
    for i in range(3):
        save(tmp_path / f"{i}.{ending}", np.full((8, 8, 3), 40 * i, np.uint8))
    rows = all_rows(tmp_path)
    assert rows.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(rows.mean((1, 2, 3)), [0, 40, 80], atol=2)


def note_data(folder, code):
    """Return the data of the note with this code."""
    return next(note.data for note in load(folder).spec.notes if note.code == code)


def test_transparency_is_dropped_with_a_note(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i, 4, 4, 4 if i else 3))
    assert all_rows(tmp_path).shape == (3, 3, 4, 4)
    assert note_data(tmp_path, "transparency_dropped") == {"images": 2}


def test_grey_among_colour_gets_three_channels(tmp_path):
    save(tmp_path / "0.png", picture(0, 4, 4))
    for i in (1, 2):
        save(tmp_path / f"{i}.png", picture(i, 4, 4, 3))
    np.testing.assert_array_equal(all_rows(tmp_path)[0], [picture(0, 4, 4)] * 3)
    assert note_data(tmp_path, "grey_images_expanded") == {"images": 1}


def test_palettes_are_looked_up(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", np.full((4, 4, 3), [200, 10, 60], np.uint8), mode="P")
    rows = all_rows(tmp_path)
    np.testing.assert_allclose(rows[:, :, 0, 0], [[200, 10, 60]] * 3, atol=30)


def test_sub_folders_are_classes(tmp_path):
    for i in range(9):
        save(tmp_path / "abc"[i % 3] / f"{i}.png", np.full((4, 4), 10 * i, np.uint8))
    data = load(tmp_path)
    assert data.spec.class_names == ("a", "b", "c")
    for part in (data.train, data.validation, data.test):
        assert part.labels.tolist() == [int(v / 10) % 3 for v in part.tensor()[:, 0, 0]]
    assert len(load_as(tmp_path, data.spec).labels) == 9


def test_file_names_are_in_natural_order(tmp_path):
    for i in range(12):
        save(tmp_path / f"frame{i}.png", np.full((2, 2), i, np.uint8))
    assert all_rows(tmp_path)[:, 0, 0].tolist() == list(range(12))


def test_other_files_are_skipped_with_a_note(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i, 4, 4))
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".hidden.png").write_text("hello")
    assert note_data(tmp_path, "files_skipped") == {"files": ["notes.txt"]}


def test_an_image_that_cannot_be_decoded_is_named(tmp_path):
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i, 40, 40))
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:200])
    with pytest.raises(DataError, match=r'1\.png" cannot be decoded'):
        load(tmp_path)
    (tmp_path / "1.png").write_text("no image")
    with pytest.raises(DataError, match=r'1\.png" cannot be decoded'):
        load(tmp_path)


def test_error_for_different_sizes_names_two_files(tmp_path):
    for i, side in enumerate((4, 4, 6)):
        save(tmp_path / f"{i}.png", picture(i, side, 5))
    with pytest.raises(DataError, match=r'0\.png" is 4 x 5 and ".*2\.png" is 6 x 5'):
        load(tmp_path)


def test_sixteen_bits_are_refused(tmp_path):
    save(tmp_path / "0.png", np.full((4, 4), 40_000, np.uint16))
    with pytest.raises(DataError, match=r"0\.png.*more than 8 bits"):
        load(tmp_path)


def test_empty_and_mixed_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds no images"):
        load(tmp_path)
    save(tmp_path / "0.png", picture(0, 4, 4))
    save(tmp_path / "a" / "1.png", picture(1, 4, 4))
    with pytest.raises(DataError, match="beside sub-folders"):
        load(tmp_path)


def test_label_column_is_refused_for_folders(tmp_path):
    save(tmp_path / "0.png", picture(0, 4, 4))
    with pytest.raises(ArgumentError) as caught:
        load(tmp_path, labels="kind")
    assert (caught.value.argument, caught.value.value) == ("labels", "kind")


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was rotated by 90 degrees
    for i in range(3):
        Image.fromarray(picture(i, 4, 6)).save(tmp_path / f"{i}.png", exif=exif)
    np.testing.assert_array_equal(all_rows(tmp_path)[0], np.rot90(picture(0, 4, 6), -1))


def test_without_pillow_the_error_says_what_to_install(tmp_path, monkeypatch):
    save(tmp_path / "0.png", picture(0, 4, 4))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r'pip install "aevb\[images\]"'):
        load(tmp_path)
