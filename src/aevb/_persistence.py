"""Models on disk: weights in safetensors, architecture in JSON. Loading executes nothing.

Every part of a model records its constructor arguments (``types.Configurable``), so that any
composition can be written. Reading builds only the classes of the table below.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from . import gradients, likelihoods, models, networks, objectives, posteriors, priors
from ._build_limits import BuildLimits
from ._files import (
    create_folder,
    flush_folder,
    pack_tensors,
    path_inside,
    read_json,
    read_shapes,
    read_tensors,
    sha256_of,
    unreadable,
    write_atomically,
    write_json,
)
from ._random import seed_scope
from ._records import check_fields, record_from_json
from .data._spec import Spec
from .errors import AevbError, RunError
from .models import VAE
from .notes import Argument, message
from .objectives import Schedule
from .types import Configurable

FORMAT_VERSION = 2  # reads 1, which has no schemas of tables
WEIGHTS_FILE = "model.safetensors"
# New weights, until `model.json` names them and they take the place of the old ones.
NEXT_WEIGHTS_FILE = "model-next.safetensors"
READ_TRIES = 5  # of a folder whose writer is between the two files
# What the parts of a damaged or hostile record can raise while they are built.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
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


RunState = Literal["running", "interrupted", "finished"]


@dataclasses.dataclass(frozen=True)
class RunStatus:
    """How far the training of a saved model has come.

    Args:
        state: ``"running"`` (also of a run whose process was killed), ``"interrupted"`` or
            ``"finished"``.
        step: Steps taken; ``None`` for a model that was not saved by ``fit``.
        epoch: Epochs completed.
    """

    state: RunState = "finished"
    step: int | None = None
    epoch: int | None = None

    @property
    def is_untrained(self) -> bool:
        """Whether the weights are the initial ones."""
        return self.step == 0


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """A model read from disk.

    Args:
        model: The model, in evaluation mode on the CPU.
        spec: The specification of its data, if it was saved.
        training: How it was trained.
        path: The folder.
        status: How far its training has come.
    """

    model: VAE
    spec: Spec | None
    training: dict[str, Any]
    path: Path
    status: RunStatus = RunStatus()


def save(
    model: VAE,
    path: str | Path,
    *,
    spec: Spec | None = None,
    training: dict[str, Any] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    status: RunStatus = RunStatus(),
) -> Path:
    """Write ``model.safetensors`` and ``model.json`` into a folder.

    ``model.json`` names the SHA-256 of the weights. A process that is killed at any point leaves
    either the old model or the new one.

    Args:
        model: The model.
        path: The folder.
        spec: The specification of the data.
        training: How the model was trained, as JSON can hold it.
        weights: Tensors to write in place of the model's own, by name.
        status: How far its training has come.

    Returns:
        The folder.

    Raises:
        RunError: A file cannot be written, or is a symbolic link.
    """
    folder = Path(path)
    create_folder(folder)
    content = pack_tensors(distinct_weights(model, weights))
    settle_weights(folder)
    write_atomically(folder / NEXT_WEIGHTS_FILE, content, within=folder)
    record = model_record(model, spec, training, status)
    record["weights"] = {"sha256": hashlib.sha256(content).hexdigest()}
    write_json(folder / "model.json", record, within=folder)
    settle_weights(folder)
    return folder


def settle_weights(folder: Path) -> None:
    """Finish what a killed ``save`` began: weights that ``model.json`` names take their place.

    Raises:
        RunError: The folder cannot be written.
    """
    waiting = path_inside(folder, NEXT_WEIGHTS_FILE)
    if not waiting.exists():
        return
    record: dict[str, Any] = {}
    with suppress(RunError):  # a missing or damaged record names no weights
        record = read_json(folder / "model.json")
    try:
        if sha256_of(waiting) == _named_digest(record):
            waiting.replace(path_inside(folder, WEIGHTS_FILE))
            flush_folder(folder)
        else:
            waiting.unlink()
    except OSError as error:
        raise RunError(f"`{waiting}` could not be moved ({error.strerror or error})") from error


def find_weights(folder: Path, record: Mapping[str, Any]) -> Path | None:
    """The file with the weights that a ``model.json`` names; ``None`` where it is not there.

    A record of an older version names none: its file is ``model.safetensors``.
    """
    named = _named_digest(record)
    if named is None:
        return folder / WEIGHTS_FILE
    files = (folder / WEIGHTS_FILE, folder / NEXT_WEIGHTS_FILE)
    return next((path for path in files if sha256_of(path) == named), None)


def _named_digest(record: Mapping[str, Any]) -> str | None:
    """The SHA-256 of the weights that a record names."""
    weights = record.get("weights")
    return weights.get("sha256") if isinstance(weights, dict) else None


def distinct_weights(model: VAE, weights: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of a model by name, each once; ``weights`` take the place of its own."""
    first, tensors = _canonical_names(model), model.state_dict() if weights is None else weights
    return {name: tensors[name] for name in model.state_dict() if first[name] == name}


