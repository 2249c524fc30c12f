"""The options that commands share, as frozen records: an option is described once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

OPTION_GROUPS = {
    name: Group(name, sort_key=place)
    for place, name in enumerate(("Grid", "Data", "Model", "Training", "Run", "Output", "Common"))
}
Flag = Parameter(negative="", show_default=False)


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


def _parse_integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        if _parse_float(text).is_integer():  # 1e5
            return int(float(text))
        raise ValueError(f'"{text}" is not a whole number') from None


def _split_at_commas(
    parse: Callable[[str], Any],
) -> Callable[[Any, Sequence[Token]], tuple[Any, ...]]:
    def convert(type_: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        return tuple(
            parse(part) for token in tokens for part in token.value.split(",") if part.strip()
        )

    return convert


def _token_values(type_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.value for token in tokens)


def _parse_single_integer(type_: Any, tokens: Sequence[Token]) -> int:
    return _parse_integer(tokens[0].value)


Integer = Annotated[int, Parameter(converter=_parse_single_integer)]
Integers = Annotated[
    tuple[int, ...] | None,
    Parameter(
        converter=_split_at_commas(_parse_integer), n_tokens=1, negative="", metavar="INT,INT"
    ),
]
SplitFractions = Annotated[
    tuple[float, ...] | None,
    Parameter(converter=_split_at_commas(_parse_float), n_tokens=1, negative="", metavar="X,X,X"),
]
Floats = Annotated[
    tuple[float, ...] | None,
    Parameter(converter=_split_at_commas(_parse_float), n_tokens=1, negative="", metavar="X,X"),
]
KeyValuePairs = Annotated[
    tuple[str, ...] | None,
    Parameter(
        converter=lambda type_, tokens: tuple(token.value for token in tokens),
        n_tokens=1,
        negative="",
        metavar="KEY=VALUE",
    ),
]
_COLUMN_LIST = Parameter(
    converter=_split_at_commas(str.strip), n_tokens=1, negative="", metavar="COLUMN,COLUMN"
)
ColumnList = Annotated[tuple[str, ...] | None, _COLUMN_LIST]
ContextOption = Annotated[
    tuple[str, ...] | None,
    Parameter(
        name="--label",
        converter=_token_values,
        n_tokens=1,
        negative="",
        metavar="VALUE",
        help="What the model is told, as 7; of several columns each by its name, as --label sex=f --label age=40.",
        group=OPTION_GROUPS["Run"],
    ),
]
GRID_ONLY = Parameter(parse=False)  # asked for by the grid
Json = Annotated[
    bool,
    Flag,
    Parameter(
        group=OPTION_GROUPS["Common"], help="Print one JSON object and nothing else on stdout."
    ),
]


@Parameter(name="*", group=OPTION_GROUPS["Common"])
@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """What every command takes."""

    seed: Integer = 0
    "Of every draw: the same seed gives the same result."
    device: str | None = None
    "cpu, cuda or mps; the accelerator where there is one by default."
    quiet: Annotated[bool, Flag] = False
    "Print results and errors only."
    debug: Annotated[bool, Flag] = False
    "Show the traceback of an error."


@Parameter(name="*", group=OPTION_GROUPS["Data"])
@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How a source is read."""

    key: str | None = None
    "The array of an .npz file, or the column of rows of a .parquet file."
    labels: str | None = None
    "Where the labels are: a column, an array of an .npz file, a kind of label of a named set."


