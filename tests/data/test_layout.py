"""The axes of arrays: what they are taken for, and what comes back."""

import numpy as np
import pytest
import torch

from aevb.data import Reading, Spec, load, load_as
from aevb.data._layout import canonical_layout, infer_layout, source_shape, to_layout
from aevb.data._reading import LAYOUTS
from aevb.errors import ArgumentError, DataError

SIDES = {"N": 9, "T": 7, "C": 3, "H": 12, "W": 10}


def shape_of(layout):
    return tuple(SIDES[axis] for axis in layout)


def floats(*shape, low=-1.0, high=1.0, seed=0):
    x = np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)
    x.flat[:2] = low, high
    return x


def all_rows(data):
    return torch.cat([part.tensor() for part in (data.train, data.validation, data.test)])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_goes_in_and_comes_back(layout):
    x = floats(*shape_of(layout), low=-5, high=9)
    data = load(x, layout=layout, order="time")
    target = canonical_layout(layout)
    expected = x[:, :, None] if layout == "NTHW" else x
    named = "NTCHW" if layout == "NTHW" else layout
    expected = expected.transpose([named.index(axis) for axis in target])
    np.testing.assert_array_equal(all_rows(data), expected)
    assert data.spec.layout == layout and data.spec.source_shape == x.shape[1:]
    np.testing.assert_array_equal(data.spec.to_source(all_rows(data)), x)
    assert source_shape(data.spec.event_shape, layout) == x.shape[1:]
    np.testing.assert_array_equal(load_as(x, data.spec).tensor(), all_rows(data))
    np.testing.assert_array_equal(load_as(all_rows(data), data.spec).tensor(), all_rows(data))
    np.testing.assert_array_equal(
        load_as(x.reshape(len(x), -1), data.spec).tensor(), all_rows(data)
    )
    assert Spec.from_dict(data.spec.to_dict()) == data.spec


@pytest.mark.parametrize(
    "shape, is_pixels, layout",
    [
        ((9, 28, 28), False, "NHW"),
        ((9, 8, 8), True, "NHW"),
        ((9, 28, 20), True, "NHW"),
        ((9, 50, 1), False, "NTC"),
        ((9, 100, 6), False, "NTC"),
        ((9, 100, 6), True, "NTC"),
        ((9, 1000, 12), False, "NTC"),
        ((9, 100, 12), True, "NHW"),
        ((9, 3, 128), False, "NCT"),
        ((9, 32, 32, 3), True, "NHWC"),
        ((9, 8, 8, 3), True, "NHWC"),
        ((9, 32, 32, 3), False, "NHWC"),
        ((9, 3, 32, 32), False, "NCHW"),
        ((9, 32, 32, 4), True, "NHWC"),
        ((9, 10, 12, 3), False, "NCHW"),
        ((9, 8, 3, 16, 16), True, "NTCHW"),
        ((9, 8, 16, 16, 3), True, "NTHWC"),
        ((9, 3, 8, 16, 16), True, "NCTHW"),
        ((9, 2, 2, 2, 2, 2), True, None),
        ((9, 5), False, None),
    ],
)
def test_axes_are_inferred_from_shape_and_values(shape, is_pixels, layout):
    assert infer_layout(shape, is_pixels) == layout


@pytest.mark.parametrize("low, high, dtype", [(-1, 1, "f4"), (0, 1, "f8"), (0, 255, "u1")])
def test_colour_images_with_channels_last_are_recognised_in_every_range(low, high, dtype):
    x = floats(20, 8, 8, 3, low=low, high=high).astype(dtype)
    spec = load(x).spec
    assert (spec.kind, spec.event_shape, spec.layout) == ("image", (3, 8, 8), "NHWC")
    beyond = spec.to_source(torch.full((2, 3, 8, 8), 1e4))
    assert beyond.shape == (2, 8, 8, 3) and beyond.numpy().dtype == x.dtype
    assert beyond.max() == high and spec.to_source(torch.full((2, 3, 8, 8), -1e4)).min() == low


@pytest.mark.parametrize("dtype", ["bool", "u1", "u2", "i2", "f2", "f4", "f8"])
def test_events_come_back_in_the_dtype_of_the_source(dtype):
    x = (np.indices((6, 9, 9)).sum(0) % 2).astype(dtype)
    if dtype == "u2":
        x = x * 999
    spec = load(x, shape=(9, 9)).spec
    assert spec.to_source(torch.ones(2, 9, 9, dtype=torch.uint8)).numpy().dtype == x.dtype
    means = spec.to_source(torch.full((2, 9, 9), 0.6)).numpy()
    whole = dtype in ("u2",)  # means of binary data are probabilities
    assert means.max() == (1 if whole else np.float32(0.6).astype(means.dtype))


def test_a_layout_of_later_data_can_be_given():
    spec = load(floats(9, 3, 12, 10)).spec
    x = floats(9, 12, 10, 3, low=-5)
    rows = load_as(x, spec, reading=Reading(layout="NHWC"))
    np.testing.assert_array_equal(rows.tensor(), np.moveaxis(x, -1, 1))


def test_a_layout_with_another_number_of_axes_is_refused():
    with pytest.raises(ArgumentError) as caught:
        load(floats(9, 12, 10), layout="NHWC")
    assert caught.value.argument == "layout"


