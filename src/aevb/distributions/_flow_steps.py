"""Invertible maps of vectors with few parameters: planar, radial and Sylvester steps.

Inverses are closed forms or roots of scalar functions. Parameters are ``[*batch, ...]``, points
``[*samples, *batch, D]``. Rezende and Mohamed, Variational inference with normalizing flows (2015);
van den Berg et al., Sylvester normalizing flows (2018).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, constraints

from ._root_finding import differentiable_root

MAX_CONTRACTION = 0.99  # at 1 a map would no longer be invertible
_INVERSE_SOFTPLUS_OF_ONE = math.log(math.e - 1)


def contraction(raw: Tensor) -> Tensor:
    """Map any real number to a number above -0.99; 0 to 0."""
    return MAX_CONTRACTION * (F.softplus(raw + _INVERSE_SOFTPLUS_OF_ONE) - 1)


class PlanarStep(Transform):
    """Planar map ``f(z) = z + u tanh(w . z + b)``.

    ``u`` is shifted along ``w`` so that ``w . u > -1``, which makes the map invertible. Rezende and
    Mohamed (2015).

    Args:
        u: Direction ``[*batch, D]``.
        w: Normal ``[*batch, D]``.
        b: Offset ``[*batch]``.

    Example:
        >>> step = PlanarStep(
        ...     torch.tensor([-3.0, 0.0]), torch.tensor([1.0, 1.0]), torch.tensor(0.0)
        ... )
        >>> z = torch.tensor([0.3, -2.0])
        >>> bool(torch.allclose(step.inv(step(z)), z, atol=1e-5))
        True
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        super().__init__()
        along, square = (u * w).sum(-1), w.square().sum(-1).clamp(min=1e-12)
        self.slope = contraction(along)  # w . u
        self.u = u + ((self.slope - along) / square)[..., None] * w
        self.w, self.b = w, b

    def _call(self, x: Tensor) -> Tensor:
        return x + self.u * torch.tanh((x * self.w).sum(-1) + self.b)[..., None]

    def _inverse(self, y: Tensor) -> Tensor:
        target, reach = (y * self.w).sum(-1), self.slope.abs()

        def over(a: Tensor) -> tuple[Tensor, Tensor]:
            bent = torch.tanh(a + self.b)
            return a + self.slope * bent - target, 1 + self.slope * (1 - bent.square())

        a = differentiable_root(over, target - reach, target + reach)
        return y - self.u * torch.tanh(a + self.b)[..., None]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        bent = torch.tanh((x * self.w).sum(-1) + self.b)
        return torch.log1p(self.slope * (1 - bent.square()))


