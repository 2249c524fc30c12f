"""Distributions whose moments have no formula."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from ..random import seeded

DRAWS = 256


class Estimated(Distribution, ABC):
    """Mean and variance are those of ``draws`` draws, always the same ones: with 256, a sixteenth of a standard deviation from the truth.

    Asking moves no random stream.
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    has_rsample = True
    draws: int = DRAWS

    @abstractmethod
    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor: ...

    def _drawn(self) -> Tensor:
        probe = self._like()
        with seeded(0, probe.device):
            return self.rsample(Size((self.draws,)))

    @abstractmethod
    def _like(self) -> Tensor:
        """A parameter, for its precision and its device."""

    @property
    def mean(self) -> Tensor:
        return self._drawn().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._drawn().var(0)


def standard_normal(shape: tuple[int, ...] | Size, like: Tensor) -> Tensor:
    """Standard normal draws in the precision and on the device of ``like``."""
    return torch.randn(shape, dtype=like.dtype, device=like.device)
