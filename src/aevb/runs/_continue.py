"""Training that goes on with the model of a run."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .._recipe import Recipe
from ..data import Dataset, Rows
from ..models import VAE
from ..training import fit
from ..training._history import Epoch, EpochCallback
from ..training._optimisers import LearningRateSchedule, OptimizerFactory
from ._settings import ModelSettings, RunSettings, TrainingSettings

if TYPE_CHECKING:
    from ._run import Run


class KeptOptimizer:
    """A factory of optimisers that hands the state of the last one to the next.

    Args:
        factory: Makes an optimiser.
    """

    def __init__(self, factory: OptimizerFactory) -> None:
        self.factory = factory
        self.last: Optimizer | None = None

    def __call__(self, parameters: Iterable[Tensor]) -> Optimizer:
        """An optimiser with the state of the last one."""
        optimizer = self.factory(parameters)
        if self.last is not None:
            optimizer.load_state_dict(copy.deepcopy(self.last.state_dict()))
        self.last = optimizer
        return optimizer


def constant_rate(step: int, total: float) -> float:
    """The learning rate as it is, at every step."""
    return 1.0


def continue_training(
    run: Run,
    data: Dataset | Rows,
    training: TrainingSettings,
    *,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: bool | None = None,
    optimizer: OptimizerFactory | None = None,
    lr_schedule: LearningRateSchedule | None = None,
    callbacks: Sequence[EpochCallback] = (),
) -> Run:
    """Train the model of a run further; see ``Run.train_further``."""
    arguments: dict[str, Any] = training.to_fit_arguments()
    if optimizer is not None:
        arguments["optimizer"] = optimizer
    rows = data.train if isinstance(data, Dataset) else data
    result = fit(
        _recipe_of(run, len(rows)),
        data,
        **arguments,
        lr_schedule=lr_schedule,
        seed=seed,
        device=device,
        progress=progress,
        callbacks=callbacks,
        initialise=False,
    )
    history = (*run.history, *_renumbered(result.history, run.history))
    known = data if isinstance(data, Dataset) else None
    return replace(
        run, model=result.model, history=history, result=result, path=None, dataset=known
    )


def _recipe_of(run: Run, n_rows: int) -> VAE | Recipe:
    """A copy of the model, with the objective and the gradient estimator of its settings."""
    settings = RunSettings.from_dict({"source": "", **run.config})
    model = copy.deepcopy(run.model)
    if settings.model == ModelSettings():
        return model
    recipe = settings.recipe(run.spec, n_rows)
    return Recipe(model, recipe.objective, recipe.gradient)


def _renumbered(new: Sequence[Epoch], old: Sequence[Epoch]) -> tuple[Epoch, ...]:
    """Epochs that are counted from the last of earlier ones."""
    if not old:
        return tuple(new)
    last = old[-1]
    return tuple(
        replace(
            each,
            epoch=each.epoch + last.epoch,
            step=each.step + last.step,
            seconds=each.seconds + last.seconds,
        )
        for each in new
    )
