"""Models on disk: weights in safetensors, architecture in JSON. Loading executes nothing.

Every part of a model records its constructor arguments (``types.Configurable``), so that any
composition can be written. Reading builds only the classes of the table below.
"""

from __future__ import annotations

import dataclasses
import inspect
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import gradients, likelihoods, models, networks, objectives, posteriors, priors
from ._files import read_json, read_tensors, write_json, write_tensors
from ._random import seed_scope
from .data._spec import Spec
from .errors import RunError
from .models import VAE
from .notes import Argument, message
from .objectives import Schedule
from .types import Configurable

FORMAT_VERSION = 1
PART_MODULES = {
    "models": models,
    "priors": priors,
    "posteriors": posteriors,
    "likelihoods": likelihoods,
    "networks": networks,
    "objectives": objectives,
    "gradients": gradients,
}
CLASS_BY_NAME: dict[str, type] = {
    f"{role}.{name}": part
    for role, module in PART_MODULES.items()
    for name in module.__all__
    if isinstance(part := getattr(module, name), type)
    and issubclass(part, Configurable | Schedule)
    and not inspect.isabstract(part)
}
NAME_BY_CLASS = {part: name for name, part in CLASS_BY_NAME.items()}


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model read from disk.

    Args:
        model: The model, in evaluation mode on the CPU.
        spec: The specification of its data, if it was saved.
        training: How it was trained.
        path: The folder.
    """

    model: VAE
    spec: Spec | None
    training: dict[str, Any]
    path: Path


def save(
    model: VAE,
    path: str | Path,
    *,
    spec: Spec | None = None,
    training: dict[str, Any] | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write ``model.safetensors`` and ``model.json`` into a folder, each atomically.

    Args:
        model: The model.
        path: The folder.
        spec: The specification of the data.
        training: How the model was trained, as JSON can hold it.
        weights: Tensors to write in place of the model's own, by name.

    Returns:
        The folder.

    Raises:
        RunError: A file cannot be written.
    """
    folder, first = Path(path), _canonical_names(model)
    tensors = model.state_dict() if weights is None else weights
    write_tensors(
        folder / "model.safetensors",
        {name: tensors[name] for name in model.state_dict() if first[name] == name},
    )
    write_json(
        folder / "model.json",
        {
            "format": FORMAT_VERSION,
            "versions": library_versions(),
            "model": to_config(model),
            "data": None if spec is None else spec.to_dict(),
            "training": training or {},
        },
    )
    return folder


def load(path: str | Path, model: VAE | None = None) -> VAE:
    """Load the model of a run folder.

    Args:
        path: The folder.
        model: A model to load the weights into, for models with custom networks, which cannot be
            built from the file.

    Returns:
        The model, in evaluation mode on the CPU.

    Raises:
        RunError: The folder is missing, truncated, foreign, or newer than this library.
    """
    return load_saved_model(path, model).model


def load_saved_model(path: str | Path, model: VAE | None = None) -> SavedModel:
    """Load the model of a run folder with its records; see ``load``."""
    folder = Path(path)
    if not folder.is_dir():
        raise RunError(f"there is no run folder `{folder}`")
    if not (folder / "model.json").exists() and (folder / "checkpoint").is_dir():
        raise RunError(
            f"`{folder}` has a checkpoint but no finished model",
            suggestions=(
                message("Continue the run with {resume}", resume=Argument("resume", True)),
            ),
        )
    record = read_json(folder / "model.json")
    if not isinstance(record.get("format"), int) or "model" not in record:
        raise RunError(
            f"aevb did not write `{folder / 'model.json'}`: it has no `format` or no `model`"
        )
    if record["format"] > FORMAT_VERSION:
        raise RunError(
            f"`{folder}` has format {record['format']}, and this aevb reads up to {FORMAT_VERSION}",
            suggestions=("Upgrade: pip install --upgrade aevb",),
        )
    with seed_scope(0):  # the initial weights, which are replaced, must not advance any stream
        built = from_config(record["model"], folder) if model is None else model
    load_weights(built, folder / "model.safetensors")
    spec = record.get("data")
    return SavedModel(
        built.eval(),
        None if spec is None else Spec.from_dict(spec),
        record.get("training", {}),
        folder,
    )


