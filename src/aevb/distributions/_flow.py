"""Normalizing flows: a Gaussian variable transformed by invertible maps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints
from torch.types import _size

from ._monte_carlo_moments import MOMENT_SAMPLES, MonteCarloMoments, standard_normal


class Flow(MonteCarloMoments):
    """Normalizing flow ``z = loc + scale * f(e)`` with ``e ~ N(0, I)``.

    ``log p(z) = log N(e) - log |df/de| - sum log scale``. The density of the last draw is stored
    with it; the density of any other point needs the inverse of ``transform``. Mean and variance
    are estimated from ``draws`` draws.

    Args:
        loc: Shift ``[*batch, D]``.
        scale: Positive scale ``[*batch, D]``.
        transform: Invertible map ``f`` with ``call_and_ladj`` (value and log-Jacobian) and ``inv``,
            as zuko's transforms.
        draws: Number of draws for mean and variance.

    Example:
        >>> from zuko.transforms import ComposedTransform
        >>> from aevb.distributions import RadialStep
        >>> q = Flow(
        ...     torch.zeros(3, 2),
        ...     torch.ones(3, 2),
        ...     ComposedTransform(RadialStep(torch.zeros(2), torch.tensor(1.0), torch.tensor(2.0))),
        ... )
        >>> q.log_prob(q.rsample((4,))).shape
        torch.Size([4, 3])
    """

    fixed_support = constraints.real_vector

    def __init__(
        self, loc: Tensor, scale: Tensor, transform: Any, draws: int = MOMENT_SAMPLES
    ) -> None:
        self.loc, self.scale, self.transform, self.draws = loc, scale, transform, draws
        self.last_draw: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def _reference_tensor(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        noise = standard_normal((*sample_shape, *self.loc.shape), self.loc)
        y, log_jacobian = self.transform.call_and_ladj(noise)
        z = self.loc + self.scale * y
        self.last_draw = z, self._log_density(noise, log_jacobian), torch.is_grad_enabled()
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        # a density without gradients cannot serve a call that needs them
        if (
            self.last_draw is not None
            and value is self.last_draw[0]
            and (self.last_draw[2] or not torch.is_grad_enabled())
        ):
            return self.last_draw[1]
        noise, log_jacobian = self.transform.inv.call_and_ladj((value - self.loc) / self.scale)
        return self._log_density(noise, -log_jacobian)

    def _log_density(self, noise: Tensor, log_jacobian: Tensor) -> Tensor:
        normal = -0.5 * noise.square().sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]
        return normal - _sum_log_jacobian(log_jacobian, normal) - self.scale.log().sum(-1)


def _sum_log_jacobian(log_jacobian: Tensor, like: Tensor) -> Tensor:
    """Sum an elementwise log-Jacobian over the event; leave one per point as it is."""
    return log_jacobian.sum(-1) if log_jacobian.dim() > like.dim() else log_jacobian
