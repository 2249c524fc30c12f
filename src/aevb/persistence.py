"""Models on disk: weights in safetensors, architecture in JSON, and nothing that is executed on loading.

Every part of a model remembers the arguments it was built with (``types.Recorded``), so any composition can be written down. Reading
builds only classes of the one table below.
"""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from . import gradients, likelihoods, models, networks, objectives, posteriors, priors
from .data.spec import Spec
from .errors import RunError
from .files import read_json, read_tensors, write_json, write_tensors
from .models import VAE
from .objectives import Schedule
from .random import seeded
from .types import Recorded

FORMAT = 1
ROLES = {
    "models": models,
    "priors": priors,
    "posteriors": posteriors,
    "likelihoods": likelihoods,
    "networks": networks,
    "objectives": objectives,
    "gradients": gradients,
}
CLASSES: dict[str, type] = {
    f"{role}.{name}": part for role, module in ROLES.items() for name in module.__all__ if isinstance(part := getattr(module, name), type)
}
NAMES = {part: name for name, part in CLASSES.items()}


@dataclasses.dataclass(frozen=True)
class Saved:
    """A model read from disk, with what is known of its data and its training."""

    model: VAE
    spec: Spec | None
    training: dict[str, Any]
    path: Path


def save(model: VAE, path: str | Path, *, spec: Spec | None = None, training: dict[str, Any] | None = None) -> Path:
    """Write ``model.safetensors`` and ``model.json`` into the folder ``path``, each atomically; returns the folder."""
    folder, first = Path(path), _first(model)
    write_tensors(folder / "model.safetensors", {name: tensor for name, tensor in model.state_dict().items() if first[name] == name})
    write_json(
        folder / "model.json",
        {
            "format": FORMAT,
            "versions": versions(),
            "model": describe(model),
            "data": None if spec is None else spec.to_dict(),
            "training": training or {},
        },
    )
    return folder


def load(path: str | Path, model: VAE | None = None) -> VAE:
    """The model of a run folder, in evaluation mode on the CPU.

    A model with networks of one's own cannot be built from the file: give it as ``model``, and the weights are put into it.
    Raises ``RunError`` for a folder that is missing, truncated, foreign or newer than this library.
    """
    return read(path, model).model


def read(path: str | Path, model: VAE | None = None) -> Saved:
    """``load``, with what else the folder says."""
    folder = Path(path)
    if not folder.is_dir():
        raise RunError(f"there is no run folder `{folder}`.")
    if not (folder / "model.json").exists() and (folder / "checkpoint").is_dir():
        raise RunError(f"`{folder}` holds a checkpoint but no finished model: continue the run with --resume.")
    record = read_json(folder / "model.json")
    if not isinstance(record.get("format"), int) or "model" not in record:
        raise RunError(f"`{folder / 'model.json'}` was not written by aevb: it has no `format` or no `model`.")
    if record["format"] > FORMAT:
        raise RunError(
            f"`{folder}` has format {record['format']}, and this aevb reads up to {FORMAT}: upgrade with `pip install --upgrade aevb`."
        )
    with seeded(0):  # fresh weights are drawn and replaced: nobody's random stream is to notice
        built = build(record["model"], folder) if model is None else model
    fill(built, folder / "model.safetensors")
    spec = record.get("data")
    return Saved(built.eval(), None if spec is None else Spec.from_dict(spec), record.get("training", {}), folder)


def fill(model: VAE, path: Path) -> None:
    """Put the weights of a file into a model, or raise ``RunError`` where they are not its own."""
    tensors, _ = read_tensors(path)
    shared = {name: tensors[first] for name, first in _first(model).items() if name not in tensors and first in tensors}
    try:
        model.load_state_dict(tensors | shared)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise RunError(f"the weights in `{path}` do not fit the model: {reason}") from error


def _first(model: nn.Module) -> dict[str, str]:
    """For every name of a weight the first of the names that the same weight has: parts that share weights save them once."""
    names: dict[int, str] = {}
    return {name: names.setdefault(id(tensor), name) for name, tensor in model.state_dict(keep_vars=True).items()}


def describe(value: Any) -> Any:
    """A part, and the parts it was built from, as JSON; what appears twice is written once and referred to."""
    return _Describer().describe(value)


def build(record: Any, path: Path | str = "model.json") -> Any:
    """The part that ``describe`` wrote down, with fresh weights. Only classes of the table are built."""
    try:
        return _Builder().build(record)
    except (TypeError, KeyError, AttributeError) as error:
        raise RunError(f"the architecture in `{path}` cannot be built ({error}): it is damaged or not written by aevb.") from error


class _Describer:
    def __init__(self) -> None:
        self.seen: dict[int, int] = {}

    def describe(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, torch.dtype):
            return str(value).removeprefix("torch.")
        if isinstance(value, (list, tuple)):
            return [self.describe(item) for item in value]
        if isinstance(value, Schedule) and type(value) in NAMES:
            return {"class": NAMES[type(value)], "arguments": dataclasses.asdict(value)}
        if isinstance(value, Recorded) and type(value) in NAMES:
            return self._part(value)
        return {"foreign": f"{type(value).__module__}.{type(value).__qualname__}"}

    def _part(self, value: Recorded) -> dict[str, Any]:
        if id(value) in self.seen:
            return {"same": self.seen[id(value)]}
        number = self.seen[id(value)] = len(self.seen)
        # where a part was made is no property of the part: it is built again where the model is loaded
        arguments = {name: self.describe(argument) for name, argument in value.arguments.items() if name != "device"}
        return {"class": NAMES[type(value)], "number": number, "arguments": arguments}


class _Builder:
    def __init__(self) -> None:
        self.built: dict[int, Any] = {}

    def build(self, record: Any) -> Any:
        if isinstance(record, list):
            return [self.build(item) for item in record]
        if not isinstance(record, dict):
            return record
        if "foreign" in record:
            raise RunError(
                f"this model has a part of the caller's own, `{record['foreign']}`: "
                "build the model and give it as aevb.load(run, model=...)."
            )
        if "same" in record:
            return self.built[record["same"]]
        if record["class"] not in CLASSES:
            raise RunError(f"this aevb knows no `{record['class']}`: the folder is foreign, or newer than this library.")
        part = CLASSES[record["class"]](**{name: self.build(argument) for name, argument in record["arguments"].items()})
        self.built[record.get("number", -1)] = part
        return part


def versions() -> dict[str, str]:
    """What wrote a file."""
    from . import __version__

    return {"aevb": __version__, "torch": str(torch.__version__), "numpy": np.__version__, "python": platform.python_version()}


def size_of(model: nn.Module) -> int:
    """Number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
