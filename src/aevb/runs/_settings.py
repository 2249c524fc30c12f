"""The settings that decide a run: the one record that options, ``config.toml`` and Python share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from .. import _config_file as config_file
from .._records import check_fields
from ..errors import ArgumentError, DataError
from ..notes import Argument, Note, message

if TYPE_CHECKING:
    import torch

    from .._recipe import Recipe, TrainingDefaults
    from ..data import Dataset, Spec
    from ..presets import PresetRegistration
    from ..training import FitResult
    from ..training._history import EpochCallback
    from ._run import Run


def setting(default: Any, help: str) -> Any:
    """A field of a settings record with the text that ``--help`` shows."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How a source is read; every command that reads data has the fields as options.

    Args:
        key: Array of a file with several, sheet of an .xlsx file, or column of rows of a table.
        labels: Where the labels are: a column, an array of an .npz file, or a kind of label of a
            named data set.
        background: Colour behind the transparent pixels of images.
        frames: ``"first"`` or ``"all"`` images of an animation or a file with several pages.
        resize: Height and width that images are resized to.
        crop: What ``resize`` does to other proportions: ``"center"`` or ``"none"``.
        layout: Axes of an array, as ``"NHWC"``.
        encoding: Encoding of a text file, as ``"cp1252"``.
        delimiter: Character between the cells of a text file, or its name, as ``"tab"``.
        decimal: Decimal mark of numbers in text.
        header: Whether the first line of a table holds the names of the columns.
        missing: Values of a table that stand for empty cells.
        allow_large: Whether contents may fill more than half of the memory at hand.
        lengths: Array of an .npz file with the number of steps of each series.
    """

    key: str | None = setting(
        None, "Array of a file with several, sheet of an .xlsx file, or column of rows of a table."
    )
    labels: str | None = setting(
        None,
        "Where the labels are: a column, an array of an .npz file, a kind of label of a named set.",
    )
    background: str | None = setting(
        None, "Colour behind transparent pixels, as black or #ff8000; white by default."
    )
    frames: Literal["first", "all"] | None = setting(
        None, "Images of an animation or of a file with several pages to read; first by default."
    )
    resize: tuple[int, ...] | None = setting(
        None, "Height and width that images are resized to, anti-aliased, as 64,64."
    )
    crop: Literal["center", "none"] | None = setting(
        None,
        "What --resize does to other proportions: cut off the edges (center, the default) or "
        "stretch the image (none).",
    )
    layout: str | None = setting(
        None,
        "Axes of an array: NHW, NCHW or NHWC (images), NTC or NCT (series), NTHW, NTCHW, NTHWC or "
        "NCTHW (video); chosen from shape and values by default.",
    )
    encoding: str | None = setting(
        None, "Encoding of a text file, as cp1252; UTF-8, UTF-16 and cp1252 are detected."
    )
    delimiter: str | None = setting(
        None,
        "Character between the cells of a text file, or comma, semicolon, tab, pipe, blank; "
        "detected by default.",
    )
    decimal: Literal[".", ","] | None = setting(
        None, "Decimal mark of numbers in text; detected by default."
    )
    header: bool | None = setting(
        None, "The first line of a table holds the names of the columns; detected by default."
    )
    missing: tuple[str, ...] | None = setting(
        None, "Values of a table that stand for empty cells, as -200, or in one column age=99."
    )
    allow_large: bool | None = setting(
        None, "Read contents that fill more than half of the memory at hand."
    )

    lengths: str | None = setting(
        None, "Array of an .npz file with the number of steps of each series."
    )

    @property
    def reading_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``Run`` methods that read data."""
        values = ((each.name, getattr(self, each.name)) for each in fields(ReadingSettings))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, kw_only=True)
