"""Base class of distributions whose moments have no formula."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Size, Tensor
from torch.types import _size

from .._random import seed_scope
from .._row_noise import moment_noise
from ._base import BaseDistribution

MOMENT_SAMPLES = 256


class MonteCarloMoments(BaseDistribution, ABC):
    """Mean and variance from ``draws`` fixed draws, without a change to any random stream.

    With 256 draws the standard error of the mean is a sixteenth of a standard deviation.
    """

    has_rsample = True
    draws: int = MOMENT_SAMPLES

    @abstractmethod
    def rsample(self, sample_shape: _size = Size()) -> Tensor: ...

    def _moment_draws(self) -> Tensor:
        probe = self._reference_tensor()
        noise = moment_noise(self.batch_shape.numel(), probe, self.draws)
        with seed_scope(0, probe.device), noise:
            return self.rsample(Size((self.draws,)))

    @abstractmethod
    def _reference_tensor(self) -> Tensor:
        """A parameter, for its dtype and device."""

    @property
    def mean(self) -> Tensor:
        return self._moment_draws().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._moment_draws().var(0)


def standard_normal(shape: tuple[int, ...] | Size, like: Tensor) -> Tensor:
    """Standard normal draws with the dtype and device of ``like``."""
    return torch.randn(shape, dtype=like.dtype, device=like.device)
