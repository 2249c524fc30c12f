"""Folders of images, with sub-folders as classes."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .._memory import available_memory
from .._registry import register
from ..notes import Note
from ._compression import check_size
from ._formatting import format_count, format_list, source_error
from ._images import DecodedImage, decode_file, image_notes, stack_images
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})


@register(
    ReaderRegistration(
        name="image_folder",
        title="folder of images",
        matches=Path.is_dir,
        reads="images, resized to one size on request, with the names of sub-folders as labels",
        use_when="images in files, also with one sub-folder per class",
        cost='the extra "images"; images are decoded at each load',
        avoid_when="there are very many images; use npy or parquet",
    )
)
def read_folder(folder: Path, options: ReadOptions) -> RawData:
    """All images of a folder in the order of their names, or of its sub-folders, with labels.

    A label is the sub-folder of the first level; images in deeper folders belong to it.

    Raises:
        DataError: There are no images, sizes differ, or an image cannot be decoded.
    """
    origin = f'folder "{folder}"'
    options.check_unsupported(origin, "key", "labels")
    options.reading.check()
    paths, others = _find_files(folder, origin)
    images, classes = _decode_files(folder, paths, options)
    values = stack_images(images)
    raw = RawData(
        folder.resolve().name,
        origin,
        values,
        notes=(*_folder_notes(folder, paths, others), *image_notes(images, options.reading)),
        from_image_files=True,
        layout="NHW" if values.ndim == 3 else "NCHW",
    )
    return raw if paths[0].parent == folder else raw.with_labels(np.array(classes))


def _decode_files(
    folder: Path, paths: list[Path], options: ReadOptions
) -> tuple[list[DecodedImage], list[str]]:
    """The images of all files, and the class of each."""
    images: list[DecodedImage] = []
    classes: list[str] = []
    size, memory = 0, available_memory()
    for path in paths:
        decoded = decode_file(path, str(path), options.reading)
        size += sum(image.pixels.nbytes for image in decoded)
        check_size(size, f'folder "{folder}"', options.reading.allow_large, memory)
        name = unicodedata.normalize("NFC", path.relative_to(folder).parts[0])
        images += decoded
        classes += [name] * len(decoded)
    return images, classes


def _find_files(folder: Path, origin: str) -> tuple[list[Path], list[Path]]:
    """The images of the folder, or of its sub-folders, and the files that are no images."""
    flat, other_files = _split_files(path for path in folder.iterdir() if path.is_file())
    nested: list[Path] = []
    for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
        if not _is_hidden(sub.name):
            images, others = _split_files(_walk(sub))
            nested, other_files = nested + images, other_files + others
    if flat and nested:
        raise source_error(
            f"{origin} has {format_count(len(flat), 'image')} beside sub-folders with images",
            "Move all images into sub-folders, or none",
        )
    if not flat and not nested:
        raise source_error(
            f"{origin} holds no images",
            f"Put {format_list(sorted(IMAGE_SUFFIXES))} files into it, or into one sub-folder "
            "per class",
        )
    return flat or nested, other_files


def _walk(folder: Path) -> list[Path]:
    """The files of a folder and of all folders below it."""
    files: list[Path] = []
    for place, below, names in os.walk(folder):
        below[:] = [name for name in below if not _is_hidden(name)]
        files += [Path(place, name) for name in names]
    return files


def _is_hidden(name: str) -> bool:
    """Whether a file or folder belongs to the system and not to the data."""
    return name.startswith(".") or name == "__MACOSX"


def _split_files(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Images in natural order, and other files; hidden files are neither."""
    visible = sorted((path for path in files if not _is_hidden(path.name)), key=_natural_sort_key)
    images = [path for path in visible if path.suffix.lower() in IMAGE_SUFFIXES]
    return images, [path for path in visible if path.suffix.lower() not in IMAGE_SUFFIXES]


def _natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """A key that sorts frame2 before frame10, as a split by time requires."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", str(path))
    ]


def _folder_notes(folder: Path, paths: list[Path], others: list[Path]) -> list[Note]:
    """Where labels come from, and which files were skipped."""
    notes = []
    deep = sum(len(path.relative_to(folder).parts) > 2 for path in paths)
    if deep:
        text = (
            f"Read {format_count(deep, 'image')} from folders within the class folders; labels are "
            "the folders of the first level."
        )
        notes.append(Note("nested_folders", text, data={"images": deep}))
    if others:
        text = (
            f"Skipped {format_count(len(others), 'file')} without the ending of an image: "
            f"{format_list((path.name for path in others), 3)}."
        )
        names = [str(path.relative_to(folder)) for path in others]
        notes.append(Note("files_skipped", text, data={"files": names}))
    return notes