@pytest.mark.parametrize("layout", ["NTC", "NTHWC"])
def test_series_and_video_are_scaled_by_channel(layout):
    x = floats(*shape_of(layout), low=-5, high=9).astype(np.float64)
    axis = layout.index("C")
    unit = np.array([1.0, 100.0, 1e-3]).reshape([3 if a == axis else 1 for a in range(x.ndim)])
    x = x * unit + 7 * unit
    spec = load(x, layout=layout, split=(0.6, 0.2, 0.2), order="time").spec
    used = np.moveaxis(x[:5], axis, -1).reshape(-1, 3)
    rows = load_as(x[:5], spec).tensor().double()
    scaled = (rows - torch.tensor(spec.shift).reshape(spec.event_shape)) / torch.tensor(
        spec.scale
    ).reshape(spec.event_shape)
    channels = scaled.movedim(canonical_layout(layout).index("C"), -1).reshape(-1, 3)
    # float32 keeps about 7 digits, and the offset is about two deviations
    np.testing.assert_allclose(channels.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(channels.std(0, correction=0), 1, atol=1e-5)
    assert len(np.unique(np.round(spec.scale, 12))) == used.shape[1]


@pytest.mark.parametrize(
    "layout, kind, noun", [("NTC", "series", "sequence"), ("NTCHW", "video", "video")]
)
def test_series_and_video_say_what_they_are_and_get_a_network_for_sequences(layout, kind, noun):
    spec = load(floats(*shape_of(layout), low=-5), layout=layout).spec
    assert (spec.kind, spec.network, spec.item_noun) == (kind, "conv", noun)
    read = next(note for note in spec.notes if note.code == "data_read")
    assert (read.data["kind"], read.data["layout"]) == (kind, layout)


def test_a_gru_is_refused_for_images():
    with pytest.raises(ArgumentError) as caught:
        load(floats(9, 12, 12), network="gru")
    assert caught.value.argument == "network"


def test_the_last_axes_of_a_file_are_moved_when_it_is_read(tmp_path):
    x = floats(20, 6, 12, 10, 3)
    np.save(tmp_path / "x.npy", x)
    rows = load_as(tmp_path / "x.npy", load(x).spec, memory_map=True)
    assert rows.is_memory_mapped
    np.testing.assert_array_equal(rows[3:5], np.moveaxis(x[3:5], -1, 2))
    np.save(tmp_path / "y.npy", x[..., 0])
    data = load(tmp_path / "y.npy", layout="NTHW", memory_map=True)
    assert data.spec.event_shape == (6, 1, 12, 10)


def test_layouts_of_no_table_stay():
    x = torch.zeros(4, 3)
    assert to_layout(x, None) is x


# Series of several lengths


def series():
    x = floats(12, 9, 2, low=-5, high=9)
    return x, np.random.default_rng(1).integers(3, 10, 12)


def padded(x, lengths):
    x = x.copy()
    x[np.arange(9) >= lengths[:, None]] = np.nan
    return x


def test_nan_at_the_end_and_lengths_mean_the_same(tmp_path):
    x, lengths = series()
    np.savez(tmp_path / "x.npz", x=x, steps=lengths)
    by_nan = load(padded(x, lengths))
    assert by_nan.spec.padded
    for other in (load(x, lengths=lengths), load(tmp_path / "x.npz", lengths="steps")):
        np.testing.assert_array_equal(all_rows(other), all_rows(by_nan))
        assert other.spec.padded and other.spec.scale == by_nan.spec.scale
    note = next(note for note in by_nan.spec.notes if note.code == "padded")
    assert note.data == {"shortest": lengths.min(), "longest": lengths.max()}
    rows = load_as(tmp_path / "x.npz", load(tmp_path / "x.npz", lengths="steps").spec)
    np.testing.assert_array_equal(rows.tensor(), padded(x, lengths))


def test_missing_steps_do_not_count_for_the_scale():
    x, lengths = series()
    spec = load(padded(x, lengths), order="time", split=(0.8, 0.1, 0.1)).spec
    observed = np.concatenate([x[i, : lengths[i]] for i in range(10)])
    np.testing.assert_allclose(np.reshape(spec.shift, (9, 2))[0], observed.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.reshape(spec.scale, (9, 2))[0], observed.std(0), rtol=1e-5)


@pytest.mark.parametrize("place", [np.s_[0, 2], np.s_[0, 8, 0], np.s_[0], np.s_[0, 8:, 1:]])
def test_nan_within_a_series_is_refused(place):
    x, _ = series()
    x[place] = np.nan
    with pytest.raises(DataError) as caught:
        load(x)
    assert caught.value.argument == "source"


@pytest.mark.parametrize("lengths", [[3, 4], np.full(12, 10), np.zeros(12, int), np.full(12, 2.5)])
def test_impossible_lengths_are_refused(lengths):
    with pytest.raises(DataError) as caught:
        load(series()[0], lengths=lengths)
    assert caught.value.argument == "lengths"
    with pytest.raises(DataError) as caught:
        load(np.zeros((12, 5)), lengths=np.full(12, 3))
    assert caught.value.argument == "lengths"


def test_a_model_of_complete_series_refuses_shorter_ones():
    x, lengths = series()
    with pytest.raises(DataError) as caught:
        load_as(padded(x, lengths), load(x).spec)
    assert caught.value.argument == "source"
