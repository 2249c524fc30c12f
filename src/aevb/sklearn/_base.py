"""The base of all estimators: parameters, a run as fitted state, and files."""

from __future__ import annotations

import math
import warnings
from abc import ABC
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from .._files import write_tensors
from .._hardware import resolve_device
from .._records import check_fields
from ..data import Dataset, Schema
from ..data._array_frames import FrameForm
from ..data._column_statistics import read_statistics
from ..data._formatting import suggest_nearest
from ..data._rows import as_weights
from ..data._tables import to_narwhals
from ..errors import AevbError, ArgumentError, DataError, IncompatibleError, check_counts
from ..notes import Note
from ..presets import find_preset
from ..runs import DataSettings, ModelSettings, Run, RunSettings, TrainingSettings
from ..runs._continue import KeptOptimizer, constant_rate
from ..training._history import EpochCallback
from ._files import ARRAYS, RECORD, record_of, restore
from ._tables import read_table

# Arguments of the library under the names of the parameters
_PARAMETERS = {
    "latent": "n_components",
    "lr": "learning_rate",
    "seed": "random_state",
    "split": "validation_fraction",
    "weights": "sample_weight",
    "samples": "n_draws",
    "privacy": "epsilon",
    **dict.fromkeys(("source", "frame", "x", "data", "z"), "X"),
}
_RECORDS = (ModelSettings, TrainingSettings)
_OWN = {"preset", "latent", "hidden", "epochs", "batch_size", "lr"}  # parameters themselves
_COUNTS = {"latent", "epochs", "batch_size"}
AUTO = "auto"


@contextmanager
def named_as_parameters(names: Mapping[str, str] = {}) -> Iterator[None]:
    """Inside the block, errors name parameters of the estimator, or ``names`` of a method."""
    try:
        yield
    except AevbError as error:
        error.argument = {**_PARAMETERS, **names}.get(error.argument or "", error.argument)
        raise


