"""Marginals and covariances of multivariate distributions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
)

from ._affine import Affine
from ._columns import ColumnsDistribution
from ._dirac import Dirac
from ._fixed_cells import FixedCells


def marginals(q: Distribution) -> Distribution | None:
    """Marginal distribution of each latent variable.

    Args:
        q: Distribution with batch shape ``[*batch]`` and event shape ``[*latent]``.

    Returns:
        A distribution with batch shape ``[*batch, *latent]``, or ``None`` where no formula is
        known.

    Example:
        >>> q = MultivariateNormal(torch.zeros(2), torch.tensor([[4.0, 1.0], [1.0, 9.0]]))
        >>> marginals(q).stddev.round(decimals=4)
        tensor([2., 3.])
    """
    if isinstance(q, Independent):
        return q.base_dist
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return Normal(q.mean, q.variance.sqrt(), validate_args=False)
    if isinstance(q, Affine):
        inner = marginals(q.base)
        return None if inner is None else Affine(inner, q.shift, q.scale)
    if isinstance(q, FixedCells):
        return FixedCells(q.cells, q.cells, q.values)
    if isinstance(q, ColumnsDistribution):
        return q.cells
    return None


def cell_log_prob(p: Distribution, value: Tensor) -> Tensor | None:
    """Score each cell of an event; the parts sum to ``p.log_prob(value)``.

    A distribution may have a method ``cell_log_prob`` of its own.

    Args:
        p: Distribution with batch shape ``[*batch]``.
        value: Events ``[*batch, *event]``.

    Returns:
        The log-densities ``[*batch, *event]``, or ``None`` where the cells are not known to be
        independent.

    Example:
        >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> cell_log_prob(p, torch.tensor([0.0, 1.0])).round(decimals=4)
        tensor([-0.9189, -1.4189])
    """
    own = getattr(p, "cell_log_prob", None)
    if own is not None:
        return own(value)
    if isinstance(p, Affine):
        each = cell_log_prob(p.base, (value - p.shift) / p.scale)
        return None if each is None else each - p.scale.log()
    return p.base_dist.log_prob(value) if isinstance(p, Independent) else None


def given_cells(p: Distribution, value: Tensor) -> Distribution:
    """The distribution of a row given some of its cells.

    A distribution whose cells depend on each other has a method ``given``.

    Args:
        p: Distribution with batch shape ``[*batch]``.
        value: Events ``[*batch, *event]``; the cells that are not known are NaN.

    Returns:
        A distribution whose unknown cells are conditional; ``p`` where cells are independent.

    Example:
        >>> p = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> given_cells(p, torch.tensor([0.0, torch.nan])) is p
        True
    """
    own = getattr(p, "given", None)
    return p if own is None else own(value)


def given_missing_cells(p: Distribution, value: Tensor) -> Distribution:
    """The distribution of a row given some of its cells, and that all others are missing.

    It is ``given_cells`` unless the distribution has a method ``given_missing``, because whether a
    cell is missing depends on its value.

    Args:
        p: Distribution with batch shape ``[*batch]``.
        value: Events ``[*batch, *event]``; missing cells are NaN.
    """
    own = getattr(p, "given_missing", None)
    return given_cells(p, value) if own is None else own(value)


def conditional_log_prob(p: Distribution, value: Tensor) -> tuple[Tensor, Tensor]:
    """Score each cell of a row given all others, of a distribution with dependent cells.

    Args:
        p: Distribution with a method ``conditional_log_prob``.
        value: Events ``[*batch, *event]``; missing cells are NaN.

    Returns:
        The log-densities, 0 for missing cells; and the same where the cell is drawn again given the
        others, or the mean of this.
    """
    own = getattr(p, "conditional_log_prob", None)
    assert own is not None, "a likelihood that has conditionals"
    return own(value)


def covariance(q: Distribution) -> Tensor | None:
    """Covariance matrix of the flattened latent of ``D`` numbers.

    Args:
        q: Distribution with batch shape ``[*batch]``.

    Returns:
        ``[*batch, D, D]``, or ``None`` where no formula is known.

    Example:
        >>> covariance(Independent(Normal(torch.zeros(2), 3.0), 1))
        tensor([[9., 0.],
                [0., 9.]])
    """
    if isinstance(q, (MultivariateNormal, LowRankMultivariateNormal)):
        return q.covariance_matrix
    if isinstance(q, Dirac) or (isinstance(q, Independent) and not q.base_dist.event_shape):
        return torch.diag_embed(q.variance.flatten(len(q.batch_shape)))
    return None


def count_variables(q: Distribution) -> int:
    """Number of latent variables; all categories of a one-hot variable count once.

    Example:
        >>> count_variables(Independent(torch.distributions.OneHotCategorical(torch.ones(4, 3)), 1))
        4
    """
    return q.event_shape.numel() // (
        q.base_dist.event_shape.numel() if isinstance(q, Independent) else 1
    )
