"""Data sets with names: what they are, where their files are, how they are read and split."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArgumentError, DataError
from ..notes import Part, Text, message
from . import _sprites as sprites
from ._formatting import format_count, format_list, source_error, suggest_nearest
from ._idx import parse_idx
from ._raw import RawData, ReadOptions
from ._readers import convert_read_errors
from ._splits import Split, random_permutation


@dataclass(frozen=True)
class DatasetInfo:
    """A data set with a name, as ``list_datasets`` returns it.

    Args:
        name: The name that ``load`` takes.
        description: What the data are.
        n_rows: The number of rows.
        event_shape: The shape of one row.
        licence: The licence of the data.
        folder: The folder that holds the files; ``None`` where they must be downloaded first.
    """

    name: str
    description: str
    n_rows: int
    event_shape: tuple[int, ...]
    licence: str
    folder: Path | None


@dataclass(frozen=True)
class DatasetFile:
    """A file of a data set: its path in a data folder, its SHA-256, and its addresses in order."""

    path: str
    sha256: str
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class NamedDataset:
    """A data set, its reader, and, where it cannot be downloaded, how to make its file by hand."""

    name: str
    description: str
    n_rows: int
    event_shape: tuple[int, ...]
    licence: str
    files: tuple[DatasetFile, ...]
    read: Callable[[NamedDataset, Path, ReadOptions], RawData]
    manual_instructions: str | None = None

    def find_folder(self) -> Path | None:
        """The first data folder with all files; the library itself for data that it draws."""
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

    @property
    def placement(self) -> str:
        """The suggestion to put the files into a data folder."""
        files = format_list(file.path for file in self.files)
        where = f"Put {files} into {cache_folder()} or into the folder that AEVB_DATA names"
        return f"{where}: {self.manual_instructions}" if self.manual_instructions else where

    def missing_error(self, reason: str = "") -> DataError:
        """The error for a data set whose files are in no data folder."""
        download: tuple[Text, ...] = (
            ()
            if self.manual_instructions
            else (
                message(
                    "Or download it: {call}",
                    call=Part("data.download_dataset", {"name": self.name}),
                ),
            )
        )
        return source_error(
            f'the data set "{self.name}" is not on this computer{reason}', self.placement, *download
        )


def find_named_dataset(name: str) -> NamedDataset | None:
    """The data set of this name (underscores count as dashes), ``None`` where there is none."""
    return NAMED_DATASETS.get(name.lower().replace("_", "-"))


def get_named_dataset(name: str) -> NamedDataset:
    """The data set of this name.

    Raises:
        ArgumentError: There is none; the suggestion is the nearest name.
    """
    dataset = find_named_dataset(name)
    if dataset is None:
        raise ArgumentError(
            f"this is not a known data set; known are {format_list(NAMED_DATASETS)}",
            argument="name",
            value=name,
            suggestions=suggest_nearest(name.lower().replace("_", "-"), NAMED_DATASETS, "name"),
        )
    return dataset


def read_named_dataset(dataset: NamedDataset, options: ReadOptions) -> RawData:
    """Read a data set from its folder.

    Raises:
        DataError: The files are in no data folder, or are damaged.
    """
    root = dataset.find_folder()
    if root is None:
        raise dataset.missing_error()
    options.check_unsupported(f'the data set "{dataset.name}"', "key")
    with convert_read_errors(root / dataset.files[0].path if dataset.files else root):
        return dataset.read(dataset, root, options)


def list_datasets() -> tuple[DatasetInfo, ...]:
    """List all data sets with names.

    Returns:
        A record for each data set, with the folder that holds its files.

    Example:
        >>> list_datasets()[0].name, list_datasets()[0].n_rows
        ('digits', 1797)
    """
    return tuple(
        DatasetInfo(s.name, s.description, s.n_rows, s.event_shape, s.licence, s.find_folder())
        for s in NAMED_DATASETS.values()
    )


def cache_folder() -> Path:
    """The folder for downloads: ``aevb/data`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aevb" / "data"


def _data_folders() -> list[Path]:
    """The folders that may hold data sets, in the order of search."""
    root = os.environ.get("AEVB_DATA")
    return [*([Path(root)] if root else []), cache_folder(), Path(__file__).parent / "files"]


def _load_npz(dataset: NamedDataset, root: Path) -> dict[str, np.ndarray]:
    """The arrays of a data set with one file."""
    with np.load(root / dataset.files[0].path, allow_pickle=False) as archive:
        return dict(archive)


def _make_raw(dataset: NamedDataset, values: np.ndarray, **fields: Any) -> RawData:
    """The data of a data set with a name."""
    return RawData(dataset.name, f'the data set "{dataset.name}"', values, **fields)


def _read_images(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """An archive with ``images`` and, in some data sets, ``labels``."""
    options.check_unsupported(f'the data set "{dataset.name}"', "labels")
    arrays = _load_npz(dataset, root)
    return _make_raw(dataset, arrays["images"], labels=arrays.get("labels"))


def _read_frames(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """Frames of a film, where a random split would put near-copies into the test part."""
    options.check_unsupported(f'the data set "{dataset.name}"', "labels")
    return _make_raw(dataset, _load_npz(dataset, root)["images"], order="time")


def _read_sprites(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """The images that the library draws."""
    return _make_raw(
        dataset, sprites.sprite_images(), labels=sprites.sprite_labels(options.labels or "shape")
    )


def _read_mnist(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """Four IDX files: images and labels for training and test."""
    options.check_unsupported(f'the data set "{dataset.name}"', "labels")
    arrays = [
        parse_idx(gzip.decompress((root / file.path).read_bytes()), root / file.path)
        for file in dataset.files
    ]
    split = _split_training_rows(len(arrays[0]), len(arrays[2]))
    return _make_raw(
        dataset, np.concatenate(arrays[::2]), labels=np.concatenate(arrays[1::2]), split=split
    )


def _split_training_rows(n_train: int, n_test: int) -> Callable[[int], Split]:
    """The published test part, and a sixth of the training rows for validation."""

    def split(seed: int) -> Split:
        rows, n_validation = random_permutation(n_train, seed), n_train // 6
        return Split(
            rows[n_validation:],
            rows[:n_validation],
            np.arange(n_train, n_train + n_test),
            f"as published, validation drawn from the {format_count(n_train, 'training row')} "
            f"with seed {seed}",
        )

    return split


def _read_binarized(dataset: NamedDataset, root: Path, options: ReadOptions) -> RawData:
    """An archive of packed bits with the published split."""
    options.check_unsupported(f'the data set "{dataset.name}"', "labels")
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
    """Every character is drawn by 20 people; the split holds out people instead of drawings."""
    arrays, kind = _load_npz(dataset, root), options.labels or "alphabet"
    kinds = {
        "alphabet": lambda: arrays["alphabet_names"][arrays["alphabet"]],
        "character": lambda: arrays["character"],
    }
    if kind not in kinds:
        raise ArgumentError(
            f'the data set "{dataset.name}" has the labels "alphabet" and "character"',
            argument="labels",
            value=kind,
            suggestions=suggest_nearest(kind, kinds, "labels"),
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
    """The four files of a data set in the layout of MNIST."""
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
        "Shapes with known kind, size, rotation and position, 32 x 32 in black and white "
        "(drawn by the library)",
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
        'an .npz archive whose array "images" is uint8 of shape (1965, 28, 20), made from '
        "frey_rawface.mat of https://cs.nyu.edu/~roweis/data.html",
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
        'an .npz archive with "images" uint8 (32460, 28, 28), ink 255, averaged from 105 x 105, '
        'one number per image in "alphabet", "character" and "drawer" (1 to 20), and '
        '"alphabet_names", made from images_background.zip and images_evaluation.zip of '
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
        'an .npz archive whose array "images" is uint8 of shape (4000, 32, 32, 3), the first 4,000 '
        "rows of data_batch_1 of "
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
)
NAMED_DATASETS = {dataset.name: dataset for dataset in _NAMED_DATASETS}
