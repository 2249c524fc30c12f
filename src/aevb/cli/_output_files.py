"""Results as files, by their ending: a picture, named arrays, or a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import ArgumentError, RunError, missing_extra
from ..notes import Argument, message
from ._options import OutputOptions

if TYPE_CHECKING:
    from ..data import Spec

IMAGE_GAP, MIN_IMAGE_HEIGHT = 2, 56  # pixels between images, and least height of an image


@dataclass(frozen=True)
class OutputArrays:
    """Arrays by name.

    The first one is the table, unless there is a ``frame``. With a ``spec``, its events can be
    drawn, ``n_columns`` to a line.
    """

    arrays: dict[str, np.ndarray]
    column_names: Sequence[str]  # of the table's columns
    spec: Spec | None = None
    labels: Sequence[str] | None = None
    image_arrays: Sequence[str] = field(
        default_factory=tuple
    )  # arrays drawn in turn, a line of each
    n_columns: int | None = None
    frame: Any = None


def check_output(output: OutputOptions, endings: Sequence[str], argument: str = "out") -> str:
    """The ending of the file to write; an error where it cannot be written."""
    ending = "" if output.out.is_dir() else output.out.suffix.lower()
    if ending not in endings:
        names = ", ".join(filter(None, endings))
        folder = ", or a folder of images" if "" in endings else ""
        fault = f"the ending {ending or '(none)'} does not fit"
        raise ArgumentError(
            f"{'this is a folder' if output.out.is_dir() else fault}; write one of {names}{folder}",
            argument=argument,
            value=str(output.out),
        )
    if _is_occupied(output, ending):
        raise RunError(
            "it exists and is not overwritten by default",
            argument=argument,
            value=str(output.out),
            suggestions=(
                message(
                    "Choose another {out}, or give {force}",
                    out=Argument(argument),
                    force=Argument("overwrite"),
                ),
            ),
        )
    return ending


def _is_occupied(output: OutputOptions, ending: str) -> bool:
    """Whether there is something in the place of the output that is not to be overwritten."""
    if ending:
        return output.out.exists() and not output.force
    if output.out.exists() and not output.out.is_dir():
        return True
    return output.out.is_dir() and any(output.out.iterdir()) and not output.force


def check_tables(
    output: OutputOptions, paths: Sequence[Path], intervals: Path | None = None
) -> None:
    """Check that tables can be written.

    Raises:
        ArgumentError: A path is a folder, has another ending, or is named twice.
        RunError: A file exists.
    """
    from ..data._write_frame import FRAME_WRITERS

    for path in paths:
        check_output(replace(output, out=path), tuple(FRAME_WRITERS))
    if intervals is None:
        return
    check_output(replace(output, out=intervals), tuple(FRAME_WRITERS), "intervals")
    if intervals in paths:
        raise ArgumentError(
            "the completed table goes to this file", argument="intervals", value=str(intervals)
        )


def write_table(frame: Any, path: Path) -> None:
    """Write a data frame."""
    from ..data._write_frame import write_frame

    write_frame(frame, path)


def allowed_endings(spec: Spec | None = None) -> tuple[str, ...]:
    """The endings for events of a kind, or for encodings without a spec; "" is a folder."""
    if spec is not None and spec.schema is not None:
        from ..data._write_frame import FRAME_WRITERS

        return tuple(FRAME_WRITERS)
    return (
        *((".png", "") if spec is not None and spec.kind in ("image", "video") else ()),
        ".npz",
        ".npy",
        ".csv",
        ".parquet",
    )


def write_output(output: OutputOptions, result: OutputArrays) -> None:
    """Write the file, whole or not at all, or a folder of images."""
    from .._files import open_atomically

    if not output.out.suffix or output.out.is_dir():
        _write_folder(result, output.out)
        return
    if result.frame is not None:
        write_table(result.frame, output.out)
        return
    with open_atomically(output.out) as file:
        OUTPUT_WRITERS[output.out.suffix.lower()](result, file)


def event_column_names(spec: Spec) -> list[str]:
    """Column names of a table of events: those of the data, or x0, x1 ..."""
    return list(spec.columns or (f"x{i}" for i in range(math.prod(spec.event_shape))))


def latent_column_names(shape: Sequence[int]) -> list[str]:
    """Column names of a table of encodings.

    Example:
        >>> latent_column_names((2,))
        ['z0', 'z1']
    """
    return [f"z{i}" for i in range(math.prod(shape))]


def _write_npz(result: OutputArrays, file: BinaryIO) -> None:
    labels = {} if result.labels is None else {"labels": np.asarray(result.labels)}
    np.savez_compressed(file, allow_pickle=False, **result.arrays, **labels)


def _write_npy(result: OutputArrays, file: BinaryIO) -> None:
    np.save(file, next(iter(result.arrays.values())), allow_pickle=False)


def _to_data_frame(result: OutputArrays) -> Any:
    try:
        import polars
    except ImportError as error:
        raise missing_extra("tables", "writing tables") from error
    values = next(iter(result.arrays.values()))
    frame = polars.DataFrame(values.reshape(len(values), -1), schema=list(result.column_names))
    return (
        frame
        if result.labels is None
        else frame.with_columns(polars.Series("label", list(result.labels)))
    )


def _write_png(result: OutputArrays, file: BinaryIO) -> None:
    assert result.spec is not None
    arrays = [result.arrays[name] for name in result.image_arrays or list(result.arrays)[:1]]
    grid = image_grid([to_uint8_images(array, result.spec) for array in arrays], result.n_columns)
    _picture(grid).save(file, "PNG")


OUTPUT_WRITERS: dict[str, Callable[[OutputArrays, BinaryIO], None]] = {
    ".png": _write_png,
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": lambda result, file: _to_data_frame(result).write_csv(file),
    ".parquet": lambda result, file: _to_data_frame(result).write_parquet(file),
}


def _write_folder(result: OutputArrays, folder: Path) -> None:
    """Write one picture for each event; 16-bit data stay 16-bit."""
    from .._files import write_atomically

    assert result.spec is not None
    values = next(iter(result.arrays.values()))
    images = _as_images(values, result.spec)
    if images.dtype != np.uint16 or images.shape[-1] == 3:
        images = to_uint8_images(values, result.spec)
    digits = max(5, len(str(len(images) - 1)))
    for number, image in enumerate(images):
        buffer = BytesIO()
        _picture(image).save(buffer, "PNG")
        write_atomically(folder / f"{number:0{digits}}.png", buffer.getvalue())


def _picture(pixels: np.ndarray) -> Any:
    """A Pillow image of pixels ``[H, W, C]``; of other numbers of channels, the first."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("images", "writing pictures") from error
    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0])


