"""Loading arrays: splits, automatic choices with notes, and other data with the same spec."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aevb.data import Dataset, Reading, Rows, Spec, load, load_as
from aevb.errors import ArgumentError, DataError


def numbers(*shape, low=-3.0, high=3.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape)


def greys(*shape, high=256, seed=0):
    x = np.random.default_rng(seed).integers(0, high, shape)
    x.flat[0] = high - 1
    return x.astype(np.uint8)


def notes(data, code):
    """The notes of a data set with this code."""
    return [note for note in data.spec.notes if note.code == code]


def parts(data):
    return torch.cat([data.train.tensor(), data.validation.tensor(), data.test.tensor()])


def test_every_row_is_in_exactly_one_split():
    x = np.arange(100.0).reshape(100, 1) - 0.5
    data = load(x)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [80, 10, 10]
    assert sorted(parts(data)[:, 0].tolist()) == x[:, 0].tolist()
    assert parts(data)[:, 0].tolist() != x[:, 0].tolist()


def test_the_seed_decides_the_split():
    x = numbers(50, 2)
    assert torch.equal(load(x, seed=3).test.tensor(), load(x, seed=3).test.tensor())
    assert not torch.equal(load(x, seed=3).test.tensor(), load(x, seed=4).test.tensor())


def test_loading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    load(greys(20, 14, 14), binarise="dynamic")
    assert torch.equal(torch.get_rng_state(), before)


def test_time_keeps_the_order():
    x = np.arange(10.0).reshape(10, 1) - 0.5
    data = load(x, order="time", split=(0.6, 0.2, 0.2))
    assert parts(data).tolist() == x.tolist()
    assert notes(data, "split")[0].data == {
        "train": 6,
        "validation": 2,
        "test": 2,
        "description": "in row order",
    }


@pytest.mark.parametrize("total", [3, 4, 5, 7])
@pytest.mark.parametrize(
    "split", [(0.8, 0.1, 0.1), (0.98, 0.01, 0.01), (0.01, 0.495, 0.495), (0.01, 0.98, 0.01)]
)
def test_no_split_is_empty(total, split):
    data = load(numbers(total, 2), split=split)
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert min(sizes) >= 1
    assert sum(sizes) == total


def test_changing_the_source_afterwards_changes_nothing():
    x = numbers(20, 2).astype(np.float32)
    data = load(x)
    kept = data.train.tensor().clone()
    other = load_as(x, data.spec)
    x[:] = 0
    assert torch.equal(data.train.tensor(), kept)
    assert other.tensor().abs().min() > 0


@pytest.mark.parametrize(
    "x, support, likelihood, levels, network",
    [
        (greys(20, 6, high=2), "binary", "bernoulli", None, "mlp"),
        (greys(20, 28, 28, high=2).astype(bool), "binary", "bernoulli", None, "mlp"),
        (greys(20, 28, 28, high=2).astype(float), "binary", "bernoulli", None, "mlp"),
        (greys(20, 28, 28), "levels", "discretised_logistic", 256, "conv"),
        (greys(20, 8, 8, high=17), "levels", "discretised_logistic", 17, "mlp"),
        (greys(20, 8, 8, high=17).astype(np.float64), "levels", "discretised_logistic", 17, "mlp"),
        (greys(20, 12, 12, high=64).astype(np.int64), "levels", "discretised_logistic", 64, "conv"),
        (greys(20, 12, 11, high=65).astype(np.int64), "levels", "discretised_logistic", 256, "mlp"),
        (greys(20, 3, 16, 16), "levels", "discretised_logistic", 256, "conv"),
        (numbers(20, 16, 16, low=0, high=1), "unit", "continuous_bernoulli", None, "conv"),
        (numbers(20, 16, 16), "real", "normal", None, "conv"),
        (greys(20, 16, 16).astype(np.int64) * 2, "real", "normal", None, "conv"),
        (numbers(20, 5, low=0, high=1), "real", "normal", None, "mlp"),
        (greys(20, 5), "real", "normal", None, "mlp"),
    ],
)
def test_likelihood_is_chosen_from_the_values(x, support, likelihood, levels, network):
    spec = load(x).spec
    assert (spec.support, spec.likelihood, spec.levels, spec.network) == (
        support,
        likelihood,
        levels,
        network,
    )
    assert spec.event_shape == x.shape[1:]


def test_grey_values_are_stored_as_bytes_and_read_as_they_are():
    x = greys(20, 4, 4, high=9)
    data = load(x.astype(np.float64), order="time")
    assert data.train.stored_values.dtype == torch.uint8
    np.testing.assert_array_equal(parts(data).numpy(), x)


def test_tables_are_scaled_by_training_rows_only():
    x = numbers(100, 3) * [1, 10, 100] + [0, 5, -7]
    x[-1] = 1e4
    data = load(x, order="time")
    np.testing.assert_allclose(data.spec.shift, x[:80].astype(np.float32).mean(0), rtol=1e-5)
    np.testing.assert_allclose(data.spec.scale, x[:80].astype(np.float32).std(0), rtol=1e-5)


def test_a_constant_column_keeps_its_scale_and_is_named():
    x = numbers(30, 3)
    x[:, 1] = 0.1
    data = load(x)
    assert data.spec.scale[1] == 1.0
    (note,) = notes(data, "constant_columns")
    assert note.level == "warning" and list(note.data["columns"]) == ["column 1"]
    assert "column 1 (0.1)" in str(note)


def test_a_column_that_lost_its_digits_is_named():
    x = numbers(30, 2)
    x[:, 0] += 1e6
    assert not notes(load(x), "imprecise_columns")  # float64 has enough
    (note,) = notes(load(x.astype(np.float32)), "imprecise_columns")
    assert list(note.data["columns"]) == ["column 0"]


@pytest.mark.parametrize(
    "x, likelihood, support, shift, scale",
    [
        (greys(20, 4, 4, high=17), "continuous_bernoulli", "levels", 0, 16),
        (greys(20, 4, 4), "continuous_bernoulli", "levels", 0, 255),
        (numbers(20, 5, low=0, high=1), "continuous_bernoulli", "unit", 0, 1),
        (greys(20, 5), "discretised_logistic", "levels", 0, 1),
        (greys(20, 4, 4), "categorical", "levels", 0, 1),
        (greys(20, 5, high=2), "categorical", "levels", 0, 1),
    ],
)
def test_likelihood_override_sets_support_and_scaling(x, likelihood, support, shift, scale):
    data = load(x, likelihood=likelihood)
    assert (data.spec.likelihood, data.spec.support, data.spec.shift, data.spec.scale) == (
        likelihood,
        support,
        (shift,),
        (scale,),
    )
    assert notes(data, "likelihood")[0].data["requested"]
    assert not notes(load(x), "likelihood")[0].data["requested"]


@pytest.mark.parametrize("likelihood", ["normal", "laplace"])
def test_real_likelihoods_scale_images_as_a_whole(likelihood):
    x = greys(50, 4, 4)
    spec = load(x, likelihood=likelihood, order="time").spec
    np.testing.assert_allclose(
        (spec.shift, spec.scale), ((x[:40].mean(),), (x[:40].std(),)), rtol=1e-6
    )
    assert spec.levels == 256
    assert spec.measure == "density"


@pytest.mark.parametrize(
    "x, likelihood, instead, content",
    [
        (greys(20, 4, 4), "bernoulli", "continuous_bernoulli", ""),
        (numbers(20, 4, 4, low=0, high=1), "bernoulli", "continuous_bernoulli", "hold 0"),
        (numbers(20, 4), "bernoulli", "normal", ""),
        (numbers(20, 4) + np.array([0, 0, 0, 99]), "continuous_bernoulli", "normal", "hold "),
        (numbers(20, 4), "discretised_logistic", "normal", "hold "),
        (numbers(20, 4, 4, low=0, high=1), "categorical", "continuous_bernoulli", ""),
        (greys(20, 4).astype(np.int64) + 1, "discretised_logistic", "normal", "hold 256"),
    ],
)
def test_incompatible_likelihood_override_is_refused(x, likelihood, instead, content):
    with pytest.raises(DataError) as caught:
        load(x, likelihood=likelihood)
    error = caught.value
    assert (error.argument, error.value) == ("likelihood", likelihood)
    assert f'likelihood="{instead}"' in str(error.suggestions[0]) and content in str(error)
    is_grey = likelihood == "bernoulli" and x.dtype == np.uint8
    assert ('binarise="dynamic"' in str(error.suggestions[0])) == is_grey


def test_dynamic_binarisation_redraws_training_rows_only():
    x = np.full((40, 14, 14), 128, np.uint8)
    data = load(x, binarise="dynamic", seed=5)
    assert not torch.equal(data.train[:], data.train[:])
    assert torch.equal(data.test[:], data.test[:])
    assert torch.equal(data.test[:], load(x, binarise="dynamic", seed=5).test[:])
    assert not torch.equal(data.test[:], load(x, binarise="dynamic", seed=6).test[:])
    assert not torch.equal(data.test[:], data.validation[:])
    assert set(parts(data).unique().tolist()) == {0.0, 1.0}
    assert (data.spec.support, data.spec.likelihood, data.spec.binarisation, data.spec.levels) == (
        "binary",
        "bernoulli",
        "dynamic",
        256,
    )
    assert notes(data, "binarised")[0].data == {"mode": "dynamic", "seed": 5}


def test_fixed_binarisation_draws_once():
    x = greys(40, 8, 8, high=17)
    data = load(x, binarise="fixed", order="time")
    drawn = parts(data).numpy()
    assert torch.equal(data.train[:], data.train[:])
    assert (drawn[x == 0] == 0).all()
    assert (drawn[x == 16] == 1).all()
    assert 0 < drawn[x == 8].mean() < 1


def test_a_flat_table_of_grey_values_can_be_binarised():
    assert load(greys(20, 64), binarise="fixed").spec.likelihood == "bernoulli"


@pytest.mark.parametrize(
    "x, suggestion",
    [
        (greys(20, 5, high=2), "Leave `binarise` out"),
        (numbers(20, 4, 4, low=0, high=1), "Write np.rint(255 * x).astype(np.uint8)"),
        (numbers(20, 4), "Leave `binarise` out"),
    ],
)
def test_binarise_refuses_data_without_grey_values(x, suggestion):
    with pytest.raises(DataError) as caught:
        load(x, binarise="fixed")
    assert caught.value.argument == "binarise"
    assert str(caught.value.suggestions[0]) == suggestion


def test_channels_move_to_the_front_with_a_note():
    x = greys(20, 16, 14, 3)
    data = load(x, order="time")
    assert data.spec.event_shape == (3, 16, 14)
    np.testing.assert_array_equal(parts(data).numpy(), np.moveaxis(x, -1, 1))
    assert notes(data, "channels_moved")[0].data == {"before": [16, 14, 3], "after": [3, 16, 14]}
    assert "colour images of 16 x 14" in str(notes(data, "data_read")[0])


@pytest.mark.parametrize("shape", [(20, 3, 16, 16), (20, 3, 8, 3)])
def test_channels_in_front_stay(shape):
    assert load(greys(*shape)).spec.event_shape == shape[1:]


def test_three_dimensional_points_are_not_treated_as_channels():
    assert load(numbers(20, 10, 12, 3)).spec.event_shape == (10, 12, 3)


def test_black_and_white_bytes_get_a_hint():
    x = greys(20, 14, 14, high=2) * 255
    assert 'binarise="fixed"' in str(notes(load(x), "black_and_white")[0])
    data = load(x, binarise="fixed", order="time")
    np.testing.assert_array_equal(parts(data).numpy(), x / 255)


def test_tensors_lists_and_arrays_agree():
    x = numbers(20, 3).astype(np.float32)
    wanted = load(x).train.tensor()
    for source in (
        torch.from_numpy(x),
        torch.from_numpy(x).requires_grad_(),
        x.tolist(),
        x.astype(np.float64),
        torch.from_numpy(x).to_sparse(),
    ):
        assert torch.equal(load(source).train.tensor(), wanted)


def test_half_precision_is_read():
    x = torch.tensor(numbers(20, 3)).bfloat16()
    assert torch.equal(load(x, order="time").test[0], x[18].float())


def test_labels_of_an_array_are_split_with_the_rows():
    x = np.arange(30.0).reshape(30, 1) - 0.5
    names = np.array(["b", "a", "c"])[np.arange(30) % 3]
    data = load(x, labels=names)
    assert data.spec.class_names == ("a", "b", "c")
    for part in (data.train, data.validation, data.test):
        assert [data.spec.class_names[i] for i in part.labels] == [
            names[int(v + 0.5)] for v in part.tensor()[:, 0]
        ]
    assert data.labels is data.train.labels


@pytest.mark.parametrize(
    "labels, words",
    [
        ([1, 2], "one label per row"),
        (np.linspace(0, 1, 20), "measured quantity"),
        ("y", "give an array"),
    ],
)
def test_labels_of_wrong_shape_or_type_are_refused(labels, words):
    with pytest.raises((DataError, ArgumentError), match=words) as caught:
        load(numbers(20, 2), labels=labels)
    assert caught.value.argument == "labels"


@pytest.mark.parametrize(
    "source, words",
    [
        (np.zeros(5), r"reshape\(-1, 1\)"),
        (np.array(3.0), r"\[N, \*event\]"),
        (np.zeros((0, 3)), "no values"),
        (np.zeros((3, 0)), "no values"),
        (np.zeros((1, 3)), "1 row cannot be split.*at least 3"),
        (np.zeros((2, 3)), "2 rows cannot be split"),
        (
            np.array([[1.0, 2.0], [3.0, np.nan], [np.inf, 0.0]]),
            r"2 NaN or infinite cells, the first in row 1, column 1 .*isfinite",
        ),
        (
            np.where(np.arange(48).reshape(3, 4, 4) == 21, np.nan, 0.5),
            r"1 NaN or infinite cell, .*row 1, position \(1, 1\)",
        ),
        (np.array([[object()], [1], [2]]), "Python objects"),
        (np.array([["a"], ["b"], ["c"]]), "text"),
        (np.ones((5, 2), complex), "complex"),
        (np.full((5, 2), 1e300), "3.4e38"),
        (np.zeros((5, 2), "datetime64[s]"), "datetime64"),
        (np.ma.masked_equal(np.ones((5, 2)), 1), "masked"),
        ([[1.0], [1.0, 2.0], [3.0]], "different lengths"),
        (np.float64(3.0), "float64, which cannot be read"),
        (3, "int, which cannot be read"),
        (None, "NoneType, which cannot be read"),
        ({"a": [1, 2, 3]}, "dict, which cannot be read"),
        ("digit", 'Did you mean source="digits"'),
        ("fashion_minst", 'Did you mean source="fashion-mnist"'),
        ("", "neither a data set nor a path"),
    ],
)
def test_unusable_sources_are_refused(source, words):
    with pytest.raises(DataError, match=words) as caught:
        load(source)
    assert caught.value.argument == "source"


@pytest.mark.parametrize(
    "arguments, suggestion",
    [
        ({"split": (0.8, 0.2)}, "split=(0.8, 0.1, 0.1)"),
        ({"split": (0.8, 0.1, 0.2)}, "split=(0.8, 0.1, 0.1)"),
        ({"split": (0.0, 0.5, 0.5)}, "split=(0.8, 0.1, 0.1)"),
        ({"split": (1.2, -0.1, -0.1)}, "split=(0.8, 0.1, 0.1)"),
        ({"order": "rows"}, 'order="time"'),
        ({"seed": -1}, ""),
        ({"seed": 0.5}, ""),
        ({"likelihood": "bernouli"}, 'likelihood="bernoulli"'),
        ({"network": "cnn"}, 'network="conv"'),
        ({"network": "conv"}, 'network="mlp"'),
        ({"binarise": "yes"}, 'binarise="fixed"'),
        ({"binarise": "fixed", "likelihood": "normal"}, "Leave one of the two out"),
        ({"key": "x"}, "Leave it out"),
        ({"memory_map": True}, "Leave it out"),
    ],
)
def test_invalid_arguments_are_refused(arguments, suggestion):
    with pytest.raises(ArgumentError) as caught:
        load(numbers(20, 3), **arguments)
    assert (caught.value.argument, caught.value.value) == next(iter(arguments.items()))
    assert suggestion in " ".join(map(str, caught.value.suggestions))


def test_automatic_choices_for_digits_are_noted():
    data = load("digits")
    assert [note.code for note in data.spec.notes] == [
        "data_read",
        "split",
        "likelihood",
        "network",
    ]
    assert tuple(map(str, data.spec.notes)) == (
        "Read 1,797 images of 8 x 8 with 17 grey levels (0 to 16) and labels 0 to 9.",
        "Split: 1,437 train, 180 validation, 180 test rows, at random with seed 0.",
        "Likelihood: discretised logistic with 17 levels, "
        "because the values are integers from 0 to 16.",
        "Network: fully connected (MLP), because images of 8 x 8 are small.",
    )


def test_the_spec_survives_json():
    for data in (
        load("digits", binarise="dynamic"),
        load(numbers(20, 3)),
        load(numbers(20, 14, 14, low=0, high=1)),
        load(greys(20, 14, 14, high=2) * 255),
        load(numbers(20, 3), condition=np.arange(20) % 2),
    ):
        assert Spec.from_dict(json.loads(json.dumps(data.spec.to_dict()))) == data.spec


@pytest.mark.parametrize("change", [{"colour": 1}, {"support": None, "drop": "name"}])
def test_a_foreign_spec_is_refused(change):
    record = load("digits").spec.to_dict()
    record.pop(change.pop("drop", "none"), None)
    with pytest.raises(DataError, match=r"colour|name"):
        Spec.from_dict(record | change)


def test_to_moves_all_parts():
    data = load("digits").to("cpu")
    assert isinstance(data, Dataset)
    assert data.test.stored_values.device.type == "cpu"


def test_load_as_gives_all_rows_in_their_order():
    x = numbers(20, 3).astype(np.float32)
    spec = load(numbers(30, 3, seed=1)).spec
    np.testing.assert_array_equal(load_as(x, spec).tensor().numpy(), x)
    assert len(load_as(x[:1], spec)) == 1


@pytest.mark.parametrize(
    "arguments", [{}, {"binarise": "dynamic"}, {"binarise": "fixed"}, {"likelihood": "normal"}]
)
def test_load_as_of_a_named_set_gives_its_test_rows(arguments):
    data = load("digits", seed=2, **arguments)
    again = load_as("digits", data.spec, seed=2)
    assert torch.equal(again.tensor(), data.test.tensor())
    assert torch.equal(again.labels, data.test.labels)
    assert torch.equal(load_as(data, data.spec).tensor(), data.test.tensor())


def test_load_as_applies_fixed_binarisation():
    data = load(greys(40, 8, 8, high=17), binarise="dynamic")
    other = load_as(greys(10, 8, 8, high=17, seed=1), data.spec)
    assert set(other.tensor().unique().tolist()) == {0.0, 1.0}
    assert torch.equal(other.tensor(), other.tensor())
    ready = greys(10, 8, 8, high=2)
    np.testing.assert_array_equal(load_as(ready, data.spec).tensor().numpy(), ready)


def test_load_as_moves_channels_to_the_front():
    data = load(greys(20, 16, 16, 3))
    assert load_as(greys(5, 16, 16, 3), data.spec).event_shape == (3, 16, 16)


@pytest.mark.parametrize(
    "original, other, words",
    [
        (numbers(20, 3), numbers(5, 4), r"\(4,\).*\(3,\)"),
        (greys(20, 8, 8), greys(8, 8), r"\(8,\).*\(8, 8\).*x\[None\]"),
        (greys(20, 8, 8, high=17), greys(5, 8, 8), "holds 255.*whole numbers from 0 to 16"),
        (greys(20, 8, 8), numbers(5, 8, 8), "holds .*whole numbers from 0 to 255"),
        (greys(20, 8, 8, high=2), greys(5, 8, 8), "takes 0 and 1"),
        (numbers(20, 8, 8, low=0, high=1), greys(5, 8, 8), "Divide by 255"),
        (numbers(20, 3), np.full((5, 3), np.nan), "NaN"),
        (numbers(20, 3), np.zeros((0, 3)), "no values"),
    ],
)
def test_load_as_refuses_incompatible_data(original, other, words):
    spec = load(original).spec
    with pytest.raises(DataError, match=words):
        load_as(other, spec)


def test_load_as_numbers_classes_as_the_spec_does():
    data = load(numbers(20, 2), labels=np.array(["a", "b", "c", "d"] * 5))
    assert load_as(numbers(3, 2), data.spec, labels=["d", "b", "b"]).labels.tolist() == [3, 1, 1]
    with pytest.raises(DataError, match='label "e" is not among'):
        load_as(numbers(1, 2), data.spec, labels=["e"])


def test_rows_are_accepted_as_source():
    rows = Rows.from_array(numbers(20, 3), labels=np.arange(20) % 2)
    data = load(rows)
    assert data.spec.event_shape == (3,)
    assert data.spec.class_names == ("0", "1")


def test_a_folder_with_the_name_of_a_set_needs_a_separator(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load("digits").spec.name == "digits"
    for source in ("./digits", Path("digits")):
        with pytest.raises(DataError, match="no images"):
            load(source)


def test_name_argument_overrides_the_default_name():
    assert load(numbers(20, 3), name="mine").spec.name == "mine"
    assert load(numbers(20, 3)).spec.name == "array"


@pytest.mark.parametrize(
    "argument, value",
    [("frames", "last"), ("crop", "left"), ("layout", "HWC"), ("resize", (8,)), ("resize", (0, 8))],
)
def test_settings_of_reading_are_checked_before_data_are_read(argument, value):
    with pytest.raises(ArgumentError) as caught:
        load("no_such_data_set", **{argument: value})
    assert caught.value.argument == argument


@pytest.mark.parametrize("argument", ["frames", "crop", "background", "resize"])
def test_settings_of_images_are_refused_for_arrays(argument):
    value = {"frames": "all", "crop": "none", "background": "red", "resize": (4, 4)}[argument]
    with pytest.raises(ArgumentError) as caught:
        load(np.zeros((4, 3)), **{argument: value})
    assert caught.value.argument == argument


def test_a_spec_keeps_how_the_data_were_read():
    spec = replace(load("digits").spec, reading=Reading(resize=(8, 8), crop="none"))
    assert Spec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    old = {name: value for name, value in spec.to_dict().items() if name != "reading"}
    assert Spec.from_dict(old).reading == Reading()
