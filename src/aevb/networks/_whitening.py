"""Linear maps that whiten data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .._registry import register
from ..distributions._gaussian_cells import ObservedGaussian, gaussian_moments, has_missing
from ..errors import ArgumentError
from ..types import Configurable
from ._input_noise import NumericInput
from ._registration import NetworkRegistration

# smallest variance of a direction, where columns have variance 1: a smaller one follows the
# rounding of linearly dependent columns, and its density has no bound
MIN_VARIANCE = 1e-6
FLOORED_SHARE = 0.01  # squared weight with which a column belongs to such a direction
ROWS_PER_COLUMN = 2  # with fewer, correlations are shrunk


class DataDependentNetwork(nn.Module, ABC):
    """Base of networks with state that is computed from the training rows."""

    @abstractmethod
    def initialise_from_data(self, x: Tensor) -> None:
        """Compute the state; called once, before the first step of a run.

        Args:
            x: Rows of data ``[N, *event]``.
        """


class Whitening(nn.Module):
    """``x = shift + matrix y``, with a ``y`` of mean 0, variance 1 and no correlations.

    The map is learned: the directions are the principal components of standardised columns, the
    largest first. A direction in which the variance is below 1e-6 is treated as if it had this
    variance: columns that are linear functions of others have a bounded density. Columns without
    spread keep their scale. With at most two rows per column the correlations are shrunk towards
    0 (Chen et al., Shrinkage algorithms for MMSE covariance estimation, 2010). Missing cells are
    taken into account by EM. Before it has seen data the map standardises.

    Args:
        shift: Shift of each column, in the units of the data.
        scale: Scale of each column.
        constant: Which columns are constant; these are left out of ``y``.

    Attributes:
        shift: ``[D]``.
        matrix: ``[D, k]``.
        inverse: ``[k, D]``.
        log_det: ``log |det matrix|`` without constant columns, ``[]``.
        floored: The columns of directions at the smallest variance, bool ``[D]``.
    """

    shift: Tensor
    matrix: Tensor
    inverse: Tensor
    log_det: Tensor
    floored: Tensor
    fitted: Tensor

    def __init__(
        self, shift: Sequence[float], scale: Sequence[float], constant: Sequence[bool] | None = None
    ) -> None:
        super().__init__()
        free = [i for i in range(len(shift)) if constant is None or not constant[i]]
        self.free, self.holes_where_traced = free, True
        self.scale = torch.tensor(scale, dtype=torch.float64)[free]
        start = torch.tensor(shift, dtype=torch.float64)
        for name, size in {
            "shift": (len(shift),),
            "matrix": (len(shift), len(free)),
            "inverse": (len(free), len(shift)),
            "log_det": (),
        }.items():
            self.register_buffer(name, torch.zeros(size))
        self.register_buffer("floored", torch.zeros(len(shift), dtype=torch.bool))
        self.register_buffer("fitted", torch.tensor(False))
        self.start = start
        self._standardise()

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Learn the map from rows ``[N, D]``, in float64, once; missing cells are NaN."""
        if self.fitted:  # the weights of a trained model are for the map that they know
            return
        self.fitted.fill_(True)
        start = self.start[self.free]
        u = (x.detach().cpu().double()[:, self.free] - start) / self.scale
        mean, covariance = gaussian_moments(u)
        size = covariance.diagonal().sqrt()
        size = torch.where(size > 0, size, 1.0)
        correlation = shrink(covariance / size / size[:, None], len(x))
        correlation.fill_diagonal_(1.0)
        variance, directions = torch.linalg.eigh(correlation)
        variance, directions = variance.flip(0), directions.flip(1)
        low = variance < MIN_VARIANCE
        root, unit = variance.clamp(min=MIN_VARIANCE).sqrt(), self.scale * size
        self.floored.zero_()
        member = directions[:, low].square().sum(1) > FLOORED_SHARE
        self.floored[torch.tensor(self.free)[member]] = True
        shift = self.start.clone()
        shift[self.free] = start + self.scale * mean
        self.shift.copy_(shift)
        self._set(
            unit[:, None] * directions * root,
            directions.T / root[:, None] / unit,
            unit.log().sum() + root.log().sum(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Whiten rows ``[*, D]`` to ``[*, k]``, also where networks run in low precision.

        Missing cells have their mean given the others, except in training mode.
        """
        if not self.training and has_missing(x, self.holes_where_traced):
            x = self.fill(x)
        with torch.autocast(x.device.type, enabled=False):
            return (x - self.shift) @ self.inverse.T

    def fill(self, x: Tensor) -> Tensor:
        """Replace missing cells of rows ``[*, D]`` by their mean given the others."""
        factor = self.matrix.double()
        return ObservedGaussian(self.shift, factor @ factor.T, x).mean.to(x.dtype)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Whitening:
        super()._apply(fn, recurse)
        if not self.fitted.is_meta and not self.fitted:
            self._standardise()  # with all digits of the new precision
        return self

    def _standardise(self) -> None:
        self.shift.copy_(self.start)
        self._set(torch.diag(self.scale), torch.diag(1 / self.scale), self.scale.log().sum())

    def _set(self, matrix: Tensor, inverse: Tensor, log_det: Tensor) -> None:
        self.matrix[self.free] = matrix.to(self.matrix)
        self.inverse[:, self.free] = inverse.to(self.inverse)
        self.log_det.copy_(log_det)


def shrink(correlation: Tensor, rows: int) -> Tensor:
    """Shrink correlations ``[n, n]`` of few rows by the oracle-approximating rule."""
    size = len(correlation)
    if size == 1 or rows > ROWS_PER_COLUMN * size:
        return correlation
    square = correlation.square().sum()
    excess = (rows + 1 - 2 / size) * (square - size)
    weight = ((1 - 2 / size) * square + size**2) / excess.clamp(min=1e-9)
    weight = weight.clamp(max=1.0)
    return (1 - weight) * correlation + weight * torch.eye(size, dtype=correlation.dtype)


@register(
    NetworkRegistration(
        kind="wrapper",
        use_when="columns are correlated",
        cost="a matrix product",
        avoid_when="rows have more than about a thousand numbers",
    )
)
class Whiten(Configurable, NumericInput, DataDependentNetwork):
    """Whiten the input: the network takes numbers of mean 0, variance 1 without correlations.

    The map is that of ``likelihoods.Whitened``, learned from the training rows; before, the input
    is standardised. Constant columns are left out. ``fit(..., input_noise=...)`` adds noise to the
    whitened numbers while training.

    Args:
        network: Network that takes the whitened numbers.
        shift: Shift of each element of the event in row-major order, or one number with ``scale``
            for each.
        scale: Scale of each element of the event.
        constants: The value of each constant element, ``None`` for all others.

    Raises:
        ArgumentError: All elements are constant.

    Example:
        >>> Whiten(nn.Identity(), [1.0, 2.0], [2.0, 2.0])(torch.tensor([[3.0, 2.0]]))
        tensor([[1., 0.]])
    """

    def __init__(
        self,
        network: nn.Module,
        shift: Sequence[float],
        scale: Sequence[float],
        constants: Sequence[float | None] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.whitening = build_whitening(shift, scale, constants)
        self.whitening.holes_where_traced = False  # only single rows are ever completed

    def initialise_from_data(self, x: Tensor) -> None:
        self.whitening.fit(x.flatten(1))

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.network(self.add_noise(self.whitening(x.flatten(1))), *context)


def build_whitening(
    shift: Sequence[float], scale: Sequence[float], constants: Sequence[float | None] | None
) -> Whitening:
    """The map before it has seen data; constant columns have their value as shift.

    Raises:
        ArgumentError: The arguments differ in length, a scale is not positive, or all are constant.
    """
    if len(shift) != len(scale) or (constants is not None and len(constants) != len(scale)):
        raise ArgumentError("give one number for each column", argument="scale", value=len(scale))
    if not all(0 < each < math.inf for each in scale):
        raise ArgumentError("give positive numbers", argument="scale", value=list(scale))
    if constants is None:
        return Whitening(shift, scale)
    if all(value is not None for value in constants):
        raise ArgumentError("at least one column must not be constant", argument="constants")
    values = [s if value is None else value for s, value in zip(shift, constants, strict=True)]
    return Whitening(values, scale, [value is not None for value in constants])
