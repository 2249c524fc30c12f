"""Checkpoints: all state that a run needs to resume as if it had never stopped."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._files import keep_copy, parse_json, read_tensors, unreadable, write_tensors
from .._loop import Position
from .._persistence import CLASS_BY_NAME
from .._records import record_from_json
from ..errors import RunError
from ..notes import Argument, Note, message
from ._history import Epoch, read_history
from ._step import STATISTIC_NAMES

CHECKPOINT_FILE = Path("checkpoint") / "state.safetensors"
PREVIOUS_CHECKPOINT_FILE = CHECKPOINT_FILE.with_name("state-previous.safetensors")
# What damaged content can raise while it is put back into an optimiser or a module.
DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
MOMENTS = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"}


@dataclass
class RunProgress(Position):
    """Position of a run between two steps, and what was found until then."""

    best_validation: float | None = None
    best_epoch: int | None = None
    epochs_without_improvement: int = 0
    skipped_steps: int = 0  # in the current epoch
    statistic_sums: list[float] = field(default_factory=lambda: [0.0] * len(STATISTIC_NAMES))
    history: list[Epoch] = field(default_factory=list)
    planned_steps: int | None = None  # of the run as it began, which its schedules follow


def write_checkpoint(
    path: Path,
    progress: RunProgress,
    tensors_by_part: dict[str, dict[str, Tensor]],
    optimizer: Optimizer,
    settings: dict[str, Any],
) -> None:
    """Write the checkpoint of a run folder.

    Tensors and JSON are in one file, so that they cannot disagree. The history, which grows, is not
    in it: ``history.jsonl`` has it. The checkpoint before is kept.
    """
    state = optimizer.state_dict()
    tensors = {
        f"{part}/{name}": tensor
        for part, own in tensors_by_part.items()
        for name, tensor in own.items()
    }
    plain: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for name, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                plain.setdefault(str(index), {})[name] = value
    record = {
        "progress": {
            each.name: getattr(progress, each.name)
            for each in fields(progress)
            if each.name != "history"
        },
        "optimizer": plain,
        "groups": [_plain_group(group) for group in state["param_groups"]],
        "settings": settings,
    }
    keep_copy(path / CHECKPOINT_FILE, PREVIOUS_CHECKPOINT_FILE.name, within=path)
    write_tensors(path / CHECKPOINT_FILE, tensors, {"run": json.dumps(record)}, within=path)


def _plain_group(group: dict[str, Any]) -> dict[str, Any]:
    """A parameter group as JSON, with the learning rate as a number on every device."""
    plain = {
        name: value.item() if isinstance(value, Tensor) else value for name, value in group.items()
    }
    return plain | {"capturable": False} if "capturable" in plain else plain


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a checkpoint."""

    progress: RunProgress
    tensors_by_part: dict[str, dict[str, Tensor]]
    optimizer: dict[str, Any]
    settings: dict[str, Any]
    notes: tuple[Note, ...] = ()


def has_checkpoint(path: Path) -> bool:
    """Whether a run folder has a checkpoint."""
    return any((path / name).exists() for name in (CHECKPOINT_FILE, PREVIOUS_CHECKPOINT_FILE))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the newest whole checkpoint of a run folder, with the history up to it.

    Raises:
        RunError: The folder has no checkpoint, or a file that this version did not write.
    """
    if not has_checkpoint(path):
        raise RunError(
            f"`{path}` holds no checkpoint to resume from",
            argument="resume",
            suggestions=(message("Start the run without {resume}", resume=Argument("resume")),),
        )
    try:
        record, saved = _read_file(path / CHECKPOINT_FILE)
    except RunError as error:
        if not (path / PREVIOUS_CHECKPOINT_FILE).exists():
            raise
        record, saved = _read_file(path / PREVIOUS_CHECKPOINT_FILE)
        saved = replace(saved, notes=(_previous_note(error, saved.progress.step),))
    before = record["progress"].get("history")  # where the first version had it
    history = read_history(path) if before is None else [Epoch(**epoch) for epoch in before]
    saved.progress.history = [epoch for epoch in history if epoch.epoch <= saved.progress.epoch]
    return saved


def _read_file(path: Path) -> tuple[Any, Checkpoint]:
    """The JSON and the checkpoint of a file.

    Raises:
        RunError: The file is missing or damaged.
    """
    tensors, metadata = read_tensors(path)
    try:
        record = parse_json(metadata["run"])
        return record, _read_record(record, tensors)
    except DAMAGE as error:
        raise unreadable(path, error) from error


def _previous_note(error: RunError, step: int) -> Note:
    """The note for a run that goes on from the checkpoint before the last one."""
    return Note(
        "previous_checkpoint",
        message(
            f"{{reason}}. The run goes on from the checkpoint before it, at step {step:,}.",
            reason=error.reason,
        ),
        "warning",
        {"step": step},
    )


def _read_record(record: Any, tensors: Mapping[str, Tensor]) -> Checkpoint:
    """The checkpoint from its JSON and its tensors, without the history."""
    progress = {**record["progress"], "history": []}
    parts: dict[str, dict[str, Tensor]] = {}
    state: dict[int, dict[str, Any]] = {
        int(index): dict(values) for index, values in record["optimizer"].items()
    }
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        if part == "optimizer":
            index, _, entry = rest.partition("/")
            state.setdefault(int(index), {})[entry] = tensor
        else:
            parts.setdefault(part, {})[rest] = tensor
    checked = record_from_json(RunProgress, progress)
    counts = (checked.epoch, checked.step_in_epoch, checked.step, checked.seconds)
    if min(*counts, checked.epochs_without_improvement, checked.skipped_steps) < 0:
        raise ValueError("its progress is negative")
    return Checkpoint(
        checked, parts, {"state": state, "param_groups": record["groups"]}, dict(record["settings"])
    )


def check_settings(path: Path, saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Refuse to resume a run with other settings.

    Raises:
        RunError: A setting differs; ``argument`` is its name and ``value`` the new value.
    """
    changed = _first_difference("settings", saved, json.loads(json.dumps(current)))
    if changed is not None:
        name, before, after = changed
        raise RunError(
            message(
                "the run in {path} began with {before}",
                path=f"`{path}`",
                before=Argument(name, before),
            ),
            argument=name,
            value=after,
            suggestions=("Resume with the same settings, or start a new run",),
        )


