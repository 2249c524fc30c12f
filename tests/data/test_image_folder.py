"""Folders of images."""

import sys

import numpy as np
import pytest

from aevb.data import Reading, load, load_as
from aevb.errors import ArgumentError, DataError, MissingExtraError
from aevb.notes import Argument

Image = pytest.importorskip("PIL.Image")


def picture(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def save(path, pixels, mode=None):
    path.parent.mkdir(exist_ok=True, parents=True)
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path)


def all_rows(folder, **settings):
    data = load(folder, order="time", **settings)
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


def note_data(folder, code, **settings):
    """Return the data of the note with this code."""
    return next(note.data for note in load(folder, **settings).spec.notes if note.code == code)


def note_codes(folder):
    return {note.code for note in load(folder).spec.notes}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("background, shade", [(None, 255), ("black", 0), ("#808080", 128)])
def test_transparent_pixels_show_the_background_and_no_hidden_colour(
    tmp_path, mode, background, shade
):
    for i in range(3):
        pixels = np.full((4, 4, 4), [200, 200, 200, 255], np.uint8)
        pixels[:2, :, :3] = 60 * i  # the hidden colour
        pixels[:2, :, 3] = 0
        Image.fromarray(pixels, "RGBA").convert(mode).save(tmp_path / f"{i}.png")
    spec = load(tmp_path, background=background).spec
    rows = all_rows(tmp_path, background=background)
    assert rows[..., :2, :].min() == rows[..., :2, :].max() == shade
    np.testing.assert_allclose(rows[..., 2:, :], 200, atol=4)  # the palette of the web
    assert next(n for n in spec.notes if n.code == "transparency_composited").data["images"] == 3
    assert spec.reading.background == background


def test_half_transparent_pixels_are_mixed(tmp_path):
    pixels = np.full((4, 4, 4), [0, 100, 200, 51], np.uint8)  # a fifth
    for i in range(3):
        save(tmp_path / f"{i}.png", pixels)
    np.testing.assert_array_equal(all_rows(tmp_path)[0, :, 0, 0], [204, 224, 244])


def test_opaque_images_have_no_note_about_transparency(tmp_path):
    for i in range(3):
        save(
            tmp_path / f"{i}.png", np.dstack([picture(i, 4, 4, 3), np.full((4, 4), 255, np.uint8)])
        )
    assert all_rows(tmp_path).shape == (3, 3, 4, 4)
    assert "transparency_composited" not in note_codes(tmp_path)


