"""The options that commands share, as frozen records: an option is described once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter, Token

ORDERED = {name: Group(name, sort_key=place) for place, name in enumerate(("Data", "Model", "Training", "Run", "Output", "Common"))}
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


def _one(type_: Any, tokens: Sequence[Token]) -> int:
    return _whole(tokens[0].value)


Count = Annotated[int, Parameter(converter=_one)]
Counts = Annotated[tuple[int, ...] | None, Parameter(converter=_split_at_commas(_whole), n_tokens=1, negative="", metavar="INT,INT")]
Fractions = Annotated[tuple[float, ...] | None, Parameter(converter=_split_at_commas(_number), n_tokens=1, negative="", metavar="X,X,X")]
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


@Parameter(name="*", group=ORDERED["Model"])
@dataclass(frozen=True, kw_only=True)
class Model:
    """What is trained, and for what."""

    preset: str = "vae"
    "A published model: autoencoder, vae, beta_vae or iwae."
    latent: Count | None = None
    "Number of latent variables; 16, or fewer for narrow tables, by default."
    hidden: Counts = None
    "Widths of the layers, as 400,400 (the default), or channels of the convolutions, as 32,64."
    objective: str | None = None
    "In place of the preset's: elbo, iwae, reconstruction."
    gradient: str | None = None
    "In place of the preset's: pathwise, doubly, score, leave-one-out."
    samples: Count | None = None
    "Draws per row in the objective."
    beta: float | None = None
    "Weight of the divergence in the target."
    free_bits: float | None = None
    "Nats per latent variable that the target leaves free."


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


@Parameter(name="*", group=ORDERED["Output"])
@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a result goes."""

    out: Path
    "The file to write, by its ending: .png (of images), .npz, .npy, .csv, .parquet."
    force: Annotated[bool, Flag] = False
    "Overwrite it where it exists."
