"""Imputation of the missing cells of a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from ..data import Dataset, Schema
from ..data._decode_frame import fill_constants
from ..errors import ArgumentError, check_choice, check_counts
from ..likelihoods import Columns
from ..metrics import PooledEstimate, pool_estimates
from ..metrics._tables._hidden_cells import interval_levels
from ..runs import RunSettings, TableImputation
from ..runs._matching import Donors
from ..training._history import EpochCallback
from ._base import BaseVAE, named_as_parameters
from ._tables import Table, has_numbers, in_form_of, missing_masks, read_table, with_columns

DRAWS = ("mean", "model", "observed")
INDICATOR = "missingindicator_"
MASKINGS = {"self": "either", "high": "high", "low": "low"}  # of `mnar`, as of `not_miwae`
MIN_LEVEL, MAX_LEVEL = 0.01, 0.999  # of calibrated intervals


class VAEImputer(TransformerMixin, BaseVAE):
    """Imputation of missing cells by a model of the whole table.

    Observed cells stay as they are. A column of which no cell had a value in ``fit`` is dropped.

    Args:
        draw: What ``transform`` writes into a missing cell: ``"mean"``, its conditional mean or
            most probable level; ``"model"``, a draw from the model; ``"observed"``, for a number a
            value that was observed in a row with about the same expectation (predictive mean
            matching).
        add_indicator: Whether to append a column for each that had missing cells in ``fit``, which
            tells where they are.
        keep_empty_features: Whether to keep columns of which no cell had a value; numbers are 0.
        mnar: Whether a number may be missing because of its own value (missing not at random):
            ``"high"`` or ``"low"`` values are missing more often, or ``"self"``: the model learns
            which. Numbers of columns with missing cells are continuous then. By default cells are
            missing at random given the other cells of their row.

    Attributes:
        masking_: With ``mnar``, by how much the log-odds of being missing grow with a standard
            deviation of each column.

    Example:
        >>> import polars
        >>> frame = polars.DataFrame({"age": [31, None, 45, 28] * 25, "sex": ["f", "m"] * 50})
        >>> imputer = VAEImputer(hidden=(16,), epochs=2, random_state=0).fit(frame)
        >>> imputer.transform(frame).null_count().row(0)
        (0, 0)
        >>> len(imputer.sample_imputations(frame, 5))
        5
    """

    _default_preset: ClassVar[str | None] = "table_imputation"
    saved_attributes: ClassVar[tuple[str, ...]] = (
        *BaseVAE.saved_attributes,
        "_empty",
        "_incomplete",
        "_donor_predictions",
        "_donor_values",
        "masking_",
        "_interval_levels",
    )

    def __init__(
        self,
        n_components: int | None = None,
        *,
        draw: str = "mean",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        mnar: str | None = None,
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
        self.draw = draw
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.mnar = mnar

    def _check_parameters(self) -> None:
        """Check the parameters before the training."""
        check_choice("draw", self.draw, DRAWS)
        if self.mnar is None:
            return
        check_choice("mnar", self.mnar, [*MASKINGS])
        if self.preset is not None:
            raise ArgumentError(
                "this model has a preset of its own, `not_miwae`",
                argument="preset",
                value=self.preset,
                suggestions=("Leave it out, or leave out `mnar`",),
            )

    def _settings(self, seed: int, n_rows: int) -> RunSettings:
        """The parameters as the settings of a run."""
        settings = super()._settings(seed, n_rows)
        if self.mnar is None:
            return settings
        chosen = (*(settings.model.set or ()), f"masking={MASKINGS[self.mnar]}")
        return replace(settings, model=replace(settings.model, preset="not_miwae", set=chosen))

    def _preferred_kinds(self, schema: Schema) -> dict[str, str]:
        """Numbers that may be missing because of their value as continuous ones."""
        if self.mnar is None:
            return {}
        incomplete = [each for each in schema.columns if each.missing]
        if not any(each.kind == "continuous" or has_numbers(each) for each in incomplete):
            raise ArgumentError(
                "no column of numbers has missing cells", argument="mnar", value=self.mnar
            )
        return {x.name: "continuous" for x in incomplete if x.kind != "positive" and has_numbers(x)}

    def _arrange(self, data: Dataset) -> tuple[Dataset, tuple[EpochCallback, ...]]:
        """The data, of which the validation rows calibrate the intervals."""
        self._held_out = data.validation
        return super()._arrange(data)

    def _after_fit(self, frame: Any) -> None:
        """Columns with missing cells or no value, calibration, and donors of observed values."""
        held_out = vars(self).pop("_held_out", None)
        self._interval_levels = np.zeros(0)
        if self.mnar is None and held_out is not None and len(held_out):
            self._interval_levels = interval_levels(
                self.run_, held_out, seed=self._seed, **self._samples()
            )
        masks = missing_masks(frame)
        if self.mnar is not None:
            likelihood = self.run_.model.likelihood
            assert isinstance(likelihood, Columns)
            self.masking_ = likelihood.masked_columns()
        self._empty = [name for name, mask in masks.items() if mask.all()]
        self._incomplete = [name for name, mask in masks.items() if mask.any()]
        if self.draw == "observed":
            donors = self.run_.find_donors(frame, seed=self._seed)
            self._donor_predictions = donors.predictions.numpy()
            self._donor_values = donors.values.numpy()

    def transform(self, X: Any) -> Any:
        """Fill the missing cells.

        Args:
            X: Rows as in ``fit``.

        Returns:
            The rows with their own columns, dtypes and library: a data frame, or an array.

        Raises:
            ValueError: The rows do not fit the model.
        """
        table = self._table(X)
        if self.draw == "mean":
            return self._render(table, self._impute(table, 0).frame)
        return self._render(table, self._impute(table, 1).draws[0])

    def sample_imputations(self, X: Any, n: int = 5, *, random_state: Any = None) -> list[Any]:
        """Draw several completed tables, which differ by as much as the data leave open.

        Args:
            X: Rows as in ``fit``.
            n: The number of tables.
            random_state: Seed of the draws; by default that of the fit.

        Returns:
            Tables in the form of ``transform``. With ``draw="observed"``, numbers are observed
            values.

        Raises:
            ValueError: ``n`` is no count, or the rows do not fit the model.
        """
        with named_as_parameters():
            check_counts(n=n)
        table = self._table(X)
        seed = None if random_state is None else self._new_seed(random_state)
        found = self._impute(table, int(n), seed=seed)
        return [self._render(table, each) for each in found.draws]

    def intervals(self, X: Any, level: float = 0.9) -> tuple[Any, Any]:
        """Compute predictive intervals of missing numbers and dates.

        They are calibrated: see ``calibrated_level``.

        Args:
            X: Rows as in ``fit``.
            level: Probability of an interval, between 0 and 1.

        Returns:
            The lower and the upper ends, two tables in the form of ``X``. An observed cell is both
            ends of its own; a missing category stays missing.

        Raises:
            ValueError: The level is out of range, or the rows do not fit the model.
        """
        table = self._table(X)
        found = self._impute(table, 0, level=self.calibrated_level(level))
        return in_form_of(found.low, table.dtype), in_form_of(found.high, table.dtype)

    def calibrated_level(self, level: float = 0.9) -> float:
        """The level of the model at which intervals contain a given share of the numbers.

        In ``fit`` the cells of up to 200 validation rows were hidden, a fifth of each row at a
        time, and imputed. Intervals of the model at this level contain at least ``level`` of them,
        and on average of new cells that are missing in the same way. Without validation rows, or
        with too few cells or with ``mnar``, it is ``level`` itself.

        Args:
            level: Probability of an interval, between 0 and 1.

        Returns:
            The level to give to ``run_.impute``.

        Raises:
            ValueError: The level is out of range.
        """
        check_is_fitted(self)
        if not 0 < level < 1:
            raise ArgumentError("give a number between 0 and 1", argument="level", value=level)
        n = len(self._interval_levels)
        place = math.ceil((n + 1) * level) - 1
        if place >= n:
            return level
        return float(np.clip(self._interval_levels[place], MIN_LEVEL, MAX_LEVEL))

    @staticmethod
    def pooled(estimates: Any, variances: Any) -> PooledEstimate | list[PooledEstimate]:
        """Pool estimates of several completed tables by Rubin's rules.

        Args:
            estimates: An estimate of each table ``[M]``, or several of each ``[M, P]``.
            variances: Their squared standard errors, likewise.

        Returns:
            The pooled estimate, or a list of P of them.

        Raises:
            ValueError: The shapes differ, there are fewer than two tables, or a variance is
                negative.
        """
        values, errors = np.asarray(estimates, float), np.asarray(variances, float)
        if values.shape != errors.shape or values.ndim not in (1, 2):
            raise ArgumentError(
                f"their shape is {errors.shape}, and that of the estimates {values.shape}",
                argument="variances",
            )
        if values.ndim == 1:
            return pool_estimates(values.tolist(), errors.tolist())
        pairs = zip(values.T.tolist(), errors.T.tolist(), strict=True)
        return [pool_estimates(*pair) for pair in pairs]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns of ``transform``.

        Args:
            input_features: The names of the columns of ``X``, if these have none.

        Returns:
            The names, those of indicators last.
        """
        check_is_fitted(self)
        names: Any = _check_feature_names_in(self, input_features)
        known: dict[str, Any] = dict(zip(self._names(), names, strict=True))
        kept = [known[name] for name in self._kept()]
        added = [f"{INDICATOR}{known[name]}" for name in self._indicators()]
        return np.array([*kept, *added], dtype=object)

    def _table(self, X: Any) -> Table:
        check_is_fitted(self)
        return read_table(self, X, reset=False, names=self._names())

    def _names(self) -> list[str]:
        """The names of the columns of the fit."""
        return [column.name for column in cast(Schema, self.run_.schema).columns]

    def _kept(self) -> list[str]:
        """The columns that ``transform`` keeps."""
        empty = [] if self.keep_empty_features else self._empty
        return [name for name in self._names() if name not in empty]

    def _indicators(self) -> Sequence[str]:
        """The columns that get an indicator."""
        return self._incomplete if self.add_indicator else ()

    def _impute(
        self, table: Table, draws: int, *, level: float = 0.9, seed: int | None = None
    ) -> TableImputation:
        donors = None
        if draws and self.draw == "observed":
            predictions, values = self._donor_predictions, self._donor_values
            donors = Donors(torch.from_numpy(predictions), torch.from_numpy(values))
        with named_as_parameters():
            return self.run_.impute(
                table.frame,
                draws=draws,
                level=level,
                seed=self._seed if seed is None else seed,
                donors=donors,
                **self._samples(),
            )

    def _render(self, table: Table, frame: Any) -> Any:
        """A completed frame in the form of ``transform``."""
        schema = cast(Schema, self.run_.schema)
        filled = fill_constants(schema, frame)
        masks = missing_masks(table.frame)
        zeros = {name: 0.0 for name in self._empty if self.keep_empty_features}
        added = {f"{INDICATOR}{name}": masks[name] for name in self._indicators()}
        return in_form_of(with_columns(filled, self._kept(), zeros, added), table.dtype)