def model_record(
    model: VAE,
    spec: Spec | None,
    training: Mapping[str, Any] | None = None,
    status: RunStatus = RunStatus(),
) -> dict[str, Any]:
    """The contents of ``model.json``; see ``save``."""
    return {
        "format": FORMAT_VERSION,
        "versions": library_versions(),
        **dataclasses.asdict(status),
        "model": to_config(model),
        "data": None if spec is None else spec.to_dict(),
        "training": dict(training or {}),
    }


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
    if not os.path.isdir(folder):  # which answers for any text, unlike `Path.is_dir`
        raise RunError(f"there is no run folder `{folder}`")
    if not (folder / "model.json").exists() and (folder / "checkpoint").is_dir():
        raise RunError(
            f"`{folder}` has a checkpoint but no finished model",
            suggestions=(
                message("Continue the run with {resume}", resume=Argument("resume", True)),
            ),
        )
    record, weights = _read_consistently(folder)
    return restore_model(
        folder, record, lambda: read_shapes(weights), lambda: read_tensors(weights)[0], model
    )


def restore_model(
    folder: Path,
    record: Mapping[str, Any],
    read_shapes: Callable[[], Mapping[str, tuple[int, ...]]],
    read: Callable[[], Mapping[str, Tensor]],
    model: VAE | None = None,
) -> SavedModel:
    """Build the model of a record and load its weights.

    Args:
        folder: The folder of the files, which errors name.
        record: The contents of ``model.json``.
        read_shapes: Reads the shapes of the weights by name.
        read: Reads the weights.
        model: A model to load the weights into.

    Raises:
        RunError: The record or the weights are damaged, foreign, or newer than this library.
    """
    path = folder / "model.json"
    _check_format(path, record)
    spec, status, training = _read_records(path, record)
    shapes = read_shapes()
    with seed_scope(0):  # the initial weights, which are replaced, must not advance any stream
        built = _build(record["model"], path, shapes, spec) if model is None else model
    if spec is not None and not _describes(spec, built):
        raise unreadable(path, "its data and its model have different shapes")
    _assign_weights(built, shapes, read, folder / WEIGHTS_FILE)
    return SavedModel(built.eval(), spec, training, folder, status)


def _read_consistently(folder: Path) -> tuple[dict[str, Any], Path]:
    """The record of a folder and its weights, also while a run writes to it."""
    for _ in range(READ_TRIES):
        record = read_json(folder / "model.json")
        _check_format(folder / "model.json", record)
        weights = find_weights(folder, record)
        if weights is not None:
            return record, weights
    read_shapes(folder / WEIGHTS_FILE)  # raises where the file itself is missing or damaged
    raise RunError(
        f"`{folder / WEIGHTS_FILE}` does not hold the weights that `model.json` names: it is "
        "damaged, or of another model",
        suggestions=(message("Continue the run with {resume}", resume=Argument("resume", True)),),
    )