class RadialStep(Transform):
    """Radial map ``f(z) = z + beta (z - centre) / (alpha + |z - centre|)``.

    It expands or contracts space around a point; ``beta > -alpha`` makes it invertible. Rezende and
    Mohamed (2015).

    Args:
        centre: Centre ``[*batch, D]``.
        alpha: Positive radius ``[*batch]``.
        raw: Unconstrained strength ``[*batch]``, mapped to ``beta``; 0 is the identity.

    Example:
        >>> step = RadialStep(torch.zeros(2), torch.tensor(1.0), torch.tensor(2.0))
        >>> z = torch.tensor([0.3, -2.0])
        >>> bool(torch.allclose(step.inv(step(z)), z, atol=1e-5))
        True
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, centre: Tensor, alpha: Tensor, raw: Tensor) -> None:
        super().__init__()
        self.centre, self.alpha = centre, alpha
        self.beta = alpha * contraction(raw)

    def _call(self, x: Tensor) -> Tensor:
        away = x - self.centre
        return x + (self.beta / (self.alpha + _safe_norm(away)))[..., None] * away

    def _inverse(self, y: Tensor) -> Tensor:
        # r (1 + beta / (alpha + r)) = |y - centre| is quadratic in r, without cancellation
        away = y - self.centre
        far = _safe_norm(away)
        half = far - self.alpha - self.beta
        root = (half.square() + 4 * self.alpha * far).sqrt()
        r = torch.where(
            half > 0, (half + root) / 2, 2 * self.alpha * far / (root - half.clamp(max=0))
        )
        return self.centre + away / (1 + self.beta / (self.alpha + r))[..., None]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        r = _safe_norm(x - self.centre)
        h = 1 / (self.alpha + r)
        stretch = self.beta * h
        return (x.shape[-1] - 1) * torch.log1p(stretch) + torch.log1p(stretch * self.alpha * h)


class SylvesterStep(Transform):
    """Sylvester map ``f(z) = z + Q R tanh(S Q^T z + b)``.

    It generalises ``M`` planar maps; ``r_ii s_ii > -1`` makes it invertible. van den Berg et al.
    (2018).

    Args:
        q: Matrix ``Q`` with orthonormal columns, ``[*batch, D, M]``.
        r: Upper triangular ``R``, ``[*batch, M, M]``.
        s: Upper triangular ``S``, ``[*batch, M, M]``.
        b: Offset ``[*batch, M]``.

    Example:
        >>> eye = torch.eye(2)
        >>> step = SylvesterStep(eye, 0.5 * eye, -0.5 * eye, torch.zeros(2))
        >>> z = torch.tensor([0.3, -2.0])
        >>> bool(torch.allclose(step.inv(step(z)), z, atol=1e-5))
        True
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(self, q: Tensor, r: Tensor, s: Tensor, b: Tensor) -> None:
        super().__init__()
        self.q, self.r, self.s, self.b = q, r, s, b

    def _call(self, x: Tensor) -> Tensor:
        return x + self._project_back(torch.tanh(self._preactivation(x)))

    def _inverse(self, y: Tensor) -> Tensor:
        target = _matvec(self.q.mT, y)
        coordinates: list[Tensor] = []  # of Q^T z, solved from the last to the first
        bent: list[Tensor] = []
        for i in reversed(range(self.b.shape[-1])):
            coordinate, tanh = self._solve_coordinate(i, target[..., i], coordinates, bent)
            coordinates.insert(0, coordinate)
            bent.insert(0, tanh)
        return y - self._project_back(torch.stack(bent, -1))

    def _solve_coordinate(
        self, i: int, target: Tensor, after: list[Tensor], bent: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        b = self.b[..., i] + sum(self.s[..., i, i + 1 + k] * value for k, value in enumerate(after))
        rest = target - sum(self.r[..., i, i + 1 + k] * value for k, value in enumerate(bent))
        r, s = self.r[..., i, i], self.s[..., i, i]

        def over(a: Tensor) -> tuple[Tensor, Tensor]:
            tanh = torch.tanh(s * a + b)
            return a + r * tanh - rest, 1 + r * s * (1 - tanh.square())

        a = differentiable_root(over, rest - r.abs(), rest + r.abs())
        return a, torch.tanh(s * a + b)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        slope = 1 - torch.tanh(self._preactivation(x)).square()
        diagonal = self.r.diagonal(dim1=-2, dim2=-1) * self.s.diagonal(dim1=-2, dim2=-1)
        return torch.log1p(slope * diagonal).sum(-1)

    def _preactivation(self, x: Tensor) -> Tensor:
        return _matvec(self.s, _matvec(self.q.mT, x)) + self.b

    def _project_back(self, bent: Tensor) -> Tensor:
        return _matvec(self.q, _matvec(self.r, bent))


def householder_columns(vectors: Tensor, columns: int) -> Tensor:
    """First ``columns`` columns of a product of Householder reflections.

    ``vectors`` are the normals, ``[*batch, H, D]``; the result is ``[*batch, D, M]``.
    """
    count, size = vectors.shape[-2:]
    q = torch.eye(size, columns, dtype=vectors.dtype, device=vectors.device)
    for h in range(count):
        v = vectors[..., h, :, None]
        q = q - 2 * v * (v.mT @ q) / v.square().sum((-2, -1), keepdim=True).clamp(min=1e-12)
    return q


def _matvec(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix * vector[..., None, :]).sum(-1)


def _safe_norm(value: Tensor) -> Tensor:
    # the root of a positive number has a finite gradient at the centre too
    return (value.square().sum(-1) + torch.finfo(value.dtype).tiny ** 0.5).sqrt()
