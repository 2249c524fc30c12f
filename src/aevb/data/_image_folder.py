"""A folder of images becomes one array; sub-folders are classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, missing_extra
from ._formatting import format_count, format_list, format_shape
from ._raw import RawData, ReadOptions

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
GREY_MODES = frozenset({"1", "L", "LA", "La"})
ALPHA_MODES = frozenset({"RGBA", "LA", "La", "PA", "RGBa"})
HIGH_DEPTH_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """One decoded image, uint8 ``[H, W]`` or ``[3, H, W]``."""

    path: Path
    pixels: np.ndarray
    alpha: bool


def read_folder(folder: Path, options: ReadOptions) -> RawData:
    """All images of a folder, in the order of their names, or of its sub-folders, whose names become labels.

    Raises ``DataError`` where there are none, where one cannot be decoded, and where sizes differ.
    """
    origin = f'folder "{folder}"'
    options.check_unsupported(origin, "key", "labels")
    paths = _find_image_paths(folder, origin)
    pictures = [_open_image(path) for path in paths]
    _check_sizes(pictures)
    raw = RawData(
        folder.resolve().name, origin, _stack_images(pictures), notes=_image_notes(folder, pictures)
    )
    classes = np.array([path.parent.name for path in paths])
    return raw if paths[0].parent == folder else raw.with_labels(classes)


def _find_image_paths(folder: Path, origin: str) -> list[Path]:
    flat = _list_images(folder)
    nested = [
        path for sub in sorted(folder.iterdir()) if sub.is_dir() for path in _list_images(sub)
    ]
    if flat and nested:
        raise DataError(
            f"{origin} has {format_count(len(flat), 'image')} beside sub-folders with images: move all into sub-folders or none."
        )
    if not flat and not nested:
        raise DataError(
            f"{origin} holds no images: put {format_list(sorted(IMAGE_SUFFIXES))} files into it, or into one sub-folder per class."
        )
    return flat or nested


def _list_images(folder: Path) -> list[Path]:
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    ]
    return sorted(found, key=_natural_sort_key)


def _natural_sort_key(path: Path) -> list[tuple[int, str]]:
    """Orders frame2 before frame10, as a split by time needs."""
    return [
        (int(part), "") if part.isdigit() else (-1, part)
        for part in re.split(r"([0-9]+)", path.name)
    ]


def _open_image(path: Path) -> DecodedImage:
    image_module, ops = _import_pillow()
    try:
        with image_module.open(path) as image:
            _check_depth(image, path)
            return _decode_image(ops.exif_transpose(image), path)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise DataError(
            f'image "{path}" cannot be decoded ({error}): remove or replace it.'
        ) from error


def _check_depth(image: Any, path: Path) -> None:
    if image.mode in HIGH_DEPTH_MODES:
        raise DataError(
            f'image "{path}" has more than 8 bits per channel (mode {image.mode}): save it with 8, or give the values as .npy.'
        )


def _decode_image(image: Any, path: Path) -> DecodedImage:
    alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    if image.mode in GREY_MODES:
        return DecodedImage(path, np.asarray(image.convert("L")), alpha)
    return DecodedImage(path, np.moveaxis(np.asarray(image.convert("RGB")), -1, 0), alpha)


def _check_sizes(pictures: list[DecodedImage]) -> None:
    first = pictures[0]
    for other in pictures:
        if other.pixels.shape[-2:] != first.pixels.shape[-2:]:
            sizes = [format_shape(picture.pixels.shape[-2:]) for picture in (first, other)]
            raise DataError(
                f'images have different sizes: "{first.path}" is {sizes[0]} and "{other.path}" is {sizes[1]} (height x width): '
                "bring all to one size."
            )


def _stack_images(pictures: list[DecodedImage]) -> np.ndarray:
    """Grey where all are grey; otherwise grey images get three equal channels."""
    if all(picture.pixels.ndim == 2 for picture in pictures):
        return np.stack([picture.pixels for picture in pictures])
    return np.stack(
        [np.broadcast_to(picture.pixels, (3, *picture.pixels.shape[-2:])) for picture in pictures]
    )


def _image_notes(folder: Path, pictures: list[DecodedImage]) -> tuple[str, ...]:
    grey = sum(picture.pixels.ndim == 2 for picture in pictures)
    alpha = sum(picture.alpha for picture in pictures)
    others = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES | {""}
    ]
    notes = (
        (alpha, f"Dropped the transparency of {format_count(alpha, 'image')}."),
        (
            0 < grey < len(pictures),
            f"Gave {format_count(grey, 'grey image')} three equal channels, because the others are in colour.",
        ),
        (
            len(others),
            f"Passed over {format_count(len(others), 'file')} without the ending of an image: {format_list(others, 3)}.",
        ),
    )
    return tuple(note for wanted, note in notes if wanted)


def _import_pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise missing_extra("images", "reading images") from error
    return Image, ImageOps
