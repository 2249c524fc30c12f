"""Synthetic rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

from sklearn.utils.validation import check_is_fitted

from ..data import ConstrainedFrame, Schema
from ..data._array_frames import FrameForm
from ..data._constraints import constraint_from_dict
from ..data._rare_levels import without_rare_levels
from ..data._tables import to_narwhals
from ..errors import ArgumentError, check_counts
from ..runs import RunSettings
from ..runs._synthesis import ConstrainedTable, synthesise
from ..training import Private
from ._base import BaseVAE, named_as_parameters
from ._tables import in_form_of
from ._vae import DensityMixin, GeneratorMixin

_PRIVATE_DEFAULTS: dict[str, Any] = {"epochs": 30, "lr": 3e-3}
_PRIVATE_BATCHES = 10  # of an epoch: noise is small beside the gradients of many rows
_MIN_PRIVATE_BATCH, _MAX_PRIVATE_BATCH = 128, 4096


class VAESynthesizer(GeneratorMixin, DensityMixin, BaseVAE):
    """Rows like those of a table, with its columns, dtypes and legal values.

    Args:
        constraints: What holds in every row: ``aevb.data.Less``, ``Range``, ``Together``,
            ``Unique`` and ``Identifier``. The rows of ``fit`` must fulfil them.
        epsilon: Train with differential privacy: the odds by which the weights tell whether any
            one row was in ``fit`` are at most ``exp(epsilon)``. There are no validation rows then.
        delta: Probability with which the odds may be larger; well below one over the number of
            rows.
        max_norm: Largest norm of the gradient of one row in private training.
        min_level_rows: In private training, texts and categories of fewer rows are read as missing
            cells, unless the dtype of their column lists its categories.

    Attributes:
        acceptance_rate_: Share of the rows drawn by the last ``sample`` that it could keep.
        privacy_: What a private training gave away, and what that does not cover; None otherwise.

    Example:
        >>> import polars
        >>> from aevb.data import Less
        >>> frame = polars.DataFrame({"low": [3, 1, 4, 2] * 25, "high": [5, 9, 4, 6] * 25})
        >>> synthesizer = VAESynthesizer(
        ...     constraints=[Less("low", "high")], hidden=(16,), epochs=2, random_state=0
        ... )
        >>> rows = synthesizer.fit(frame).sample(30, where="low=3")
        >>> rows.columns, (rows["low"] <= rows["high"]).all(), rows["low"].unique().to_list()
        (['low', 'high'], True, [3])
    """

    _default_preset: ClassVar[str | None] = "table_synthesis"
    saved_attributes: ClassVar[tuple[str, ...]] = (*BaseVAE.saved_attributes, "_table", "privacy_")

    def __init__(
        self,
        n_components: int | None = None,
        *,
        constraints: Any = None,
        epsilon: float | None = None,
        delta: float = 1e-5,
        max_norm: float = 1.0,
        min_level_rows: int = 10,
        preset: str | None = None,
        hidden: tuple[int, ...] | None = None,
        epochs: int | str = "auto",
        batch_size: int | str = "auto",
        learning_rate: float | str = "auto",
        kinds: Any = None,
        unseen: str = "missing",
        options: Any = None,
        validation_fraction: float = 0.1,
        n_draws: int | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        device: str | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_components,
            preset=preset,
            hidden=hidden,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            kinds=kinds,
            unseen=unseen,
            options=options,
            validation_fraction=validation_fraction,
            n_draws=n_draws,
            warm_start=warm_start,
            random_state=random_state,
            device=device,
            verbose=verbose,
        )
        self.constraints = constraints
        self.epsilon = epsilon
        self.delta = delta
        self.max_norm = max_norm
        self.min_level_rows = min_level_rows

    # Training

    def _check_parameters(self) -> None:
        """Check the parameters before the training."""
        check_counts(min_level_rows=self.min_level_rows)
        if self.epsilon is None:
            return
        Private(self.epsilon, self.delta, self.max_norm)
        if hasattr(self, "run_") and self.warm_start:
            raise ArgumentError(
                "a second private training spends more than `epsilon`",
                argument="warm_start",
                value=True,
                suggestions=("Fit once on all rows",),
            )

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on further rows: one pass, or the first one.

        Args:
            X: As for ``fit``.
            y: Ignored.
            sample_weight: As for ``fit``.

        Returns:
            The estimator.

        Raises:
            ValueError: As for ``fit``; or the training is private: each call would spend
                ``epsilon`` again.
        """
        if self.epsilon is not None:
            raise ArgumentError(
                "each call would spend it again",
                argument="epsilon",
                value=self.epsilon,
                suggestions=("Fit once on all rows",),
            )
        return super().partial_fit(X, y, sample_weight)

    def _read_for_fit(self, X: Any, sample_weight: Any, *, reset: bool) -> tuple[Any, Any]:
        """The rows of a fit as a data frame, and their weights."""
        if self.epsilon is not None and sample_weight is not None:
            raise ArgumentError("private training counts each row once", argument="sample_weight")
        return super()._read_for_fit(X, sample_weight, reset=reset)

    def _settings(self, seed: int, n_rows: int) -> RunSettings:
        """The parameters as the settings of a run."""
        settings = super()._settings(seed, n_rows)
        if self.epsilon is None:
            return settings
        batch = min(max(n_rows // _PRIVATE_BATCHES, _MIN_PRIVATE_BATCH), _MAX_PRIVATE_BATCH)
        defaults = {**_PRIVATE_DEFAULTS, "batch_size": min(batch, n_rows)}
        own = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.learning_rate}
        changes: dict[str, Any] = {k: x for k, x in defaults.items() if own[k] == "auto"}
        privacy = {"epsilon": self.epsilon, "delta": self.delta, "max_norm": self.max_norm}
        return replace(settings, training=replace(settings.training, **changes, **privacy))

    def _checked_options(self) -> dict[str, Any]:
        """The further settings, without those that are parameters."""
        options = super()._checked_options()
        for name in {"epsilon", "delta", "max_norm"} & options.keys():
            raise ArgumentError(
                f"{name} is a parameter of its own", argument="options", value=self.options
            )
        return options

    def _split(self) -> tuple[float, float, float]:
        """The shares of training, validation and test rows: none is for a private validation."""
        return super()._split() if self.epsilon is None else (1.0, 0.0, 0.0)

    def _read(self, X: Any, *, reset: bool = False) -> Any:
        """The rows of ``X`` as a data frame of the columns that are modelled."""
        frame = super()._read(X, reset=reset)
        if not reset:
            table = self._constrained()
            return frame if table is None else table.frame.prepare(frame)
        self._table = None
        if self.epsilon is not None:
            frame = without_rare_levels(frame, self.min_level_rows)
        if not self.constraints:
            return frame
        constrained = ConstrainedFrame.of(frame, self.constraints)
        kinds = {k: x for k, x in super()._kinds(frame).items() if k in constrained.names}
        self._table = {
            "constraints": [each.to_dict() for each in constrained.constraints],
            "form": FrameForm.of(frame).to_dict(),
            "schema": Schema.of(frame, kinds=kinds).to_dict(),
        }
        prepared = constrained.prepare(frame)
        if self.epsilon is not None:  # combinations may be rare where their parts are not
            prepared = without_rare_levels(prepared, self.min_level_rows)
        return prepared

    def _kinds(self, frame: Any) -> dict[str, str]:
        """The kinds of the columns that are modelled."""
        kinds, table = super()._kinds(frame), self._constrained()
        if table is None:
            return kinds
        names = to_narwhals(frame).columns
        own = {k: x for k, x in kinds.items() if k in names or k not in table.frame.names}
        return table.frame.kinds(frame) | own

    def _names(self) -> list[str] | None:
        """The names of the columns of the rows."""
        table = self._constrained()
        return super()._names() if table is None else [*table.frame.names]

    def _constrained(self) -> ConstrainedTable | None:
        """The table of the fit and its constraints; None without any."""
        record = getattr(self, "_table", None)
        if record is None:
            return None
        schema = Schema.from_dict(record["schema"])
        constraints = tuple(map(constraint_from_dict, record["constraints"]))
        empty = to_narwhals(FrameForm(**record["form"]).empty(schema))
        frame = ConstrainedFrame(constraints, tuple(empty.columns), dict(empty.schema))
        return ConstrainedTable(frame, schema)

    def _after_fit(self, frame: Any) -> None:
        """Keep what a private training gave away."""
        self.privacy_ = None if self.epsilon is None else self._spent()

    def _spent(self) -> dict[str, Any]:
        """The record of a private training, and the columns of which the model has more."""
        result, schema = self.run_.result, self.run_.schema
        assert result is not None
        assert schema is not None
        note = next(note for note in result.notes if note.code == "privacy")
        form = self.run_.training["form"]
        listed = {*form["categories"], *(k for k, x in form["dtypes"].items() if "Enum" in x)}
        levels = [x.name for x in schema.columns if x.levels and x.name not in listed]
        return {
            **note.data,
            "min_level_rows": int(self.min_level_rows),
            "levels_from_rows": levels,
            "scales_from_rows": [x.name for x in schema.modelled if not x.levels],
        }

    # Draws

    def sample(
        self,
        n_samples: int = 1,
        *,
        where: Any = None,
        balance: Any = None,
        accept: Any = None,
        max_tries: int = 100,
        random_state: Any = None,
    ) -> Any:
        """Draw new rows.

        Rows that violate a constraint, or that ``accept`` refuses, are drawn again;
        ``acceptance_rate_`` is the share that was kept.

        Args:
            n_samples: The number of rows.
            where: Conditions on columns, as ``["sex=Female", "age>60"]``, or a dict of values.
            balance: A column whose levels all get the same number of rows, or a dict with one
                column and the share of each of its levels: ``{"sex": {"f": 0.3, "m": 0.7}}``.
            accept: A function that takes a data frame of drawn rows, and returns which of them to
                keep, one truth value per row.
            max_tries: Rows that are drawn at most for one that is asked for.
            random_state: Seed of the draws; by default that of the estimator.

        Returns:
            Rows with the columns and the dtypes of the rows of ``fit``: a data frame, or an array.

        Raises:
            ValueError: There is no such column, or too few rows fulfil what is asked.
        """
        check_is_fitted(self)
        table = self._constrained()
        if table is None and balance is None and accept is None:
            rows = super().sample(n_samples, where=where, random_state=random_state)
            self.acceptance_rate_ = 1.0
            return rows
        with named_as_parameters({"n": "n_samples"}):
            rows, note = synthesise(
                self.run_,
                n_samples,
                table or ConstrainedTable.of_run(self.run_),
                where=where,
                balance=balance,
                accept=accept,
                max_tries=max_tries,
                seed=self._new_seed(random_state),
            )
        self.acceptance_rate_ = note.data["share"]
        form = self.run_.training["form"] if table is None else self._table_record["form"]
        if form["positions"]:
            rows.columns = range(rows.shape[1])
        return in_form_of(rows, self._dtype)

    @property
    def _table_record(self) -> Mapping[str, Any]:
        assert self._table is not None
        return self._table

    # Files

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
        estimator = super().load(path, device=device)
        record = getattr(estimator, "_table", None)
        if record is not None:
            estimator.constraints = [*map(constraint_from_dict, record["constraints"])]
        return estimator
