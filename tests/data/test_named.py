"""Named sets: where they are looked for, how they are split, how they are downloaded."""

import gzip
import hashlib
import io
import os
import struct
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aevb.data import _download as fetch
from aevb.data import _named_datasets as named
from aevb.data import download_dataset, list_datasets, load, load_as
from aevb.errors import ArgumentError, DataError


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """No data folder but an empty cache, and a network that refuses."""
    monkeypatch.delenv("AEVB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def refuse(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "aevb" / "data"


class Answer(io.BytesIO):
    """What an address answers."""

    @property
    def headers(self):
        return {"Content-Length": str(len(self.getvalue()))}


def answering(monkeypatch, contents):
    """Addresses answer with the contents under the end of their path."""
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return Answer(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def shared(name):
    """Skip where the set is not below $AEVB_DATA."""
    root = os.environ.get("AEVB_DATA")
    if not root or not all(
        (Path(root) / file.path).is_file() for file in named.NAMED_DATASETS[name].files
    ):
        pytest.skip(f"{name} is not below $AEVB_DATA")


def little_mnist(monkeypatch):
    """MNIST of 12 + 4 images: the contents of its files, with their sums put in the table."""
    x = np.random.default_rng(0).integers(0, 256, (16, 28, 28)).astype(np.uint8)
    y = (np.arange(16) % 4).astype(np.uint8)
    arrays = [x[:12], y[:12], x[12:], y[12:]]
    heads = [struct.pack(f">BBBB{a.ndim}I", 0, 0, 8, a.ndim, *a.shape) for a in arrays]
    contents = [gzip.compress(head + a.tobytes()) for head, a in zip(heads, arrays, strict=True)]
    files = [
        replace(f, sha256=hashlib.sha256(c).hexdigest())
        for f, c in zip(named.NAMED_DATASETS["mnist"].files, contents, strict=True)
    ]
    monkeypatch.setitem(
        named.NAMED_DATASETS, "mnist", replace(named.NAMED_DATASETS["mnist"], files=tuple(files))
    )
    return x, {Path(f.path).name: c for f, c in zip(files, contents, strict=True)}


def test_digits_come_with_the_library(bare):
    data = load("digits")
    assert download_dataset("digits").name == "files"
    assert torch.cat([data.train.labels, data.validation.labels, data.test.labels]).bincount().tolist() == [
        178, 182, 177, 183, 181, 182, 181, 179, 174, 180,
    ]  # fmt: skip


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    ours = np.load(named.NAMED_DATASETS["digits"].find_folder() / "digits.npz", allow_pickle=False)
    np.testing.assert_array_equal(ours["images"], theirs.images)
    np.testing.assert_array_equal(ours["labels"], theirs.target)
    content = (named.NAMED_DATASETS["digits"].find_folder() / "digits.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == named.NAMED_DATASETS["digits"].files[0].sha256


def test_a_missing_set_says_what_to_put_where_and_what_to_run(bare):
    with pytest.raises(DataError) as error:
        load("mnist")
    for words in (
        "mnist/train-images-idx3-ubyte.gz",
        str(bare),
        "AEVB_DATA",
        "aevb data get mnist",
    ):
        assert words in str(error.value)
    with pytest.raises(DataError, match=r"frey_rawface\.mat"):
        load("frey_faces")


def test_the_list_names_all_sets_and_where_they_are(bare):
    found = {info.name: info for info in list_datasets()}
    assert list(found) == [
        "digits",
        "sprites",
        "mnist",
        "binarized-mnist",
        "fashion-mnist",
        "frey-faces",
        "omniglot",
        "cifar10",
    ]
    assert found["digits"].folder is not None
    assert found["cifar10"].folder is None
    assert found["cifar10"].event_shape == (3, 32, 32)
    assert all(info.description and info.licence for info in found.values())


def test_get_downloads_checks_and_places(bare, monkeypatch):
    x, contents = little_mnist(monkeypatch)
    asked = answering(monkeypatch, contents)
    seen = []
    assert (
        download_dataset(
            "mnist", on_progress=lambda name, done, total: seen.append((name, done, total))
        )
        == bare
    )
    assert [Path(url).name for url in asked] == list(contents)
    assert (
        "t10k-labels-idx1-ubyte.gz",
        len(contents["t10k-labels-idx1-ubyte.gz"]),
        len(contents["t10k-labels-idx1-ubyte.gz"]),
    ) in seen
    data = load("mnist")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [10, 2, 4]
    np.testing.assert_array_equal(data.test.tensor().numpy(), x[12:])
    assert data.test.labels.tolist() == [0, 1, 2, 3]
    assert download_dataset("mnist") == bare
    assert len(asked) == 4


def test_get_continues_where_it_stopped(bare, monkeypatch):
    _, contents = little_mnist(monkeypatch)
    (bare / "mnist").mkdir(parents=True)
    (bare / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(
        contents["train-images-idx3-ubyte.gz"]
    )
    asked = answering(monkeypatch, contents)
    download_dataset("mnist")
    assert len(asked) == 3


def test_a_wrong_sum_is_refused_and_leaves_nothing_behind(bare, monkeypatch):
    _, contents = little_mnist(monkeypatch)
    answering(monkeypatch, contents | {"train-images-idx3-ubyte.gz": b"something else"})
    with pytest.raises(DataError, match=r"SHA-256.*Put mnist/train-images"):
        download_dataset("mnist")
    assert list(bare.rglob("*")) == []


def test_an_interrupted_write_leaves_nothing_behind(bare, monkeypatch):
    def stop(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch._write_atomically(bare / "mnist" / "x.gz", b"content")
    assert list((bare / "mnist").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "binarized-mnist"])
def test_without_network_get_says_what_to_do(bare, name):
    with pytest.raises(DataError, match=r"no network.*Put .* into"):
        download_dataset(name)


@pytest.mark.parametrize("name", ["frey-faces", "omniglot", "cifar10"])
def test_sets_without_a_publisher_are_put_there_by_hand(bare, name):
    with pytest.raises(
        DataError, match=r"\.npz into .*an \.npz archive .*https://.*cannot be downloaded"
    ):
        download_dataset(name)


def test_an_unknown_set_names_the_nearest():
    with pytest.raises(ArgumentError, match='Did you mean "omniglot"'):
        download_dataset("omniglott")


def test_the_second_address_is_tried(bare, monkeypatch):
    _, contents = little_mnist(monkeypatch)

    def urlopen(url, timeout):
        if "ossci" in url:
            raise urllib.error.URLError("gone")
        return Answer(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert download_dataset("mnist") == bare


def test_binarized_mnist_is_packed_from_the_published_text(bare, monkeypatch):
    bits = {
        part: np.random.default_rng(i).integers(0, 2, (3 + i, 784)).astype(np.uint8)
        for i, part in enumerate(("train", "valid", "test"))
    }
    monkeypatch.setattr(
        fetch,
        "AMAT_SHA256",
        {p: hashlib.sha256(fetch.format_amat(b)).hexdigest() for p, b in bits.items()},
    )
    texts = {
        f"binarized_mnist_{p}.amat": fetch.format_amat(b).replace(b"\n", b" \r\n")
        for p, b in bits.items()
    }
    answering(monkeypatch, texts)
    download_dataset("binarized-mnist")
    data = load("binarized_mnist")
    for part, wanted in zip((data.train, data.validation, data.test), bits.values(), strict=True):
        np.testing.assert_array_equal(part.tensor().flatten(1).numpy(), wanted)
    assert data.spec.event_shape == (28, 28)
    answering(monkeypatch, {name: text[:-10] for name, text in texts.items()})
    (bare / "binarized_mnist" / "binarized_mnist.npz").unlink()
    with pytest.raises(DataError, match="could not be downloaded"):
        download_dataset("binarized-mnist")


def test_a_damaged_file_of_a_set_is_named(bare, monkeypatch):
    monkeypatch.setenv("AEVB_DATA", str(bare))
    (bare / "frey_faces").mkdir(parents=True)
    (bare / "frey_faces" / "frey_faces.npz").write_bytes(b"PK junk")
    with pytest.raises(DataError, match=r"frey_faces\.npz"):
        load("frey-faces")


def test_omniglot_is_split_by_drawer(bare, monkeypatch):
    monkeypatch.setenv("AEVB_DATA", str(bare))
    (bare / "omniglot").mkdir(parents=True)
    drawer = np.tile(np.arange(1, 21, dtype=np.uint8), 2)
    images = np.broadcast_to((drawer * 10)[:, None, None], (40, 28, 28)).astype(np.uint8)
    np.savez(
        bare / "omniglot" / "omniglot_28.npz",
        images=images,
        drawer=drawer,
        alphabet=np.repeat([1, 0], 20).astype(np.uint8),
        character=np.repeat([7, 4], 20).astype(np.uint16),
        alphabet_names=np.array(["Greek", "Latin"]),
    )
    data = load("omniglot")
    drawers = [
        sorted(set((part.tensor()[:, 0, 0] / 10).int().tolist()))
        for part in (data.train, data.validation, data.test)
    ]
    assert drawers == [list(range(1, 14)), [14, 15], list(range(16, 21))]
    assert data.spec.class_names == ("Greek", "Latin")
    assert data.test.labels.tolist() == [1] * 5 + [0] * 5
    assert load("omniglot", labels="character").spec.class_names == ("4", "7")
    assert load_as("omniglot", load("omniglot", labels="character").spec).labels is None
    with pytest.raises(ArgumentError, match='"alphabet" and "character"'):
        load("omniglot", labels="letter")


def test_a_published_split_stays():
    shared("binarized-mnist")
    for arguments in ({"split": (0.5, 0.25, 0.25)}, {"order": "time"}):
        with pytest.raises(ArgumentError, match="split of its own"):
            load("binarized-mnist", **arguments)


def test_binarized_mnist_is_the_published_one():
    shared("binarized-mnist")
    data = load("binarized-mnist")
    parts = (data.train, data.validation, data.test)
    assert [len(part) for part in parts] == [50_000, 10_000, 10_000]
    ones = [
        int(sum(chunk.sum(dtype=torch.float64) for chunk in part.tensor().split(10_000)))
        for part in parts
    ]
    assert ones == [5_118_041, 1_028_036, 1_038_896]
    assert (data.spec.likelihood, data.spec.network) == ("bernoulli", "mlp")
    test = np.unpackbits(data.test.stored_values.numpy(), axis=1)
    assert hashlib.sha256(fetch.format_amat(test)).hexdigest() == fetch.AMAT_SHA256["test"]


def test_mnist_is_the_published_one():
    shared("mnist")
    data = load("mnist")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [
        50_000,
        10_000,
        10_000,
    ]
    assert data.test.labels.bincount().tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
    training = data.train.labels.bincount() + data.validation.labels.bincount()
    assert training.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert (data.spec.levels, data.spec.likelihood, data.spec.network) == (
        256,
        "discretised_logistic",
        "conv",
    )


def test_frey_faces_are_split_by_time():
    shared("frey-faces")
    data = load("frey-faces")
    images = np.load(Path(os.environ["AEVB_DATA"]) / "frey_faces" / "frey_faces.npz")["images"]
    np.testing.assert_array_equal(data.test.tensor().numpy(), images[-len(data.test) :])
    assert "in row order" in data.spec.notes[1]


def test_cifar10_has_channels_first():
    shared("cifar10")
    data = load("cifar10")
    assert data.spec.event_shape == (3, 32, 32)
    means = (
        torch.cat([part.tensor() for part in (data.train, data.validation, data.test)]).mean(
            (0, 2, 3)
        )
        / 255
    )
    torch.testing.assert_close(means, torch.tensor([0.4916, 0.4818, 0.4447]), atol=6e-5, rtol=0)