@Parameter(name="*", group=OPTION_GROUPS["Data"])
@dataclass(frozen=True, kw_only=True)
class DataOptions(ReadingOptions):
    """How data are read, split and modelled."""

    shape: Integers = None
    "The shape of an event whose rows are stored flat, as 28,28."
    split: SplitFractions = None
    "Fractions of train, validation and test rows: 0.8,0.1,0.1 where none are published."
    order: Literal["random", "time"] = "random"
    "Split at random, or by row order (time)."
    binarise: Literal["dynamic", "fixed"] | None = None
    "Make grey images black and white: afresh at every epoch (dynamic) or once (fixed)."
    likelihood: str | None = None
    "bernoulli, continuous_bernoulli, discretised_logistic, categorical, normal or laplace; chosen from the data by default."
    network: str | None = None
    "mlp or conv; chosen from the data by default."
    condition: ColumnList = None
    "Tell the model this column of each row, or several; label: the labels of a set, a folder or --labels. They are then no data."
    split_seed: Integer | None = None
    "Of the split, where runs of several seeds share their rows, as those of a sweep do; --seed by default."


@Parameter(name="*", group=OPTION_GROUPS["Model"])
@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What is trained, and for what."""

    preset: str = "vae"
    "A published model, as beta_vae or iwae: `aevb presets` lists them."
    latent: Integer | None = None
    "Number of latent variables; the preset's (mostly 16), or fewer for narrow tables, by default."
    hidden: Integers = None
    "Widths of the layers, as 400,400 (the default), or channels of the convolutions, as 32,64."
    objective: str | None = None
    "In place of the preset's: elbo, iwae, renyi, cubo, miwae, piwae, ciwae, reconstruction or rate."
    gradient: str | None = None
    "In place of the preset's: pathwise, doubly-reparameterised, score-function, leave-one-out, rebar, relaxed, ... or the beginning of it."
    samples: Integer | None = None
    "Draws per row in the objective."
    beta: float | None = None
    "Weight of the divergence in the target."
    free_bits: float | None = None
    "Nats per latent variable that the target leaves free."
    set: KeyValuePairs = None
    "Any other argument of the preset, the objective or the gradient, as alpha=0.3 or temperature=Exponential(1,0.5,steps=5000)."


@Parameter(name="*", group=OPTION_GROUPS["Training"])
@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How it is trained."""

    epochs: Integer | None = None
    "Passes over the data; about 10,000 steps by default."
    minutes: float | None = None
    "Stop after that long."
    batch_size: Integer = 128
    "Rows per step."
    lr: float = 1.5e-3
    "Learning rate of Adam, warmed up and then lowered along a cosine."
    patience: Integer | None = 50
    "Stop after that many epochs without improvement on the validation rows."
    clip_norm: float | None = None
    "Largest norm of the gradient."
    ema: float | None = None
    "Decay of a moving average of the weights, as 0.999, which is then kept in their place."
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    "Of the networks while training (auto: bfloat16 where that is faster); densities are float32 or better."


@Parameter(name="*", group=OPTION_GROUPS["Grid"])
@dataclass(frozen=True, kw_only=True)
class GridOptions:
    """What is combined, every value with every other."""

    latent: Integers = None
    "Numbers of latent variables; one that suits the data by default."
    beta: Floats = None
    "Weights of the divergence in the target; the preset's by default."
    lr: Floats = None
    "Learning rates of Adam; 0.0015 by default."
    seeds: Integer = 3
    "Runs of each combination, with seeds from --seed upwards."


@Parameter(name="*", group=OPTION_GROUPS["Model"])
@dataclass(frozen=True, kw_only=True)
class SweepModelOptions(ModelOptions):
    """What the runs of a grid have in common."""

    latent: Annotated[Integer | None, GRID_ONLY] = None
    beta: Annotated[float | None, GRID_ONLY] = None


@Parameter(name="*", group=OPTION_GROUPS["Training"])
@dataclass(frozen=True, kw_only=True)
class SweepTrainingOptions(TrainingOptions):
    """How the runs of a grid are trained: each to its end, since runs side by side have no clock of their own."""

    lr: Annotated[float, GRID_ONLY] = TrainingOptions.lr
    minutes: Annotated[float | None, GRID_ONLY] = None


@Parameter(name="*", group=OPTION_GROUPS["Output"])
@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a result goes."""

    out: Path
    "The file to write, by its ending: .png (of images), .npz, .npy, .csv, .parquet."
    force: Annotated[bool, Flag] = False
    "Overwrite it where it exists."
