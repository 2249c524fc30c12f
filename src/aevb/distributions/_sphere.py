"""Distributions on the unit sphere in ``m`` dimensions; densities are with respect to its area.

The directional families differ in the density of ``t``, the cosine of the angle to the mean
direction.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Size, Tensor
from torch.distributions import Beta, constraints
from torch.types import _size

from ._base import BaseDistribution
from ._discrete import open_uniform
from ._double import in_double
from ._monte_carlo_moments import standard_normal
from ._root_finding import increasing_root

ANGLE_PANELS = 24  # over 24 standard deviations
NODES_PER_PANEL = 8  # Gauss-Legendre nodes: the quadrature error is below rounding
_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = (
    values.tolist() for values in np.polynomial.legendre.leggauss(NODES_PER_PANEL)
)


class _UnitSphere(constraints.Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        # float32 rounds each coordinate and the sum of their squares
        return (value.norm(dim=-1) - 1).abs() < 1e-6


unit_sphere = _UnitSphere()


class UniformSphere(BaseDistribution):
    """Uniform distribution on the sphere: ``log p(z) = log Gamma(m/2) - log 2 - (m/2) log pi``.

    Args:
        mean: Zeros ``[m]``, which set dimension, dtype and device.

    Example:
        >>> UniformSphere(torch.zeros(3)).log_prob(torch.tensor([1.0, 0.0, 0.0])).exp()
        tensor(0.0796)
    """

    fixed_support = unit_sphere
    has_rsample = True

    def __init__(self, mean: Tensor) -> None:
        self._mean = mean
        super().__init__(Size(), mean.shape)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self._mean + 1 / len(self._mean)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return normalise(standard_normal((*sample_shape, *self._mean.shape), self._mean))

    def log_prob(self, value: Tensor) -> Tensor:
        return torch.zeros_like(value[..., 0]) - log_sphere_area(len(self._mean))


class DirectionalDistribution(BaseDistribution, ABC):
    """Base class with a mean direction ``[*batch, m]`` and a concentration ``[*batch]``."""

    fixed_support = unit_sphere
    has_rsample = True

    def __init__(self, loc: Tensor, kappa: Tensor) -> None:
        self.loc, self.kappa = loc, kappa
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    @property
    def dim(self) -> int:
        return self.loc.shape[-1]

    @abstractmethod
    def sample_cosine(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Draws ``[*shape]`` of ``t``, and ``sqrt(1 - t^2)``."""

    @abstractmethod
    def cosine_moments(self) -> tuple[Tensor, Tensor, Tensor]:
        """``E[t]``, ``Var[t]`` and ``E[1 - t^2]``, ``[*batch]``, without cancellation."""

    @abstractmethod
    def kl_to_uniform(self) -> Tensor:
        """KL divergence to the uniform distribution, ``[*batch]`` nats."""

    @property
    def mean(self) -> Tensor:
        return self.cosine_moments()[0][..., None] * self.loc

    @property
    def variance(self) -> Tensor:
        _, variance, rest = (moment[..., None] for moment in self.cosine_moments())
        along = self.loc.square()
        return variance * along + rest / (self.dim - 1) * (1 - along)

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        across = standard_normal((*sample_shape, *self.loc.shape), self.loc)
        for _ in range(2):  # what is left of noise along `loc` is rounding, which has a part along
            across = normalise(across - (across * self.loc).sum(-1, keepdim=True) * self.loc)
        t, sine = self.sample_cosine((*sample_shape, *self.batch_shape))
        return normalise(t[..., None] * self.loc + sine[..., None] * across)


