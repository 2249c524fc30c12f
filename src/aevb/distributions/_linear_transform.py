"""Distribution of a linear map of independent variables."""

from __future__ import annotations

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, Independent, Normal, constraints
from torch.types import _size

from ._base import BaseDistribution, expectation
from ._double import collapse
from ._gaussian_cells import ObservedGaussian

NEWTON_STEPS = 3  # each squares the error of an inverse in float32, of 1e-4 at most


class LinearTransform(BaseDistribution):
    """Distribution of ``x = shift + matrix y`` with independent ``y ~ base``.

    The density is in the units of ``x`` and includes the log-determinant. Cells whose rows of
    ``matrix`` are 0 are constant: they have the value of ``shift`` and add 0 to the log-density.

    Args:
        base: Distribution of ``y``, event shape ``[k]``, with independent variables.
        shift: Shift ``[*event]`` with ``D`` cells.
        matrix: The map ``[D, k]``.
        inverse: Its inverse ``[k, D]``, 0 at constant cells.
        log_det: ``log |det matrix|`` without the constant cells, ``[]``.

    Example:
        >>> base = Independent(Normal(torch.zeros(2), 1.0), 1)
        >>> factor = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
        >>> p = LinearTransform(base, torch.zeros(2), factor, factor.inverse(), factor.logdet())
        >>> known = torch.distributions.MultivariateNormal(torch.zeros(2), scale_tril=factor)
        >>> x = torch.tensor([0.5, 1.0])
        >>> bool((p.log_prob(x) - known.log_prob(x)).abs() < 1e-6)
        True
    """

    def __init__(
        self, base: Distribution, shift: Tensor, matrix: Tensor, inverse: Tensor, log_det: Tensor
    ) -> None:
        self.base, self.shift = base, shift
        self.matrix, self.inverse, self.log_det = matrix, inverse, log_det
        self.has_rsample = base.has_rsample
        super().__init__(base.batch_shape, shift.shape)

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return self._to_cells(self.base.mean)

    @property
    def expectation(self) -> Tensor:
        return self._to_cells(expectation(self.base))

    @property
    def variance(self) -> Tensor:
        return (self.base.variance @ self.matrix.square().T).unflatten(-1, self.event_shape)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self._to_cells(self.base.sample(Size(sample_shape)))

    def rsample(self, sample_shape: _size = Size()) -> Tensor:
        return self._to_cells(self.base.rsample(Size(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.base.log_prob(self._to_base(value)) - self.log_det

    def observe(self, value: Tensor) -> ObservedGaussian:
        """The cells of normal ``y`` with those of ``value`` ``[*batch, *event]`` observed.

        Args:
            value: Cells; those that are not observed are NaN. All are flattened in the result.
        """
        mean, covariance = normal_moments(self)
        return ObservedGaussian(mean, covariance, self._flatten(value))

    def cell_log_prob(self, value: Tensor) -> Tensor:
        """Score each cell given those before it, ``[*batch, *event]``; 0 for missing cells."""
        return self._unflatten(self.observe(value).log_prob)

    def direction_log_prob(self, value: Tensor) -> Tensor:
        """The part of each of the ``k`` directions in the log-density, ``[*batch, k]``."""
        assert isinstance(self.base, Independent)
        each = self.base.base_dist.log_prob(self._to_base(value))
        return each - self.log_det / len(self.inverse)

    def conditional_log_prob(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """Score each cell given all others; the mean of this where the cell is drawn again."""
        cells = self.observe(value)
        score, usual = cells.conditional_log_prob, cells.expected_log_prob
        return self._unflatten(score), self._unflatten(usual).expand_as(self._unflatten(score))

    def given(self, value: Tensor) -> GivenCells:
        """The distribution given the cells that are not missing in ``value``."""
        return GivenCells(self, value)

    def _flatten(self, value: Tensor) -> Tensor:
        return value.flatten(value.dim() - len(self.event_shape))

    def _unflatten(self, cells: Tensor) -> Tensor:
        return cells.unflatten(-1, self.event_shape).to(self.shift.dtype)

    def _to_cells(self, y: Tensor) -> Tensor:
        return self.shift + (y @ self.matrix.T).unflatten(-1, self.event_shape)

    def _to_base(self, value: Tensor) -> Tensor:
        return self._flatten(value - self.shift) @ self.inverse.T


class GivenCells(BaseDistribution):
    """Correlated normal cells given some of them.

    Args:
        rows: The distribution of all cells.
        value: The cells ``[*batch, *event]``; open ones are NaN.
    """

    def __init__(self, rows: LinearTransform, value: Tensor) -> None:
        self.rows, self.value, self.dtype = rows, value, rows.shift.dtype
        super().__init__(rows.batch_shape, rows.event_shape)

    @property
    def cells(self) -> Normal:
        """The distribution of each cell on its own, batch shape ``[*batch, *event]``."""
        found = self.rows.observe(self.value)
        loc, variance = torch.broadcast_tensors(found.mean, found.variance)
        size = variance.clamp(min=torch.finfo(self.dtype).tiny).sqrt()
        shape = self.batch_shape + self.event_shape
        return Normal(loc.reshape(shape), size.reshape(shape), validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.cells.mean.to(self.dtype)

    @property
    def variance(self) -> Tensor:
        return self.cells.variance.to(self.dtype)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        """A draw of all cells, moved by what the observed ones tell (Matheron's rule)."""
        drawn, (_, covariance) = self.rows.sample(Size(sample_shape)), normal_moments(self.rows)
        flat = drawn.flatten(drawn.dim() - len(self.event_shape))
        value = self.value.flatten(self.value.dim() - len(self.event_shape))
        found = ObservedGaussian(flat, covariance, value).mean
        return found.unflatten(-1, self.event_shape).to(self.dtype)


def normal_moments(p: LinearTransform) -> tuple[Tensor, Tensor]:
    """Mean ``[*batch, D]`` and covariance ``[*, D, D]`` of flattened cells, float64.

    They are those of the density: of ``inverse``, whose small directions ``matrix`` has lost in
    rounding.
    """
    matrix, inverse = p.matrix.double(), p.inverse.double()
    identity = torch.eye(len(inverse), dtype=torch.float64, device=inverse.device)
    for _ in range(NEWTON_STEPS):
        matrix = matrix @ (2 * identity - inverse @ matrix)
    mean = p.shift.flatten().double() + p.base.mean.double() @ matrix.T
    factor = matrix * collapse(p.base.stddev).double().unsqueeze(-2)
    return mean, factor @ factor.mT
