"""A folder of images becomes one array; sub-folders are classes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, extra
from .raw import Ask, Raw
from .words import count, listing, sides

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"})
GREY_MODES = frozenset({"1", "L", "LA", "La"})
ALPHA_MODES = frozenset({"RGBA", "LA", "La", "PA", "RGBa"})
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image, uint8 ``[H, W]`` or ``[3, H, W]``."""

    path: Path
    pixels: np.ndarray
    alpha: bool


def read_folder(folder: Path, ask: Ask) -> Raw:
    """All images of a folder, in the order of their names, or of its sub-folders, whose names become labels.

    Raises ``DataError`` where there are none, where one cannot be decoded, and where sizes differ.
    """
    origin = f'folder "{folder}"'
    ask.refuse(origin, "key", "labels")
    paths = _paths(folder, origin)
    pictures = [_open(path) for path in paths]
    _check_sizes(pictures)
    raw = Raw(folder.resolve().name, origin, _stack(pictures), notes=_notes(folder, pictures))
    classes = np.array([path.parent.name for path in paths])
    return raw if paths[0].parent == folder else raw.labelled(classes)


def _paths(folder: Path, origin: str) -> list[Path]:
    flat = _images(folder)
    nested = [path for sub in sorted(folder.iterdir()) if sub.is_dir() for path in _images(sub)]
    if flat and nested:
        raise DataError(f"{origin} has {count(len(flat), 'image')} beside sub-folders with images: move all into sub-folders or none.")
    if not flat and not nested:
        raise DataError(f"{origin} holds no images: put {listing(sorted(ENDINGS))} files into it, or into one sub-folder per class.")
    return flat or nested


def _images(folder: Path) -> list[Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()]
    return sorted(found, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Orders frame2 before frame10, as a split by time needs."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]+)", path.name)]


def _open(path: Path) -> Picture:
    image_module, ops = _pillow()
    try:
        with image_module.open(path) as image:
            _check_depth(image, path)
            return _decode(ops.exif_transpose(image), path)
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise DataError(f'image "{path}" cannot be decoded ({error}): remove or replace it.') from error


def _check_depth(image: Any, path: Path) -> None:
    if image.mode in DEEP_MODES:
        raise DataError(f'image "{path}" has more than 8 bits per channel (mode {image.mode}): save it with 8, or give the values as .npy.')


def _decode(image: Any, path: Path) -> Picture:
    alpha = image.mode in ALPHA_MODES or "transparency" in image.info
    if image.mode in GREY_MODES:
        return Picture(path, np.asarray(image.convert("L")), alpha)
    return Picture(path, np.moveaxis(np.asarray(image.convert("RGB")), -1, 0), alpha)


def _check_sizes(pictures: list[Picture]) -> None:
    first = pictures[0]
    for other in pictures:
        if other.pixels.shape[-2:] != first.pixels.shape[-2:]:
            sizes = [sides(picture.pixels.shape[-2:]) for picture in (first, other)]
            raise DataError(
                f'images have different sizes: "{first.path}" is {sizes[0]} and "{other.path}" is {sizes[1]} (height x width): '
                "bring all to one size."
            )


def _stack(pictures: list[Picture]) -> np.ndarray:
    """Grey where all are grey; otherwise grey images get three equal channels."""
    if all(picture.pixels.ndim == 2 for picture in pictures):
        return np.stack([picture.pixels for picture in pictures])
    return np.stack([np.broadcast_to(picture.pixels, (3, *picture.pixels.shape[-2:])) for picture in pictures])


def _notes(folder: Path, pictures: list[Picture]) -> tuple[str, ...]:
    grey = sum(picture.pixels.ndim == 2 for picture in pictures)
    alpha = sum(picture.alpha for picture in pictures)
    others = [path.name for path in sorted(folder.iterdir()) if path.is_file() and path.suffix.lower() not in ENDINGS | {""}]
    notes = (
        (alpha, f"Dropped the transparency of {count(alpha, 'image')}."),
        (0 < grey < len(pictures), f"Gave {count(grey, 'grey image')} three equal channels, because the others are in colour."),
        (len(others), f"Passed over {count(len(others), 'file')} without the ending of an image: {listing(others, 3)}."),
    )
    return tuple(note for wanted, note in notes if wanted)


def _pillow() -> tuple[Any, Any]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise extra("images", "reading images") from error
    return Image, ImageOps