@pytest.mark.parametrize("background", ["no colour", "#12"])
def test_an_unknown_background_is_refused(tmp_path, background):
    save(tmp_path / "0.png", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(ArgumentError) as caught:
        load(tmp_path, background=background)
    assert caught.value.argument == "background"


def test_equal_images_and_constant_channels_are_said(tmp_path):
    for i in range(3):
        save(tmp_path / "equal" / f"{i}.png", picture(0, 4, 4))
        pixels = picture(i, 4, 4, 3)
        pixels[..., 1] = 7
        save(tmp_path / "channel" / f"{i}.png", pixels)
    assert note_data(tmp_path / "equal", "images_equal") == {"images": 3}
    assert note_data(tmp_path / "channel", "constant_channels") == {"channels": {1: 7.0}}
    assert "images_equal" not in note_codes(tmp_path / "channel")


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
    with pytest.raises(DataError, match=r'0\.png" is 4 x 5 and ".*2\.png" is 6 x 5') as caught:
        load(tmp_path)
    (suggestion,) = caught.value.suggestions
    assert suggestion.references["resize"] == Argument("resize", (4, 5))


@pytest.mark.parametrize("ending, dtype", [("png", "<u2"), ("tif", "<u2"), ("tif", ">u2")])
@pytest.mark.parametrize("top, levels", [(4000, 4096), (60_000, 65_536)])
def test_sixteen_bits_keep_their_levels(tmp_path, ending, dtype, top, levels):
    pixels = np.random.default_rng(0).integers(0, top, (3, 5, 7)).astype(np.uint16)
    pixels[0, 0, 0] = top
    for i in range(3):
        Image.fromarray(pixels[i].astype(dtype)).save(tmp_path / f"{i}.{ending}")
    if dtype == ">u2":
        with Image.open(tmp_path / "0.tif") as image:
            assert image.mode == "I;16B"
    np.testing.assert_array_equal(all_rows(tmp_path), pixels)
    spec = load(tmp_path).spec
    assert (spec.likelihood, spec.levels, spec.support) == (
        "discretised_logistic",
        levels,
        "levels",
    )
    np.testing.assert_array_equal(load_as(tmp_path, spec).tensor().numpy(), pixels)


def test_floating_point_images_are_real_numbers(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float32)
    for i in range(3):
        Image.fromarray(pixels[i]).save(tmp_path / f"{i}.tif")
    np.testing.assert_array_equal(all_rows(tmp_path), pixels)


def test_images_of_different_depths_are_refused(tmp_path):
    save(tmp_path / "0.png", picture(0, 4, 4))
    save(tmp_path / "1.png", np.full((4, 4), 40_000, np.uint16))
    with pytest.raises(DataError, match=r"different depths.*0\.png"):
        load(tmp_path)


def test_one_bit_and_cmyk_images_have_the_right_values(tmp_path):
    for i in range(3):
        bits = picture(i, 4, 4) > 127
        (tmp_path / "bits").mkdir(exist_ok=True)
        Image.fromarray(bits).save(tmp_path / "bits" / f"{i}.png")
        inks = np.full((8, 8, 4), [255, 0, 51, 0], np.uint8)  # cyan and a fifth of yellow
        (tmp_path / "inks").mkdir(exist_ok=True)
        Image.fromarray(inks, "CMYK").save(tmp_path / "inks" / f"{i}.tif")
    np.testing.assert_array_equal(
        all_rows(tmp_path / "bits"), [255 * (picture(i, 4, 4) > 127) for i in range(3)]
    )
    np.testing.assert_array_equal(all_rows(tmp_path / "inks")[0, :, 3, 3], [0, 255, 204])


def test_frames_are_counted_and_read_on_request(tmp_path):
    shades = np.array([[10 * (4 * i + k) for k in range(4)] for i in range(3)])
    for i in range(3):
        first, *others = [Image.fromarray(np.full((6, 6), v, np.uint8)) for v in shades[i]]
        first.save(tmp_path / f"{i}.tif", save_all=True, append_images=others)
    assert all_rows(tmp_path)[:, 0, 0].tolist() == shades[:, 0].tolist()
    assert note_data(tmp_path, "frames_skipped") == {"files": 3, "frames": 9}
    assert all_rows(tmp_path, frames="all")[:, 0, 0].tolist() == shades.reshape(-1).tolist()
    spec = load(tmp_path, frames="all").spec
    assert len(load_as(tmp_path, spec)) == 12  # the setting is kept
    assert len(load_as(tmp_path, spec, reading=Reading(frames="first"))) == 3


def test_animations_have_as_many_labels_as_frames(tmp_path):
    for label, base in (("a", 0), ("b", 100)):
        (tmp_path / label).mkdir()
        first, *others = [
            Image.fromarray(np.full((6, 6), base + 20 * k, np.uint8)) for k in (0, 1, 2)
        ]
        first.save(tmp_path / label / "x.gif", save_all=True, append_images=others)
    rows = load_as(tmp_path, load(tmp_path, frames="all").spec)
    assert rows.labels.tolist() == [0, 0, 0, 1, 1, 1]
    shades = rows.tensor().flatten(1).amax(1)
    np.testing.assert_allclose(shades, [0, 20, 40, 100, 120, 140], atol=4)  # a palette


@pytest.mark.parametrize("crop, middle", [(None, [100, 200]), ("none", [0, 250])])
def test_resizing_averages_and_crops_to_the_centre(tmp_path, crop, middle):
    wide = np.repeat(np.array([0, 100, 200, 250], np.uint8), 8)[None].repeat(16, 0)  # 16 x 32
    for i in range(3):
        save(tmp_path / f"{i}.png", wide if i else wide[:8, 8:24])
    rows = all_rows(tmp_path, resize=(2, 2), crop=crop)
    assert rows.shape == (3, 2, 2)
    (left, right), (low, high) = rows[1, 0], middle
    # without anti-aliasing a pixel would be one of the four stripes exactly; the filter is as
    # wide as two pixels of the result
    assert abs(left - (low + 100) / 2) < 25 and abs(right - (high + 200) / 2) < 25
    found = note_data(tmp_path, "images_resized", resize=(2, 2), crop=crop)
    assert (found["images"], found["other_proportions"], found["enlarged"]) == (3, 3, 0)


def test_resizing_removes_a_fine_pattern_and_keeps_sixteen_bits(tmp_path):
    board = (np.indices((32, 32)).sum(0) % 2).astype(np.uint16)
    for i in range(3):
        save(tmp_path / "deep" / f"{i}.png", board * 60_000)
        save(tmp_path / "bytes" / f"{i}.png", (board * 240).astype(np.uint8))
    inner = np.s_[:, 2:-2, 2:-2]
    np.testing.assert_allclose(all_rows(tmp_path / "deep", resize=(8, 8))[inner], 30_000, atol=600)
    np.testing.assert_allclose(all_rows(tmp_path / "bytes", resize=(8, 8))[inner], 120, atol=3)


def test_cropping_without_resizing_is_refused(tmp_path):
    save(tmp_path / "0.png", picture(0, 4, 4))
    with pytest.raises(ArgumentError) as caught:
        load(tmp_path, crop="center")
    assert caught.value.argument == "crop"


def test_labels_are_the_first_of_several_levels_of_folders(tmp_path):
    shades = {}
    for i, place in enumerate(("é ä/x", "é ä/y/z", "日本", "b c")):
        for k in range(3):
            shades[10 * (3 * i + k)] = place.split("/")[0]
            save(tmp_path / place / f"bild {k}ü.png", np.full((4, 4), 10 * (3 * i + k), np.uint8))
    (tmp_path / "b c" / "Thumbs.db").write_text("no image")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._1.png").write_text("no image")
    data = load(tmp_path)
    assert data.spec.class_names == ("b c", "é ä", "日本")
    for part in (data.train, data.validation, data.test):
        names = [data.spec.class_names[label] for label in part.labels.tolist()]
        assert names == [shades[int(value)] for value in part.tensor()[:, 0, 0]]
    assert note_data(tmp_path, "nested_folders") == {"images": 6}
    assert note_data(tmp_path, "files_skipped") == {"files": ["b c/Thumbs.db"]}


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