def _as_images(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Events in the form of the source as ``[N, H, W, C]``; the frames of a video in a row."""
    from ..data._layout import to_library_axes

    x = x if spec.layout is None else np.asarray(to_library_axes(x, spec.layout))
    if x.ndim == 5:
        x = np.concatenate(np.moveaxis(x, 1, 0), axis=-1)
    return np.moveaxis(x, 1, -1) if x.ndim == 4 else x[..., None]


def to_uint8_images(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Events in the form of the source as bytes ``[N, H, W, C]`` from black to white."""
    low, high = spec.value_range or (x.min(), x.max())
    shades = 255 * np.clip((x.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
    return _as_images(np.rint(shades).astype(np.uint8), spec)


def image_grid(stacks: Sequence[np.ndarray], n_columns: int | None = None) -> np.ndarray:
    """One picture of stacks of images ``[N, H, W, C]``, a line of each stack in turn."""
    number, height, width, channels = stacks[0].shape
    n_columns = n_columns or math.ceil(math.sqrt(number))
    factor = max(1, MIN_IMAGE_HEIGHT // height)
    lines = [
        stack[start : start + n_columns]
        for start in range(0, number, n_columns)
        for stack in stacks
    ]
    height, width = factor * height + IMAGE_GAP, factor * width + IMAGE_GAP
    canvas = np.full(
        (height * len(lines) + IMAGE_GAP, width * n_columns + IMAGE_GAP, channels), 255, np.uint8
    )
    for row, line in enumerate(lines):
        for column, image in enumerate(line):
            large = image.repeat(factor, 0).repeat(factor, 1)
            canvas[
                row * height + IMAGE_GAP : (row + 1) * height,
                column * width + IMAGE_GAP : (column + 1) * width,
            ] = large
    return canvas
