"""The options that commands share; those of settings are derived from the settings records."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter, Token

from ..errors import MAX_COUNT, MAX_INTEGER
from ..runs import DataSettings, ModelSettings, ReadingSettings, TrainingSettings
from ..runs._sweep import Grid

OPTION_GROUPS = {
    name: Group(name, sort_key=place)
    for place, name in enumerate(("Grid", "Data", "Model", "Training", "Run", "Output", "Common"))
}
RUN_GROUP = OPTION_GROUPS["Run"]
Flag = Parameter(negative="", show_default=False)


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


def _parse_integer(text: str, largest: int = MAX_COUNT) -> int:
    try:
        number = int(text)
    except ValueError:
        if not _parse_float(text).is_integer():  # 1e5
            raise ValueError(f'"{text}" is not a whole number') from None
        number = int(float(text))
    if abs(number) > largest:
        raise ValueError(f'"{text}" is out of range: give at most {largest}')
    return number


def _several(parse: Callable[[str], Any], metavar: str, separator: str | None = ",") -> Parameter:
    """Values of an option that may be repeated, each of which may hold several."""

    def convert(type_: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        texts = [token.value for token in tokens]
        if separator is not None:
            if not all(text.strip(f"{separator} ") for text in texts):
                raise ValueError("it is empty")
            texts = [part for text in texts for part in text.split(separator) if part.strip()]
        return tuple(map(parse, texts))

    return Parameter(converter=convert, n_tokens=1, negative="", metavar=metavar)


INTEGER = Parameter(converter=lambda type_, tokens: _parse_integer(tokens[0].value))
Integer = Annotated[int, INTEGER]
SEED = Parameter(converter=lambda type_, tokens: _parse_integer(tokens[0].value, MAX_INTEGER))
_BY_NAME = {
    "split_seed": SEED,
    "set": _several(str, "KEY=VALUE", None),
    "condition": _several(str.strip, "COLUMN,COLUMN"),
    "missing": Parameter(
        converter=_several(str.strip, "").converter,
        n_tokens=1,
        negative="",
        metavar="VALUE,VALUE",
        allow_leading_hyphen=True,
    ),
    "allow_large": Flag,
    "refit": Flag,
    "kinds": Parameter(
        converter=_several(str.strip, "", None).converter,
        n_tokens=1,
        negative="",
        metavar="COLUMN=KIND",
        alias="--kind",
    ),
}
_CONVERTERS: dict[Any, Parameter] = {
    int: INTEGER,
    tuple[int, ...]: _several(_parse_integer, "INT,INT"),
    tuple[float, ...]: _several(_parse_float, "X,X"),
}


def _options(settings: type, group: str, hidden: Sequence[str] = ()) -> type:
    """A subclass of a settings record whose fields are options with converters and help."""
    hints, fields = typing.get_type_hints(settings), []
    for each in dataclasses.fields(settings):
        hint = hints[each.name]
        plain = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        kind = plain[0] if isinstance(hint, types.UnionType) and len(plain) == 1 else hint
        converter = _BY_NAME.get(each.name) or _CONVERTERS.get(kind, Parameter())
        mark = Parameter(parse=False) if each.name in hidden else converter
        annotated = Annotated[hint, mark, Parameter(help=each.metadata["help"])]
        fields.append((each.name, annotated, dataclasses.field(default=each.default)))
    name = settings.__name__.replace("Settings", "Options")
    options = dataclasses.make_dataclass(name, fields, bases=(settings,), frozen=True, kw_only=True)
    options.__module__ = __name__  # cyclopts takes classes of the standard library for values
    return Parameter(name="*", group=OPTION_GROUPS[group])(options)


if TYPE_CHECKING:
    DataOptions = DataSettings
    ReadingOptions = ReadingSettings
    ModelOptions = SweepModelOptions = ModelSettings
    TrainingOptions = SweepTrainingOptions = TrainingSettings
    GridOptions = Grid
else:
    DataOptions = _options(DataSettings, "Data")
    ReadingOptions = _options(ReadingSettings, "Data")
    ModelOptions = _options(ModelSettings, "Model")
    TrainingOptions = _options(TrainingSettings, "Training")
    GridOptions = _options(Grid, "Grid")
    SweepModelOptions = _options(ModelSettings, "Model", hidden=("latent", "beta", "ensemble"))
    SweepTrainingOptions = _options(TrainingSettings, "Training", hidden=("lr", "minutes", "refit"))

RunArgument = Annotated[Path, Parameter(help="The run folder.")]
OtherSource = Annotated[
    str | None,
    Parameter(help="Other data of the same kind; the test rows of the run's data by default."),
]
SamplesOption = Annotated[
    Integer,
    Parameter(help="Importance samples per row; more are closer to log p(x).", group=RUN_GROUP),
]
TrustSource = Annotated[
    bool,
    Flag,
    Parameter(
        help="Read the data that the run folder names, even if somebody else has trained the run.",
        group=OPTION_GROUPS["Data"],
    ),
]
ContextOption = Annotated[
    tuple[str, ...] | None,
    _several(str, "VALUE", None),
    Parameter(
        name="--label",
        help="Condition of the model, as 7; of several columns each by its name, as --label sex=f "
        "--label age=40.",
        group=RUN_GROUP,
    ),
]
WhereOption = Annotated[
    tuple[str, ...] | None,
    _several(str, "CONDITION", None),
    Parameter(
        help='Draw rows of a table that meet this condition, as sex=Female or "age>60" (quoted, '
        "for the shell); several hold together.",
        group=RUN_GROUP,
    ),
]
Json = Annotated[
    bool, Flag, Parameter(group=OPTION_GROUPS["Common"], help="Print one JSON object on stdout.")
]


@Parameter(name="*", group=OPTION_GROUPS["Common"])
@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """Options of every command."""

    seed: Annotated[int, SEED] = 0
    "Seed of every draw; the same seed gives the same result."
    device: str | None = None
    "cpu, cuda or mps; the accelerator if there is one by default."
    quiet: Annotated[bool, Flag] = False
    "Print results, warnings and errors only."
    debug: Annotated[bool, Flag] = False
    "Show the traceback of an error."


@Parameter(name="*", group=OPTION_GROUPS["Output"])
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a result goes."""

    out: Path
    "The file, by its ending .png (of images), .npz, .npy, .csv or .parquet; or a folder of images."
    force: Annotated[bool, Flag] = False
    "Overwrite an existing file."


@Parameter(name="*", group=OPTION_GROUPS["Output"])
@dataclass(frozen=True, kw_only=True)
class TableOutputOptions(OutputOptions):
    """Where a table goes."""

    out: Path
    "The file, by its ending .csv, .parquet, .json or .jsonl."
