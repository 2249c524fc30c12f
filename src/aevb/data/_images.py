"""Encoded images, in files or in cells of a table, as arrays of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import ArgumentError, DataError, missing_extra
from ..notes import Argument, Note, message
from ._compression import check_size
from ._formatting import format_count, format_shape, source_error
from ._reading import Reading

GREY_MODES = frozenset({"1", "L", "LA", "La"})
DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})  # numbers instead of bytes


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Args:
        name: The file or the cell.
        pixels: ``[H, W]`` or ``[3, H, W]``, uint8; ``[H, W]``, uint16 or float32.
        size: Height and width before any resizing.
        alpha: Whether it had transparent pixels.
        frames_skipped: The number of further images of the file that were not read.
        narrowed: Whether 16-bit colours were reduced to 8 bits.
    """

    name: str
    pixels: np.ndarray
    size: tuple[int, int]
    alpha: bool = False
    frames_skipped: int = 0
    narrowed: bool = False


def decode_file(file: Path | BinaryIO, name: str, reading: Reading) -> list[DecodedImage]:
    """Decode an image, rotated as its metadata say, or all images of the file.

    Raises:
        DataError: The file cannot be decoded.
    """
    image_module, ops = _import_pillow()
    try:
        with image_module.open(file) as image:
            # the further images of a photo in the MPO format are previews
            number = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            check_size(4 * image.width * image.height, f'image "{name}"', reading.allow_large)
            narrowed, decoded = _is_narrowed(image), []
            for frame in range(number if reading.frames == "all" else 1):
                image.seek(frame) if frame else None
                decoded.append(_decode(ops.exif_transpose(image), name, reading))
    except (ArgumentError, DataError):
        raise
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise source_error(
            f'image "{name}" cannot be decoded ({error})', "Remove or replace it"
        ) from error
    skipped = number - len(decoded)
    return [replace(each, frames_skipped=skipped, narrowed=narrowed) for each in decoded]


def stack_images(images: Sequence[DecodedImage]) -> np.ndarray:
    """Pixels of all images: grey where all are grey, otherwise grey images get three channels.

    Raises:
        DataError: Sizes or depths differ.
    """
    _check_sizes(images)
    kinds = {image.pixels.dtype for image in images}
    if len(kinds) > 1:
        names = [next(i.name for i in images if i.pixels.dtype == kind) for kind in kinds]
        raise source_error(
            f'images have different depths: "{names[0]}" is {kinds.pop()} and "{names[1]}" is '
            f"{kinds.pop()}",
            "Save all with the same number of bits",
        )
    if all(image.pixels.ndim == 2 for image in images):
        return np.stack([image.pixels for image in images])
    return np.stack(
        [np.broadcast_to(image.pixels, (3, *image.pixels.shape[-2:])) for image in images]
    )


def image_notes(images: Sequence[DecodedImage], reading: Reading) -> tuple[Note, ...]:
    """What was changed in the images, and what was left out."""
    grey = sum(image.pixels.ndim == 2 for image in images)
    alpha = sum(image.alpha for image in images)
    narrowed = sum(image.narrowed for image in images)
    notes = [*_frame_notes(images), *_resize_notes(images, reading)]
    if alpha:
        background = reading.background or "white"
        text = message(
            f"Drew {format_count(alpha, 'image')} with transparent pixels on {{background}}.",
            background=Argument("background", background),
        )
        data = {"images": alpha, "background": background}
        notes.append(Note("transparency_composited", text, data=data))
    if 0 < grey < len(images):
        text = (
            f"Gave {format_count(grey, 'grey image')} three equal channels, because the others are "
            "in colour."
        )
        notes.append(Note("grey_images_expanded", text, data={"images": grey}))
    if narrowed:
        text = f"Read {format_count(narrowed, 'colour image')} of 16 bits with 8 bits per channel."
        notes.append(Note("depth_reduced", text, "warning", {"images": narrowed}))
    return tuple(notes)


def _frame_notes(images: Sequence[DecodedImage]) -> list[Note]:
    """The images of animations and of files with several pages that were not read."""
    skipped = [image.frames_skipped for image in images if image.frames_skipped]
    if not skipped:
        return []
    text = message(
        f"Read the first image of each of {format_count(len(skipped), 'file')} with several, and "
        f"left out {format_count(sum(skipped), 'image')}; {{frames}} reads all.",
        frames=Argument("frames", "all"),
    )
    return [
        Note("frames_skipped", text, "warning", {"files": len(skipped), "frames": sum(skipped)})
    ]


