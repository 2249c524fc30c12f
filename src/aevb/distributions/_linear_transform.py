"""Distribution of a linear map of independent variables."""

from __future__ import annotations

from torch import Size, Tensor
from torch.distributions import Distribution, constraints
from torch.types import _size

from ._base import BaseDistribution, expectation


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

    def _to_cells(self, y: Tensor) -> Tensor:
        return self.shift + (y @ self.matrix.T).unflatten(-1, self.event_shape)

    def _to_base(self, value: Tensor) -> Tensor:
        centred = value - self.shift
        return centred.flatten(centred.dim() - len(self.event_shape)) @ self.inverse.T
