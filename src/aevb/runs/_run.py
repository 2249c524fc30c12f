"""A trained model with its data and its history: a run folder, or the result of ``fit``."""

from __future__ import annotations

import copy
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .. import inference, metrics
from .._files import read_json, unreadable
from .._hardware import resolve_device
from .._locks import holder
from .._persistence import CLASS_BY_NAME, RunStatus, SavedModel, load_saved_model, save
from .._random import seed_scope
from .._records import record_from_json
from ..data import Dataset, Reading, Rows, Schema, Spec, load_as
from ..data._array_frames import FrameForm
from ..data._conditions import Conditions
from ..data._fingerprints import find_duplicates
from ..data._load import is_frame
from ..data._shards import is_shards
from ..data._sprites import sprite_factors
from ..errors import AevbError, ArgumentError, DataError, IncompatibleError, RunError
from ..inference import AISOptions, ClassPrediction, LatentPath, TrainedModel
from ..metrics import (
    Accuracy,
    Baselines,
    Diagnosis,
    Evaluation,
    EvaluationOptions,
    LogLikelihood,
    MethodChoice,
    Quality,
)
from ..metrics._features import encoder_features
from ..models import VAE, first_member
from ..models._capabilities import Capabilities
from ..notes import UNSET, Argument, Note, message
from ..training import FitResult, fit_prior
from ..training._history import Epoch, EpochCallback, read_history, write_history
from ..training._optimisers import LearningRateSchedule, OptimizerFactory
from ..training._run_folder import RunFolder, check_run_folder
from ..training._tuning import Tuning
from ..types import ProgressCallback
from ._archive import run_to_bytes, saved_model_from_bytes
from ._conditions import ConditionalRows, sample_where
from ._confirmation import SIGNATURE, is_confirmed
from ._continue import continue_training
from ._data_parts import changed_part, data_parts_record
from ._impute import TableImputation, check_schema, impute_table, is_table, source_table
from ._matching import Donors, find_donors
from ._per_row import with_refined_rows
from ._refit import REFIT, join_validation, refit_note
from ._score import TableScores, score_table
from ._settings import RunSettings, TrainingSettings
from ._synthesis import Balance, ConstrainedTable, synthesise


