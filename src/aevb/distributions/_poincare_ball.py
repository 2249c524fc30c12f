"""Hyperbolic space as the Poincare ball of radius 1."""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Normal, biject_to, constraints
from torch.distributions.transforms import Transform
from torch.types import _size

from ._double import in_double
from ._monte_carlo_moments import MonteCarloMoments, standard_normal


class _PoincareBall(constraints.Constraint):
    event_dim = 1

    def check(self, value: Tensor) -> Tensor:
        return value.norm(dim=-1) < 1


poincare_ball = _PoincareBall()


class WrappedNormal(MonteCarloMoments):
    """Wrapped Gaussian on the Poincare ball.

    ``z = loc (+) tanh(|v|/2) v/|v|`` with ``v ~ N(0, scale^2)``.

    ``v`` is a tangent vector at the origin in units of hyperbolic length, and ``(+)`` Moebius
    addition, an isometry. With ``D`` dimensions, ``log p(z) = log N(v) - (D - 1) log(sinh |v| /
    |v|) + D log(2 / (1 - |z|^2))``, a density with respect to the Euclidean volume. The mean of the
    coordinates is estimated. Draws stay inside the ball. Mathieu et al., Continuous hierarchical
    representations with Poincare variational auto-encoders (2019).

    Args:
        loc: Centre ``[*batch, D]`` inside the ball.
        scale: Standard deviations ``[*batch, D]`` of the tangent vector.

    Example:
        >>> WrappedNormal(torch.zeros(5, 2), torch.ones(5, 2)).rsample((4,)).norm(dim=-1).max() < 1
        tensor(True)
    """

    fixed_support = poincare_ball

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale
        super().__init__(loc.shape[:-1], loc.shape[-1:])

    def _reference_tensor(self) -> Tensor:
        return self.loc

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        v = self.scale * standard_normal((*sample_shape, *self.loc.shape), self.loc)
        return clip_to_ball(moebius_add(self.loc, exp_map_origin(v)))

    def log_prob(self, value: Tensor) -> Tensor:
        # distances from the boundary of the ball are differences, as are those of its points
        return in_double(_wrapped_normal_log_prob, self.loc, self.scale, value)


def _wrapped_normal_log_prob(loc: Tensor, scale: Tensor, value: Tensor) -> Tensor:
    w = moebius_add(-loc, value)
    size = _safe_norm(w)
    far = 2 * torch.atanh(size.clamp(max=1 - torch.finfo(w.dtype).eps))
    v = w * (far / size)
    gaussian = Normal(torch.zeros_like(scale), scale, validate_args=False).log_prob(v).sum(-1)
    # log(sinh r / r), without overflow
    stretch = (far + torch.log(-torch.expm1(-2 * far) / (2 * far)))[..., 0]
    volume = 2 / (1 - value.square().sum(-1)).clamp(min=torch.finfo(w.dtype).eps)
    return gaussian - (value.shape[-1] - 1) * stretch + value.shape[-1] * volume.log()


def exp_map_origin(v: Tensor) -> Tensor:
    """The point at hyperbolic distance ``|v|`` from the origin in the direction of ``v``."""
    far = _safe_norm(v)
    return clip_to_ball(v * (torch.tanh(far / 2) / far))


def soft_clip_norm(v: Tensor, max_norm: float) -> Tensor:
    """Bound the length of vectors smoothly: ``max_norm tanh(|v| / max_norm) v / |v|``."""
    far = _safe_norm(v)
    return v * (max_norm * torch.tanh(far / max_norm) / far)


def moebius_add(a: Tensor, b: Tensor) -> Tensor:
    """``((1 + 2 a.b + |b|^2) a + (1 - |a|^2) b) / (1 + 2 a.b + |a|^2 |b|^2)``.

    Example:
        >>> moebius_add(torch.tensor([0.5]), torch.tensor([0.5]))
        tensor([0.8000])
    """
    dot, aa, bb = ((x * y).sum(-1, keepdim=True) for x, y in ((a, b), (a, a), (b, b)))
    return ((1 + 2 * dot + bb) * a + (1 - aa) * b) / (1 + 2 * dot + aa * bb).clamp(
        min=torch.finfo(a.dtype).eps ** 2
    )


def clip_to_ball(z: Tensor) -> Tensor:
    """Move points on or beyond the boundary inside the ball."""
    most = 1 - torch.finfo(z.dtype).eps * 100
    return z * (most / _safe_norm(z)).clamp(max=1.0)


def _safe_norm(z: Tensor) -> Tensor:
    # the root of a positive number has a finite gradient at the origin too
    return (z.square().sum(-1, keepdim=True) + torch.finfo(z.dtype).tiny ** 0.5).sqrt()


class ExpMapTransform(Transform):
    """``v -> tanh(|v| / 2) v / |v|``: from the tangent space at the origin to the ball."""

    bijective = True
    domain, codomain = constraints.real_vector, poincare_ball

    def _call(self, x: Tensor) -> Tensor:
        return exp_map_origin(x)

    def _inverse(self, y: Tensor) -> Tensor:
        size = _safe_norm(y)
        return y * (2 * torch.atanh(size.clamp(max=1 - torch.finfo(y.dtype).eps)) / size)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log(1/2 sech^2(r / 2))`` radially, ``log(tanh(r / 2) / r)`` tangentially."""
        far = _safe_norm(x)[..., 0]
        across = torch.log(torch.tanh(far / 2) / far)
        along = math.log(2) - far - 2 * torch.log1p(torch.exp(-far))
        return along + (x.shape[-1] - 1) * across


@biject_to.register(type(poincare_ball))
def _biject_to_ball(support: constraints.Constraint) -> Transform:
    return ExpMapTransform()
