"""The options that commands share, as frozen records: an option is described once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

ORDERED = {name: Group(name, sort_key=place) for place, name in enumerate(("Grid", "Data", "Model", "Training", "Run", "Output", "Common"))}
Flag = Parameter(negative="", show_default=False)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f'"{text}" is not a number') from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        if _number(text).is_integer():  # 1e5
            return int(float(text))
        raise ValueError(f'"{text}" is not a whole number') from None


def _split_at_commas(number: Callable[[str], Any]) -> Callable[[Any, Sequence[Token]], tuple[Any, ...]]:
    def convert(type_: Any, tokens: Sequence[Token]) -> tuple[Any, ...]:
        return tuple(number(part) for token in tokens for part in token.value.split(",") if part.strip())

    return convert


def _as_typed(type_: Any, tokens: Sequence[Token]) -> tuple[str, ...]:
    return tuple(token.value for token in tokens)


def _one(type_: Any, tokens: Sequence[Token]) -> int:
    return _whole(tokens[0].value)


Count = Annotated[int, Parameter(converter=_one)]
Counts = Annotated[tuple[int, ...] | None, Parameter(converter=_split_at_commas(_whole), n_tokens=1, negative="", metavar="INT,INT")]
Fractions = Annotated[tuple[float, ...] | None, Parameter(converter=_split_at_commas(_number), n_tokens=1, negative="", metavar="X,X,X")]
Numbers = Annotated[tuple[float, ...] | None, Parameter(converter=_split_at_commas(_number), n_tokens=1, negative="", metavar="X,X")]
Texts = Annotated[
    tuple[str, ...] | None,
    Parameter(converter=lambda type_, tokens: tuple(token.value for token in tokens), n_tokens=1, negative="", metavar="KEY=VALUE"),
]
_COLUMNS = Parameter(converter=_split_at_commas(str.strip), n_tokens=1, negative="", metavar="COLUMN,COLUMN")
Names = Annotated[tuple[str, ...] | None, _COLUMNS]
Told = Annotated[
    tuple[str, ...] | None,
    Parameter(
        name="--label",
        converter=_as_typed,
        n_tokens=1,
        negative="",
        metavar="VALUE",
        help="What the model is told, as 7; of several columns each by its name, as --label sex=f --label age=40.",
        group=ORDERED["Run"],
    ),
]
Swept = Parameter(parse=False)  # asked for by the grid
Json = Annotated[bool, Flag, Parameter(group=ORDERED["Common"], help="Print one JSON object and nothing else on stdout.")]


@Parameter(name="*", group=ORDERED["Common"])
@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes."""

    seed: Count = 0
    "Of every draw: the same seed gives the same result."
    device: str | None = None
    "cpu, cuda or mps; the accelerator where there is one by default."
    quiet: Annotated[bool, Flag] = False
    "Print results and errors only."
    debug: Annotated[bool, Flag] = False
    "Show the traceback of an error."


@Parameter(name="*", group=ORDERED["Data"])
@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a source is read."""

    key: str | None = None
    "The array of an .npz file, or the column of rows of a .parquet file."
    labels: str | None = None
    "Where the labels are: a column, an array of an .npz file, a kind of label of a named set."


@Parameter(name="*", group=ORDERED["Data"])
@dataclass(frozen=True, kw_only=True)
class Data(Reading):
    """How data are read, split and modelled."""

    shape: Counts = None
    "The shape of an event whose rows are stored flat, as 28,28."
    split: Fractions = None
    "Fractions of train, validation and test rows: 0.8,0.1,0.1 where none are published."
    order: Literal["random", "time"] = "random"
    "Split at random, or by row order (time)."
    binarise: Literal["dynamic", "fixed"] | None = None
    "Make grey images black and white: afresh at every epoch (dynamic) or once (fixed)."
    likelihood: str | None = None
    "bernoulli, continuous_bernoulli, discretised_logistic, categorical, normal or laplace; chosen from the data by default."
    network: str | None = None
    "mlp or conv; chosen from the data by default."
    condition: Names = None
    "Tell the model this column of each row, or several; label: the labels of a set, a folder or --labels. They are then no data."
    split_seed: Count | None = None
    "Of the split, where runs of several seeds share their rows, as those of a sweep do; --seed by default."


@Parameter(name="*", group=ORDERED["Model"])
@dataclass(frozen=True, kw_only=True)
class Model:
    """What is trained, and for what."""

    preset: str = "vae"
    "A published model, as beta_vae or iwae: `aevb presets` lists them."
    latent: Count | None = None
    "Number of latent variables; the preset's (mostly 16), or fewer for narrow tables, by default."
    hidden: Counts = None
    "Widths of the layers, as 400,400 (the default), or channels of the convolutions, as 32,64."
    objective: str | None = None
    "In place of the preset's: elbo, iwae, renyi, cubo, miwae, piwae, ciwae, reconstruction or rate."
    gradient: str | None = None
    "In place of the preset's: pathwise, doubly-reparameterised, score-function, leave-one-out, rebar, relaxed, ... or the beginning of it."
    samples: Count | None = None
    "Draws per row in the objective."
    beta: float | None = None
    "Weight of the divergence in the target."
    free_bits: float | None = None
    "Nats per latent variable that the target leaves free."
    set: Texts = None
    "Any other argument of the preset, the objective or the gradient, as alpha=0.3 or temperature=Exponential(1,0.5,steps=5000)."


@Parameter(name="*", group=ORDERED["Training"])
@dataclass(frozen=True, kw_only=True)
class Training:
    """How it is trained."""

    epochs: Count | None = None
    "Passes over the data; about 10,000 steps by default."
    minutes: float | None = None
    "Stop after that long."
    batch_size: Count = 128
    "Rows per step."
    lr: float = 1.5e-3
    "Learning rate of Adam, warmed up and then lowered along a cosine."
    patience: Count | None = 50
    "Stop after that many epochs without improvement on the validation rows."
    clip: float | None = None
    "Largest norm of the gradient."
    average: float | None = None
    "Decay of a moving average of the weights, as 0.999, which is then kept in their place."
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    "Of the networks while training (auto: bfloat16 where that is faster); densities are float32 or better."


@Parameter(name="*", group=ORDERED["Grid"])
@dataclass(frozen=True, kw_only=True)
class Grid:
    """What is combined, every value with every other."""

    latent: Counts = None
    "Numbers of latent variables; one that suits the data by default."
    beta: Numbers = None
    "Weights of the divergence in the target; the preset's by default."
    lr: Numbers = None
    "Learning rates of Adam; 0.0015 by default."
    seeds: Count = 3
    "Runs of each combination, with seeds from --seed upwards."


@Parameter(name="*", group=ORDERED["Model"])
@dataclass(frozen=True, kw_only=True)
class SweptModel(Model):
    """What the runs of a grid have in common."""

    latent: Annotated[Count | None, Swept] = None
    beta: Annotated[float | None, Swept] = None


@Parameter(name="*", group=ORDERED["Training"])
@dataclass(frozen=True, kw_only=True)
class SweptTraining(Training):
    """How the runs of a grid are trained: each to its end, since runs side by side have no clock of their own."""

    lr: Annotated[float, Swept] = Training.lr
    minutes: Annotated[float | None, Swept] = None


@Parameter(name="*", group=ORDERED["Output"])
@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a result goes."""

    out: Path
    "The file to write, by its ending: .png (of images), .npz, .npy, .csv, .parquet."
    force: Annotated[bool, Flag] = False
    "Overwrite it where it exists."