def _first_difference(name: str, saved: Any, current: Any) -> tuple[str, Any, Any] | None:
    """The innermost setting that differs, with its two values.

    For a part this is an argument; for an argument that is a part, its class.
    """
    if saved == current:
        return None
    if isinstance(saved, dict) and isinstance(current, dict):
        saved = _with_defaults(saved, current)
        inner = [
            (name if key in ("class", "arguments") else key, saved.get(key), current.get(key))
            for key in {**current, **saved}
            if key in saved or current[key]  # what an older version did not know is off by default
        ]
        found = (_first_difference(*each) for each in inner)
        whole = (name, saved, current) if saved.keys() - current.keys() else None
        return next((first for first in found if first), whole)
    return name, saved, current


def _with_defaults(saved: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """A part with the defaults of arguments that the version which saved it did not know."""
    part = CLASS_BY_NAME.get(str(saved.get("class")))
    known, now = saved.get("arguments"), current.get("arguments")
    if part is None or not isinstance(known, dict) or not isinstance(now, dict):
        return saved
    parameters = inspect.signature(part).parameters
    added = {
        name: parameters[name].default
        for name in now.keys() - known.keys()
        if name in parameters and parameters[name].default is not inspect.Parameter.empty
    }
    return {**saved, "arguments": {**json.loads(json.dumps(added)), **known}}


def all_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, including those that are not saved with a model."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


@torch.no_grad()
def restore_tensors(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the tensors that ``all_tensors`` returned back into a module.

    Raises:
        KeyError: A tensor is missing.
        RuntimeError: A tensor has another shape.
    """
    check_shapes(module, tensors)
    for name, tensor in all_tensors(module).items():
        tensor.copy_(tensors[name])


def check_shapes(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors fit a module; ``copy_`` alone would broadcast them.

    Raises:
        KeyError: A tensor is missing.
        RuntimeError: A tensor has another shape.
    """
    for name, tensor in all_tensors(module).items():
        if tensors[name].shape != tensor.shape:
            raise RuntimeError(f"{name}: {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}")


def check_groups(optimizer: Optimizer, groups: Sequence[Mapping[str, Any]]) -> None:
    """Check that groups of an optimiser have the settings of its own, with numbers for numbers.

    Raises:
        KeyError: A setting is missing.
        ValueError: A setting has another type or length, or there are more or fewer groups.
    """
    for own, group in zip(optimizer.param_groups, groups, strict=True):
        for name, value in own.items():
            if _form(group[name]) != _form(value):
                raise ValueError(f"{name} is {group[name]!r:.60}")


def _form(value: Any) -> Any:
    """Type and length of a setting of an optimiser; of parameters the number."""
    if isinstance(value, list | tuple):
        return len(value)
    if value is None or isinstance(value, bool):  # None lets torch choose
        return bool
    return float if isinstance(value, Tensor | int | float) else type(value)


def check_moments(parameter: Tensor, state: Mapping[str, Any]) -> None:
    """Check the moments of an optimiser, which a fused step does not.

    Raises:
        RuntimeError: A moment has another shape than its parameter.
    """
    for name in MOMENTS & state.keys():
        if isinstance(state[name], Tensor) and state[name].shape != parameter.shape:
            raise RuntimeError(f"{name}: {tuple(state[name].shape)}, not {tuple(parameter.shape)}")
