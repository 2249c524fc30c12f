"""A second training, on training and validation rows, for as long as validation found best."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._files import read_json
from ..errors import ArgumentError
from ..notes import Argument, Note, message

if TYPE_CHECKING:
    from .._recipe import Recipe
    from ..data import Dataset
    from ..training import FitResult
    from ._settings import RunSettings

REFIT = "refit"  # entry of the record of a run in its second training


def join_validation(data: Dataset) -> Dataset:
    """Add the validation rows to the training rows.

    Args:
        data: The data of the first training.

    Returns:
        The data of the second training, without validation rows; the test rows are the same.

    Raises:
        DataError: The rows are stored in different ways.
    """
    none = data.validation.subset(slice(0, 0))
    return replace(data, train=data.train.joined_with(data.validation), validation=none)


@dataclass(frozen=True)
class Refit:
    """Two trainings of the same settings, with a run folder for both.

    The first is an ordinary run: validation rows choose its number of epochs. The second replaces
    it: it begins with the same initial weights, takes as many passes over training and validation
    rows, and so more steps, and keeps its last weights.

    Args:
        settings: The settings of both.
        data: The data of the first.
        train: Trains once, ``(recipe, data, out, record, settings of training, resume,
            overwrite)``.
        record: Further entries for the record of the run.
    """

    settings: RunSettings
    data: Dataset
    train: Callable[..., FitResult]
    record: Mapping[str, Any]

    def run(
        self, recipe: Recipe, out: Path | None, *, resume: bool, overwrite: bool
    ) -> tuple[FitResult, Dataset, dict[str, Any]]:
        """Train, or continue with the training that was interrupted.

        Args:
            recipe: The model of the first training.
            out: The run folder.
            resume: Whether to continue the run in ``out``.
            overwrite: Whether to replace the run in ``out``.

        Returns:
            The result, with the data and the record of its training: those of the first training
            where it was interrupted.
        """
        from ._ensemble import kept_record

        self._check(recipe)
        chosen = _read_choice(out) if resume else None
        kept = kept_record(out) if resume else {}
        if chosen is None:
            first, record = self._train_once(recipe, self.data, out, kept, {}, resume, overwrite)
            if first.best_epoch is None or first.stop_reason == "interrupted":
                return first, self.data, record
            if first.best_epoch == 0:
                return replace(first, notes=(*first.notes, kept_start_note())), self.data, record
            chosen = self._choice(first)
            resume, overwrite = False, True
        data = join_validation(self.data)
        again = self.settings.recipe(data.spec, len(data.train))
        length = {"epochs": chosen["epochs"], "minutes": None, "patience": None}
        result, record = self._train_once(
            again, data, out, kept | {REFIT: chosen}, length, resume, overwrite
        )
        return replace(result, notes=(*result.notes, refit_note(chosen))), data, record

    def _train_once(
        self,
        recipe: Recipe,
        data: Dataset,
        out: Path | None,
        entries: Mapping[str, Any],
        length: Mapping[str, Any],
        resume: bool,
        overwrite: bool,
    ) -> tuple[FitResult, dict[str, Any]]:
        from ._data_parts import check_same_data, data_parts_record

        parts = data_parts_record(data)
        if resume:
            check_same_data(out, parts)
        record = dict(entries) | self.settings.to_record() | parts | dict(self.record)
        return self.train(recipe, data, out, record, length, resume, overwrite), record

    def _choice(self, first: FitResult) -> dict[str, Any]:
        """The record of the first training: what it chose, and from which scores."""
        best = next(epoch for epoch in first.history if epoch.epoch == first.best_epoch)
        return {
            "epochs": best.epoch,
            "steps": best.step,
            "epochs_tried": len(first.history),
            "stopped": first.stop_reason,
            "train_rows": len(self.data.train),
            "validation_rows": len(self.data.validation),
            "validation_name": best.validation_name,
            "validation": [epoch.validation for epoch in first.history],
        }

    def _check(self, recipe: Recipe) -> None:
        """Refuse settings and data for which validation chooses nothing.

        Raises:
            ArgumentError: There is nothing to choose, or the rows may not be trained on twice.
        """
        from ..presets import find_preset

        name = self.settings.model.preset
        reasons = {
            "there are no validation rows to choose the number of epochs": not len(
                self.data.validation
            ),
            "validation rows have no part in choosing the weights of this model": not (
                recipe.objective.trains_likelihood and recipe.model.posterior.n_rows is None
            ),
            "the members of an ensemble stop at epochs of their own": self.settings.members > 1,
            "the labels of validation rows are not for training": name is not None
            and find_preset(name).label_requirement == "few",
        }
        self.settings.training.check_single_training("refit", True)
        for reason, holds in reasons.items():
            if holds:
                raise ArgumentError(
                    reason,
                    argument="refit",
                    value=True,
                    suggestions=(message("Leave {refit} out", refit=Argument("refit")),),
                )


def kept_start_note() -> Note:
    """A note that no epoch was better than the start, so that there is nothing to train again."""
    return Note(
        "refit_kept_start",
        "No epoch was better on the validation rows than the start: its weights are kept, and "
        "there was no second training.",
    )


def refit_note(chosen: Mapping[str, Any]) -> Note:
    """What a run was trained on, and that its test rows were not."""
    return Note(
        "refit",
        f"Trained again from the start for {chosen['epochs']:,} epochs, the best number on the "
        f"{chosen['validation_rows']:,} validation rows, on these and the "
        f"{chosen['train_rows']:,} training rows together. The test rows were untouched.",
        data={name: chosen[name] for name in ("epochs", "train_rows", "validation_rows")},
    )


def _read_choice(out: Path | None) -> dict[str, Any] | None:
    """The record of the first training, if the run in a folder is in its second."""
    path = None if out is None else out / "model.json"
    return read_json(path).get("training", {}).get(REFIT) if path and path.exists() else None