class BaseVAE(BaseEstimator, ABC):
    """What all estimators of the package share; use a subclass.

    Rows are a table: an array or a data frame with numbers, texts, dates and missing cells. The
    kind of each column, and with it its likelihood, is chosen from the values of the first fit. A
    sparse matrix is made dense.

    Args:
        n_components: Number of latent variables; by default chosen for the data.
        preset: Name of a published model, as of ``aevb.presets``; by default chosen for the data.
        hidden: Widths of the layers; by default those of the preset.
        epochs: Passes over the rows; ``"auto"``: the default of ``aevb.fit``.
        batch_size: Rows per step; ``"auto"``: the default of ``aevb.fit``.
        learning_rate: Learning rate of Adam; ``"auto"``: the default of ``aevb.fit``.
        kinds: Kinds of columns by name, as ``{"age": "count"}``, where they are not to be chosen
            from the values.
        unseen: What becomes of a category that the fitted rows do not have: ``"missing"``, or
            ``"refuse"`` for an error.
        options: Any other setting of ``aevb fit`` by name, as ``{"beta": 0.5, "patience": 20}``.
        validation_fraction: Share of the rows that choose the best weights and end the training;
            0 trains on all rows, and keeps the last weights.
        n_draws: Importance samples of a row; by default those of the method of ``Run``.
        warm_start: Whether another ``fit`` goes on with the weights and the kinds of the last one.
        random_state: Seed of every draw. With an integer, equal calls give equal results.
        device: ``"cpu"``, ``"cuda"`` or ``"mps"``; by default an accelerator if there is one.
        verbose: Whether to show a progress bar.

    Attributes:
        saved_attributes: The names of what ``save`` writes beside the run.
        run_: The trained model as a ``Run``.
        n_iter_: Number of epochs.
    """

    _default_preset: ClassVar[str | None] = None  # None: chosen for the data
    saved_attributes: ClassVar[tuple[str, ...]] = ("n_features_in_", "feature_names_in_", "_dtype")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        preset: str | None = None,
        hidden: tuple[int, ...] | None = None,
        epochs: int | str = AUTO,
        batch_size: int | str = AUTO,
        learning_rate: float | str = AUTO,
        kinds: Mapping[str, str] | None = None,
        unseen: str = "missing",
        options: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        n_draws: int | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.preset = preset
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.kinds = kinds
        self.unseen = unseen
        self.options = options
        self.validation_fraction = validation_fraction
        self.n_draws = n_draws
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    # Training

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train a model of the rows.

        Args:
            X: Rows ``[N, columns]``: an array, a sparse matrix or a data frame.
            y: Ignored.
            sample_weight: Weights of the rows ``[N]``, 0 or more. A row with the weight 0 is left
                out.

        Returns:
            The estimator.

        Raises:
            ValueError: A parameter or the data cannot be used.
        """
        self._check_parameters()
        if self.warm_start and hasattr(self, "run_"):
            self._continue(X, sample_weight, warm=True)
        else:
            self._begin(X, sample_weight)
        return self

    def _check_parameters(self) -> None:
        """Check the parameters of a subclass before the training."""

    def _samples(self) -> dict[str, Any]:
        """The importance samples as an argument of methods of ``Run``."""
        return {} if self.n_draws is None else {"samples": self.n_draws}

    def _begin(self, X: Any, sample_weight: Any, epochs: int | None = None) -> None:
        """Train a new model."""
        with named_as_parameters():
            frame, weights = self._read_for_fit(X, sample_weight, reset=True)
            settings = self._settings(self._new_seed(), len(frame))
            _check_needs_no_labels(settings.model.preset)
            if epochs is not None:
                settings = replace(settings, training=replace(settings.training, epochs=epochs))
            reading = {"split": self._split(), "weights": weights, "name": "table"}
            kinds = self._kinds(frame)
            data = settings.load_data(frame, kinds=kinds, **reading)
            if data.spec.schema is None:
                raise IncompatibleError(
                    "it has one likelihood for all columns",
                    argument="preset",
                    value=self.preset,
                    suggestions=("Choose another preset, or use `aevb.fit`",),
                )
            _check_single_values(frame, data.spec.schema)
            if preferred := self._preferred_kinds(data.spec.schema):
                data = settings.load_data(frame, kinds=preferred | kinds, **reading)
            data, callbacks = self._arrange(data)
            run = settings.fit(
                data=data, device=self.device, progress=bool(self.verbose), callbacks=callbacks
            )
            form = FrameForm.of(frame).to_dict()
            self._accept(replace(run, training={**run.training, "form": form}), frame)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on further rows: one pass, or the first one.

        The first call decides the kinds of the columns and their categories. The learning rate is
        constant.

        Args:
            X: As for ``fit``.
            y: Ignored.
            sample_weight: As for ``fit``.

        Returns:
            The estimator.

        Raises:
            ValueError: As for ``fit``; or a new category with ``unseen="refuse"``.
        """
        self._check_parameters()
        if hasattr(self, "run_"):
            self._continue(X, sample_weight, warm=False)
        else:
            self._begin(X, sample_weight, epochs=1)
        return self

    def _continue(self, X: Any, sample_weight: Any, *, warm: bool) -> None:
        """Train the model of the last fit further: as a fit of its own, or one pass."""
        with named_as_parameters():
            frame, weights = self._read_for_fit(X, sample_weight, reset=False)
            run, seed = self.run_, self._new_seed()
            settings = self._settings(seed, len(frame)).with_defaults_for(run.spec).training
            rows = run.rows(frame)
            rows = rows if weights is None else replace(rows, weights=as_weights(weights))
            kept: dict[str, Any] = {}
            if not warm:
                settings = replace(settings, epochs=1)
                self._optimizer = getattr(self, "_optimizer", None) or KeptOptimizer(
                    settings.to_fit_arguments()["optimizer"]
                )
                kept = {"optimizer": self._optimizer, "lr_schedule": constant_rate}
            run = run.train_further(
                rows, settings, seed=seed, device=self.device, progress=bool(self.verbose), **kept
            )
            self._accept(run, frame)

    def _read_for_fit(
        self, X: Any, sample_weight: Any, *, reset: bool
    ) -> tuple[Any, np.ndarray | None]:
        """The rows of a fit as a data frame, and their weights, without rows of weight 0."""
        frame = self._read(X, reset=reset)
        if sample_weight is None:
            return frame, None
        weights = _check_sample_weight(
            sample_weight, frame, dtype=np.float64, ensure_non_negative=True
        )
        used = np.flatnonzero(weights)
        if not len(used):
            raise ArgumentError("all weights are zero", argument="sample_weight")
        if len(used) == len(weights):
            return frame, weights
        return to_narwhals(frame)[used].to_native(), weights[used]

    def _read(self, X: Any, *, reset: bool = False) -> Any:
        """The rows of ``X`` as a data frame with the names that the model knows."""
        if not reset:
            check_is_fitted(self)
        table = read_table(self, X, reset=reset, names=None if reset else self._names())
        if reset:
            self._dtype = table.dtype
        return table.frame

    def _names(self) -> list[str] | None:
        """The names of the columns of the rows."""
        schema = self.run_.schema
        return None if schema is None else [column.name for column in schema.columns]

    def _kinds(self, frame: Any) -> dict[str, str]:
        """The kinds of columns that are not to be chosen from the values."""
        return _mapping("kinds", self.kinds)

    def _settings(self, seed: int, n_rows: int) -> RunSettings:
        """The parameters as the settings of a run; those that are not set have its defaults."""
        own = {
            "preset": self.preset or self._default_preset,
            "latent": self.n_components,
            "hidden": self.hidden,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "lr": self.learning_rate,
            "unseen": self.unseen,
        }
        values = {name: x for name, x in own.items() if x is not None and not _is_auto(x)}
        values = {name: _plain(x) for name, x in (values | self._checked_options()).items()}
        check_counts(**{_PARAMETERS.get(k, k): values[k] for k in _COUNTS & values.keys()})
        return RunSettings(
            "",
            _record_of(DataSettings, values),
            _record_of(ModelSettings, values),
            _record_of(TrainingSettings, values),
            seed,
        )

    def _checked_options(self) -> dict[str, Any]:
        """The further settings.

        Raises:
            ArgumentError: A name is unknown, or that of a parameter.
        """
        options = _mapping("options", self.options)
        known = {each.name for record in _RECORDS for each in fields(record)}
        known = (known | {"order", "missing"}) - _OWN
        for name in options.keys() - known:
            raise ArgumentError(
                f"{name!r} is no setting of `aevb fit` that this estimator takes",
                argument="options",
                value=self.options,
                suggestions=suggest_nearest(name, sorted(known)),
            )
        return options

    def _split(self) -> tuple[float, float, float]:
        """The shares of training, validation and test rows."""
        share = self.validation_fraction
        if not 0 <= share < 1:
            raise ArgumentError(
                "give a share of at least 0 and below 1",
                argument="validation_fraction",
                value=share,
            )
        return 1 - share, share, 0.0

    def _new_seed(self, random_state: Any = None) -> int:
        """A seed from a random state, by default that of the estimator."""
        state = self.random_state if random_state is None else random_state
        if isinstance(state, int | np.integer):
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    @property
    def notes_(self) -> tuple[Note, ...]:
        """What was read and chosen, and what needs attention."""
        check_is_fitted(self, "run_")
        result = self.run_.result
        return (*self.run_.spec.notes, *(() if result is None else result.notes))

    @property
    def _seed(self) -> int:
        """The seed of the fit, which the noise of scores depends on."""
        return int(self.run_.config.get("seed", 0))

    def _preferred_kinds(self, schema: Schema) -> dict[str, str]:
        """The kinds that columns have in a subclass, where they are not those of the values."""
        return {}

    def _arrange(self, data: Dataset) -> tuple[Dataset, tuple[EpochCallback, ...]]:
        """The data as they are trained on, and what is called after each epoch."""
        return data, ()

    def _accept(self, run: Run, frame: Any) -> None:
        """Keep the trained model."""
        self.run_ = run
        self.n_iter_ = len(run.history)
        if run.result is not None and run.result.stop_reason == "interrupted":
            warnings.warn("The training was interrupted.", stacklevel=3)
        self._after_fit(frame)

    def _after_fit(self, frame: Any) -> None:
        """Compute what a subclass keeps beside the model, from the rows of the fit."""

    @property
    def _n_features_out(self) -> int:
        """The number of latent variables."""
        return math.prod(self.run_.model.latent_shape)

    def __sklearn_tags__(self) -> Any:
        """The properties that scikit-learn asks for."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        return tags

    # Files

    def __getstate__(self) -> dict[str, Any]:
        """The attributes, with the run as bytes of safetensors and JSON."""
        known: Any = super().__getstate__()
        state = {name: value for name, value in known.items() if name != "_optimizer"}
        if isinstance(state.get("run_"), Run):
            state["run_"] = state["run_"].to_bytes()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes of ``__getstate__``."""
        if isinstance(state.get("run_"), bytes):
            device = _available(state.get("device"))
            state = {**state, "run_": Run.from_bytes(state["run_"], device=device)}
        super().__setstate__(state)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the estimator to a folder, which is a run folder of ``aevb`` as well.

        Args:
            path: The folder.
            overwrite: Replace the run in it.

        Returns:
            The folder.

        Raises:
            OSError: The folder exists, or cannot be written.
        """
        check_is_fitted(self)
        record, arrays = record_of(self)
        training = {**self.run_.training, RECORD: record}
        folder = replace(self.run_, training=training).save(path, overwrite=overwrite).path
        assert folder is not None
        write_tensors(folder / ARRAYS, arrays, within=folder)
        return folder

    @classmethod
    def load(cls, path: str | Path, *, device: str | None = None) -> Self:
        """Read an estimator from a folder; nothing in it is executed.

        Args:
            path: A folder that ``save`` wrote, or a run folder of a table.
            device: Device of the model; by default that of the estimator, if there is one.

        Returns:
            The estimator.

        Raises:
            OSError: The folder is missing or damaged.
            ValueError: It holds another class of estimator.
        """
        run = Run.open(path, device=device)
        record = run.training.get(RECORD)
        estimator = cls() if record is None else restore(cls, record, Path(path))
        if run.schema is None:
            raise DataError(f"`{path}` holds no model of a table with a schema", argument="path")
        if record is None:
            names = [column.name for column in run.schema.columns]
            state = {"feature_names_in_": np.array(names, dtype=object)}
            vars(estimator).update(state, n_features_in_=len(names), _dtype=None)
        if device is None and estimator.device is not None:
            run.model.to(resolve_device(_available(estimator.device)))
        estimator.run_, estimator.n_iter_ = run, len(run.history)
        return estimator


def _check_single_values(frame: Any, schema: Schema) -> None:
    """Refuse columns of lists and other containers, which would be set aside.

    Raises:
        DataError: There is one.
    """
    table = to_narwhals(frame)
    for column in schema.columns:
        if (
            column.kind == "identifier"
            and read_statistics(column.name, table[column.name]).all_nested
        ):
            raise DataError(
                f'column "{column.name}" holds lists or other containers',
                argument="X",
                suggestions=("Leave the column out, or make a column of each part",),
            )


def _check_needs_no_labels(preset: str | None) -> None:
    """Refuse a preset that is conditioned on labels.

    Raises:
        ArgumentError: It is.
    """
    if preset is not None and find_preset(preset).label_requirement:
        raise ArgumentError(
            "it needs labels, which no estimator takes",
            argument="preset",
            value=preset,
            suggestions=("Choose another preset, or use `aevb.fit`",),
        )


def _mapping(name: str, value: Any) -> dict[str, Any]:
    """A parameter that is a dict, or None.

    Raises:
        ArgumentError: It is something else.
    """
    if value is None or isinstance(value, Mapping):
        return dict(value or {})
    raise ArgumentError("give a dict", argument=name, value=value)


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def _plain(value: Any) -> Any:
    """A value of NumPy, or a list of them, as one of Python."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _record_of(record: type[Any], values: Mapping[str, Any]) -> Any:
    """A record of settings from those of the values that are its fields.

    Raises:
        ArgumentError: A value has another type.
    """
    for name, value in values.items():
        try:
            check_fields(record, {name: value})
        except ValueError as error:
            raise ArgumentError(str(error), argument=_PARAMETERS.get(name, name)) from error
    return record(**check_fields(record, values))


def _available(device: str | None) -> str | None:
    """A device, or None where this machine does not have it."""
    try:
        return device if device is None else str(resolve_device(device))
    except AevbError:
        return None
