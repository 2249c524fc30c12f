"""How sources are read: the settings that a spec keeps for later data of its kind."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from .._shapes import as_shape
from ..errors import ArgumentError, check_choice
from ..notes import Argument, message

Frames = Literal["first", "all"]
Crop = Literal["center", "none"]
Layout = Literal["NHW", "NCHW", "NHWC", "NTC", "NCT", "NTCHW", "NTHWC", "NCTHW", "NTHW"]
LAYOUTS: tuple[str, ...] = get_args(Layout)
IMAGE_FILE_SETTINGS = frozenset({"background", "frames", "resize", "crop"})
TEXT_SETTINGS = frozenset({"encoding", "delimiter", "decimal", "header"})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a source is read; ``None``: as the reader decides.

    Args:
        background: Colour behind transparent pixels, as ``"black"`` or ``"#ff8000"``; white by
            default.
        frames: Which images of an animation or of a file with several pages are read: ``"first"``
            (the default) or ``"all"``.
        resize: Height and width that images are resized to, with anti-aliasing.
        crop: What ``resize`` does to other proportions: ``"center"`` (the default) cuts off the
            edges, ``"none"`` stretches the image.
        layout: Axes of an array, rows first: ``"NHW"``, ``"NCHW"`` and ``"NHWC"`` for images,
            ``"NTC"`` and ``"NCT"`` for series, ``"NTHW"``, ``"NTCHW"``, ``"NTHWC"`` and ``"NCTHW"``
            for video; chosen from shape and values by default.
        encoding: Encoding of a text file, such as ``"cp1252"``; UTF-8, UTF-16 and cp1252 are
            detected.
        delimiter: Character between the cells of a text file, or ``"comma"``, ``"semicolon"``,
            ``"tab"``, ``"pipe"``, ``"blank"``; detected by default.
        decimal: Decimal mark of numbers in text, ``"."`` or ``","``; detected by default.
        header: Whether the first line of a table holds the names of the columns; detected by
            default.
        missing: Values of a table that stand for empty cells, such as ``-200``, in all columns, or
            in one: ``"age=99"``.
        allow_large: Whether contents may fill more than half of the memory at hand.
        lengths: The array of an .npz file with the number of steps of each series.

    Raises:
        ArgumentError: A value is not among these.

    Example:
        >>> Reading(resize=(64, 64)).merge(Reading(crop="none")).settings
        {'resize': (64, 64), 'crop': 'none'}
    """

    background: str | None = None
    frames: Frames | None = None
    resize: tuple[int, ...] | None = None
    crop: Crop | None = None
    layout: Layout | None = None
    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    header: bool | None = None
    missing: tuple[str, ...] | None = None
    allow_large: bool | None = None
    lengths: str | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name, choices in (
            ("frames", get_args(Frames)),
            ("crop", get_args(Crop)),
            ("layout", LAYOUTS),
            ("decimal", (".", ",")),
        ):
            if getattr(self, name) is not None:
                check_choice(name, getattr(self, name), choices)
        if self.resize is not None:
            object.__setattr__(self, "resize", _image_size(self.resize))
        if self.missing is not None:
            object.__setattr__(self, "missing", _missing_texts(self.missing))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that are not ``None``, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def check(self) -> None:
        """Check that the settings belong together.

        Raises:
            ArgumentError: ``crop`` without ``resize``.
        """
        if self.crop is not None and self.resize is None:
            raise ArgumentError(
                "it belongs to a size",
                argument="crop",
                value=self.crop,
                suggestions=(message("Add {resize}", resize=Argument("resize", (64, 64))),),
            )

    def merge(self, other: Reading) -> Reading:
        """Replace settings.

        Args:
            other: The settings that win where they are not ``None``.

        Returns:
            The settings of both.
        """
        return replace(self, **other.settings)


def _image_size(resize: Any) -> tuple[int, ...]:
    """Height and width."""
    size = as_shape("resize", resize)
    if len(size) != 2 or min(size) < 1:
        raise ArgumentError(
            "give a height and a width",
            argument="resize",
            value=size,
            suggestions=(message("Write {resize}", resize=Argument("resize", (64, 64))),),
        )
    return size


def _missing_texts(missing: Any) -> tuple[str, ...]:
    """The values that stand for empty cells as text; one value may stand alone."""
    values = [missing] if isinstance(missing, str | int | float) else list(missing)
    if all(isinstance(value, str | int | float) for value in values):
        return tuple(str(value) for value in values)
    raise ArgumentError(
        "give numbers or texts",
        argument="missing",
        value=missing,
        suggestions=(message("Write {missing}", missing=Argument("missing", (-200,))),),
    )
