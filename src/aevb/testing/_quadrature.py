"""Sums and integrals over all values of a distribution."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Dirichlet, Distribution, StudentT, constraints

from ..distributions import (
    Affine,
    EqualWeightMixture,
    FixedCells,
    PartiallyObserved,
    Product,
    UniformSphere,
    marginals,
)
from ..distributions._poincare_ball import poincare_ball
from ..distributions._sphere import unit_sphere

QUADRATURE_STEP = 1 / 64
QUADRATURE_MAX_COUNT = 2000  # counts are summed up to this one
MAX_JOINT_STATES = 100_000  # of a joint distribution that is summed
CORNER_ERROR = 1e-6  # of a density over a plane, whose networks may have corners
MASS_SAMPLES = 100_000  # where neither a sum nor quadrature applies
REALS, ONE_HOT = type(constraints.real), type(constraints.one_hot)


@dataclass(frozen=True)
class MassEstimate:
    """The integral or sum of a density, and the error of the quadrature.

    Args:
        value: The mass, of each cell where cells are independent.
        error: The error of the quadrature.
    """

    value: Tensor
    error: Tensor


def total_mass(p: Distribution) -> MassEstimate | None:
    """The integral of the density over all values; ``None`` where no rule is known."""
    if isinstance(p, (Product, EqualWeightMixture)):
        components = p.parts if isinstance(p, Product) else p.components
        parts = [mass for part in components if (mass := total_mass(part)) is not None]
        return (
            None
            if len(parts) < len(components)
            else MassEstimate(
                _concatenate([m.value for m in parts]), _concatenate([m.error for m in parts])
            )
        )
    p = p.base if isinstance(p, PartiallyObserved) else p
    cells = independent_cells(p)
    nodes = _joint_nodes(p) if cells is None else quadrature_nodes(cells)
    if nodes is None:
        return _importance_sampled_mass(p)
    mass = _integrate(p if cells is None else cells, *nodes)
    return mass if cells is not None else MassEstimate(mass.value, mass.error + CORNER_ERROR)


def _concatenate(values: list[Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in values])


def independent_cells(p: Distribution) -> Distribution | None:
    """The distribution of each cell, if the density of an event is their product on some draws."""
    cells = marginals(p) if p.event_shape else p
    if cells is None:
        return None
    x = p.sample(torch.Size((4,)))
    joint, separate = p.log_prob(x), cells.log_prob(x)
    return (
        cells
        if torch.allclose(separate.reshape(*joint.shape, -1).sum(-1), joint, rtol=1e-9, atol=1e-9)
        else None
    )


def _integrate(p: Distribution, points: Tensor, log_weight: Tensor) -> MassEstimate:
    """Apply the rule; the rule with every second node gives the error."""
    terms = (p.log_prob(points) + log_weight).nan_to_num(
        nan=-math.inf, posinf=math.inf
    )  # points that overflow
    value = terms.logsumexp(0).exp()
    discrete = p.support is not None and p.support.is_discrete
    coarse = value if discrete else 2 * terms[::2].logsumexp(0).exp()
    return MassEstimate(value, (value - coarse).abs() + _truncation_error(p, points, terms))


def _truncation_error(p: Distribution, points: Tensor, terms: Tensor) -> Tensor:
    """The mass beyond the last node: the tail of counts, the rounding at the end of an interval."""
    low, high = support_bounds(p.support)
    if p.support is not None and p.support.is_discrete and low is not None and high is None:
        return 10 * terms[-1].exp()
    if high is None or high == math.inf or p.support is None or p.support.is_discrete:
        return torch.zeros_like(terms[-1])
    rest = (high - points[-1]).clamp(
        min=torch.finfo(points.dtype).eps * max(abs(high), abs(low or 0.0))
    )
    return 10 * (p.log_prob(points[-1]).exp() * rest).nan_to_num(nan=0.0)


def support_bounds(support: constraints.Constraint | None) -> tuple[float | None, float | None]:
    """The least and the greatest value of one element, ``None`` where there is none."""
    inner = element_support(support)
    if inner is constraints.boolean:
        return 0.0, 1.0
    fields = {} if inner is None else vars(inner)
    return fields.get("lower_bound"), fields.get("upper_bound")


def element_support(support: constraints.Constraint | None) -> constraints.Constraint | None:
    """The constraint on one element."""
    fields = {} if support is None else vars(support)
    inner = fields.get("base_constraint", fields.get("inside"))
    return support if inner is None else element_support(inner)


def quadrature_nodes(cells: Distribution) -> tuple[Tensor, Tensor] | None:
    """Points ``[n, *batch, *event]`` and log-weights ``[n, *batch]`` over the values of cells."""
    if isinstance(cells, Affine):
        nodes = quadrature_nodes(cells.base)
        return nodes and (cells.shift + cells.scale * nodes[0], nodes[1] + cells.scale.log())
    if isinstance(cells, FixedCells):
        nodes = quadrature_nodes(cells.cells)
        return nodes and (nodes[0], _fixed_weights(nodes[1], cells))
    support, shape = element_support(cells.support), (-1, *[1] * len(cells.batch_shape))
    none = torch.zeros(1, *shape[1:], dtype=cells.mean.dtype)
    if isinstance(support, ONE_HOT):
        values = torch.eye(cells.event_shape[-1], dtype=cells.mean.dtype)
        return _expand_nodes(values.reshape(*shape, values.shape[-1]), cells), none
    if cells.event_shape or support is None:
        return None
    low, high = support_bounds(support)
    if support.is_discrete:
        values = torch.arange(
            low or 0, (QUADRATURE_MAX_COUNT if high is None else high) + 1, dtype=cells.mean.dtype
        )
        return _expand_nodes(values.reshape(shape), cells), none
    if low is None and isinstance(support, REALS):
        return _real_line_nodes(cells)
    if low is None:
        return None
    points, log_weight = (
        half_line_nodes() if high in (None, math.inf) else interval_nodes(low, high)
    )
    return _expand_nodes(
        points.reshape(shape) + (low if high in (None, math.inf) else 0.0), cells
    ), log_weight.reshape(shape)


def _fixed_weights(log_weight: Tensor, cells: FixedCells) -> Tensor:
    """The log-weights, for fixed cells 1/2 at the first two nodes: the only value has mass 1."""
    log_weight = log_weight.expand(-1, *cells.batch_shape).clone()
    log_weight[:, ..., cells.fixed] = -math.inf
    log_weight[:2, ..., cells.fixed] = -math.log(2)
    return log_weight


def _expand_nodes(points: Tensor, cells: Distribution) -> Tensor:
    return points.expand(-1, *cells.batch_shape, *cells.event_shape)


def _real_line_nodes(cells: Distribution) -> tuple[Tensor, Tensor]:
    """Nodes on both sides of the mean, where some densities have a corner."""
    shape = (-1, *[1] * len(cells.batch_shape))
    points, log_weight = (part.reshape(shape) for part in half_line_nodes())
    centre, size = (
        cells.mean.nan_to_num(),
        cells.stddev.nan_to_num(nan=1.0, posinf=1.0).clamp(min=1e-6),
    )
    log_weight = log_weight + size.log()
    return torch.cat([centre + size * points, centre - size * points]), torch.cat(
        [log_weight, log_weight]
    )


def _double_exponential(step: float = QUADRATURE_STEP) -> tuple[Tensor, Tensor]:
    """``log a`` and log-weights that integrate over ``a`` in (0, inf), with ``a = exp(pi sinh t)``.

    Exact to rounding for smooth functions, power-law tails and densities that are infinite at an
    end (Takahasi and Mori 1974).
    """
    t = torch.arange(-3.9, 3.9, step, dtype=torch.float64)
    return math.pi * t.sinh(), math.pi * t.sinh() + torch.log(math.pi * t.cosh() * step)


def half_line_nodes() -> tuple[Tensor, Tensor]:
    """Points and log-weights over (0, inf)."""
    node, log_weight = _double_exponential()
    return node.exp(), log_weight


def interval_nodes(low: float, high: float) -> tuple[Tensor, Tensor]:
    """Points and log-weights over an interval: ``a / (1 + a)`` has the slope ``1 / (1 + a)^2``."""
    node, log_weight = _double_exponential()
    whole = torch.logaddexp(
        node, torch.zeros((), dtype=node.dtype)
    )  # torch's softplus drops what is below 2e-9
    points, log_weight = (
        low + (high - low) * (node - whole).exp(),
        log_weight - 2 * whole + math.log(high - low),
    )
    inside = points < high  # in rounding
    return points[inside], log_weight[inside]


def _joint_nodes(p: Distribution) -> tuple[Tensor, Tensor] | None:
    """Points ``[n, *batch, *event]`` and weights for whole events, with one datum in the batch."""
    support = p.support
    batch = [1] * len(p.batch_shape)
    if support is None or p.batch_shape.numel() != 1:
        return None
    if support.is_discrete:
        states = enumerate_states(p)
        return (
            states
            if states is None
            else (
                states.reshape(-1, *batch, *p.event_shape),
                torch.zeros(1, *batch, dtype=states.dtype),
            )
        )
    size = p.event_shape.numel()
    if isinstance(element_support(support), REALS) and size == 2:
        return _plane_nodes(p, batch)
    if size != 2:
        return None
    nodes = _surface_nodes(support)
    return nodes and (nodes[0].reshape(-1, *batch, 2), nodes[1].log().reshape(-1, *batch))


def enumerate_states(p: Distribution) -> Tensor | None:
    """Every event of a discrete distribution ``[n, *event]``, where they can be listed."""
    low, high = support_bounds(p.support)
    rows: Tensor | None = None
    cells = 0
    if isinstance(element_support(p.support), ONE_HOT):
        rows, cells = torch.eye(p.event_shape[-1], dtype=torch.float64), p.event_shape[:-1].numel()
    elif low is not None and high is not None:
        rows, cells = (
            torch.arange(low, high + 1, dtype=torch.float64)[:, None],
            p.event_shape.numel(),
        )
    if rows is None or len(rows) ** cells > MAX_JOINT_STATES:
        return None
    chosen = torch.tensor(list(itertools.product(range(len(rows)), repeat=cells)))
    return rows[chosen].reshape(-1, *p.event_shape)


def _plane_nodes(p: Distribution, batch: list[int]) -> tuple[Tensor, Tensor]:
    """A grid in units of the spread of some draws.

    Its sum integrates smooth densities to rounding.
    """
    draws = p.sample(torch.Size((4096,))).detach().reshape(-1, 2)
    factor = torch.linalg.cholesky(torch.cov(draws.T) + 1e-12 * torch.eye(2, dtype=draws.dtype))
    line = torch.arange(-12.0, 12.0, 0.1, dtype=draws.dtype)
    grid = torch.cartesian_prod(line, line) @ factor.T + draws.mean(0)
    log_weight = (
        torch.full((len(grid), *batch), 2 * math.log(0.1), dtype=draws.dtype)
        + factor.diagonal().log().sum()
    )
    return grid.reshape(-1, *batch, *p.event_shape), log_weight


def _surface_nodes(support: constraints.Constraint) -> tuple[Tensor, Tensor] | None:
    """Points ``[n, 2]`` and weights ``[n]`` over a circle, two proportions, or a disc."""
    if support is constraints.simplex:
        points, log_weight = interval_nodes(0.0, 1.0)
        points = points.clamp(1e-300, 1 - 1e-15)
        return torch.stack([points, 1 - points], -1), log_weight.exp()
    angle = 2 * torch.pi * torch.arange(128, dtype=torch.float64) / 128
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    if support is unit_sphere:
        return circle, torch.full((128,), 2 * torch.pi / 128, dtype=torch.float64)
    if support is not poincare_ball:
        return None
    at, weight = (torch.tensor(values) for values in np.polynomial.legendre.leggauss(150))
    r = torch.tanh((at + 1) * 7.5 / 2)  # hyperbolic distances up to 15
    ring = r * (1 - r.square()) / 2 * weight * 7.5 * 2 * torch.pi / 128
    return (r[:, None, None] * circle).flatten(0, 1), ring[:, None].expand(-1, 128).flatten()


def _importance_sampled_mass(p: Distribution) -> MassEstimate | None:
    """The mass by importance sampling from a known distribution, for events that no grid covers."""
    reference = _reference_distribution(p)
    if reference is None:
        return None
    x = reference.sample(torch.Size((MASS_SAMPLES,)))
    log_prob = p.log_prob(
        x.reshape(MASS_SAMPLES, *[1] * len(p.batch_shape), *p.event_shape)
    ).reshape(MASS_SAMPLES)
    ratio = (log_prob - reference.log_prob(x)).exp()
    return MassEstimate(ratio.mean(0), 5 * ratio.std(0) / math.sqrt(MASS_SAMPLES))


def _reference_distribution(p: Distribution) -> Distribution | None:
    """A known distribution that covers the support."""
    if p.batch_shape.numel() != 1 or p.support is None:
        return None
    like = torch.zeros(p.event_shape.numel(), dtype=p.mean.dtype)
    if p.support is unit_sphere:
        return UniformSphere(like)
    if p.support is constraints.simplex:
        return Dirichlet(like + 1)
    if not isinstance(element_support(p.support), REALS) or p.support.is_discrete:
        return None
    draws = p.sample(torch.Size((4096,))).detach().reshape(4096, -1)
    wide = StudentT(like.new_tensor(5.0), draws.mean(0), 1.5 * draws.std(0), validate_args=False)
    return torch.distributions.Independent(wide, 1, validate_args=False)
