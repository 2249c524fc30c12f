"""Shortest paths between codes, measured in what the decoder makes of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions._support import has_real_support
from ..errors import IncompatibleError
from ..models import VAE
from ..models._eval_mode import eval_mode

MIN_CURVE_SEGMENTS = (
    48  # of a curve, at least: a chord is about as long as the arc that it cuts off
)
MAX_LBFGS_ITERATIONS = 400  # of L-BFGS, at most
Energy = Callable[[Tensor], Tensor]


def geodesic(
    model: VAE,
    a: Tensor,
    b: Tensor,
    steps: int,
    *,
    context: Tensor | None = None,
    unit: Tensor | None = None,
) -> Tensor:
    """Codes ``[steps, *latent]`` along the shortest path from code ``a`` to code ``b`` ``[*latent]``, evenly spaced in the data.

    The path is the curve of least energy ``n sum_i |(mu(z_{i+1}) - mu(z_i)) / unit|^2`` over ``n`` segments, with ``mu(z) = E[x|z]``: a
    geodesic of the metric ``J(z)^T J(z)`` that the decoder's mean takes from the data, ``J = d(mu / unit) / dz``. Its steps are of about
    equal length there. ``unit`` ``[*event]`` is what counts as a difference of one in each element (1 by default); ``context`` ``[2, C]``
    changes evenly from end to end. The search goes downhill from the straight line, and may end in a path that is shortest among its
    neighbours only. The metric knows the mean alone: it does not keep the path where data are.

    Shao, Kumar and Fletcher, The Riemannian geometry of deep generative models (2018); Chen et al., Metrics for deep generative models
    (2018). Raises ``IncompatibleError`` for codes that cannot move freely, and for expected data that have no slope in them.

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
    each = math.ceil(MIN_CURVE_SEGMENTS / (steps - 1))
    curve = _SineCurve.from_endpoints(a.detach(), b.detach(), each * (steps - 1))
    told = (
        None
        if context is None
        else torch.lerp(context[0], context[1], curve.positions.reshape(-1, 1))
    )
    scale = torch.ones((), dtype=a.dtype, device=a.device) if unit is None else unit.to(a)

    def energy(bend: Tensor) -> Tensor:
        means = model.likelihood(curve(bend), told).mean / scale
        return (len(means) - 1) * means.diff(dim=0).square().sum()

    with eval_mode(model), torch.enable_grad():
        bend = _minimise_energy(energy, curve.straight_line)
    return curve(bend)[::each]


@dataclass(frozen=True)
class _SineCurve:
    """Codes ``a + t (b - a) + |b - a| sum_k c_k sin(pi k t) / (2 sin(pi k / 2n))`` at ``n + 1`` equal steps of ``t``.

    The divisors make every ``c_k`` weigh the same in the energy of a flat space, so that many segments do not slow the search down.
    """

    a: Tensor
    b: Tensor
    basis: Tensor  # [n + 1, n - 1], 0 at both ends
    positions: Tensor  # [n + 1]: t

    @classmethod
    def from_endpoints(cls, a: Tensor, b: Tensor, segments: int) -> _SineCurve:
        k = torch.arange(1, segments, dtype=a.dtype, device=a.device) * math.pi
        share = torch.linspace(0, 1, segments + 1, dtype=a.dtype, device=a.device)
        waves = torch.sin(share[1:-1, None] * k) / (2 * torch.sin(k / (2 * segments)))
        return cls(a, b, torch.nn.functional.pad(waves, (0, 0, 1, 1)), share)

    @property
    def straight_line(self) -> Tensor:
        """The ``c`` of the straight line, ``[n - 1, latent]``."""
        return torch.zeros(
            self.basis.shape[1], self.a.numel(), dtype=self.a.dtype, device=self.a.device
        )

    def __call__(self, bend: Tensor) -> Tensor:
        line = torch.lerp(self.a, self.b, self.positions.reshape(-1, *[1] * self.a.dim()))
        return line + (self.b - self.a).norm() * (self.basis @ bend).reshape(line.shape)


def _minimise_energy(energy: Energy, start: Tensor) -> Tensor:
    """Where the energy is least, as far as L-BFGS finds it: in units of the energy at the start, so that its tolerances mean the same."""
    bend = start.clone().requires_grad_()
    whole = energy(bend)
    if not whole.requires_grad:
        raise IncompatibleError(
            'path="geodesic" needs expected data that change smoothly with the code, and those of this model have no slope in it; use '
            'path="linear".'
        )
    if not whole > 0:  # both ends are decoded to the same, and everything between
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
            f'path="geodesic" bends freely between codes, and those of `priors.{type(model.prior).__name__}` are not any real numbers; use '
            'path="linear".'
        )
