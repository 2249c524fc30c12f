"""Ensembles: several seeds of one setting, trained as one stack and kept as one model."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .._files import read_json
from .._persistence import RunStatus, save, to_config
from .._recipe import Recipe
from ..data import Dataset
from ..errors import RunError
from ..models import build_ensemble
from ..models._ensemble import check_can_be_member
from ..notes import Argument, Note, message
from ..training import FitResult, TrainingConfig, fit_many
from ..training._history import write_history
from ..training._run import ABNORMAL_ENDS, write_config
from ..training._run_folder import RunFolder

if TYPE_CHECKING:
    from ._settings import RunSettings


def fit_ensemble(
    settings: RunSettings,
    data: Dataset,
    recipe: Recipe,
    out: Path | None,
    *,
    record: dict[str, Any],
    device: str | torch.device | None,
    overwrite: bool,
    progress: bool | None,
) -> FitResult:
    """Train the members of ``settings.model.ensemble`` and combine them; see ``RunSettings.fit``.

    Args:
        settings: The settings with the defaults for the data.
        data: The data.
        recipe: The recipe of the first member, which has the seed of the settings.
        out: The run folder to write; none by default.
        record: The entries for the record of the run.
        device: As for ``aevb.fit``.
        overwrite: Whether to replace the run in ``out``.
        progress: As for ``aevb.fit``.

    Returns:
        The model of the ensemble with the history of its first member.
    """
    check_can_be_member(recipe.model)
    seeds = range(settings.seed, settings.seed + settings.members)
    others = [replace(settings, seed=seed).recipe(data.spec, len(data.train)) for seed in seeds[1:]]
    arguments = settings.training.to_fit_arguments()
    if arguments["minutes"] is not None:
        arguments["minutes"] /= len(seeds)  # one after another: time cannot be shared in a stack
    with nullcontext() if out is None else RunFolder(out, overwrite=overwrite):
        results = fit_many(
            [recipe, *others], data, seed=seeds, device=device, progress=progress, **arguments
        )
        result = replace(_combine(results), out=out)
        members = [
            {"seed": seed, "stopped": each.stop_reason, "best_epoch": each.best_epoch}
            for seed, each in zip(seeds, results, strict=True)
        ]
        if out is not None:
            save_result(out, result, recipe, settings, data, record | {"ensemble": members})
    return result


def kept_record(out: str | Path | None) -> dict[str, Any]:
    """The entries of the record of a run that its resumed training keeps."""
    path = None if out is None else Path(out) / "model.json"
    record = {} if path is None or not path.exists() else read_json(path).get("training", {})
    return {name: record[name] for name in ("tuning",) if name in record}


def check_no_resume(resume: bool) -> None:
    """Refuse to continue an ensemble, whose members have no checkpoints.

    Raises:
        RunError: ``resume`` is set.
    """
    if resume:
        raise RunError(
            "the members of an ensemble are trained as one stack, without checkpoints: their "
            "training cannot be continued",
            argument="resume",
            suggestions=(message("Start again with {force}", force=Argument("overwrite", True)),),
        )


def _combine(results: list[FitResult]) -> FitResult:
    """One result: the mixture of the members that were trained, and the history of the first."""
    started = [each for each in results if all(note.code != "not_started" for note in each.notes)]
    first, count = results[0], len(started)
    stopped = next((each for each in results if each.stop_reason == "interrupted"), first)
    text = f"An ensemble of {count} members: log p(x) is that of their mean density."
    notes = {str(note): note for each in results for note in each.notes}
    return replace(
        first,
        model=build_ensemble([each.model for each in started]),
        stop_reason=stopped.stop_reason,
        signal=stopped.signal,
        notes=(Note("ensemble", text, data={"members": count}), *notes.values()),
    )


def save_result(
    out: Path,
    result: FitResult,
    recipe: Recipe,
    settings: RunSettings,
    data: Dataset,
    record: dict[str, Any],
) -> None:
    """Write a result that was not trained in a folder of its own as a run folder."""
    last = result.history[-1] if result.history else None
    arguments = settings.training.to_fit_arguments()
    optimizer = arguments.pop("optimizer")(recipe.model.parameters())
    config = TrainingConfig(**arguments, seed=settings.seed).to_dict()
    training = {
        "objective": to_config(recipe.objective),
        "gradient": to_config(recipe.gradient),
        "matches_prior": recipe.objective.matches_prior,
        "optimizer": type(optimizer).__name__,
        "learning_rate": settings.training.lr,
        **config,
        "epochs": config["epochs"] or (last and last.epoch),
        **record,
        "stopped": result.stop_reason,
        "best_epoch": result.best_epoch,
    }
    state = "interrupted" if result.stop_reason in ABNORMAL_ENDS else "finished"
    status = RunStatus(state, last.step if last else None, last.epoch if last else 0)
    write_history(out, result.history)
    write_config(out, record, training, data.spec)
    save(result.model, out, spec=data.spec, training=training, status=status)
