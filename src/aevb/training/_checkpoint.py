"""Checkpoints: all state that a run needs to resume as if it had never stopped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._files import read_tensors, write_tensors
from ..errors import RunError
from ..notes import Argument, message
from ._history import Epoch
from ._step import STATISTIC_NAMES

CHECKPOINT_FILE = Path("checkpoint") / "state.safetensors"


@dataclass
class RunProgress:
    """Position of a run between two steps."""

    epoch: int = 0  # epochs completed
    step_in_epoch: int = 0  # steps taken in the current epoch
    step: int = 0  # steps taken in all
    seconds: float = 0.0
    best_validation: float | None = None
    best_epoch: int | None = None
    epochs_without_improvement: int = 0
    skipped_steps: int = 0  # in the current epoch
    statistic_sums: list[float] = field(default_factory=lambda: [0.0] * len(STATISTIC_NAMES))
    history: list[Epoch] = field(default_factory=list)


def write_checkpoint(
    path: Path,
    progress: RunProgress,
    tensors_by_part: dict[str, dict[str, Tensor]],
    optimizer: Optimizer,
    settings: dict[str, Any],
) -> None:
    """Write the checkpoint of a run folder.

    Tensors and JSON are in one file, so that they cannot disagree.
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
        "progress": asdict(progress),
        "optimizer": plain,
        "groups": [_plain_group(group) for group in state["param_groups"]],
        "settings": settings,
    }
    write_tensors(path / CHECKPOINT_FILE, tensors, {"run": json.dumps(record)})


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


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint of a run folder.

    Raises:
        RunError: The folder has no checkpoint, or a file that this version did not write.
    """
    if not (path / CHECKPOINT_FILE).exists():
        raise RunError(
            f"`{path}` holds no checkpoint to resume from",
            argument="resume",
            suggestions=(message("Start the run without {resume}", resume=Argument("resume")),),
        )
    tensors, metadata = read_tensors(path / CHECKPOINT_FILE)
    try:
        record = json.loads(metadata["run"])
        progress = RunProgress(**record["progress"])
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(
            f"`{path / CHECKPOINT_FILE}` was not written by this version of aevb ({error})"
        ) from error
    progress.history = [Epoch(**epoch) for epoch in record["progress"]["history"]]
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
    return Checkpoint(
        progress, parts, {"state": state, "param_groups": record["groups"]}, record["settings"]
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
        inner = [
            (name if key in ("class", "arguments") else key, saved.get(key), current.get(key))
            for key in {**current, **saved}
        ]
        return next(first for each in inner if (first := _first_difference(*each)))
    return name, saved, current


def all_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, including those that are not saved with a model."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


@torch.no_grad()
def restore_tensors(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the tensors that ``all_tensors`` returned back into a module."""
    for name, tensor in all_tensors(module).items():
        tensor.copy_(tensors[name])