class VonMisesFisher(DirectionalDistribution):
    """Von Mises-Fisher distribution: ``p(z) = C exp(kappa loc . z)``.

    Normaliser and moments are integrals over the angle by Gauss-Legendre quadrature around its
    mode, accurate to rounding for every ``kappa`` and ``m``. Draws invert the distribution function
    of the angle, without rejection, and their gradient in ``kappa`` is the exact implicit gradient.
    Davidson et al., Hyperspherical variational auto-encoders (2018).

    Args:
        loc: Mean direction ``[*batch, m]``, of length 1.
        kappa: Concentration ``[*batch]``.

    Example:
        >>> q = VonMisesFisher(
        ...     torch.tensor([0.0, 0.0, 1.0]), torch.tensor(500.0, dtype=torch.float64)
        ... )
        >>> round(q.kl_to_uniform().item(), 6)
        5.907755
    """

    def log_prob(self, value: Tensor) -> Tensor:
        # 1 - cos from the distance of unit vectors: no cancellation for large kappa
        off = (value - self.loc).square().sum(-1) / 2
        return -self.kappa * off - log_sphere_area(self.dim - 1) - self._angle_density().log_mass

    def kl_to_uniform(self) -> Tensor:
        angles = self._angle_density()
        return (
            -self.kappa * angles.expectation(_one_minus_cos)
            - angles.log_mass
            + log_sphere_area(self.dim)
            - log_sphere_area(self.dim - 1)
        )

    def cosine_moments(self) -> tuple[Tensor, Tensor, Tensor]:
        angles = self._angle_density()
        # 1 - t = 2 sin(angle / 2)^2
        below = angles.expectation(_one_minus_cos)
        away = angles.expectation(
            lambda angle: (_one_minus_cos(angle) - below[..., None, None]) ** 2
        )
        return 1 - below, away, angles.expectation(lambda angle: angle.sin().square())

    def sample_cosine(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        angle = self._angle_density().sample(shape)
        return angle.cos(), angle.sin()

    def _angle_density(self) -> _AngleDensity:
        return _AngleDensity(self.kappa, self.dim)


class PowerSpherical(DirectionalDistribution):
    """Power spherical distribution: ``p(z) = C (1 + loc . z)^kappa``.

    ``(1 + t) / 2`` is Beta((m - 1)/2 + kappa, (m - 1)/2), so that draws and KL have closed forms.
    De Cao and Aziz, The power spherical distribution (2020).

    Args:
        loc: Mean direction ``[*batch, m]``, of length 1.
        kappa: Concentration ``[*batch]``.

    Example:
        >>> PowerSpherical(torch.tensor([1.0, 0.0]), torch.tensor(3.0)).rsample((5,)).shape
        torch.Size([5, 2])
    """

    def _beta(self) -> Beta:
        across = (self.dim - 1) / 2
        return Beta(self.kappa + across, torch.full_like(self.kappa, across), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return in_double(_power_spherical_log_prob, self.loc, self.kappa, value)

    def kl_to_uniform(self) -> Tensor:
        return in_double(lambda kappa: _power_spherical_kl(kappa, self.dim), self.kappa)

    def cosine_moments(self) -> tuple[Tensor, Tensor, Tensor]:
        half = self._beta()
        a, b = half.concentration1, half.concentration0
        # E[1 - t^2] = 4 E[half (1 - half)]
        rest = 4 * half.mean * b / (a + b + 1)
        return 2 * half.mean - 1, 4 * half.variance, rest

    def sample_cosine(self, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        half = self._beta().rsample(shape[: len(shape) - self.kappa.dim()])
        return 2 * half - 1, 2 * (half * (1 - half)).sqrt()


class _AngleDensity:
    """Density ``exp(kappa (cos a - 1)) sin(a)^(m-2)`` of an angle, on panels around its mode."""

    def __init__(self, kappa: Tensor, dim: int) -> None:
        self.kappa, self.dim = kappa, dim
        with torch.no_grad():
            self.edges = self._panel_edges(kappa.detach())
        nodes, self.weights = _gauss_legendre(kappa.dtype, kappa.device)
        left, width = self.edges[..., :-1, None], self.edges.diff(dim=-1)[..., None]
        self.nodes = left + width * nodes  # [*batch, panels, nodes]
        self.log_node_mass = (
            self.log_density(self.nodes, kappa[..., None, None]) + (width * self.weights).log()
        )
        self.log_mass = self.log_node_mass.flatten(-2).logsumexp(-1)

    def _panel_edges(self, kappa: Tensor) -> Tensor:
        cos = 2 * kappa / ((self.dim - 2) + ((self.dim - 2) ** 2 + 4 * kappa**2).sqrt())
        mode = torch.acos(cos.clamp(max=1.0))
        curvature = kappa * cos + (self.dim - 2) / (1 - cos**2).clamp(min=1e-30)
        spread = (12 * curvature.rsqrt()).clamp(max=math.pi)
        low, high = (mode - spread).clamp(min=0), (mode + spread).clamp(max=math.pi)
        return low[..., None] + (high - low)[..., None] * torch.linspace(
            0, 1, ANGLE_PANELS + 1, dtype=kappa.dtype, device=kappa.device
        )

    def log_density(self, angle: Tensor, kappa: Tensor) -> Tensor:
        rising = -2 * kappa * (angle / 2).sin().square()
        return (
            rising
            if self.dim == 2
            else rising
            + (self.dim - 2) * angle.sin().clamp(min=torch.finfo(angle.dtype).tiny).log()
        )

    def expectation(self, function: Callable[[Tensor], Tensor]) -> Tensor:
        shares = (self.log_node_mass - self.log_mass[..., None, None]).exp()
        return (shares * function(self.nodes)).sum((-2, -1))

    def sample(self, shape: tuple[int, ...]) -> Tensor:
        """Draws by inversion: ``a`` with ``F(a) = u``; ``da/dkappa = -(dF/dkappa) / f(a)``."""
        with torch.no_grad():
            angle, slope = self._inverse_cdf(open_uniform(shape, self.kappa))
        return angle + slope * (self.kappa - self.kappa.detach())

    def _inverse_cdf(self, level: Tensor) -> tuple[Tensor, Tensor]:
        share = (self.log_node_mass - self.log_mass[..., None, None]).exp()
        mass = share.sum(-1)
        # dF/dkappa of each panel
        centred = self.nodes.cos() - self.expectation(torch.cos)[..., None, None]
        lean = (share * centred).sum(-1)
        panel = (
            (level[..., None] > mass.cumsum(-1)).sum(-1, keepdim=True).clamp(max=ANGLE_PANELS - 1)
        )
        low, high = (
            _gather_panel(self.edges[..., :-1], panel),
            _gather_panel(self.edges[..., 1:], panel),
        )
        start, target = low, level - _gather_panel(mass.cumsum(-1) - mass, panel)
        angle = increasing_root(
            lambda angle: (self._partial_mass(start, angle) - target, self._density(angle)),
            low,
            high,
        )
        before = _gather_panel(lean.cumsum(-1) - lean, panel) + self._partial_mass(
            start, angle, kappa_derivative=True
        )
        return angle, -before / self._density(angle)

    def _density(self, angle: Tensor) -> Tensor:
        return (
            (self.log_density(angle, self.kappa) - self.log_mass)
            .exp()
            .clamp(min=torch.finfo(angle.dtype).tiny)
        )

    def _partial_mass(self, start: Tensor, angle: Tensor, kappa_derivative: bool = False) -> Tensor:
        """Mass between ``start`` and ``angle`` within a panel, or its derivative in ``kappa``."""
        nodes, weights = _gauss_legendre(angle.dtype, angle.device)
        inside = start[..., None] + (angle - start)[..., None] * nodes
        density = (self.log_density(inside, self.kappa[..., None]) - self.log_mass[..., None]).exp()
        if kappa_derivative:
            density = density * (inside.cos() - self.expectation(torch.cos)[..., None])
        return (density * weights).sum(-1) * (angle - start)


def _gather_panel(values: Tensor, panel: Tensor) -> Tensor:
    return values.expand(*panel.shape[:-1], values.shape[-1]).gather(-1, panel)[..., 0]


def _gauss_legendre(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Nodes and weights on [0, 1]."""
    return (1 + torch.tensor(_LEGENDRE_NODES, dtype=dtype, device=device)) / 2, torch.tensor(
        _LEGENDRE_WEIGHTS, dtype=dtype, device=device
    ) / 2


def _power_spherical_constant(kappa: Tensor, dim: int) -> Tensor:
    across = (dim - 1) / 2
    return (
        torch.lgamma(kappa + 2 * across)
        - torch.lgamma(kappa + across)
        - (kappa + 2 * across) * math.log(2)
        - across * math.log(math.pi)
    )


def _power_spherical_log_prob(loc: Tensor, kappa: Tensor, value: Tensor) -> Tensor:
    one_plus_t = (value + loc).square().sum(-1) / 2
    log_one_plus_t = one_plus_t.clamp(min=torch.finfo(torch.float32).tiny).log()
    return _power_spherical_constant(kappa, loc.shape[-1]) + kappa * log_one_plus_t


def _power_spherical_kl(kappa: Tensor, dim: int) -> Tensor:
    across = (dim - 1) / 2
    mean_log = torch.digamma(kappa + across) - torch.digamma(kappa + 2 * across)
    return (
        _power_spherical_constant(kappa, dim)
        + kappa * (math.log(2) + mean_log)
        + log_sphere_area(dim)
    )


def _one_minus_cos(angle: Tensor) -> Tensor:
    return 2 * (angle / 2).sin().square()


def normalise(value: Tensor) -> Tensor:
    """Unit vectors; a zero vector stays zero."""
    return value / value.norm(dim=-1, keepdim=True).clamp(min=1e-12)


def log_sphere_area(dim: int) -> float:
    """Log-area of the unit sphere in ``dim`` dimensions: log 2 pi for a circle.

    Example:
        >>> round(math.exp(log_sphere_area(3)) / math.pi, 12)
        4.0
    """
    return math.log(2) + dim / 2 * math.log(math.pi) - math.lgamma(dim / 2)
