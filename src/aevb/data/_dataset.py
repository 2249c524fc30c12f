"""A data set: three parts, and what was found and chosen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._rows import Rows
from ._spec import Spec


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to train on, to choose by and to report on, and the ``Spec`` that describes them.

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
        """Class numbers of the training rows, int64 ``[N]``, where there are any."""
        return self.train.labels

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on another device."""
        return Dataset(
            self.train.to(device), self.validation.to(device), self.test.to(device), self.spec
        )
