"""Search paths, splits and downloads of named data sets."""

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
def empty_cache(tmp_path, monkeypatch):
    """An empty cache, no data folder, and a network that refuses connections."""
    monkeypatch.delenv("AEVB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def refuse(url, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "aevb" / "data"


class Answer(io.BytesIO):
    """Response to a request."""

    @property
    def headers(self):
        return {"Content-Length": str(len(self.getvalue()))}


def answering(monkeypatch, contents):
    """Serve these contents by file name and record the requested URLs."""
    requested = []

    def urlopen(url, timeout):
        requested.append(url)
        return Answer(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return requested


def require_data_set(name):
    """Skip the test if the data set is not in $AEVB_DATA."""
    root = os.environ.get("AEVB_DATA")
    if not root or not all(
        (Path(root) / file.path).is_file() for file in named.NAMED_DATASETS[name].files
    ):
        pytest.skip(f"{name} is not below $AEVB_DATA")


def little_mnist(monkeypatch):
    """Files of an MNIST with 12 + 4 images, with their checksums in the table."""
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


def test_digits_come_with_the_library(empty_cache):
    data = load("digits")
    assert download_dataset("digits").name == "files"
    labels = torch.cat([data.train.labels, data.validation.labels, data.test.labels])
    assert labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_agree_with_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    ours = np.load(named.NAMED_DATASETS["digits"].find_folder() / "digits.npz", allow_pickle=False)
    np.testing.assert_array_equal(ours["images"], theirs.images)
    np.testing.assert_array_equal(ours["labels"], theirs.target)
    content = (named.NAMED_DATASETS["digits"].find_folder() / "digits.npz").read_bytes()
    assert hashlib.sha256(content).hexdigest() == named.NAMED_DATASETS["digits"].files[0].sha256


def test_error_for_a_missing_data_set_names_folder_and_command(empty_cache):
    with pytest.raises(DataError) as caught:
        load("mnist")
    place, download = map(str, caught.value.suggestions)
    assert all(
        words in place
        for words in ("mnist/train-images-idx3-ubyte.gz", str(empty_cache), "AEVB_DATA")
    )
    assert 'data.download_dataset(name="mnist")' in download
    with pytest.raises(DataError, match=r"frey_rawface\.mat"):
        load("frey_faces")


def test_the_list_names_all_sets_and_where_they_are(empty_cache):
    listed = {info.name: info for info in list_datasets()}
    assert list(listed) == [
        "digits",
        "sprites",
        "mnist",
        "binarized-mnist",
        "fashion-mnist",
        "frey-faces",
        "omniglot",
        "cifar10",
    ]
    assert listed["digits"].folder is not None
    assert listed["cifar10"].folder is None
    assert listed["cifar10"].event_shape == (3, 32, 32)
    assert all(info.description and info.licence for info in listed.values())


def test_get_downloads_verifies_and_stores_files(empty_cache, monkeypatch):
    x, contents = little_mnist(monkeypatch)
    requested = answering(monkeypatch, contents)
    seen = []
    assert (
        download_dataset(
            "mnist", on_progress=lambda name, done, total: seen.append((name, done, total))
        )
        == empty_cache
    )
    assert [Path(url).name for url in requested] == list(contents)
    assert (
        "t10k-labels-idx1-ubyte.gz",
        len(contents["t10k-labels-idx1-ubyte.gz"]),
        len(contents["t10k-labels-idx1-ubyte.gz"]),
    ) in seen
    data = load("mnist")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [10, 2, 4]
    np.testing.assert_array_equal(data.test.tensor().numpy(), x[12:])
    assert data.test.labels.tolist() == [0, 1, 2, 3]
    assert download_dataset("mnist") == empty_cache
    assert len(requested) == 4


def test_get_resumes_an_incomplete_download(empty_cache, monkeypatch):
    _, contents = little_mnist(monkeypatch)
    (empty_cache / "mnist").mkdir(parents=True)
    (empty_cache / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(
        contents["train-images-idx3-ubyte.gz"]
    )
    requested = answering(monkeypatch, contents)
    download_dataset("mnist")
    assert len(requested) == 3


def test_wrong_checksum_is_refused_and_leaves_no_file(empty_cache, monkeypatch):
    _, contents = little_mnist(monkeypatch)
    answering(monkeypatch, contents | {"train-images-idx3-ubyte.gz": b"something else"})
    with pytest.raises(DataError, match=r"SHA-256.*Put mnist/train-images"):
        download_dataset("mnist")
    assert list(empty_cache.rglob("*")) == []


def test_interrupted_write_leaves_no_file(empty_cache, monkeypatch):
    def stop(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        fetch._write_atomically(empty_cache / "mnist" / "x.gz", b"content")
    assert list((empty_cache / "mnist").iterdir()) == []


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "binarized-mnist"])
def test_without_network_get_says_what_to_do(empty_cache, name):
    with pytest.raises(DataError, match=r"no network.*Put .* into"):
        download_dataset(name)


@pytest.mark.parametrize("name", ["frey-faces", "omniglot", "cifar10"])
def test_data_sets_without_a_download_name_the_manual_steps(empty_cache, name):
    with pytest.raises(
        DataError, match=r"cannot be downloaded.*\.npz into .*an \.npz archive .*https://"
    ):
        download_dataset(name)


def test_unknown_data_set_suggests_the_nearest_name():
    with pytest.raises(ArgumentError, match='Did you mean name="omniglot"') as caught:
        download_dataset("omniglott")
    assert (caught.value.argument, caught.value.value) == ("name", "omniglott")


def test_the_second_address_is_tried(empty_cache, monkeypatch):
    _, contents = little_mnist(monkeypatch)

    def urlopen(url, timeout):
        if "ossci" in url:
            raise urllib.error.URLError("gone")
        return Answer(contents[url.rsplit("/", 1)[-1]])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    assert download_dataset("mnist") == empty_cache


def test_binarized_mnist_is_packed_from_the_published_text(empty_cache, monkeypatch):
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
    (empty_cache / "binarized_mnist" / "binarized_mnist.npz").unlink()
    with pytest.raises(DataError, match="could not be downloaded"):
        download_dataset("binarized-mnist")


def test_a_damaged_file_of_a_set_is_named(empty_cache, monkeypatch):
    monkeypatch.setenv("AEVB_DATA", str(empty_cache))
    (empty_cache / "frey_faces").mkdir(parents=True)
    (empty_cache / "frey_faces" / "frey_faces.npz").write_bytes(b"PK junk")
    with pytest.raises(DataError, match=r"frey_faces\.npz"):
        load("frey-faces")


def test_omniglot_is_split_by_drawer(empty_cache, monkeypatch):
    monkeypatch.setenv("AEVB_DATA", str(empty_cache))
    (empty_cache / "omniglot").mkdir(parents=True)
    drawer = np.tile(np.arange(1, 21, dtype=np.uint8), 2)
    images = np.broadcast_to((drawer * 10)[:, None, None], (40, 28, 28)).astype(np.uint8)
    np.savez(
        empty_cache / "omniglot" / "omniglot_28.npz",
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
    with pytest.raises(ArgumentError, match='"alphabet" and "character"') as caught:
        load("omniglot", labels="letter")
    assert (caught.value.argument, caught.value.value) == ("labels", "letter")


def test_published_split_is_kept():
    require_data_set("binarized-mnist")
    for arguments in ({"split": (0.5, 0.25, 0.25)}, {"order": "time"}):
        with pytest.raises(ArgumentError, match="published split"):
            load("binarized-mnist", **arguments)


def test_binarized_mnist_has_the_published_statistics():
    require_data_set("binarized-mnist")
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


def test_mnist_has_the_published_statistics():
    require_data_set("mnist")
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
    require_data_set("frey-faces")
    data = load("frey-faces")
    images = np.load(Path(os.environ["AEVB_DATA"]) / "frey_faces" / "frey_faces.npz")["images"]
    np.testing.assert_array_equal(data.test.tensor().numpy(), images[-len(data.test) :])
    assert data.spec.notes[1].data["description"] == "in row order"


def test_cifar10_has_channels_first():
    require_data_set("cifar10")
    data = load("cifar10")
    assert data.spec.event_shape == (3, 32, 32)
    means = (
        torch.cat([part.tensor() for part in (data.train, data.validation, data.test)]).mean(
            (0, 2, 3)
        )
        / 255
    )
    torch.testing.assert_close(means, torch.tensor([0.4916, 0.4818, 0.4447]), atol=6e-5, rtol=0)
