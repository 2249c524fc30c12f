"""Distributions whose moments have no formula."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Size, Tensor
from torch.distributions import Distribution

from .._random import seed_scope

MOMENT_SAMPLES = 256


class MonteCarloMoments(Distribution, ABC):
    """Mean and variance are those of ``draws`` draws, always the same ones: with 256, a sixteenth of a standard deviation from the truth.

    Asking moves no random stream.
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]
    has_rsample = True
    draws: int = MOMENT_SAMPLES

    @abstractmethod
    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor: ...

    def _moment_draws(self) -> Tensor:
        probe = self._reference_tensor()
        with seed_scope(0, probe.device):
            return self.rsample(Size((self.draws,)))

    @abstractmethod
    def _reference_tensor(self) -> Tensor:
        """A parameter, for its precision and its device."""

    @property
    def mean(self) -> Tensor:
        return self._moment_draws().mean(0)

    @property
    def variance(self) -> Tensor:
        return self._moment_draws().var(0)


def standard_normal(shape: tuple[int, ...] | Size, like: Tensor) -> Tensor:
    """Standard normal draws in the precision and on the device of ``like``."""
    return torch.randn(shape, dtype=like.dtype, device=like.device)
