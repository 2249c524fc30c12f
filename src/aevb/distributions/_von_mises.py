"""Angles."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.distributions import VonMises as TorchVonMises

MIN_CONCENTRATION = 1e-6  # a length of 0 has no gradient


class VonMises(Distribution):
    """``log p(x) = a cos x + b sin x - log(2 pi I_0(kappa))`` on [-pi, pi], ``kappa = |(a, b)|``; ``a`` and ``b`` are ``[*batch]``.

    The natural parameters have no seam where an angle has one, and ``(0, 0)`` is the uniform density. ``mean`` is the direction, in
    radians, and ``variance`` the circular one, ``1 - I_1(kappa) / I_0(kappa)``, between 0 and 1. Mardia and Jupp, Directional statistics.

    >>> p = VonMises(torch.tensor(0.0), torch.tensor(3.0))
    >>> round(p.mean.item(), 4), round(p.variance.item(), 4)
    (1.5708, 0.19)
    """

    arg_constraints = {"a": constraints.real, "b": constraints.real}  # pyright: ignore[reportAssignmentType]
    support = constraints.interval(-math.pi, math.pi)  # pyright: ignore[reportAssignmentType]

    def __init__(self, a: Tensor, b: Tensor) -> None:
        self.a, self.b = torch.broadcast_tensors(a, b)
        super().__init__(self.a.shape, validate_args=False)

    def expand(self, batch_shape: Size, _instance: Distribution | None = None) -> VonMises:
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
        return 1 - torch.special.i1e(self.concentration) / torch.special.i0e(self.concentration)

    def log_prob(self, value: Tensor) -> Tensor:
        kappa = self.concentration
        return (
            self.a * value.cos()
            + self.b * value.sin()
            - kappa
            - torch.special.i0e(kappa).log()
            - math.log(2 * math.pi)
        )

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        draws = TorchVonMises(self.mean, self.concentration, validate_args=False).sample(
            Size(sample_shape)
        )
        return draws.to(self.a.dtype).clamp(-math.pi, math.pi)