def _check_format(path: Path, record: Mapping[str, Any]) -> None:
    """Raise ``RunError`` for a file that is foreign or newer than this library."""
    if not isinstance(record.get("format"), int) or "model" not in record:
        raise RunError(f"aevb did not write `{path}`: it has no `format` or no `model`")
    if record["format"] > FORMAT_VERSION:
        raise RunError(
            f"`{path.parent}` has format {record['format']}, and this aevb reads up to "
            f"{FORMAT_VERSION}",
            suggestions=("Upgrade: pip install --upgrade aevb",),
        )


def _read_records(
    path: Path, record: Mapping[str, Any]
) -> tuple[Spec | None, RunStatus, dict[str, Any]]:
    """The records beside the architecture; ``RunError`` where they are damaged."""
    try:
        status = record_from_json(RunStatus, record)
        training = dict(record.get("training") or {})
        for name in ("config", "prior"):
            if not isinstance(training.get(name, {}), dict):
                raise ValueError(f"`{name}` is no object")
        data = record.get("data")
        if data is not None:
            check_fields(Spec, data)
        return None if data is None else Spec.from_dict(data), status, training
    except DAMAGE as error:
        reason = error.reason if isinstance(error, AevbError) else error
        raise unreadable(path, reason) from error


def _describes(spec: Spec, model: VAE) -> bool:
    """Whether the fields of a specification have the sizes of the model's data."""
    lengths = {len(values) for values in (spec.shift, spec.scale)}
    schema = spec.schema
    has_columns = spec.columns is None or len(spec.columns) == spec.dimensions
    try:
        if schema is None:
            spec.to_source(torch.empty(1, *spec.event_shape, device="meta"))
    except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        return False
    return (
        spec.event_shape == tuple(model.event_shape)
        and lengths <= {1, spec.dimensions}
        and has_columns
        and (schema is None or tuple(column.name for column in schema.modelled) == spec.columns)
    )


def _build(
    config: Any, path: Path, shapes: Mapping[str, tuple[int, ...]], spec: Spec | None
) -> VAE:
    """Build a model whose tensors the weights account for."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    row_elements = 1 << 22 if spec is None else spec.dimensions
    with BuildLimits(sizes, row_elements):
        built = from_config(config, path)
    if not isinstance(built, VAE):
        raise unreadable(path, "it describes no model")
    return built


def load_weights(model: VAE, path: Path) -> None:
    """Load the weights of a file into a model.

    Raises:
        RunError: The weights do not fit the model.
    """
    _assign_weights(model, read_shapes(path), lambda: read_tensors(path)[0], path)


def _assign_weights(
    model: VAE,
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[], Mapping[str, Tensor]],
    path: Path,
) -> None:
    """Load weights into a model; see ``load_weights``."""
    first = _canonical_names(model)
    expected = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    wrong = [
        name
        for name, shape in expected.items()
        if shapes.get(name, shapes.get(first[name])) != shape
    ] + [name for name in shapes if name not in expected]
    if wrong:
        raise _unfitting(path, f"{wrong[0]} is missing, unknown, or has another shape")
    tensors = dict(read())
    shared = {name: tensors[first[name]] for name in expected if name not in tensors}
    try:
        model.load_state_dict(tensors | shared)
    except RuntimeError as error:
        raise _unfitting(path, str(error).splitlines()[-1].strip()) from error


def _unfitting(path: Path, reason: str) -> RunError:
    return RunError(f"the weights in `{path}` do not fit the model: {reason}")


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
    except RunError:
        raise
    except DAMAGE as error:
        reason = error.reason if isinstance(error, AevbError) else error
        raise RunError(
            f"the architecture in `{path}` cannot be built ({reason}): it is damaged or aevb "
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
        if not isinstance(config["class"], str) or config["class"] not in CLASS_BY_NAME:
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
