"""A Gaussian pushed through invertible maps."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from ._monte_carlo_moments import MOMENT_SAMPLES, MonteCarloMoments, standard_normal


class Flow(MonteCarloMoments):
    """``z = loc + scale * f(e)``, ``e ~ N(0, I)``: ``log p(z) = log N(e) - log |df/de| - sum log scale``.

    ``loc`` and ``scale`` are ``[*batch, D]``. ``transform`` maps noise to ``f(e)`` and says its Jacobian (``call_and_ladj``); the density
    of a point that is no draw of this distribution takes its inverse, that of a draw has been computed with it. Mean and variance are
    estimated from ``draws`` draws.

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

    support = constraints.real_vector  # pyright: ignore[reportAssignmentType]

    def __init__(
        self, loc: Tensor, scale: Tensor, transform: Any, draws: int = MOMENT_SAMPLES
    ) -> None:
        self.loc, self.scale, self.transform, self.draws = loc, scale, transform, draws
        self.last_draw: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(loc.shape[:-1], loc.shape[-1:], validate_args=False)

    def _reference_tensor(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        noise = standard_normal((*sample_shape, *self.loc.shape), self.loc)
        y, log_jacobian = self.transform.call_and_ladj(noise)
        z = self.loc + self.scale * y
        self.last_draw = z, self._log_density(noise, log_jacobian), torch.is_grad_enabled()
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        # what was drawn without a gradient says nothing to one that asks for it later
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
    """Of an elementwise map the sum over the elements; of one of vectors what it says."""
    return log_jacobian.sum(-1) if log_jacobian.dim() > like.dim() else log_jacobian
