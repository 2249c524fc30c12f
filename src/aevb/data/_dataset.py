"""A data set: three parts, and the record of what was read and chosen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..notes import Note
from ._rows import Rows
from ._spec import Spec
from ._splits import PartName

_PART_ADJECTIVES = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True, eq=False)
class Dataset:
    """The train, validation and test rows of a data set, and the ``Spec`` that describes them.

    Args:
        train: The rows that a model is trained on.
        validation: The rows that choose between models and end training.
        test: The rows that results are reported on. Validation and test rows may be none.
        spec: What was read, and what was chosen for it.

    Example:
        >>> from aevb.data import load
        >>> data = load("digits")
        >>> len(data.train), len(data.validation), len(data.test), data.spec.event_shape
        (1437, 180, 180, (8, 8))
    """

    train: Rows
    validation: Rows
    test: Rows
    spec: Spec

    @property
    def labels(self) -> Tensor | None:
        """Class numbers of the training rows, int64 ``[N]``; ``None`` for data without labels."""
        return self.train.labels

    @property
    def evaluation_part(self) -> PartName:
        """The part that results are reported on: test rows, or the next best where there are none.

        Without test rows these are the validation rows, which have chosen the weights, and without
        those the training rows.
        """
        if len(self.test):
            return "test"
        return "validation" if len(self.validation) else "train"

    @property
    def evaluation_rows(self) -> Rows:
        """The rows of ``evaluation_part``."""
        return getattr(self, self.evaluation_part)

    @property
    def evaluation_noun(self) -> str:
        """The rows of ``evaluation_part`` in a sentence, as ``"test rows"``."""
        return f"{_PART_ADJECTIVES[self.evaluation_part]} rows"

    @property
    def evaluation_notes(self) -> tuple[Note, ...]:
        """A warning where there are no test rows to report on."""
        part = self.evaluation_part
        if part == "test":
            return ()
        why = "have chosen the weights" if part == "validation" else "are those of the training"
        return (
            Note(
                "no_test_rows",
                f"There are no test rows: the {len(self.evaluation_rows):,} {self.evaluation_noun} "
                f"are used, which {why}, so that the numbers are too good.",
                "warning",
                {"part": part, "rows": len(self.evaluation_rows)},
            ),
        )

    def to(self, device: torch.device | str) -> Dataset:
        """Copy the rows to a device.

        Args:
            device: The device of the new data set.

        Returns:
            The same data set on that device.
        """
        return Dataset(
            self.train.to(device), self.validation.to(device), self.test.to(device), self.spec
        )
