"""The continuous Bernoulli distribution: a normalised cross-entropy on [0, 1]."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution

# below these |logit| series replace the closed forms, which cancel: errors below 1e-12 and 1e-14
SAMPLING_SERIES_LOGIT = 0.02
MOMENT_SERIES_LOGIT = 0.1


class ContinuousBernoulli(BaseDistribution):
    """Continuous Bernoulli: ``log p(x) = x t - softplus(t) + ln(t / tanh(t / 2))`` on [0, 1].

    Density and gradient are finite for every logit; the class of the same name in
    ``torch.distributions`` clamps its probabilities. Loaiza-Ganem and Cunningham, The continuous
    Bernoulli (2019).

    Args:
        logits: Logits ``t``, ``[*batch]``.

    Example:
        >>> round(
        ...     ContinuousBernoulli(
        ...         torch.logit(torch.tensor(0.3, dtype=torch.float64))
        ...     ).mean.item(),
        ...     9,
        ... )
        0.430222501
    """

    arg_constraints = {"logits": constraints.real}
    fixed_support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape)

    def expand(
        self, batch_shape: _size, _instance: Distribution | None = None
    ) -> ContinuousBernoulli:
        return ContinuousBernoulli(self.logits.expand(batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return (
            value * self.logits
            - F.softplus(self.logits)
            + continuous_bernoulli_log_normaliser(self.logits)
        )

    @property
    def mean(self) -> Tensor:
        size = self.logits.abs()
        far = size.clamp(min=MOMENT_SERIES_LOGIT)
        above = -1 / torch.expm1(-far) - 1 / far
        t = self.logits.clamp(-MOMENT_SERIES_LOGIT, MOMENT_SERIES_LOGIT)
        near = 0.5 + t / 12 - t**3 / 720 + t**5 / 30240
        return torch.where(
            size < MOMENT_SERIES_LOGIT, near, torch.where(self.logits >= 0, above, 1 - above)
        )

    @property
    def variance(self) -> Tensor:
        size = self.logits.abs()
        far = size.clamp(min=MOMENT_SERIES_LOGIT)
        near = 1 / 12 - size**2 / 240 + size**4 / 6048 - size**6 / 172800
        # 1/t^2 - e^-t / (1 - e^-t)^2
        return torch.where(
            size < MOMENT_SERIES_LOGIT, near, 1 / far**2 - torch.exp(-far) / torch.expm1(-far) ** 2
        )

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        shape = self._extended_shape(Size(sample_shape))
        uniform = torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device)
        far = self.logits.abs().clamp(min=SAMPLING_SERIES_LOGIT)
        below = -torch.log1p(uniform * torch.expm1(-far)) / far
        draw = torch.where(self.logits >= 0, 1 - below, below)
        # the quantile ln(1 + v (e^t - 1)) / t at level v as a series in the cumulants of a bit
        level = torch.where(self.logits >= 0, 1 - uniform, uniform)
        t, spread = (
            self.logits.clamp(-SAMPLING_SERIES_LOGIT, SAMPLING_SERIES_LOGIT),
            level * (1 - level),
        )
        cumulants = (
            1 / 2,
            (1 - 2 * level) / 6,
            (1 - 6 * spread) / 24,
            (1 - 2 * level) * (1 - 12 * spread) / 120,
        )
        near = level + spread * sum(
            value * t ** (power + 1) for power, value in enumerate(cumulants)
        )
        return torch.where(self.logits.abs() < SAMPLING_SERIES_LOGIT, near, draw).clamp(0, 1)


def continuous_bernoulli_log_normaliser(logits: Tensor) -> Tensor:
    """Log-normaliser ``ln(t / tanh(t / 2))``: even, ``ln 2`` at 0, asymptotically ``ln |t|``."""
    size = logits.abs()
    square = (logits / 2) ** 2
    # clamped, so that the branch not taken has a finite gradient
    series = square.clamp(max=MOMENT_SERIES_LOGIT**2)
    near = math.log(2) + torch.log1p(series / 3 - series**2 / 45 + 2 * series**3 / 945)
    far = size.clamp(min=MOMENT_SERIES_LOGIT)
    return torch.where(
        size < MOMENT_SERIES_LOGIT, near, torch.log(far) - torch.log(torch.tanh(far / 2))
    )
