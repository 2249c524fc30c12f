"""Folders of images, with sub-folders as classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._registry import register
from ..errors import DataError, missing_extra
from ..notes import Note
from ._formatting import format_count, format_list, format_shape, source_error
from ._raw import RawData, ReadOptions
from ._readers import ReaderRegistration

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
GREY_MODES = frozenset({"1", "L", "LA", "La"})
ALPHA_MODES = frozenset({"RGBA", "LA", "La", "PA", "RGBa"})
HIGH_DEPTH_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image, uint8 ``[H, W]`` or ``[3, H, W]``; ``alpha``: had an alpha channel."""

    path: Path
    pixels: np.ndarray
    alpha: bool


@register(
    ReaderRegistration(
        name="image_folder",
        title="folder of images",
        matches=Path.is_dir,
        reads="images of one size, with the names of sub-folders as labels",
        use_when="images in files, also with one sub-folder per class",
        cost='the extra "images"; images are decoded at each load',
        avoid_when="images have different sizes, or more than 8 bits; use npy",
    )
)
def read_folder(folder: Path, options: ReadOptions) -> RawData:
    """All images of a folder in the order of their names, or of its sub-folders, with labels.

    Raises:
        DataError: There are no images, sizes differ, or an image cannot be decoded.
    """
    origin = f'folder "{folder}"'
    options.check_unsupported(origin, "key", "labels")
    paths = _find_image_paths(folder, origin)
    images = [_open_image(path) for path in paths]
    _check_sizes(images)
    raw = RawData(
        folder.resolve().name, origin, _stack_images(images), notes=_image_notes(folder, images)
    )
    classes = np.array([path.parent.name for path in paths])
    return raw if paths[0].parent == folder else raw.with_labels(classes)


def _find_image_paths(folder: Path, origin: str) -> list[Path]:
    """The images of the folder, or of its sub-folders."""
    flat = _list_images(folder)
    nested = [
        path for sub in sorted(folder.iterdir()) if sub.is_dir() for path in _list_images(sub)
    ]
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
    return flat or nested


def _list_images(folder: Path) -> list[Path]:
    """The images directly in a folder, in natural order."""
    paths = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    return sorted(paths, key=_natural_sort_key)


def _natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """A key that sorts frame2 before frame10, as a split by time requires."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", path.name)
    ]


def _open_image(path: Path) -> DecodedImage:
    """Decode an image, rotated as its metadata say."""
    image_module, ops = _import_pillow()
    try:
        with image_module.open(path) as image:
            _check_depth(image, path)
            return _decode_image(ops.exif_transpose(image), path)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise source_error(
            f'image "{path}" cannot be decoded ({error})', "Remove or replace it"
        ) from error


def _check_depth(image: Any, path: Path) -> None:
    """Refuse images with more than 8 bits."""
    if image.mode in HIGH_DEPTH_MODES:
        raise source_error(
            f'image "{path}" has more than 8 bits per channel (mode {image.mode})',
            "Save it with 8 bits, or give the values as .npy",
        )


def _decode_image(image: Any, path: Path) -> DecodedImage:
    """The pixels in grey or colour, without an alpha channel."""
    alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    if image.mode in GREY_MODES:
        return DecodedImage(path, np.asarray(image.convert("L")), alpha)
    return DecodedImage(path, np.moveaxis(np.asarray(image.convert("RGB")), -1, 0), alpha)


def _check_sizes(images: list[DecodedImage]) -> None:
    """Refuse images of different sizes."""
    first = images[0]
    for other in images:
        if other.pixels.shape[-2:] != first.pixels.shape[-2:]:
            sizes = [format_shape(image.pixels.shape[-2:]) for image in (first, other)]
            raise source_error(
                f'images have different sizes: "{first.path}" is {sizes[0]} and "{other.path}" is '
                f"{sizes[1]} (height x width)",
                "Bring all to one size",
            )


def _stack_images(images: list[DecodedImage]) -> np.ndarray:
    """Grey where all are grey; otherwise grey images get three equal channels."""
    if all(image.pixels.ndim == 2 for image in images):
        return np.stack([image.pixels for image in images])
    return np.stack(
        [np.broadcast_to(image.pixels, (3, *image.pixels.shape[-2:])) for image in images]
    )


def _image_notes(folder: Path, images: list[DecodedImage]) -> tuple[Note, ...]:
    """What was changed in the images, and which files were skipped."""
    grey = sum(image.pixels.ndim == 2 for image in images)
    alpha = sum(image.alpha for image in images)
    others = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES | {""}
    ]
    notes = []
    if alpha:
        text = f"Dropped the transparency of {format_count(alpha, 'image')}."
        notes.append(Note("transparency_dropped", text, data={"images": alpha}))
    if 0 < grey < len(images):
        text = (
            f"Gave {format_count(grey, 'grey image')} three equal channels, because the others are "
            "in colour."
        )
        notes.append(Note("grey_images_expanded", text, data={"images": grey}))
    if others:
        text = (
            f"Skipped {format_count(len(others), 'file')} without the ending of an image: "
            f"{format_list(others, 3)}."
        )
        notes.append(Note("files_skipped", text, data={"files": others}))
    return tuple(notes)


def _import_pillow() -> tuple[Any, Any]:
    """The modules of Pillow that are used."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise missing_extra("images", "reading images") from error
    return Image, ImageOps