def _resize_notes(images: Sequence[DecodedImage], reading: Reading) -> list[Note]:
    """How images were resized."""
    if reading.resize is None:
        return []
    height, width = reading.resize
    resized = [image.size for image in images if image.size != reading.resize]
    other = sum(rows * width != columns * height for rows, columns in resized)
    enlarged = sum(rows < height or columns < width for rows, columns in resized)
    text = (
        f"Resized {format_count(len(resized), 'image')} to {format_shape(reading.resize)} (height "
        "x width) with anti-aliasing"
    )
    if other:
        how = "stretched" if reading.crop == "none" else "cut to the centre"
        text += f"; {other:,} of other proportions were {how}"
    text += f"; {enlarged:,} were enlarged." if enlarged else "."
    data = {"images": len(resized), "other_proportions": other, "enlarged": enlarged}
    return [Note("images_resized", text, data=data | {"size": list(reading.resize)})]


def _decode(image: Any, name: str, reading: Reading) -> DecodedImage:
    """The pixels of an image on its background, in its size or resized."""
    size = (image.height, image.width)
    if image.mode in DEEP_MODES or image.mode == "F":
        return DecodedImage(name, _deep_pixels(image, reading), size)
    alpha = image.has_transparency_data and image.convert("RGBA").getextrema()[3][0] < 255
    image = _flatten(image, reading.background or "white") if alpha else image
    image = _resize(image.convert("L" if image.mode in GREY_MODES else "RGB"), reading)
    pixels = np.asarray(image)
    return DecodedImage(
        name, pixels if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0), size, alpha
    )


def _deep_pixels(image: Any, reading: Reading) -> np.ndarray:
    """The pixels of a grey image with more than 8 bits: uint16, or float32 for other numbers."""
    image_module, _ = _import_pillow()
    values = np.asarray(image)
    whole = values.dtype.kind in "iu" and values.min() >= 0 and values.max() <= 65535
    pixels = values.astype(np.float32)
    if reading.resize is not None and pixels.shape != reading.resize:
        pixels = np.asarray(_resize(image_module.fromarray(pixels), reading))
    return np.rint(pixels).clip(0, 65535).astype(np.uint16) if whole else pixels


def _flatten(image: Any, background: str) -> Any:
    """A transparent image on a background; a grey image on a grey background stays grey."""
    image_module, _ = _import_pillow()
    colour = parse_colour(background)
    canvas = image_module.new("RGBA", image.size, (*colour, 255))
    canvas.alpha_composite(image.convert("RGBA"))
    grey = image.mode in GREY_MODES and len(set(colour)) == 1
    return canvas.getchannel("R") if grey else canvas.convert("RGB")


def parse_colour(colour: str) -> tuple[int, ...]:
    """Red, green and blue of a colour.

    Raises:
        ArgumentError: This is no colour.
    """
    from PIL import ImageColor

    try:
        return ImageColor.getrgb(colour)[:3]
    except (ValueError, AttributeError) as error:
        raise ArgumentError(
            "this is no colour",
            argument="background",
            value=colour,
            suggestions=(
                message(
                    "Write {name} or {hex}",
                    name=Argument("background", "white"),
                    hex=Argument("background", "#ff8000"),
                ),
            ),
        ) from error


def _resize(image: Any, reading: Reading) -> Any:
    """The image in the size of ``reading``; Pillow averages over pixels that become one."""
    image_module, ops = _import_pillow()
    if reading.resize is None or (image.height, image.width) == reading.resize:
        return image
    size, method = reading.resize[::-1], image_module.Resampling.BICUBIC
    if reading.crop == "none":
        return image.resize(size, method)
    return ops.fit(image, size, method)


def _is_narrowed(image: Any) -> bool:
    """Whether the file has 16-bit colours, of which Pillow reads the upper 8 bits."""
    return image.mode not in DEEP_MODES and any(
        isinstance(part, str) and ";16" in part
        for tile in image.tile
        for part in (tile[3] if isinstance(tile[3], tuple) else (tile[3],))
    )


def _check_sizes(images: Sequence[DecodedImage]) -> None:
    """Refuse images of different sizes."""
    first = images[0]
    for other in images:
        if other.pixels.shape[-2:] != first.pixels.shape[-2:]:
            sizes = [format_shape(image.pixels.shape[-2:]) for image in (first, other)]
            least = tuple(min(image.size[axis] for image in images) for axis in (0, 1))
            raise source_error(
                f'images have different sizes: "{first.name}" is {sizes[0]} and "{other.name}" is '
                f"{sizes[1]} (height x width)",
                message("Bring all to one size with {resize}", resize=Argument("resize", least)),
            )


def _import_pillow() -> tuple[Any, Any]:
    """The modules of Pillow that are used."""
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise missing_extra("images", "reading images") from error
    return Image, ImageOps