class DataSettings(ReadingSettings):
    """How data are read, split and modelled; ``aevb fit --help`` lists the fields as options.

    Further fields are those of ``ReadingSettings``.

    Args:
        shape: Shape of an event whose rows are stored flat.
        split: Fractions of train, validation and test rows; ``(0.8, 0.1, 0.1)`` by default, unless
            the data set has a published split.
        order: Split at ``"random"``, or by row order (``"time"``).
        binarise: Make grey images black and white: anew at every epoch (``"dynamic"``) or once
            (``"fixed"``).
        likelihood: Family of p(x|z); chosen from the data by default.
        network: ``"mlp"`` or ``"conv"``; chosen from the data by default.
        condition: Columns that the model is conditioned on, and that are then no data; ``"label"``
            stands for the labels.
        split_seed: Seed of the split, so that runs of several seeds share their rows; the seed of
            the run by default.
        kinds: Kinds of columns of a table, each as ``"age=count"`` or ``"code=derived:name"``, or
            the path of a TOML file.
        unseen: What becomes of a category that no training row has: ``"missing"`` or ``"refuse"``.
        validation: Another source, whose rows validate; ``source`` is then not split.
        test: Another source of test rows; a tenth of ``source`` then validates.
        validation_key: As ``key``, for the validation rows.
        test_key: As ``key``, for the test rows.
        validation_labels: As ``labels``, for the validation rows.
        test_labels: As ``labels``, for the test rows.
        weights: A column of a table with weights of the rows in training and validation.
        cache: The folder for the encoded rows of a source of many files.
    """

    shape: tuple[int, ...] | None = setting(
        None, "Shape of an event whose rows are stored flat, as 28,28."
    )
    split: tuple[float, ...] | None = setting(
        None,
        "Fractions of train, validation and test rows, of which the last two may be 0; 0.8,0.1,0.1 "
        "unless the set has a published split.",
    )
    order: Literal["random", "time"] = setting("random", "Split at random, or by row order (time).")
    binarise: Literal["dynamic", "fixed"] | None = setting(
        None, "Make grey images black and white: anew at every epoch (dynamic) or once (fixed)."
    )
    likelihood: str | None = setting(
        None, "Family of p(x|z), as listed below; chosen from the data by default."
    )
    network: str | None = setting(None, "mlp or conv; chosen from the data by default.")
    condition: tuple[str, ...] | None = setting(
        None,
        "Condition the model on these columns, which are then no data; label: the labels of a set, "
        "a folder or --labels.",
    )
    split_seed: int | None = setting(
        None,
        "Seed of the split, so that runs of several seeds share their rows; --seed by default.",
    )
    kinds: tuple[str, ...] | None = setting(
        None,
        "Kind of a column of a table, as age=count or code=derived:name (a function of name), or a "
        "TOML file of kinds; chosen from the values by default.",
    )
    unseen: Literal["missing", "refuse"] | None = setting(
        None, "What a category becomes that no training row has: missing (the default) or refused."
    )
    validation: str | None = setting(
        None, "Another file, folder or data set of validation rows; all of SOURCE then trains."
    )
    test: str | None = setting(
        None, "Another file, folder or data set of test rows; a tenth of SOURCE then validates."
    )
    validation_key: str | None = setting(
        None, "Array of the validation rows, in SOURCE or in --validation; --key by default."
    )
    test_key: str | None = setting(
        None, "Array of the test rows, in SOURCE or in --test; --key by default."
    )
    validation_labels: str | None = setting(
        None, "Labels of the validation rows; the column of --labels by default."
    )
    test_labels: str | None = setting(
        None, "Labels of the test rows; the column of --labels by default."
    )
    weights: str | None = setting(
        None, "Column of a table with weights of the rows in training and validation, 0 or more."
    )
    cache: str | None = setting(
        None,
        "Folder for the encoded rows of many files ('shards/*.parquet'); in ~/.cache by default.",
    )


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """The model and its objective; ``aevb fit --help`` lists the fields as options.

    Args:
        preset: Name of a published model; ``presets.default_preset`` by default.
        latent: Number of latent variables; by default that of the preset, or fewer for narrow
            tables.
        hidden: Widths of the layers, or channels of the convolutions.
        dropout: Dropout probability of the networks.
        prior: Name of a prior that replaces the preset's.
        posterior: Name of a posterior that replaces the preset's.
        objective: Name of an objective that replaces the preset's.
        gradient: Name of a gradient estimator that replaces the preset's.
        samples: Samples per row in the objective.
        beta: Weight of the KL divergence in the target.
        free_bits: Nats per latent variable that the target does not penalise.
        set: Other arguments of the preset, the objective or the gradient estimator, each as
            ``"alpha=0.3"``.
        ensemble: Number of models with different seeds whose densities are averaged; a single
            model by default.
    """

    preset: str | None = setting(
        None,
        "A published model, as beta_vae or iwae; `aevb presets` lists them. By default table_vae "
        "for a table of real numbers, of mixed columns or of 0 and 1, otherwise vae.",
    )
    latent: int | None = setting(
        None,
        "Number of latent variables; by default that of the preset (mostly 16), or fewer for "
        "narrow tables.",
    )
    hidden: tuple[int, ...] | None = setting(
        None,
        "Widths of the layers, as 400,400 (the default), or channels of the convolutions, as "
        "32,64.",
    )
    dropout: float | None = setting(
        None, "Dropout probability of the networks while training, as 0.1; none by default."
    )
    prior: str | None = setting(None, "Prior instead of the preset's, as vamp; listed below.")
    posterior: str | None = setting(
        None, "Posterior instead of the preset's, as iaf; listed below."
    )
    objective: str | None = setting(
        None, "Objective instead of the preset's, as iwae; listed below."
    )
    gradient: str | None = setting(
        None,
        "Gradient estimator instead of the preset's, as leave-one-out, or the beginning of its "
        "name; listed below.",
    )
    samples: int | None = setting(None, "Samples per row in the objective.")
    beta: float | None = setting(None, "Weight of the KL divergence in the target.")
    free_bits: float | None = setting(
        None, "Nats per latent variable that the target does not penalise."
    )
    set: tuple[str, ...] | None = setting(
        None,
        "Any other argument of the preset, the objective or the gradient estimator, as alpha=0.3 "
        "or temperature=Exponential(1,0.5,steps=5000).",
    )
    ensemble: int | None = setting(
        None,
        "Train so many models with different seeds, and average their densities; a single model by "
        "default.",
    )


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Arguments of ``aevb.fit`` that a run folder records.

    Args:
        epochs: Passes over the data; by default those of the preset, mostly about 10,000 steps.
        minutes: Time limit.
        batch_size: Rows per step.
        lr: Learning rate of Adam, with warm-up and then a cosine decay; by default that of the
            preset, mostly 1.5e-3.
        patience: Stop after so many epochs without improvement on the validation rows; by default
            50, and never for ``table_vae``, whose runs are short.
        clip_norm: Largest norm of the gradient.
        ema: Decay of an exponential moving average of the weights, which replaces the weights.
        weight_decay: Decoupled decay of the weights of encoder and decoder.
        input_noise: Standard deviation of noise on the standardised numbers that the encoder reads.
        precision: Precision of the networks in training; densities are float32 or better.
        refit: Train again on training and validation rows, for the number of epochs that was best
            on the validation rows; single runs only.
        epsilon: What a private training may give away about a row, with ``delta``.
        delta: Probability with which it may give away more.
        max_norm: Largest norm of the gradient of one row in private training.
    """

    epochs: int | None = setting(
        None, "Passes over the data; about 10,000 steps by default, fewer for table_vae."
    )
    minutes: float | None = setting(None, "Stop after this many minutes.")
    batch_size: int = setting(128, "Rows per step.")
    lr: float | None = setting(
        None,
        "Learning rate of Adam, with warm-up and then a cosine decay; that of the preset by "
        "default, mostly 0.0015.",
    )
    patience: int | None = setting(
        None,
        "Stop after this many epochs without improvement on the validation rows; 50 by default, "
        "and never for table_vae, whose runs are short.",
    )
    clip_norm: float | None = setting(None, "Maximum norm of the gradient.")
    ema: float | None = setting(
        None,
        "Decay of an exponential moving average of the weights, as 0.999; the average is kept.",
    )
    weight_decay: float = setting(
        0.0, "Decoupled decay of the weights of encoder and decoder, as 0.01; 0 for none."
    )
    input_noise: float = setting(
        0.0,
        "Standard deviation of noise on the standardised numbers that the encoder reads in "
        "training, as 0.1; 0 for none.",
    )
    precision: Literal["float32", "bfloat16", "auto"] = setting(
        "float32",
        "Precision of the networks in training (auto: bfloat16 where it is faster); densities are "
        "float32 or better.",
    )
    refit: bool | None = setting(
        None,
        "Train again from the start on training and validation rows, for the number of epochs that "
        "was best on the validation rows.",
    )
    epsilon: float | None = setting(
        None,
        "Train with differential privacy: the weights tell of any one row at most this much "
        "(1 is strong, 10 weak). Then there is no validation.",
    )
    delta: float = setting(1e-5, "Probability with which private training may tell more.")
    max_norm: float = setting(1.0, "Largest norm of the gradient of one row in private training.")

    def check_single_training(self, argument: str, value: Any) -> None:
        """Refuse several trainings on the same rows where one alone has the privacy that is asked.

        Args:
            argument: The setting that asks for several trainings.
            value: Its value.

        Raises:
            ArgumentError: Training is private.
        """
        if self.epsilon is not None:
            raise ArgumentError(
                message(
                    "several models of the same rows give away more than {epsilon}",
                    epsilon=Argument("epsilon", self.epsilon),
                ),
                argument=argument,
                value=value,
                suggestions=("Leave one of the two out",),
            )

    def to_fit_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``aevb.fit`` and ``aevb.fit_many``."""
        from ..training import Private, adam
        from ..training._compatibility import check_positive

        check_positive(lr=self.lr)
        arguments = dataclasses.asdict(self)
        numbers = {name: arguments.pop(name) for name in ("epsilon", "delta", "max_norm")}
        del arguments["refit"]
        if self.epsilon is not None:  # patience waits for validation rows, which give rows away
            arguments |= {"privacy": Private(**numbers), "patience": None}
        lr = arguments.pop("lr")
        return arguments | {"optimizer": None if lr is None else adam(lr)}

    def with_defaults(self, defaults: TrainingDefaults) -> TrainingSettings:
        """The settings with the learning rate and the patience of a preset where none is set."""
        return replace(
            self,
            lr=defaults.lr if self.lr is None else self.lr,
            patience=defaults.patience if self.patience is None else self.patience,
        )


