"""Images through the commands: later commands read as `fit` did, and write what came in."""

import numpy as np
import pytest

from .conftest import SMALL

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def photos(tmp_path):
    """Photos of two sizes with transparent pixels, in class folders."""
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (20 + 4 * (i % 2), 24, 4)).astype(np.uint8)
        path = tmp_path / "photos" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").save(path)
    return tmp_path / "photos"


def fit(aevb, source, *options):
    done = aevb("fit", source, *options, *SMALL, "--network", "mlp", "--out", "run")
    assert done.code == 0, done.err


def test_later_commands_read_images_as_fit_did(aevb, refused, photos):
    assert "--resize 20,24" in refused("fit", photos, *SMALL, "--out", "run")
    fit(aevb, photos, "--resize", "8,8", "--crop", "none", "--background", "black")
    for command in (
        ("evaluate", "run", photos, "--samples", 2),
        ("encode", "run", photos, "--out", "z.npy"),
        ("reconstruct", "run", photos, "--out", "x.npz"),
        ("evaluate", "run"),
    ):
        assert aevb(*command).code == 0, command
    black = np.load("x.npz")["original"]
    assert aevb("reconstruct", "run", photos, "--background", "white", "--out", "y.npz").code == 0
    white = np.load("y.npz")["original"]
    assert black.shape == white.shape == (12, 3, 8, 8) and black.dtype == np.uint8
    assert black.mean() < white.mean()


def test_a_folder_of_images_is_written(aevb, refused, photos):
    fit(aevb, photos, "--resize", "8,8")
    assert aevb("sample", "run", "-n", 3, "--out", "out/samples").code == 0
    assert aevb("sample", "run", "-n", 3, "--out", "x.npy").code == 0
    names = sorted(path.name for path in (photos.parent / "out" / "samples").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png"]
    pictures = np.stack([np.asarray(Image.open(f"out/samples/{name}")) for name in names])
    np.testing.assert_array_equal(pictures, np.moveaxis(np.load("x.npy"), 1, -1))
    assert "out/samples" in refused("sample", "run", "-n", 2, "--out", "out/samples")
    assert aevb("sample", "run", "-n", 2, "--out", "out/samples", "--force").code == 0
    refused("encode", "run", photos, "--out", "z")
    assert aevb("reconstruct", "run", photos, "--out", "all").code == 0
    assert len(list((photos.parent / "all").iterdir())) == 12


@pytest.mark.parametrize("low, dtype", [(-1, "f4"), (0, "f8"), (0, "u1"), (0, "u2")])
def test_arrays_come_back_in_their_axes_dtype_and_range(aevb, low, dtype):
    high = {"u1": 255, "u2": 65_535}.get(dtype, 1)
    x = np.random.default_rng(0).uniform(low, high, (12, 8, 9, 3)).astype(dtype)
    x.flat[:2] = low, high
    np.save("x.npy", x)
    fit(aevb, "x.npy")
    assert aevb("sample", "run", "-n", 4, "--out", "s.npy").code == 0
    assert aevb("encode", "run", "x.npy", "--out", "z.npy").code == 0
    assert aevb("decode", "run", "z.npy", "--out", "d.npz").code == 0
    assert aevb("reconstruct", "run", "x.npy", "--out", "r.npz").code == 0
    assert aevb("sample", "run", "-n", 4, "--out", "s.png").code == 0
    reconstructed = np.load("r.npz")
    np.testing.assert_allclose(reconstructed["original"], x, rtol=1e-7, atol=1e-7)  # float32
    for y in (np.load("s.npy"), np.load("d.npz")["x"], reconstructed["x"]):
        assert y.shape[1:] == (8, 9, 3) and y.dtype == x.dtype
        assert low <= y.min() and y.max() <= high


def test_samples_of_sixteen_bits_are_pictures_of_sixteen_bits(aevb, tmp_path):
    (tmp_path / "deep").mkdir()
    for i in range(9):
        pixels = np.random.default_rng(i).integers(20_000, 60_000, (8, 8)).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / "deep" / f"{i}.png")
    fit(aevb, "deep")
    assert aevb("sample", "run", "-n", 2, "--out", "samples").code == 0
    picture = Image.open("samples/00001.png")
    values = np.asarray(picture)
    assert picture.mode.startswith("I") and values.max() > 255 and len(np.unique(values)) > 9
    assert aevb("sample", "run", "-n", 2, "--out", "s.npy").code == 0
    assert np.load("s.npy").dtype == np.uint16


@pytest.mark.parametrize("shape, padded", [((12, 9, 2), True), ((12, 3, 8, 8, 3), False)])
def test_series_and_video_pass_through_the_commands(aevb, shape, padded):
    x = np.random.default_rng(0).normal(size=shape)
    if padded:
        x[::2, 2:] = np.nan
    np.save("x.npy", x)
    fit(aevb, "x.npy")
    for command in (
        ("evaluate", "run", "x.npy", "--samples", 2),
        ("reconstruct", "run", "x.npy", "--out", "r.npy"),
        ("sample", "run", "-n", 4, "--out", "s.npy"),
        ("interpolate", "run", "x.npy", "--from", 0, "--to", 1, "--out", "i.npy"),
    ):
        done = aevb(*command)
        assert done.code == 0, done.err
    for name in "rsi":
        found = np.load(f"{name}.npy")
        assert found.shape[1:] == shape[1:] and np.isfinite(found).all()