@dataclass(frozen=True, eq=False, repr=False)
class Run(TrainedModel):
    """A trained model with its data, its history and its settings.

    Open a run folder with ``Run.open``; ``Run.from_fit`` and ``RunSettings.fit`` return a run in
    memory. A method that takes ``source`` uses the test rows of the run's own data by default, or
    other data of the same kind: the path of a file or folder, the name of a data set, an array, a
    data frame or ``Rows``.

    Args:
        model: The model, in evaluation mode.
        spec: The description of its data.
        training: The training record of the run folder.
        history: The epochs of training.
        path: The run folder; None in memory.
        result: The result of ``fit``, for a run in memory.
        dataset: The data in memory; by default the run reads them from their source.
        status: How far the training has come.
        trust_source: Whether the run may read its source.

    Example:
        >>> import aevb
        >>> data = aevb.data.load("digits")
        >>> recipe = aevb.presets.vae(data.spec, latent=2, hidden=[16])
        >>> run = Run.from_fit(aevb.fit(recipe, data, epochs=1, progress=False), data)
        >>> run
        <Run: model, latent 2, data digits; 1 epoch>
        >>> run.encode().shape, run.sample(3, seed=1).shape
        (torch.Size([180, 2]), torch.Size([3, 8, 8]))
    """

    model: VAE
    spec: Spec
    training: Mapping[str, Any]
    history: Sequence[Epoch] = ()
    path: Path | None = None
    result: FitResult | None = None
    dataset: Dataset | None = field(default=None)
    status: RunStatus = field(default_factory=RunStatus)
    trust_source: bool = True

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        device: str | torch.device | None = None,
        trust_source: bool = False,
    ) -> Run:
        """Open a run folder.

        Args:
            path: The folder.
            device: Device of the model, by default an accelerator if available.
            trust_source: Read the source that the folder names even if somebody else has trained
                the run, or this user elsewhere.

        Returns:
            The run, with its model on the device and in evaluation mode.

        Raises:
            RunError: The folder is missing, damaged, written by a newer version, or has untrained
                weights.
            DataError: The folder does not describe its data.
        """
        saved = load_saved_model(path)
        if saved.status.is_untrained:
            raise RunError(
                f"`{path}` has no trained weights: the run has not completed its first step",
                suggestions=(
                    message("Continue the run with {resume}", resume=Argument("resume", True)),
                ),
            )
        if saved.spec is None:
            raise DataError(
                f"`{path}` was saved without a description of its data",
                suggestions=(f"Use it from Python: aevb.load({str(path)!r})",),
            )
        return cls._from_saved(
            saved, saved.spec, read_history(saved.path), saved.path, device, trust_source
        )

    @classmethod
    def _from_saved(
        cls,
        saved: SavedModel,
        spec: Spec,
        history: Sequence[Epoch],
        path: Path | None,
        device: str | torch.device | None,
        trust_source: bool,
    ) -> Run:
        """The run of a saved model with a description of its data."""
        try:
            settings_of(saved.training)
        except ArgumentError as error:
            raise unreadable(saved.path / "model.json", error.reason) from error
        return cls(
            saved.model.to(resolve_device(device)),
            spec,
            saved.training,
            tuple(history),
            path,
            status=saved.status,
            trust_source=trust_source
            or is_confirmed(saved.training.get("config", {}), saved.training.get(SIGNATURE)),
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, device: str | torch.device | None = None) -> Run:
        """Make the run of ``to_bytes``; nothing in the bytes is executed.

        Args:
            content: The bytes.
            device: Device of the model, by default an accelerator if available.

        Returns:
            The run in memory, without its data.

        Raises:
            RunError: The bytes are damaged, or written by a newer version.
        """
        saved, history = saved_model_from_bytes(content)
        if saved.spec is None:
            raise unreadable(saved.path, "they have no description of the data")
        return cls._from_saved(saved, saved.spec, history, None, device, False)

    def to_bytes(self) -> bytes:
        """Convert the run to bytes: weights as safetensors, records as JSON in their metadata.

        Returns:
            The bytes, without the data.

        Example:
            >>> import aevb
            >>> data = aevb.data.load("digits")
            >>> recipe = aevb.presets.vae(data.spec, latent=2, hidden=[8])
            >>> run = Run.from_fit(aevb.fit(recipe, data, epochs=1, progress=False), data)
            >>> again = Run.from_bytes(run.to_bytes())
            >>> torch.equal(again.encode("digits"), run.encode("digits"))
            True
        """
        return run_to_bytes(self)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Run:
        """Write the run to a folder, which ``Run.open`` reads.

        Args:
            path: The folder.
            overwrite: Replace the run in it.

        Returns:
            The run in the folder.

        Raises:
            RunError: The folder exists, or cannot be written.
        """
        folder = Path(path)
        with RunFolder(folder, overwrite=overwrite):
            if self.history:
                write_history(folder, self.history)
            save(self.model, folder, spec=self.spec, training=dict(self.training))
        return replace(self, path=folder)

    @classmethod
    def from_fit(
        cls, result: FitResult, data: Dataset, training: Mapping[str, Any] | None = None
    ) -> Run:
        """Return the result of ``aevb.fit`` as a run.

        Args:
            result: The result of ``aevb.fit``.
            data: The data of the training.
            training: The training record. By default the record of the run folder, or an empty
                record for a result without a folder.

        Returns:
            The run.
        """
        if training is None and result.out is not None:
            training = read_json(result.out / "model.json")["training"]
        training = {} if training is None else training
        return cls(result.model, data.spec, training, result.history, result.out, result, data)

    def in_float64(self) -> Run:
        """Copy the run with its model in float64, so that sums of many terms keep their digits.

        Returns:
            The copy; the run itself where the device has no float64.
        """
        return self._in_float64

    @cached_property
    def _in_float64(self) -> Run:
        if self.model.device.type == "mps":
            return self
        return replace(self, model=copy.deepcopy(self.model).double())

    def train_further(
        self,
        data: Dataset | Rows,
        training: TrainingSettings | None = None,
        *,
        seed: int = 0,
        device: str | torch.device | None = None,
        progress: bool | None = None,
        optimizer: OptimizerFactory | None = None,
        lr_schedule: LearningRateSchedule | None = None,
        callbacks: Sequence[EpochCallback] = (),
    ) -> Run:
        """Train the model further, on the same rows or others, and return a new run.

        Args:
            data: Rows, as of ``rows``, or a data set whose validation rows choose the weights.
            training: Epochs, batch size and the like; by default those of a new run.
            seed: Seed of the order of the rows and of all draws.
            device: As for ``aevb.fit``.
            progress: As for ``aevb.fit``.
            optimizer: As for ``aevb.fit``; takes the place of the learning rate of ``training``.
            lr_schedule: As for ``aevb.fit``.
            callbacks: As for ``aevb.fit``.

        Returns:
            The run with the epochs of both; this run does not change.

        Raises:
            ArgumentError: A setting that no run could use.
        """
        return continue_training(
            self,
            data,
            training or TrainingSettings(),
            seed=seed,
            device=device,
            progress=progress,
            optimizer=optimizer,
            lr_schedule=lr_schedule,
            callbacks=callbacks,
        )

    @property
    def config(self) -> dict[str, Any]:
        """The settings of ``config.toml`` by name; empty for a run without settings."""
        return self.training.get("config", {})

    @property
    def settings(self) -> RunSettings | None:
        """The settings; None for a run that was trained without a ``RunSettings``."""
        return settings_of(self.training)

    @property
    def name(self) -> str:
        """The run folder, or for a run in memory the name of its data."""
        return self.spec.name if self.path is None else str(self.path)

    @property
    def title(self) -> str:
        """The model in a few words."""
        latent = " x ".join(str(side) for side in self.latent_shape)
        members = self.capabilities.members
        several = f"ensemble of {members}, " if members > 1 else ""
        family = self.training.get("prior", {}).get("family")
        prior = f" with a fitted prior ({family})" if family else ""
        return (
            f"{self.config.get('preset', 'model')}{prior}, {several}latent {latent}, "
            f"data {self.spec.name}"
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of an encoding; of an ensemble, that of its first member."""
        return first_member(self.model).latent_shape

    @property
    def matches_prior(self) -> bool:
        """Whether training brought the encodings to the prior, or a prior was fitted to them."""
        if self.capabilities.has_density or "prior" in self.training:
            return True
        if "matches_prior" in self.training:
            return self.training["matches_prior"]
        classes = [CLASS_BY_NAME.get(name) for name in _class_names(self.training.get("objective"))]
        return any(getattr(cls, "matches_prior", False) for cls in classes)

    @property
    def maximises_elbo(self) -> bool:
        """Whether training maximised the ELBO, as far as its history says."""
        return not self.history or self.history[-1].targets_elbo

    @property
    def tuning(self) -> Tuning | None:
        """The table of candidates of a run of ``aevb fit --tune``; None for other runs.

        Raises:
            RunError: The record is damaged.
        """
        return Tuning.from_record(self.training)

    @property
    def capabilities(self) -> Capabilities:
        """Properties of the model that decide which methods apply to it."""
        return self.model.capabilities

    @property
    def schema(self) -> Schema | None:
        """What the columns of a table of mixed columns hold; None for other data."""
        return self.spec.schema

    @cached_property
    def template(self) -> Any:
        """An empty data frame with the library and the dtypes of the rows that the run returns.

        None where the record of the training has no ``"form"``: frames are then of polars.
        """
        form = self.training.get("form")
        if form is None or self.schema is None:
            return None
        try:
            return record_from_json(FrameForm, form).empty(self.schema)
        except (ValueError, ImportError):  # a damaged record, or a library that is not installed
            return None

    @property
    def split_seed(self) -> int:
        """Seed of the split of the data, and of their binarisation."""
        return 0 if self.settings is None else self.settings.split_seed

    def data(self) -> Dataset:
        """Return the data of the training; read them from their source unless they are in memory.

        Returns:
            Training, validation and test rows.

        Raises:
            DataError: The run has no record of its data, or they cannot be read again.
        """
        return self._data

    @cached_property
    def _data(self) -> Dataset:
        if self.dataset is not None:
            return self.dataset
        use_other_data = message("Give other data as {source}", source=Argument("source"))
        if self.settings is None:
            raise DataError(
                f"`{self.name}` has no record of the data it was trained on",
                suggestions=(use_other_data,),
            )
        if not self.trust_source:
            raise DataError(
                f"`{self.name}` names `{self.settings.source}` as its data, and was not trained by "
                "you on this machine: the file is not read unasked",
                suggestions=(
                    message(
                        "Confirm it with {trust}, or give the data as {source}",
                        trust=Argument("trust_source", True),
                        source=Argument("source"),
                    ),
                ),
            )
        try:
            loaded, own = self.settings.load_data(), self.spec.schema
            if own is not None and loaded.spec.columns != self.spec.columns:
                # a version that models other columns
                loaded = self.settings.load_data(kinds=own)
            return join_validation(loaded) if REFIT in self.training else loaded
        except DataError as error:
            raise DataError(
                message(
                    "the data of `{run}` cannot be read again: {reason}",
                    run=self.name,
                    reason=error.reason,
                ),
                argument=error.argument,
                value=error.value,
                suggestions=(*error.suggestions, use_other_data),
            ) from error

    @cached_property
    def baselines(self) -> Baselines | None:
        """Classical models fitted to the training rows; None where these cannot be read."""
        try:
            train = self.data().train
        except AevbError:
            return None
        return metrics.fit_baselines(self.model, train, self.spec)

    def rows(
        self,
        source: Any = None,
        *,
        key: str | None = None,
        labels: Any = None,
        condition: Any = None,
        seed: int | None = None,
        **reading: Any,
    ) -> Rows:
        """Return the rows of a source in the form that the model takes.

        Args:
            source: Other data of the same kind; the test rows of the run's data by default.
            key: Array of an .npz file, or column of rows of a .parquet file.
            labels: Where the labels are, as for ``aevb.data.load``.
            condition: What the model is conditioned on, where the source does not have it: an array
                ``[N]``, or a dict of arrays by name.
            seed: Seed of a binarisation; by default the seed of the run's data.
            **reading: Settings of ``aevb.data.Reading``, where other than those of the run's data.

        Returns:
            The rows; a ``source`` of class ``Rows`` is returned unchanged.

        Raises:
            DataError: The data cannot be read, or the model cannot take them.
            ArgumentError: A setting of reading is given without a source.
        """
        check_reading(source, key=key, labels=labels, condition=condition, **reading)
        if source is None:
            return self.data().evaluation_rows
        if isinstance(source, Rows):
            return source
        return load_as(
            source,
            self.spec,
            key=key,
            labels=labels,
            condition=condition,
            seed=self.split_seed if seed is None else seed,
            reading=Reading(**reading),
        )

    def status_notes(self) -> tuple[Note, ...]:
        """Return a note for a run that is not finished.

        Returns:
            The note; empty for a finished run.
        """
        status, epochs = self.status, self.training.get("epochs")
        if status.state == "finished":
            return ()
        owner = holder(self.path) if self.path is not None and status.state == "running" else None
        how = (
            "is still being trained"
            if owner is not None
            else "was interrupted"
            if status.state == "interrupted"
            else "was killed during its training"
        )
        total = f" of {epochs:,}" if isinstance(epochs, int) else ""
        return (
            Note(
                "unfinished",
                f"`{self.name}` {how}: its weights are the best after {status.epoch or 0:,}{total} "
                f"epochs and {status.step or 0:,} steps.",
                "warning",
                {"state": status.state, "epoch": status.epoch, "step": status.step},
            ),
        )

    def latent_notes(self) -> tuple[Note, ...]:
        """Return whose latents ``encode`` and ``decode`` use, where that is not clear.

        Returns:
            A note for an ensemble; empty for a single model.
        """
        members = self.capabilities.members
        if members == 1:
            return ()
        text = f"Latents are those of the first of the {members} members of the ensemble."
        return (Note("first_member", text, data={"members": members}),)

    def evaluation_notes(self, source: Any, rows: Rows) -> tuple[Note, ...]:
        """Return what the user should know about an evaluation of the rows of a source.

        Args:
            source: As for ``rows``.
            rows: The rows of ``source``.

        Returns:
            The notes of the run's state and of its data.
        """
        data_notes = () if isinstance(source, Rows) else self.data_notes(source, rows)
        return (*self.status_notes(), *data_notes)

    def data_notes(self, source: Any = None, rows: Rows | None = None) -> tuple[Note, ...]:
        """Return what was left out of a source, and why its rows may not be held-out rows.

        Args:
            source: As for ``rows``.
            rows: The rows of ``source``, unless ``source`` is None.

        Returns:
            The notes; empty where there is no reason.
        """
        if source is None:
            data = self.data()
            chosen = self.training.get(REFIT)
            refit = () if chosen is None else (refit_note(chosen),)
            return (*data.evaluation_notes, *refit, *self._changed_data_notes(data))
        notes = () if rows is None else rows.notes
        try:
            train = self.data().train
        except AevbError:  # without the training rows there is nothing to compare with
            return notes
        if rows is None or train.is_memory_mapped:
            return notes
        name = source if isinstance(source, str | Path) else "the data"
        found = find_duplicates(rows, train)
        count, share = int(found.sum()), found.double().mean().item()
        if not count:
            return notes
        return (
            *notes,
            Note(
                "training_rows",
                f"{count:,} of {len(rows):,} rows of {name} also occur among the training rows of "
                f"{self.name}: the model has seen them, so that it scores them higher than new "
                "rows.",
                "warning",
                {"share": share, "rows": count},
            ),
        )

    def _changed_data_notes(self, data: Dataset) -> tuple[Note, ...]:
        """A warning where the data are no longer those of the training."""
        if self.dataset is not None or self.settings is None:
            return ()
        part = changed_part(self.training, data_parts_record(data))
        if data.spec == self.spec and part is None:
            return ()
        source = getattr(self.settings.data, part or "train", None) or self.settings.source
        return (
            Note(
                "data_changed",
                f"{source} has changed since `{self.name}` was trained on it: its test rows may be "
                "training rows.",
                "warning",
                {"source": source},
            ),
        )

    @property
    def own_rows_noun(self) -> str:
        """The rows of the run's data that are evaluated, as ``"test rows of digits"``."""
        return f"{self.data().evaluation_noun} of {self.spec.name}"

    def evaluate(
        self,
        source: Any = None,
        *,
        samples: int | None = None,
        method: Literal["auto", "importance", "annealing", "exact"] = "auto",
        temperatures: int | None = None,
        start: Literal["posterior", "prior"] | None = None,
        defensive: float = 0.0,
        bracket: int = 0,
        max_rows: int | None = None,
        seed: int = 0,
        key: str | None = None,
        labels: Any = None,
        on_progress: ProgressCallback | None = None,
        **reading: Any,
    ) -> Evaluation:
        """Compute likelihood, bound, rate and distortion of held-out rows.

        Args:
            source: As for ``rows``.
            samples: Importance samples per row (100), or annealed chains (16).
            method: Estimator of log p(x): ``"importance"``, ``"annealing"`` or ``"exact"``.
                ``"auto"`` is importance sampling, and annealing of some rows where a look at the
                weights says that they cannot be trusted (``metrics.ReliabilityLimits``).
            temperatures: Temperatures of annealed chains (500).
            start: Distribution in which annealed chains start; chosen by the model by default.
            defensive: Share of importance samples from the prior.
            bracket: Number of rows drawn from the model to bound log p(x) from both sides.
            max_rows: Use at most this many rows, evenly spaced.
            seed: Seed of every draw.
            key: As for ``rows``.
            labels: As for ``rows``.
            on_progress: Called with the number of evaluated (row, sample) pairs.
            **reading: As for ``rows``.

        Returns:
            The numbers, with their values per row and notes.

        Raises:
            ArgumentError: An option is out of range, or two options exclude each other.
            IncompatibleError: The model has no estimate of log p(x) by this method.
            DataError: The data cannot be read, or the model cannot take them.
        """
        options = evaluation_options(samples, method, temperatures, start, defensive, bracket)
        rows = self.rows(source, key=key, labels=labels, **reading)
        used = evenly_spaced(rows, max_rows)
        if method == "auto":
            choice = self.choose_method(used, options, seed=seed)
            options, used = apply_choice(options, choice), evenly_spaced(used, choice.max_rows)
        else:
            choice = MethodChoice(options.method)
        evaluation = metrics.evaluate(
            self.model,
            used,
            **vars(options),
            seed=seed,
            spec=self.spec,
            baselines=self.baselines,
            on_progress=on_progress,
        )
        notes = self.evaluation_notes(source, rows)
        return replace(evaluation, notes=(*notes, *choice.notes, *evaluation.notes))

    def choose_method(
        self, rows: Rows, options: EvaluationOptions = EvaluationOptions(), *, seed: int = 0
    ) -> MethodChoice:
        """Look at the importance weights of some rows, and choose annealing where they fail.

        Args:
            rows: The rows to evaluate.
            options: Options of importance sampling.
            seed: Seed of the draws.

        Returns:
            The method, the number of rows that it can take, and a note with its cost.
        """
        if options.defensive or not self.capabilities.importance_weights:
            return MethodChoice()
        model = self.model_for(rows)
        return metrics.choose_method(model, rows, options.samples, seed=seed)

    def log_likelihood(
        self,
        source: Any = None,
        *,
        samples: int = 100,
        seed: int = 0,
        key: str | None = None,
        **reading: Any,
    ) -> LogLikelihood | None:
        """Estimate log p(x) by importance sampling; None where the model has no such estimate.

        Args:
            source: As for ``rows``.
            samples: Importance samples per row.
            seed: Seed of every draw.
            key: As for ``rows``.
            **reading: As for ``rows``.

        Returns:
            The estimate with its values per row.
        """
        if not self.capabilities.importance_weights:
            return None
        rows = self.rows(source, key=key, **reading)
        return metrics.log_likelihood(self, rows, samples, seed=seed)

    def evaluate_bound(self, seed: int = 0) -> Evaluation:
        """Compute the bound on the test rows, or the reconstruction where there is no bound.

        A model that maximised another bound than the ELBO has a loose ELBO: its log p(x) is
        estimated, too, and compared with the baselines.

        Args:
            seed: Seed of the draws.

        Returns:
            The bound, and the numbers of classical baselines.
        """
        data = self.data()
        samples = 100 if len(data.test) <= 1000 else 10
        return metrics.evaluate_bound(
            self.model,
            data,
            seed=seed,
            baselines=self.baselines,
            samples=None if self.maximises_elbo else samples,
        )

    def accuracy(
        self, source: Any = None, *, rows: Rows | None = None, with_baseline: bool = False
    ) -> Accuracy | None:
        """Compute the share of rows with the right inferred label.

        Args:
            source: As for ``rows``.
            rows: Rows to use instead of ``source``.
            with_baseline: Compute the accuracy of the nearest training row's label, too.

        Returns:
            The accuracy; None if the model infers no labels or no row has a label.
        """
        if not self.capabilities.predicts_labels:
            return None
        rows = self.rows(source) if rows is None else rows
        if rows.labels is None or not (rows.labels >= 0).any():
            return None
        train = self.data().train if with_baseline else None
        return metrics.accuracy(self.model, rows.to(self.model.device), train)

    def diagnose(
        self,
        source: Any = None,
        *,
        seed: int = 0,
        key: str | None = None,
        labels: Any = None,
        **reading: Any,
    ) -> Diagnosis:
        """Look for problems of the model, its training and its data.

        Args:
            source: Other data, to be compared with the training rows; the run's test rows by
                default.
            seed: Seed of every draw.
            key: As for ``rows``.
            labels: As for ``rows``.
            **reading: As for ``rows``.

        Returns:
            The findings, each with the setting to change.
        """
        data = self.data()
        rows = self.rows(source, key=key, labels=labels, **reading)
        held_out = None if data.evaluation_part == "train" else data.evaluation_rows
        return metrics.doctor(
            self.model_for(data.train, data.validation, data.test, rows),
            data if source is None else rows,
            train=None if source is None else data.train,
            history=self.history,
            reference=None if source is None else held_out,
            baselines=self.baselines,
            seed=seed,
        )

    def quality(
        self,
        source: Any = None,
        *,
        features: Any = None,
        factors: Any = None,
        mean: bool = False,
        seed: int = 0,
        key: str | None = None,
        labels: Any = None,
        **reading: Any,
    ) -> Quality:
        """Compare samples, reconstructions and encodings with held-out rows.

        Args:
            source: As for ``rows``.
            features: As for ``metrics.frechet_distance``, or ``"encoder"``.
            factors: Known factors ``[N, F]`` of the rows: an array, or the path of an .npy file.
            mean: Compare means of p(x|z) instead of draws.
            seed: Seed of every draw.
            key: As for ``rows``.
            labels: As for ``rows``.
            **reading: As for ``rows``.

        Returns:
            The scores; None for a metric that is not defined.

        Raises:
            DataError: The factors cannot be read, or their number of lines is not that of the rows.
        """
        data, rows = self.data(), self.rows(source, key=key, labels=labels, **reading)
        model = self.model_for(data.train, rows)
        if features == "encoder":
            features = encoder_features(model)
        if factors is not None:
            factors = _read_factors(factors, len(rows))
        elif source is None and self.spec.name == "sprites":
            factors = sprite_factors(rows)
        return metrics.quality(
            model,
            data.train,
            rows,
            self.spec,
            features=features,
            mean=mean,
            factors=factors,
            seed=seed,
        )

    def sample(
        self,
        n: int = 64,
        *,
        label: Any = None,
        where: Conditions | None = None,
        balance: Balance | None = None,
        mean: bool = False,
        seed: int = 0,
    ) -> Any:
        """Draw new data: z from the prior, x from the likelihood.

        Args:
            n: The number of draws.
            label: The condition of a conditional model: a value, a list, or a dict by name.
            where: Conditions on the columns of a table, such as ``["sex=Female", "age>60"]``; see
                ``condition``.
            balance: A column of a table whose levels are drawn equally often, or a dict with one
                column and the share of each of its levels, as ``{"sex": {"f": 0.3, "m": 0.7}}``.
            mean: Return the mean of p(x|z) instead of a draw.
            seed: Seed of every draw.

        Returns:
            Data ``[n, *event]`` on the CPU, with the axes, the dtype and the range of the training
            data; whole numbers for data counted in steps. Of a table with a ``schema``, a polars
            data frame with its columns.
        """
        if balance is not None:
            if mean or label is not None:
                reason = "rows in chosen shares are draws without a condition"
                raise ArgumentError(reason, argument="mean" if mean else "label")
            table = ConstrainedTable.of_run(self)
            return synthesise(self, n, table, where=where, balance=balance, seed=seed)[0]
        if where is not None:
            if mean:
                raise ArgumentError("rows under conditions are draws", argument="mean", value=mean)
            return self.condition(where, n, label=label, seed=seed).rows
        wide = self.model.likelihood.unbounded or (self.spec.levels or 0) > 256
        whole = torch.int32 if wide else torch.uint8
        context = self.model.resolve_context(n, None, label)
        with seed_scope(seed, self.model.device):
            return inference.sample(
                self,
                n,
                context,
                mean=mean,
                dtype=whole if self.spec.is_discrete and not mean else None,
            )

    def condition(
        self,
        where: Conditions,
        n: int = 64,
        *,
        label: Any = None,
        samples: int = 10_000,
        seed: int = 0,
    ) -> ConditionalRows:
        """Draw rows of a table under conditions on its columns.

        Args:
            where: Conditions such as ``["sex=Female", "age>60"]``, which hold together, or a dict
                with the values of columns; see ``data.parse_conditions``.
            n: The number of rows.
            label: As for ``sample``, one value for all rows.
            samples: Importance samples.
            seed: Seed of every draw.

        Returns:
            The rows in the form of ``sample``, the probability of the conditions, and how the rows
            were drawn.

        Raises:
            ArgumentError: A condition has no meaning, contradicts another, or never occurs.
            IncompatibleError: The rows have no columns, or the model cannot be conditioned.
        """
        return sample_where(self, n, where, label=label, samples=samples, seed=seed)

    def impute(
        self,
        source: Any = None,
        *,
        draws: int = 0,
        samples: int = 1000,
        level: float = 0.9,
        seed: int = 0,
        key: str | None = None,
        donors: Donors | None = None,
        on_progress: ProgressCallback | None = None,
        **reading: Any,
    ) -> TableImputation:
        """Fill the missing cells of a table.

        Args:
            source: As for ``rows``.
            draws: Number of completed tables that are drawn.
            samples: Importance samples per row.
            level: Probability of predictive intervals, and of sets of levels.
            seed: Seed of every draw.
            key: As for ``rows``.
            donors: The result of ``find_donors``: numbers are then drawn among observed ones
                (predictive mean matching).
            on_progress: Called with the number of (row, sample) pairs that are done.
            **reading: As for ``rows``.

        Returns:
            The completed table in the library, columns and dtypes of ``source``, with intervals.

        Raises:
            IncompatibleError: The run's data are no table of mixed columns.
            DataError: The data cannot be read, or the model cannot take them.
        """
        return impute_table(
            self,
            source,
            draws=draws,
            samples=samples,
            level=level,
            seed=seed,
            key=key,
            donors=donors,
            on_progress=on_progress,
            **reading,
        )

    def find_donors(self, source: Any = None, *, seed: int = 0) -> Donors:
        """Find rows whose observed numbers fill missing cells, for ``impute(donors=)``.

        Args:
            source: As for ``rows``, by default the training rows.
            seed: Seed of the draws.

        Returns:
            Up to 500 rows, with what the model expects of each of their numbers.

        Raises:
            IncompatibleError: The run's data are no table of mixed columns.
        """
        check_schema(self, "imputation")
        rows = self.data().train if source is None else self.rows(source)
        return find_donors(self, rows, seed=seed)

    def score(
        self,
        source: Any = None,
        *,
        samples: int = 200,
        quantile: float = 0.01,
        columns: int = 3,
        seed: int = 0,
        key: str | None = None,
        on_progress: ProgressCallback | None = None,
        **reading: Any,
    ) -> TableScores:
        """Score rows by log p(x), flag unlikely ones, and name the columns that make them so.

        Args:
            source: As for ``rows``.
            samples: Importance samples per row.
            quantile: A row is unlikely if its score is below this quantile of the validation rows,
                or of the training rows where there are fewer than 100 validation rows.
            columns: Number of columns to name.
            seed: Seed of every draw.
            key: As for ``rows``.
            on_progress: Called with the number of (row, sample) pairs that are done.
            **reading: As for ``rows``.

        Returns:
            A data frame with one line per row, the threshold, and all contributions; no columns are
            named where the cells of a row depend on each other given z.

        Raises:
            IncompatibleError: The model has no estimate of log p(x).
            DataError: The data cannot be read, or the model cannot take them.
        """
        return score_table(
            self,
            source,
            samples=samples,
            quantile=quantile,
            columns=columns,
            seed=seed,
            key=key,
            on_progress=on_progress,
            **reading,
        )

    def encode(
        self, source: Any = None, *, draw: bool = False, seed: int = 0, **reading: Any
    ) -> Tensor:
        """Encode rows: the mean of the posterior, or a draw from it; see ``latent_notes``.

        Args:
            source: As for ``rows``.
            draw: Draw from the posterior.
            seed: Seed of the draws.
            **reading: How the source is read: ``key``, ``condition`` and others of ``rows``.

        Returns:
            Latent variables ``[N, *latent]`` on the CPU.
        """
        rows = self.rows(source, **reading) if reading else source
        return inference.encode(self, rows, sample=draw, seed=seed)

    def decode(self, z: Any, *, label: Any = None) -> Any:
        """Decode latent variables to the mean of p(x|z).

        Args:
            z: Latent variables ``[N, *latent]``.
            label: As for ``sample``.

        Returns:
            Data ``[N, *event]`` on the CPU, in the form of the training data; a data frame as of
            ``sample``.
        """
        return inference.decode(self, z, self.model.resolve_context(len(z), None, label))

    def reconstruct(self, source: Any = None, *, key: str | None = None, **reading: Any) -> Any:
        """Encode rows and decode them again.

        Args:
            source: As for ``rows``.
            key: As for ``rows``.
            **reading: As for ``rows``.

        Returns:
            Means of p(x|z), ``[N, *event]`` on the CPU, in the form of the training data; a data
            frame as of ``sample``, of the library of ``source`` and with its identifiers.
        """
        rows = self.rows(source, key=key, **reading)
        return inference.reconstruct(self, rows, like=self._frame_of(source, rows, key, reading))

    def _frame_of(
        self, source: Any, rows: Rows, key: str | None, reading: Mapping[str, Any]
    ) -> Any:
        """The data frame that rows were read from, if their columns have kinds."""
        if is_frame(source):
            return source
        if self.spec.schema is None or not is_table(source) or is_shards(source):
            return None
        known = {each.name for each in fields(Reading)} & reading.keys()
        settings = {name: reading[name] for name in known}
        return source_table(self, source, rows, key, settings)[0].frame.to_native()

    def normalised_expression(
        self,
        source: Any = None,
        *,
        library: float = 1e4,
        label: Mapping[str, Any] | None = None,
        samples: int = 16,
        seed: int = 0,
    ) -> Tensor:
        """Estimate the share of each column in the counts of a row, times a library size.

        Args:
            source: As for ``rows``.
            library: The sum of each row of the result.
            label: Values of variables of the condition under which rows are decoded, such as
                ``{"batch": "b"}``.
            samples: Number of draws of the latent per row.
            seed: Seed of the draws.

        Returns:
            Expression ``[N, *event]`` on the CPU; its rows and columns are those of the source.
        """
        return inference.normalised_expression(
            self, source, library=library, label=label, samples=samples, seed=seed
        )

    def interpolate(
        self,
        source: Any = None,
        from_row: int = 0,
        to_row: int = 1,
        *,
        steps: int = 11,
        path: Literal["linear", "spherical", "geodesic"] = "linear",
    ) -> LatentPath:
        """Decode a path between the encodings of two rows.

        Args:
            source: As for ``rows``.
            from_row: The first row, counted from 0.
            to_row: The last row.
            steps: Points of the path, both ends included.
            path: ``"linear"`` is straight, ``"spherical"`` an arc, and ``"geodesic"`` the path
                whose decoded data change least.

        Returns:
            The points of the path and their decoded data, with the axes of the library.

        Raises:
            ArgumentError: There is no such row.
        """
        rows = self.rows(source)
        for argument, number in (("from_row", from_row), ("to_row", to_row)):
            if not 0 <= number < len(rows):
                raise ArgumentError(
                    f"the rows are 0 to {len(rows) - 1}", argument=argument, value=number
                )
        model, ends = self.model_for(rows), rows.subset([from_row, to_row])
        unit = torch.tensor(self.spec.scale)
        unit = unit.reshape(self.spec.event_shape if len(unit) > 1 else ())
        return inference.interpolate(
            model, ends[0], ends[1], steps, path, context=ends.context, unit=unit
        )

    def predict(self, source: Any = None) -> ClassPrediction:
        """Compute the probability of each label for each row.

        Args:
            source: As for ``rows``.

        Returns:
            A probability for each row and class.

        Raises:
            IncompatibleError: The model does not infer labels.
        """
        self.check_predicts_labels()
        return inference.classify(self, source)

    def check_predicts_labels(self) -> None:
        """Raise ``IncompatibleError`` for a model that does not infer labels."""
        if not self.capabilities.predicts_labels:
            raise IncompatibleError(
                f"the model of `{self.name}` does not infer labels",
                suggestions=(
                    message(
                        "Train a model that does, with {preset}",
                        preset=Argument("preset", "semi_supervised_vae"),
                    ),
                ),
            )

    def fit_prior(
        self,
        family: Literal["mixture", "flow", "two_stage", "autoregressive"] = "mixture",
        *,
        source: Any = None,
        components: int = 10,
        steps: int = 2000,
        seed: int = 0,
        out: str | Path | None = None,
        overwrite: bool = False,
        key: str | None = None,
        **reading: Any,
    ) -> Run:
        """Fit a prior to the encodings, and return a new run with it; this run does not change.

        Args:
            family: As for ``aevb.fit_prior``.
            source: Other data to encode; the training rows by default.
            components: Components of a mixture.
            steps: Training steps of every other family.
            seed: Seed of every draw.
            out: The folder of the new run; none by default.
            overwrite: Replace the run in ``out``.
            key: As for ``rows``.
            **reading: As for ``rows``.

        Returns:
            The new run, with the same encoder and decoder.

        Raises:
            ArgumentError: ``out`` is the folder of this run.
            RunError: ``out`` exists.
        """
        folder = None if out is None else Path(out)
        if folder and self.path and folder.resolve() == self.path.resolve():
            raise ArgumentError(
                "this is the run itself, which does not change; choose another folder",
                argument="out",
                value=str(out),
            )
        if folder is not None:
            check_run_folder(folder, overwrite)
        check_reading(source, key=key, **reading)
        data = self.data() if source is None else self.rows(source, key=key, **reading)
        parts = (data.train, data.validation) if isinstance(data, Dataset) else (data,)
        encoder = self.model_for(*parts)
        fitted = fit_prior(encoder, data, family, components=components, steps=steps, seed=seed)
        if encoder is not self.model:
            posterior = copy.deepcopy(self.model.posterior)
            fitted = VAE(fitted.prior, posterior, fitted.likelihood).eval()
        record = {"family": family, "components": components, "steps": steps, "seed": seed}
        config = self.config | ({"fitted_prior": family} if self.config else {})
        training = dict(self.training) | {
            "config": config,
            "prior": record | {"base_run": self.name},
        }
        new = replace(self, model=fitted, training=training, path=None, result=None)
        return new if folder is None else new.save(folder, overwrite=overwrite)

    def report(
        self,
        source: Any = None,
        *,
        samples: int = 100,
        seed: int = 0,
        max_rows: int | None = None,
        diagnosis: Diagnosis | None = None,
        out: str | Path | None = None,
        key: str | None = None,
        labels: Any = None,
        on_progress: ProgressCallback | None = None,
        **reading: Any,
    ) -> Path:
        """Write the report, one HTML file.

        Args:
            source: As for ``rows``.
            samples: Importance samples per row.
            seed: Seed of every draw.
            max_rows: Use at most this many rows, evenly spaced.
            diagnosis: The result of ``diagnose``, to save computing it again.
            out: The file; ``report.html`` in the run folder by default.
            key: As for ``rows``.
            labels: As for ``rows``.
            on_progress: Called with the number of evaluated (row, sample) pairs.
            **reading: As for ``rows``.

        Returns:
            The path of the file.

        Raises:
            ArgumentError: A run in memory without ``out``.
            MissingExtraError: matplotlib is not installed.
        """
        from .. import report

        if self.path is None and out is None:
            raise ArgumentError("a run in memory has no folder; give a file", argument="out")
        how = {"key": key, "labels": labels} | reading
        check_reading(source, **how)
        data = self.data() if source is None else self.rows(source, **how)
        parts = (data,) if isinstance(data, Rows) else (data.train, data.validation, data.test)
        if diagnosis is None and self.capabilities.n_rows is not None:
            diagnosis = self.diagnose(seed=seed)
        return report.write_report(
            SavedModel(self.model_for(*parts), self.spec, dict(self.training), self.path or Path()),
            data,
            samples=samples,
            seed=seed,
            max_rows=max_rows,
            diagnosis=diagnosis,
            baselines=self.baselines,
            out=out,
            on_progress=on_progress,
        )

    def model_for(self, *parts: Rows) -> VAE:
        """Return the model; with parameters per row, a copy that encodes other rows.

        Args:
            *parts: Sets of rows to encode.

        Returns:
            The model itself, or the copy.
        """
        if self.capabilities.n_rows is None:
            return self.model
        try:
            train = self.data().train
        except DataError:
            train = None
        return with_refined_rows(self.model, train, parts)

    def __repr__(self) -> str:
        epochs = f"{len(self.history)} epoch{'' if len(self.history) == 1 else 's'}"
        place = "" if self.path is None else f" in {self.path}"
        return f"<Run: {self.title}; {epochs}{place}>"

    def _repr_html_(self) -> str:
        rows = {
            "run": self.name,
            "model": self.title,
            "epochs": len(self.history),
            **{name: value for name, value in self.config.items() if name != "source"},
        }
        cells = "".join(
            f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in rows.items()
        )
        return f"<table>{cells}</table>"


def settings_of(training: Mapping[str, Any]) -> RunSettings | None:
    """The settings in the record of a training; None where it has none.

    Raises:
        ArgumentError: A setting has another type.
    """
    config = training.get("config", {})
    return RunSettings.from_dict(config) if "source" in config else None


def evaluation_options(
    samples: int | None,
    method: Literal["auto", "importance", "annealing", "exact"],
    temperatures: int | None,
    start: Literal["posterior", "prior"] | None,
    defensive: float,
    bracket: int,
) -> EvaluationOptions:
    """Convert the options of ``Run.evaluate`` to options of ``metrics.evaluate``.

    Raises:
        ArgumentError: Options that exclude each other.
    """
    method = "importance" if method == "auto" else method
    path: dict[str, Any] = {"temperatures": temperatures, "start": start}
    path = {name: value for name, value in path.items() if value is not None}
    for name, value in path.items():
        if method != "annealing" and not bracket:
            raise ArgumentError(
                message(
                    "it belongs to {method} or {bracket}",
                    method=Argument("method", "annealing"),
                    bracket=Argument("bracket", 32),
                ),
                argument=name,
                value=value,
            )
    return EvaluationOptions(
        samples, method, AISOptions(**path), defensive, bracket, start if bracket else None
    )


def apply_choice(options: EvaluationOptions, choice: MethodChoice) -> EvaluationOptions:
    """The options with the method of a choice, and its default number of samples."""
    if choice.method == "importance":
        return options
    annealing = options.annealing
    if choice.start is not None:
        annealing = replace(annealing, start=choice.start)
    return replace(options, samples=None, method=choice.method, annealing=annealing)


def evenly_spaced(rows: Rows, max_rows: int | None) -> Rows:
    """At most ``max_rows`` rows, evenly spaced: all times and classes of sorted rows count."""
    if max_rows is not None and max_rows < 1:
        raise ArgumentError("use at least 1 row", argument="max_rows", value=max_rows)
    if max_rows is None or max_rows >= len(rows):
        return rows
    return rows.subset([place * len(rows) // max_rows for place in range(max_rows)])


def next_run_folder(name: str, root: str | Path = "runs") -> Path:
    """Return the first of ``runs/<name>-1``, ``runs/<name>-2`` ... that does not exist.

    Args:
        name: The beginning of the folder's name.
        root: The folder of the runs.

    Returns:
        The path; the folder is not created.
    """
    number = 1
    while (Path(root) / f"{name}-{number}").exists():
        number += 1
    return Path(root) / f"{name}-{number}"


def check_reading(source: Any, name: str = "source", **reading: Any) -> None:
    """Check that there are other data to read where arguments say how."""
    for argument, value in reading.items():
        if source is None and value is not None:
            raise ArgumentError(
                "it says how other data are read",
                argument=argument,
                value=value,
                suggestions=(message("Leave it out, or give {source}", source=Argument(name)),),
            )


def _read_factors(factors: Any, n_rows: int) -> Tensor:
    """Known factors ``[N, F]`` as a tensor, from an array or an .npy file."""
    import numpy as np

    where = str(factors) if isinstance(factors, str | Path) else UNSET
    try:
        values = np.load(factors, allow_pickle=False) if where is not UNSET else factors
        table = torch.as_tensor(values)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"it cannot be read as an array of numbers ({str(error).rstrip('.')})",
            argument="factors",
            value=where,
            suggestions=("Write it with numpy.save(path, factors)",),
        ) from error
    if table.ndim != 2 or len(table) != n_rows:
        raise DataError(
            f"its shape is {tuple(table.shape)}, and it needs a line for each of {n_rows:,} rows",
            argument="factors",
            value=where,
        )
    return table


def _class_names(record: Any) -> Iterator[str]:
    """The registered names of all parts in the record of a part."""
    if isinstance(record, Mapping):
        if "class" in record:
            yield record["class"]
        record = list(record.values())
    if isinstance(record, list):
        for item in record:
            yield from _class_names(item)
