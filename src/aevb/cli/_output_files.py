"""Results as files, by their ending: a picture, named arrays, or a table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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

    The first one is the table. With a ``spec``, its events can be drawn, ``n_columns`` to a line.
    """

    arrays: dict[str, np.ndarray]
    column_names: Sequence[str]  # of the table's columns
    spec: Spec | None = None
    labels: Sequence[str] | None = None
    image_arrays: Sequence[str] = field(
        default_factory=tuple
    )  # arrays drawn in turn, a line of each
    n_columns: int | None = None


def check_output(output: OutputOptions, endings: Sequence[str]) -> str:
    """The ending of the file to write; an error where it cannot be written."""
    ending = output.out.suffix.lower()
    if ending not in endings:
        raise ArgumentError(
            f"the ending {ending or '(none)'} does not fit; write one of {', '.join(endings)}",
            argument="out",
            value=str(output.out),
        )
    if output.out.is_dir() or (output.out.exists() and not output.force):
        raise RunError(
            "it exists and is not overwritten by default",
            argument="out",
            value=str(output.out),
            suggestions=(
                message(
                    "Choose another {out}, or give {force}",
                    out=Argument("out"),
                    force=Argument("overwrite"),
                ),
            ),
        )
    return ending


def allowed_endings(spec: Spec | None = None) -> tuple[str, ...]:
    """The endings for events of a kind, or for encodings without a spec."""
    return (
        *((".png",) if spec is not None and spec.image else ()),
        ".npz",
        ".npy",
        ".csv",
        ".parquet",
    )


def write_output(output: OutputOptions, result: OutputArrays) -> None:
    """Write the file: whole, or not at all."""
    from .._files import open_atomically

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
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_extra("images", "writing pictures") from error
    assert result.spec is not None
    arrays = [result.arrays[name] for name in result.image_arrays or list(result.arrays)[:1]]
    grid = image_grid([to_uint8_images(array, result.spec) for array in arrays], result.n_columns)
    Image.fromarray(grid).save(file, "PNG")


OUTPUT_WRITERS: dict[str, Callable[[OutputArrays, BinaryIO], None]] = {
    ".png": _write_png,
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".csv": lambda result, file: _to_data_frame(result).write_csv(file),
    ".parquet": lambda result, file: _to_data_frame(result).write_parquet(file),
}


def to_uint8_images(x: np.ndarray, spec: Spec) -> np.ndarray:
    """Events ``[N, H, W]`` or ``[N, C, H, W]`` as bytes ``[N, H, W, C]`` from black to white."""
    tops = {"binary": 1, "unit": 1, "levels": (spec.levels or 256) - 1}
    low, high = (0, tops[spec.support]) if spec.support in tops else (x.min(), x.max())
    shades = np.rint(255 * np.clip((x - low) / max(high - low, 1e-12), 0, 1)).astype(np.uint8)
    return np.moveaxis(shades, 1, -1) if shades.ndim == 4 else shades[..., None]


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
    return canvas[..., 0] if channels != 3 else canvas
