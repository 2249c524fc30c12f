"""A data set: three parts, and the record of what was read and chosen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._rows import Rows
from ._spec import Spec


@dataclass(frozen=True, eq=False)
class Dataset:
    """The train, validation and test rows of a data set, and the ``Spec`` that describes them.

    Args:
        train: The rows that a model is trained on.
        validation: The rows that choose between models and end training.
        test: The rows that results are reported on.
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
