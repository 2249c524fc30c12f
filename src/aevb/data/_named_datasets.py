"""Data sets with names: what they are, where they lie, how they are read and split."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from . import _sprites as sprites
from ._formatting import did_you_mean, format_count, format_list
from ._raw import RawData, ReadOptions
from ._readers import convert_read_errors, parse_idx
from ._splits import Split, random_permutation


@dataclass(frozen=True)
class DatasetInfo:
    """One line of ``list_sets``: ``found`` is the folder that holds the set, None where it has to be fetched."""

    name: str
    description: str
    n_rows: int
    event_shape: tuple[int, ...]
    licence: str
    folder: Path | None


@dataclass(frozen=True)
class DatasetFile:
    """A file of a set: its path below a data folder, its SHA-256, and where publishers hold it (tried in this order)."""

    path: str
    sha256: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedDataset:
    """A set, its reader ``(folder, options) -> RawData``, and, where it cannot be downloaded, what to make by hand."""

    name: str
    description: str
    n_rows: int
    event_shape: tuple[int, ...]
    licence: str
    files: tuple[DatasetFile, ...]
    read: Callable[[NamedDataset, Path, ReadOptions], RawData]
    manual_instructions: str | None = None

    def find_folder(self) -> Path | None:
        """The first data folder that holds all files of the set; the library itself where it draws the set."""
        if not self.files:
            return Path(__file__).parent
        return next(
            (
                root
                for root in _data_folders()
                if all((root / file.path).is_file() for file in self.files)
            ),
            None,
        )


def find_named_dataset(name: str) -> NamedDataset | None:
    """The set of this name (underscores count as dashes), None where there is none."""
    return NAMED_DATASETS.get(name.lower().replace("_", "-"))


def get_named_dataset(name: str) -> NamedDataset:
    """The set of this name. Raises ``ArgumentError`` that names the nearest."""
    found = find_named_dataset(name)
    if found is None:
        raise ArgumentError(
            f'name="{name}" is not a known set. Known: {format_list(NAMED_DATASETS)}.{did_you_mean(name.lower().replace("_", "-"), NAMED_DATASETS)}'
        )
    return found


def read_named_dataset(dataset: NamedDataset, options: ReadOptions) -> RawData:
    """Read a set from where it lies. Raises ``DataError`` that says where to put it."""
    root = dataset.find_folder()
    if root is None:
        raise DataError(missing_message(dataset))
    options.check_unsupported(f'the set "{dataset.name}"', "key")
    with convert_read_errors(root / dataset.files[0].path if dataset.files else root):
        return dataset.read(dataset, root, options)


def list_datasets() -> tuple[DatasetInfo, ...]:
    """All sets with names, and where they were found.

    >>> list_sets()[0].name, list_sets()[0].rows
    ('digits', 1797)
    """
    return tuple(
        DatasetInfo(s.name, s.description, s.n_rows, s.event_shape, s.licence, s.find_folder())
        for s in NAMED_DATASETS.values()
    )


def cache_folder() -> Path:
    """The folder for downloads: ``aevb/data`` in ``$XDG_CACHE_HOME``, or else in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aevb" / "data"


def missing_message(dataset: NamedDataset) -> str:
    """The sentence for a set that is not there: what to put where, or what to run."""
    other = "" if dataset.manual_instructions else f", or run: aevb data get {dataset.name}"
    return f'The set "{dataset.name}" is not on this computer. {placement_instructions(dataset)}{other}.'


def placement_instructions(dataset: NamedDataset) -> str:
    """Which files to put where, by hand."""
    where = f"Put {format_list(file.path for file in dataset.files)} into {cache_folder()} or into the folder that AEVB_DATA names"
    return f"{where}: {dataset.manual_instructions}" if dataset.manual_instructions else where


def _data_folders() -> list[Path]:
    given = os.environ.get("AEVB_DATA")
    return [*([Path(given)] if given else []), cache_folder(), Path(__file__).parent / "files"]


def _load_npz(dataset: NamedDataset, root: Path) -> np.lib.npyio.NpzFile:
    return np.load(root / dataset.files[0].path, allow_pickle=False)


def _make_raw(dataset: NamedDataset, values: np.ndarray, **fields: Any) -> RawData:
    return RawData(dataset.name, f'the set "{dataset.name}"', values, **fields)


