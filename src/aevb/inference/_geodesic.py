"""Geodesics in the latent space under the metric of the decoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .._grad_mode import differentiable, gradients_enabled, make_differentiable
from ..distributions._support import has_real_support
from ..errors import IncompatibleError, one_of
from ..models import VAE
from ..models._eval_mode import eval_mode

MIN_CURVE_SEGMENTS = 48  # so that chords are about as long as their arcs
MAX_LBFGS_ITERATIONS = 400
Energy = Callable[[Tensor], Tensor]


@gradients_enabled()
def geodesic(
    model: VAE,
    a: Tensor,
    b: Tensor,
    steps: int,
    *,
    context: Tensor | None = None,
    unit: Tensor | None = None,
) -> Tensor:
    """The geodesic between two latents, evenly spaced in the data.

    The path minimises the energy ``n sum_i |(mu(z_{i+1}) - mu(z_i)) / unit|^2`` over ``n`` segments
    with ``mu(z) = E[x|z]``: a geodesic of the pull-back metric ``J(z)^T J(z)`` with ``J = d(mu /
    unit) / dz``. The optimisation starts from the straight line and may end in a local minimum. The
    metric ignores where data are. Shao, Kumar and Fletcher, The Riemannian geometry of deep
    generative models (2018); Chen et al., Metrics for deep generative models (2018).

    Args:
        model: The model.
        a: First latent ``[*latent]``.
        b: Last latent ``[*latent]``.
        steps: Number of points, both ends included.
        context: Contexts ``[2, C]`` of the ends, interpolated linearly.
        unit: Unit of each element of the data, ``[*event]``; 1 by default.

    Returns:
        Latents ``[steps, *latent]``.

    Raises:
        IncompatibleError: Latents cannot move freely, or expected data have no gradient in them.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(9, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
        ... )
        >>> geodesic(model, torch.zeros(2), torch.ones(2), steps=5).shape
        torch.Size([5, 2])
    """
    _check_geodesic(model, context)
    segments = math.ceil(MIN_CURVE_SEGMENTS / (steps - 1))  # per step
    make_differentiable(model)
    a, b = differentiable(a.detach()), differentiable(b.detach())
    curve = _SineCurve.from_endpoints(a, b, segments * (steps - 1))
    if context is not None:
        context = torch.lerp(context[0], context[1], curve.positions.reshape(-1, 1))
    scale = torch.ones((), dtype=a.dtype, device=a.device) if unit is None else unit.to(a)

    def energy(coefficients: Tensor) -> Tensor:
        means = model.likelihood(curve(coefficients), context).mean / scale
        return (len(means) - 1) * means.diff(dim=0).square().sum()

    with eval_mode(model):
        coefficients = _minimise_energy(energy, curve.straight_line)
    return curve(coefficients)[::segments]


@dataclass(frozen=True)
class _SineCurve:
    """``a + t (b - a) + |b - a| sum_k c_k sin(pi k t) / (2 sin(pi k / 2n))``, ``t`` in [0, 1].

    The divisors give every ``c_k`` the same weight in the energy of a flat space, so that many
    segments do not slow the optimisation.

    Args:
        a: First latent.
        b: Last latent.
        basis: ``[n + 1, n - 1]``, 0 at both ends.
        positions: ``t``, ``[n + 1]``.
    """

    a: Tensor
    b: Tensor
    basis: Tensor
    positions: Tensor

    @classmethod
    def from_endpoints(cls, a: Tensor, b: Tensor, segments: int) -> _SineCurve:
        k = torch.arange(1, segments, dtype=a.dtype, device=a.device) * math.pi
        share = torch.linspace(0, 1, segments + 1, dtype=a.dtype, device=a.device)
        waves = torch.sin(share[1:-1, None] * k) / (2 * torch.sin(k / (2 * segments)))
        return cls(a, b, torch.nn.functional.pad(waves, (0, 0, 1, 1)), share)

    @property
    def straight_line(self) -> Tensor:
        """The coefficients ``c`` of the straight line, ``[n - 1, latent]``."""
        return torch.zeros(
            self.basis.shape[1], self.a.numel(), dtype=self.a.dtype, device=self.a.device
        )

    def __call__(self, bend: Tensor) -> Tensor:
        line = torch.lerp(self.a, self.b, self.positions.reshape(-1, *[1] * self.a.dim()))
        return line + (self.b - self.a).norm() * (self.basis @ bend).reshape(line.shape)


def _minimise_energy(energy: Energy, start: Tensor) -> Tensor:
    """Minimise the energy with L-BFGS, in units of its initial value."""
    bend = start.clone().requires_grad_()
    whole = energy(bend)
    if not whole.requires_grad:
        raise IncompatibleError(
            "the expected data of this model have no slope in the latent, and a geodesic needs it",
            argument="path",
            value="geodesic",
            suggestions=(one_of("path", ["linear"]),),
        )
    if not whole > 0:  # the decoder is constant along the line
        return start
    unit = whole.detach()
    search = torch.optim.LBFGS(
        [bend],
        max_iter=MAX_LBFGS_ITERATIONS,
        tolerance_grad=1e-8,
        tolerance_change=1e-10,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        value = energy(bend) / unit
        (bend.grad,) = torch.autograd.grad(value, bend)
        return value

    search.step(closure)
    with torch.no_grad():
        return bend.detach() if energy(bend) < unit else start


def _check_geodesic(model: VAE, context: Tensor | None) -> None:
    p = model.prior(None, model.null_context if context is None else context[:1])
    if not has_real_support(p):
        raise IncompatibleError(
            "a geodesic bends freely between latents, and latents of "
            f"`priors.{type(model.prior).__name__}` are constrained",
            argument="path",
            value="geodesic",
            suggestions=(one_of("path", ["linear"]),),
        )
