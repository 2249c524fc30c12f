"""The von Mises distribution of angles."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import VonMises as TorchVonMises
from torch.types import _size

from .._row_noise import draw_loop
from ._base import BaseDistribution
from ._double import in_double

MIN_CONCENTRATION = 1e-6  # the length of a zero vector has no gradient


class VonMises(BaseDistribution):
    """Von Mises distribution: ``log p(x) = a cos x + b sin x - log(2 pi I_0(kappa))`` on [-pi, pi].

    The natural parameters have no discontinuity at the ends of the interval, and ``(0, 0)`` is the
    uniform density; ``kappa = |(a, b)|``. ``mean`` is the mean direction in radians, and
    ``variance`` the circular variance ``1 - I_1(kappa) / I_0(kappa)`` between 0 and 1. Mardia and
    Jupp, Directional statistics (2000).

    Args:
        a: Natural parameter ``[*batch]``.
        b: Natural parameter ``[*batch]``.

    Example:
        >>> p = VonMises(torch.tensor(0.0), torch.tensor(3.0))
        >>> round(p.mean.item(), 4), round(p.variance.item(), 4)
        (1.5708, 0.19)
    """

    arg_constraints = {"a": constraints.real, "b": constraints.real}
    fixed_support = constraints.interval(-math.pi, math.pi)

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = torch.broadcast_tensors(a, b)
        super().__init__(self.a.shape)

    def expand(self, batch_shape: _size, _instance: Distribution | None = None) -> VonMises:
        return VonMises(self.a.expand(batch_shape), self.b.expand(batch_shape))

    @property
    def concentration(self) -> Tensor:
        """``kappa``."""
        return (self.a.square() + self.b.square() + MIN_CONCENTRATION**2).sqrt()

    @property
    def mean(self) -> Tensor:
        return torch.atan2(self.b, self.a)

    @property
    def variance(self) -> Tensor:
        return in_double(_circular_variance, self.a, self.b)

    def log_prob(self, value: Tensor) -> Tensor:
        kappa = self.concentration
        # kappa - a cos x - b sin x, without cancellation
        off = (kappa * value.cos() - self.a).square() + (kappa * value.sin() - self.b).square()
        return (
            -(off + MIN_CONCENTRATION**2) / (2 * kappa)
            - torch.special.i0e(kappa).log()
            - math.log(2 * math.pi)
        )

    @torch.no_grad()
    def sample(self, sample_shape: _size = Size()) -> Tensor:
        """Draws by rejection from a wrapped Cauchy distribution (Best and Fisher, 1979)."""
        shape, kappa = self._extended_shape(Size(sample_shape)), self.concentration.double()
        r = TorchVonMises(self.mean, kappa, validate_args=False)._proposal_r
        angle = kappa.new_zeros(shape)
        done = torch.zeros_like(angle, dtype=torch.bool)
        with draw_loop():
            while not done.all():
                u, v, side = (torch.rand_like(angle) for _ in range(3))
                cosine = torch.cos(math.pi * u)
                proposal = (1 + r * cosine) / (r + cosine)
                c = kappa * (r - proposal)
                accepted = (c * (2 - c) - v > 0) | ((c / v).log() + 1 - c >= 0)
                new = (side - 0.5).sign() * proposal.clamp(-1, 1).acos()
                # the first proposal that is accepted: later ones depend on the other elements
                angle, done = torch.where(accepted & ~done, new, angle), done | accepted
        wrapped = (angle + math.pi + self.mean) % (2 * math.pi) - math.pi
        return wrapped.to(self.a.dtype).clamp(-math.pi, math.pi)


def _circular_variance(a: Tensor, b: Tensor) -> Tensor:
    kappa = (a.square() + b.square()).sqrt()
    return 1 - torch.special.i1e(kappa) / torch.special.i0e(kappa)