def _read_images(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """An archive with ``images`` and perhaps ``labels``."""
    options.check_unsupported(f'the set "{dataset.name}"', "labels")
    arrays = _load_npz(dataset, root)
    return _make_raw(dataset, arrays["images"], labels=arrays.get("labels"))


def _read_frames(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """Frames of a film: a random split would put near-copies of training frames into the test part."""
    options.check_unsupported(f'the set "{dataset.name}"', "labels")
    return _make_raw(dataset, _load_npz(dataset, root)["images"], order="time")


def _read_sprites(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    return _make_raw(
        dataset, sprites.sprite_images(), labels=sprites.sprite_labels(options.labels or "shape")
    )


def _read_mnist(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    options.check_unsupported(f'the set "{dataset.name}"', "labels")
    arrays = [
        parse_idx(gzip.decompress((root / file.path).read_bytes()), root / file.path)
        for file in dataset.files
    ]
    split = _split_training_rows(len(arrays[0]), len(arrays[2]))
    return _make_raw(
        dataset, np.concatenate(arrays[::2]), labels=np.concatenate(arrays[1::2]), split=split
    )


def _split_training_rows(n_train: int, n_test: int) -> Callable[[int], Split]:
    """A sixth of the training rows, chosen by the seed, becomes the validation part; the test part stays the published one."""

    def split(seed: int) -> Split:
        rows, held = random_permutation(n_train, seed), n_train // 6
        how = f"as published, validation drawn from the {format_count(n_train, 'training row')} with seed {seed}"
        return Split(rows[held:], rows[:held], np.arange(n_train, n_train + n_test), how)

    return split


def _read_binarized(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    options.check_unsupported(f'the set "{dataset.name}"', "labels")
    arrays = _load_npz(dataset, root)
    parts = [arrays[name] for name in ("train", "valid", "test")]
    train, validation, test = np.split(
        np.arange(sum(map(len, parts))), np.cumsum([len(part) for part in parts])[:2]
    )
    split = Split(train, validation, test, "as published")
    return _make_raw(
        dataset, np.concatenate(parts), packed_shape=dataset.event_shape, split=lambda seed: split
    )


def _read_omniglot(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """Every character was drawn by 20 people; people, and not drawings, are held out."""
    arrays, kind = _load_npz(dataset, root), options.labels or "alphabet"
    kinds = {
        "alphabet": lambda: arrays["alphabet_names"][arrays["alphabet"]],
        "character": lambda: arrays["character"],
    }
    if kind not in kinds:
        raise ArgumentError(
            f'labels="{kind}": the set "{dataset.name}" has labels "alphabet" and "character".{did_you_mean(kind, kinds)}'
        )
    drawer = arrays["drawer"]
    train, validation, test = (
        np.flatnonzero(part)
        for part in (drawer <= 13, (drawer == 14) | (drawer == 15), drawer > 15)
    )
    split = Split(
        train, validation, test, "by drawer: 1 to 13, 14 and 15, 16 to 20 of each character"
    )
    return _make_raw(dataset, arrays["images"], labels=kinds[kind](), split=lambda seed: split)


def _idx_files(
    folder: str, bases: tuple[str, ...], sums: tuple[str, ...]
) -> tuple[DatasetFile, ...]:
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    return tuple(
        DatasetFile(f"{folder}/{name}", total, tuple(base + name for base in bases))
        for name, total in zip(names, sums, strict=True)
    )


_NAMED_DATASETS = (
    NamedDataset(
        "digits",
        "Handwritten digits of 8 x 8 with 17 grey levels (comes with the library)",
        1797,
        (8, 8),
        "CC BY 4.0 (UCI)",
        (
            DatasetFile(
                "digits.npz", "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
            ),
        ),
        _read_images,
    ),
    NamedDataset(
        "sprites",
        "Shapes of known kind, size, rotation and place, 32 x 32 in black and white (drawn by the library)",
        6144,
        (32, 32),
        "Apache-2.0",
        (),
        _read_sprites,
    ),
    NamedDataset(
        "mnist",
        "Handwritten digits of 28 x 28 in grey",
        70000,
        (28, 28),
        "CC BY-SA 3.0",
        _idx_files(
            "mnist",
            ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
            (
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
        _read_mnist,
    ),
    NamedDataset(
        "binarized-mnist",
        "MNIST binarised once by Larochelle and Murray (2011), published split, no labels",
        70000,
        (28, 28),
        "not stated (derived from MNIST)",
        (
            DatasetFile(
                "binarized_mnist/binarized_mnist.npz",
                "50de2c8299a5a297789293ab2c30f6fc3cb8c359a15e5e88d5501aa18ebb8fa5",
            ),
        ),
        _read_binarized,
    ),
    NamedDataset(
        "fashion-mnist",
        "Articles of clothing of 28 x 28 in grey",
        70000,
        (28, 28),
        "MIT",
        _idx_files(
            "fashion_mnist",
            ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        _read_mnist,
    ),
    NamedDataset(
        "frey-faces",
        "Frames of a film of one face, 28 x 20 in grey, split by time",
        1965,
        (28, 20),
        "not stated",
        (
            DatasetFile(
                "frey_faces/frey_faces.npz",
                "3c70375e0a9c4751ad49ad5f1f692bd094c46f133cf4aa8ea77d1cb14e1efcd1",
            ),
        ),
        _read_frames,
        'an .npz archive whose array "images" is uint8 of shape (1965, 28, 20), made from frey_rawface.mat of https://cs.nyu.edu/~roweis/data.html',
    ),
    NamedDataset(
        "omniglot",
        "Characters of 50 alphabets, 20 drawings each, 28 x 28 in grey, split by drawer",
        32460,
        (28, 28),
        "MIT",
        (
            DatasetFile(
                "omniglot/omniglot_28.npz",
                "42e895921666105ea945ff0de9abc36d8ac13fa46c131bd0f33403ca54b54602",
            ),
        ),
        _read_omniglot,
        'an .npz archive with "images" uint8 (32460, 28, 28), ink 255, averaged from 105 x 105, one number per image in "alphabet", '
        '"character" and "drawer" (1 to 20), and "alphabet_names", made from images_background.zip and images_evaluation.zip of '
        "https://github.com/brendenlake/omniglot",
    ),
    NamedDataset(
        "cifar10",
        "Colour photographs of 32 x 32, the first 4,000 training images, no labels",
        4000,
        (3, 32, 32),
        "not stated",
        (
            DatasetFile(
                "cifar10/cifar10_train_first4000.npz",
                "eb14369cfc5a272e5e6e79092f4587c72d3f7064cf6106e942dc69ffdf514040",
            ),
        ),
        _read_images,
        'an .npz archive whose array "images" is uint8 of shape (4000, 32, 32, 3), the first 4,000 rows of data_batch_1 of '
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
)
NAMED_DATASETS = {known.name: known for known in _NAMED_DATASETS}