def load_weights(model: VAE, path: Path) -> None:
    """Load the weights of a file into a model.

    Raises:
        RunError: The weights do not fit the model.
    """
    tensors, _ = read_tensors(path)
    shared = {
        name: tensors[first]
        for name, first in _canonical_names(model).items()
        if name not in tensors and first in tensors
    }
    try:
        model.load_state_dict(tensors | shared)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise RunError(f"the weights in `{path}` do not fit the model: {reason}") from error


def _canonical_names(model: nn.Module) -> dict[str, str]:
    """For every weight name, the first name of the same weight: shared weights are saved once."""
    names: dict[int, str] = {}
    return {
        name: names.setdefault(id(tensor), name)
        for name, tensor in model.state_dict(keep_vars=True).items()
    }


def to_config(value: Any) -> Any:
    """Describe a part and its parts as JSON; a part that appears twice is written once."""
    return _ConfigWriter().convert(value)


def from_config(config: Any, path: Path | str = "model.json") -> Any:
    """Build the part that ``to_config`` described, with new weights.

    Raises:
        RunError: The description is damaged, or names a class that is not in the table.
    """
    try:
        return _ConfigReader().convert(config)
    except (TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"the architecture in `{path}` cannot be built ({error}): it is damaged or aevb "
            "did not write it"
        ) from error


class _ConfigWriter:
    def __init__(self) -> None:
        self.part_numbers: dict[int, int] = {}

    def convert(self, value: Any) -> Any:
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, torch.dtype):
            return str(value).removeprefix("torch.")
        if isinstance(value, (list, tuple)):
            return [self.convert(item) for item in value]
        if isinstance(value, Schedule) and type(value) in NAME_BY_CLASS:
            return {"class": NAME_BY_CLASS[type(value)], "arguments": dataclasses.asdict(value)}
        if isinstance(value, Configurable) and type(value) in NAME_BY_CLASS:
            return self._convert_part(value)
        return {"foreign": f"{type(value).__module__}.{type(value).__qualname__}"}

    def _convert_part(self, value: Configurable) -> dict[str, Any]:
        if id(value) in self.part_numbers:
            return {"same": self.part_numbers[id(value)]}
        number = self.part_numbers[id(value)] = len(self.part_numbers)
        # a part is built again on the device where the model is loaded
        arguments = {
            name: self.convert(argument)
            for name, argument in value.arguments.items()
            if name != "device"
        }
        return {"class": NAME_BY_CLASS[type(value)], "number": number, "arguments": arguments}


class _ConfigReader:
    def __init__(self) -> None:
        self.parts: dict[int, Any] = {}

    def convert(self, config: Any) -> Any:
        if isinstance(config, list):
            return [self.convert(item) for item in config]
        if not isinstance(config, dict):
            return config
        if "foreign" in config:
            raise RunError(
                f"this model has a custom part, `{config['foreign']}`",
                suggestions=("Build the model and pass it: aevb.load(run, model=...)",),
            )
        if "same" in config:
            return self.parts[config["same"]]
        if config["class"] not in CLASS_BY_NAME:
            raise RunError(
                f"this aevb has no `{config['class']}`: the folder is foreign, or newer than this "
                "library"
            )
        part = CLASS_BY_NAME[config["class"]](
            **{name: self.convert(argument) for name, argument in config["arguments"].items()}
        )
        self.parts[config.get("number", -1)] = part
        return part


def library_versions() -> dict[str, str]:
    """Versions of this library and of those that decide its numbers."""
    from . import __version__

    return {
        "aevb": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def count_parameters(model: nn.Module) -> int:
    """The number of parameters."""
    return sum(parameter.numel() for parameter in model.parameters())