_Part = TypeVar("_Part", DataSettings, ModelSettings, TrainingSettings)


@dataclass(frozen=True)
class _Seed:
    """The type of the seed in a file."""

    seed: int = 0


_FORMER_NAMES = {"average": "ema", "clip": "clip_norm"}  # keys of format 1


@dataclass(frozen=True)
class RunSettings:
    """All that decides a run.

    Args:
        source: A file, a folder of images, or the name of a data set; empty for data in memory,
            which ``fit`` gets.
        data: How the source is read and split.
        model: Preset, sizes and objective.
        training: Arguments of ``aevb.fit``.
        seed: Seed of every draw, and of the split unless ``data.split_seed`` is set.

    Example:
        >>> settings = RunSettings("digits", model=ModelSettings(latent=2), seed=3)
        >>> settings.to_dict()["latent"], RunSettings.from_dict(settings.to_dict()) == settings
        (2, True)
    """

    source: str
    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The contents of ``config.toml``: every setting that is not None."""
        together = {
            name: value
            for part in (self.data, self.model, self.training)
            for name, value in dataclasses.asdict(part).items()
        }
        source = {"source": self.source} if self.source else {}
        return (
            source
            | {"seed": self.seed}
            | {name: value for name, value in together.items() if value is not None}
        )

    def to_record(self) -> dict[str, Any]:
        """The entries for the record of a run: the settings, and the signature of their source."""
        from ._confirmation import source_record

        config = self.to_dict()
        return {"config": config} | (source_record(config) if self.source else {})

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> RunSettings:
        """The settings that ``to_dict`` wrote, also for an older version.

        Args:
            config: Values by name; names that are not settings are ignored.

        Raises:
            ArgumentError: A value has another type than its setting.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in current_names(config).items()
        }

        def part(record: type[_Part]) -> _Part:
            return record(**check_fields(record, values))

        try:
            return cls(
                str(values["source"]),
                part(DataSettings),
                part(ModelSettings),
                part(TrainingSettings),
                **check_fields(_Seed, values),
            )
        except (KeyError, ValueError) as error:
            raise ArgumentError(f"the settings are damaged: {error}", argument="config") from error

    @classmethod
    def read(cls, path: str | Path) -> RunSettings:
        """The settings in a ``config.toml``.

        Args:
            path: The file, or the run folder that holds it.

        Raises:
            ArgumentError: The file is missing or is not TOML.
        """
        path = Path(path)
        return cls.from_dict(
            config_file.read_config(path / config_file.CONFIG_FILE_NAME if path.is_dir() else path)
        )

    @property
    def split_seed(self) -> int:
        """Seed of the split and of a binarisation of the data."""
        return self.seed if self.data.split_seed is None else self.data.split_seed

    @property
    def sources(self) -> tuple[str, ...]:
        """The source of the training rows, and the sources of other parts that have their own."""
        own = (self.data.validation, self.data.test)
        return (self.source, *(source for source in own if source is not None))

    @property
    def members(self) -> int:
        """Number of models whose densities are averaged; 1 for a single model."""
        from ..errors import check_counts

        count = 1 if self.model.ensemble is None else self.model.ensemble
        check_counts(ensemble=count)
        if count > 1:
            self.training.check_single_training("ensemble", count)
        return count

    def data_arguments(self) -> dict[str, Any]:
        """Keyword arguments of ``aevb.data.load``.

        Example:
            >>> RunSettings("digits", DataSettings(key="x", split_seed=0), seed=3).data_arguments()
            {'key': 'x', 'order': 'random', 'seed': 0}
        """
        arguments = {
            name: value
            for name, value in dataclasses.asdict(self.data).items()
            if value is not None and name != "split_seed"
        }
        return arguments | {"seed": self.split_seed}

    def load_data(self, source: Any = None, **reading: Any) -> Dataset:
        """Read and split the data, with the labels that the preset is conditioned on.

        Args:
            source: The data in memory, as of ``aevb.data.load``, where the settings name none.
            **reading: Further arguments of ``aevb.data.load``, which settings cannot hold.

        Raises:
            DataError: The data cannot be read, or the model cannot use them.
            ArgumentError: A setting that no data could be loaded with.
        """
        from .. import data, presets
        from ..training._compatibility import check_seed
        from ._set_values import SetValues

        _ = self.members  # an impossible number is refused before data are read
        check_seed(self.split_seed, "seed" if self.data.split_seed is None else "split_seed")
        preset = presets.find_preset(self.model.preset or presets.DEFAULT_PRESET)
        requirement = preset.label_requirement
        arguments = self.data_arguments() | reading
        source = self.source if source is None else source
        if requirement:
            few = requirement == "few"
            arguments = {"condition": "label", **arguments, "allow_missing_labels": few}
        loaded = data.load(source, **arguments)
        fixed = preset.data_likelihood or (preset.table_likelihood if loaded.spec.schema else None)
        if fixed and "likelihood" not in arguments and not loaded.spec.is_discrete:
            loaded = self._load_for(source, preset, arguments, fixed, loaded.spec)
        if requirement != "few":
            return loaded
        return data.mask_labels(
            loaded, SetValues(self.model.set).take_label_count(), arguments["seed"]
        )

    def _load_for(
        self,
        source: Any,
        preset: PresetRegistration,
        arguments: dict[str, Any],
        fixed: str,
        spec: Spec,
    ) -> Dataset:
        """Read the data with the likelihood of a preset.

        Raises:
            ArgumentError: The likelihood is not for these data.
        """
        from .. import data, presets

        try:
            if not arguments.get("kinds"):  # those of single columns have no meaning
                arguments.pop("kinds", None)
            return data.load(source, **arguments, likelihood=fixed)
        except DataError as error:
            if error.argument != "likelihood":
                raise
            usual = presets.default_preset(spec)
            raise ArgumentError(
                error.reason,
                argument="preset",
                value=preset.name,
                suggestions=(message("Use {preset}", preset=Argument("preset", usual)),),
            ) from error

    def with_defaults_for(self, spec: Spec) -> RunSettings:
        """The settings with preset, latent variables, learning rate and patience.

        Unless one is set, the default of the preset is used, as for ``presets.preset``.
        """
        from .. import presets

        name = self.model.preset or presets.default_preset(spec)
        latent = self.model.latent
        if latent is None:
            latent = presets.find_preset(name).latent_for(spec)
        training = self.training.with_defaults(presets.find_preset(name).training_for(spec))
        model = replace(self.model, preset=name, latent=latent)
        return replace(self, model=model, training=training)

    def size_notes(self, n_rows: int) -> tuple[Note, ...]:
        """A warning where the preset overfits so few training rows.

        Args:
            n_rows: The number of training rows.
        """
        from ..presets import find_preset

        preset = None if self.model.preset is None else find_preset(self.model.preset)
        if preset is None or n_rows >= preset.min_rows:
            return ()
        text = message(
            f"{{preset}} overfits fewer than about {preset.min_rows:,} training rows, and there "
            f"are {n_rows:,}. Compare it with {{vae}}.",
            preset=Argument("preset", preset.name),
            vae=Argument("preset", "vae"),
        )
        numbers = {"preset": preset.name, "rows": n_rows, "min_rows": preset.min_rows}
        return (Note("few_rows_for_preset", text, "warning", numbers),)

    def recipe(self, spec: Spec, n_rows: int | None = None) -> Recipe:
        """Build model, objective and gradient estimator with fresh weights.

        Args:
            spec: The description of the data.
            n_rows: The number of training rows, for presets with parameters for each row.

        Raises:
            ArgumentError: An unknown name, or an option that a part does not take.
        """
        from .._random import seed_scope
        from ._recipe import build_recipe

        with seed_scope(self.seed):
            return build_recipe(self.with_defaults_for(spec).model, spec, n_rows)

    def fit(
        self,
        out: str | Path | None = None,
        *,
        data: Dataset | None = None,
        recipe: Recipe | None = None,
        device: str | torch.device | None = None,
        resume: bool = False,
        overwrite: bool = False,
        progress: bool | None = None,
        record: Mapping[str, Any] | None = None,
        callbacks: Sequence[EpochCallback] = (),
    ) -> Run:
        """Read the data and train.

        Args:
            out: The run folder to write; none by default.
            data: The data, where they are loaded already.
            recipe: The result of ``recipe``, where it is built already.
            device: ``"cpu"``, ``"cuda"`` or ``"mps"``.
            resume: Continue the run in ``out``, with more epochs also a finished one.
            overwrite: Replace the run in ``out``.
            progress: Show a progress bar; by default on a terminal.
            record: Further entries for the record of the run.
            callbacks: As for ``aevb.fit``.

        Returns:
            The run, in evaluation mode, with its data.

        Raises:
            RunError: ``out`` exists, cannot be written, or holds nothing to resume.
            ArgumentError: A setting that no run could use.
        """
        from ..training import fit
        from ..training._run_folder import check_resume
        from ._data_parts import check_same_data, data_parts_record
        from ._ensemble import check_no_resume, fit_ensemble, kept_record
        from ._refit import Refit
        from ._run import Run

        check_resume(resume, overwrite)
        self.training.to_fit_arguments()  # an impossible value is refused before data are read
        data = self.load_data() if data is None else data
        settings = self.with_defaults_for(data.spec)
        recipe = settings.recipe(data.spec, len(data.train)) if recipe is None else recipe
        arguments = settings.training.to_fit_arguments()
        parts = data_parts_record(data)

        def train_once(
            recipe: Recipe,
            data: Dataset,
            out: str | Path | None,
            record: dict[str, Any],
            length: Mapping[str, Any],
            resume: bool,
            overwrite: bool,
        ) -> FitResult:
            result = fit(
                recipe,
                data,
                **arguments | dict(length),
                seed=self.seed,
                device=device,
                out=out,
                resume=resume,
                overwrite=overwrite,
                progress=progress,
                callbacks=callbacks,
                metadata=record,
            )
            notes = settings.size_notes(len(data.train))
            return replace(result, notes=(*result.notes, *notes))

        if self.training.refit:
            twice = Refit(settings, data, train_once, record or {})
            folder = None if out is None else Path(out)
            result, data, record = twice.run(recipe, folder, resume=resume, overwrite=overwrite)
            return Run.from_fit(result, data, record if out is None else None)
        record = settings.to_record() | parts | dict(record or {})
        if resume:
            check_same_data(out, parts)
            record = kept_record(out) | record
        if self.members > 1:
            check_no_resume(resume)
            if callbacks:
                raise ArgumentError("a stack of models calls none", argument="callbacks")
            result = fit_ensemble(
                settings,
                data,
                recipe,
                None if out is None else Path(out),
                record=record,
                device=device,
                overwrite=overwrite,
                progress=progress,
            )
            return Run.from_fit(result, data, record if out is None else None)
        result = train_once(recipe, data, out, record, {}, resume, overwrite)
        return Run.from_fit(result, data, record if out is None else None)


def current_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name, with the names of this version for those of older ones.

    Example:
        >>> current_names({"latent": 2, "clip": 10.0})
        {'latent': 2, 'clip_norm': 10.0}
    """
    return {_FORMER_NAMES.get(name, name): value for name, value in config.items()}
