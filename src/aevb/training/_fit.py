"""``fit``: from a model and data to a trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from .._compilation import CompileOption
from .._grad_mode import gradients_enabled
from .._hardware import resolve_device
from .._persistence import to_config
from .._recipe import Recipe
from ..gradients import Gradient
from ..models import VAE
from ..objectives import Objective
from ._compatibility import check_positive, check_seed
from ._history import EpochCallback, FitResult
from ._optimisers import LearningRateSchedule, OptimizerFactory, adam, base_learning_rates
from ._precision import Precision
from ._private import Private
from ._run_folder import check_resume
from ._source import Source
from ._trainer import Trainer, resolve_recipe
from ._weight_decay import check_weight_decay

_MAY_CHANGE = {"may_change": True}  # a resumed run may have another value


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The settings of a training run.

    ``fit`` records them in the run folder. A run can be resumed with the same settings; only
    ``epochs``, ``minutes``, ``patience``, ``lr_schedule`` and ``compile`` may change.

    Args:
        epochs: Passes over the data.
        minutes: Time limit.
        batch_size: Rows per step.
        patience: Stop after so many epochs without improvement.
        lr_schedule: Factor on the learning rate, ``(step, total steps) -> float``.
        clip_norm: Largest norm of the gradient.
        ema: Decay of an exponential moving average of the weights.
        weight_decay: Decoupled decay of the weights of encoder and decoder, in units of the
            learning rate.
        input_noise: Standard deviation of noise on the standardised numbers that the encoder reads.
        micro_batches: Number of equal parts of a batch whose gradients are averaged in one step.
        seed: Seed of the order of the data and of all draws. On a CPU the same seed gives the same
            weights for the same version and number of threads of PyTorch.
        precision: Precision of the networks while training.
        compile: Whether the loss and its gradients are compiled into one graph.
        privacy: What the run may give away about a training row.

    Raises:
        ArgumentError: A setting that no run can use.
    """

    epochs: int | None = field(default=None, metadata=_MAY_CHANGE)
    minutes: float | None = field(default=None, metadata=_MAY_CHANGE)
    batch_size: int = 128
    patience: int | None = field(default=None, metadata=_MAY_CHANGE)
    lr_schedule: LearningRateSchedule | None = field(default=None, metadata=_MAY_CHANGE)
    clip_norm: float | None = None
    ema: float | None = None
    weight_decay: float = 0.0
    input_noise: float = 0.0
    micro_batches: int = 1
    seed: int = 0
    precision: Precision = "float32"
    compile: CompileOption = field(default="auto", metadata=_MAY_CHANGE)
    privacy: Private | None = None

    def __post_init__(self) -> None:
        check_positive(
            epochs=self.epochs,
            minutes=self.minutes,
            patience=self.patience,
            clip_norm=self.clip_norm,
            ema=self.ema,
        )
        check_weight_decay(self.weight_decay)
        check_seed(self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as values for JSON; a schedule by its class and fields."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)}
        settings["privacy"] = None if self.privacy is None else asdict(self.privacy)
        schedule = self.lr_schedule
        if schedule is not None:
            name = getattr(schedule, "__qualname__", type(schedule).__qualname__)
            values = getattr(schedule, "__dict__", {}).items()
            settings["lr_schedule"] = {"class": name, **{k: to_config(v) for k, v in values}}
        return settings

    def recorded_settings(
        self,
        recipe: Recipe,
        optimizer: Optimizer,
        source: Source,
        epochs: float,
        precision: str,
        compiled: bool,
    ) -> dict[str, Any]:
        """The record of a run in its folder: the settings as they were resolved, and the parts.

        Args:
            recipe: Model, objective and gradient.
            optimizer: The optimiser.
            source: The batches.
            epochs: Epochs of the run, possibly infinite.
            precision: The precision of the networks.
            compiled: Whether the step is compiled.

        Returns:
            A dictionary that JSON can hold.
        """
        return {
            "objective": to_config(recipe.objective),
            "gradient": to_config(recipe.gradient),
            "matches_prior": recipe.objective.matches_prior,
            "optimizer": type(optimizer).__name__,
            "learning_rate": base_learning_rates(optimizer)[0],
            **self.to_dict(),
            "epochs": epochs if math.isfinite(epochs) else None,
            "batch_size": source.batch_size,
            "steps_per_epoch": source.steps,
            "precision": precision,
            "compiled": compiled,
        }

    def identity(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """The part of a record that must be the same when a run is resumed."""
        free = {each.name for each in fields(self) if each.metadata.get("may_change")}
        free.add("compiled")  # which depends on the number of epochs
        return {name: value for name, value in recorded.items() if name not in free}


@gradients_enabled()
def fit(
    model: VAE | Recipe,
    data: Any,
    *,
    objective: Objective | None = None,
    gradient: Gradient | None = None,
    optimizer: OptimizerFactory | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int = 128,
    validation: Any = None,
    patience: int | None = None,
    lr_schedule: LearningRateSchedule | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    weight_decay: float = 0.0,
    input_noise: float = 0.0,
    micro_batches: int = 1,
    seed: int = 0,
    device: str | torch.device | None = None,
    precision: Precision = "float32",
    compile: CompileOption = "auto",
    privacy: Private | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    callbacks: Sequence[EpochCallback] = (),
    progress: bool | None = None,
    metadata: dict[str, Any] | None = None,
    initialise: bool = True,
) -> FitResult:
    """Train a model by auto-encoding variational Bayes (Kingma and Welling 2014).

    Non-finite steps are skipped and reported; the weights never change in them.

    Args:
        model: A ``VAE``, which is trained in place, or a ``Recipe``, which contains the objective
            and the gradient estimator, too.
        data: A ``Dataset``, an array or tensor ``[N, *event]``, or an iterable of batches. Rows
            are moved to the device; the rows of a large memory-mapped file stay in the file.
        objective: The objective to maximise. By default the ELBO with the exact KL divergence, or
            ``Reconstruction`` for a posterior without a density.
        gradient: The gradient estimator, by default ``Pathwise``.
        optimizer: A factory ``parameters -> Optimizer``, by default ``adam`` with the
            rate of the recipe, mostly 1.5e-3.
        epochs: Passes over the data. By default that of the recipe, mostly about 10,000 steps, at
            least 20 and at most 500 epochs; no limit with ``minutes``.
        minutes: Time limit. The learning rate then follows the clock, and runs are not
            reproducible.
        batch_size: Rows per step. The remaining rows of an epoch are dropped.
        validation: Rows that choose the best weights, by default the validation rows of the
            ``Dataset``. The score is the ELBO, or the objective's own bound if that bound is a mean
            of importance weights.
        patience: Stop after so many epochs without improvement. The count begins when all
            schedules have ended, and in the middle of a run that ends before them.
        lr_schedule: Factor on the learning rate, ``(step, total steps) -> float``, by default
            ``WarmupCosine()``.
        clip_norm: Largest norm of the gradient.
        ema: Decay of an exponential moving average of the weights, which is validated and returned
            in place of the weights.
        weight_decay: In each step the weights of linear, convolutional and recurrent layers of
            encoder and decoder are multiplied by ``1 - learning rate * weight_decay`` (decoupled,
            as in AdamW; Loshchilov and Hutter 2019), for every optimiser. Biases, learned scales,
            embeddings and parameters of the prior do not decay.
        input_noise: Standard deviation of normal noise that is added, while training, to the
            standardised numbers which the encoder reads: for models of presets or with
            ``networks.Standardise`` or ``networks.Columns``. Categories and missing cells have
            none.
        micro_batches: Split each batch into so many equal parts and take one step with the mean of
            their gradients, in the memory of one part. A penalty or free bits, which depend on a
            whole batch, are then computed from each part.
        seed: Seed of the order of the data and of all draws.
        device: "cpu", "cuda" or "mps", by default an accelerator if available.
        precision: Precision of the networks while training: "float32", "bfloat16" or "auto".
            Densities are float32 or better.
        compile: Compile the loss and its gradients into one graph, which takes seconds and makes
            steps faster. "auto" compiles if the planned steps save more time than compilation
            takes. Convolutions gain nothing.
        privacy: What the run may give away about any one training row. Batches are then drawn at
            random, the gradient of each row is clipped, and noise is added; there is no
            validation, no data-dependent start and no early end, which would give rows away.
        out: A run folder to write: model, history and checkpoints. Ctrl-C, SIGTERM, SIGHUP and
            SIGUSR1 end the run after the current step with ``stop_reason="interrupted"``.
        resume: Continue from the checkpoint in ``out``, or begin again if the run was stopped
            before its first step. On a CPU the result is the same to the bit as without
            interruption, if an iterable yields the same batches again. A larger ``epochs``
            continues a finished run: schedules of the objective count steps and go on, and the
            learning rate follows its schedule over the new total, at the step that was reached.
        overwrite: Whether to replace an earlier run in ``out``, once the first files of the new
            one are written.
        callbacks: Functions that are called with each ``Epoch`` and the model; ``True`` ends the
            run.
        progress: Whether to show a progress bar on stderr, by default in a terminal.
        metadata: Further entries of the record in the run folder; values for JSON. An entry
            ``"config"``, settings by name, is also written as ``config.toml``.
        initialise: Whether data-dependent parts start from the first rows; write False to go on
            with a trained model on other rows.

    Returns:
        The model with its best weights, one record per epoch, the reason why the run ended, and
        notes.

    Raises:
        IncompatibleError: Model, objective and gradient do not fit together.
        DataError: The model cannot take the data.
        ArgumentError: A setting that no run can use.
        RunError: ``out`` exists already, cannot be written, is written by another process, or has
            nothing to resume.
        OutOfMemoryError: A step does not fit into memory; the suggestions say which sizes to
            lower. The model has the best weights so far.
        NumericalError: Three steps in a row were not finite, or the learning rate would overflow
            the weights. The model has the best weights so far.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(4, [8]), 2),
        ...     likelihoods.Normal(networks.MLP(2, [8]), [4]),
        ... )
        >>> result = fit(model, torch.randn(64, 4), epochs=2, batch_size=32, progress=False)
        >>> len(result.history), result.stop_reason
        (2, 'epochs')
    """
    check_resume(resume, overwrite)
    config = TrainingConfig(
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        patience=patience,
        lr_schedule=lr_schedule,
        clip_norm=clip_norm,
        ema=ema,
        weight_decay=weight_decay,
        input_noise=input_noise,
        micro_batches=micro_batches,
        seed=seed,
        precision=precision,
        compile=compile,
        privacy=privacy,
    )
    place = resolve_device(device)
    recipe = resolve_recipe(model, objective, gradient).to(place)
    trainer = Trainer(
        recipe,
        data,
        config,
        optimizer or adam(recipe.training.lr),
        validation,
        place,
        out,
        metadata or {},
        initialise,
    )
    return trainer.fit(resume=resume, overwrite=overwrite, callbacks=callbacks, progress=progress)
