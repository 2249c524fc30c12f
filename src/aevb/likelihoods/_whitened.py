"""Likelihood of correlated data, around a likelihood of whitened data."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .._registry import register
from ..distributions import LinearTransform
from ..distributions._factors import Factors
from ..errors import IncompatibleError
from ..networks._whitening import build_whitening
from ..notes import Part, message
from ._likelihood import Likelihood, as_event_shape
from ._linear_cells import LinearCells
from ._normal import Normal
from ._registration import LikelihoodRegistration

MAX_NUMBERS = 1 << 24  # of the rows from which moments are computed


@register(
    LikelihoodRegistration(
        title="whitened data",
        needs="another likelihood, of the whitened numbers",
        instead=message(
            "Build it in Python, by {part}",
            part=Part("likelihoods.Whitened", {"likelihood": Part("likelihoods.Normal")}),
        ),
        use_when="columns of real numbers are correlated",
        cost="a matrix product",
        avoid_when="rows have more than about a thousand numbers",
    )
)
class Whitened(Likelihood):
    """Likelihood of ``x = shift + A y`` with ``y ~ likelihood(z)`` and a full matrix ``A``.

    ``A`` is learned from the training rows before the first step, such that ``y`` has mean 0,
    variance 1 and no correlations: its columns are the principal components of the standardised
    columns, the largest first. Its log-determinant is part of the density, so that densities are in
    the units of the data. A direction in which standardised columns have a variance below 1e-6 is
    treated as if it had this variance, so that no density is infinite where columns are linear
    functions of others. With at most two rows per column, correlations are shrunk towards 0.
    Constant columns add 0 to ``log p(x|z)`` and have their value in every draw and mean. The
    network of the encoder should be in ``networks.Whiten``, with the same arguments.

    Args:
        likelihood: The likelihood of the whitened numbers ``y``, one for each column that is not
            constant.
        event_shape: Shape of a row of data.
        shift: Shift of each column in row-major order, before data have been seen.
        scale: Scale of each column; columns without spread in the training rows keep it.
        constants: The value of each constant column, ``None`` for all others.
        offset: As in ``likelihoods.Scaled``.

    Raises:
        IncompatibleError: ``likelihood`` is of another number of values, gives probabilities, or
            has cells that may be missing or depend on each other.
        ArgumentError: The arguments differ in length, or all columns are constant.

    Example:
        >>> from torch import nn
        >>> from aevb import likelihoods
        >>> inner = likelihoods.Normal(nn.Identity(), (2,), scale=1.0)
        >>> p = Whitened(inner, (2,), [0.0, 0.0], [1.0, 1.0])
        >>> p.initialise_from_data(
        ...     torch.tensor([[-1.0, -9.0], [1.0, 9.0], [0.0, 3.0], [0.0, -3.0]])
        ... )
        >>> p(torch.zeros(1, 4)).variance.round(decimals=3)
        tensor([[ 0.5000, 45.0000]])
    """

    factorises = False
    constants: Tensor | None

    def __init__(
        self,
        likelihood: Likelihood,
        event_shape: Sequence[int],
        shift: Sequence[float],
        scale: Sequence[float],
        constants: Sequence[float | None] | None = None,
        offset: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.initialisation_rows = max(1024, MAX_NUMBERS // math.prod(self.event_shape))
        self.data_offset = None if offset is None else tuple(map(float, offset))
        self.whitening = build_whitening(shift, scale, constants)
        _check_inner(likelihood, len(self.whitening.free))
        self.likelihood: Likelihood = likelihood
        self.has_conditionals = isinstance(likelihood, Normal)
        values = [math.nan if value is None else value for value in constants or []]
        constant = torch.tensor(values).reshape(self.event_shape) if values else None
        self.register_buffer("constants", constant, persistent=False)

    @property
    def constant_values(self) -> Tensor | None:
        """The values of constant cells, NaN for all others."""
        return self.constants

    @property
    def dependent_cells(self) -> tuple[int, ...]:
        """Places of cells that are linear functions of others in the training rows."""
        return tuple(self.whitening.floored.nonzero().flatten().tolist())

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        self.whitening.fit(x.flatten(1))
        self.likelihood.initialise_from_data(self.whitening(x.flatten(1)), context)

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        cells = self.likelihood.linear_cells(self.whitening(x.flatten(1)))
        return None if cells is None else cells.with_white(len(cells.mean))

    def start_linear(self, factors: Factors) -> None:
        self.likelihood.start_linear(factors)

    def forward(self, input: Tensor, context: Tensor | None = None) -> LinearTransform:
        w = self.whitening
        shift = w.shift.reshape(self.event_shape)
        base = self.likelihood(input, context)
        return LinearTransform(base, shift, w.matrix, w.inverse, w.log_det)

    def update_state(
        self, distribution: LinearTransform, value: Tensor, weight: Tensor | None = None
    ) -> None:
        y = self.whitening(value.flatten(value.dim() - len(self.event_shape)))
        self.likelihood.update_state(distribution.base, y, weight)


def _check_inner(likelihood: Likelihood, size: int) -> None:
    """Refuse likelihoods of anything but ``size`` independent, complete real numbers."""
    part = Part(f"likelihoods.{type(likelihood).__name__}")
    reason = None
    if likelihood.measure != "density":
        reason = message("{part} gives probabilities, which have no units to mix", part=part)
    elif likelihood.allows_missing or not likelihood.factorises:
        reason = message("the cells of {part} may be missing or depend on each other", part=part)
    elif likelihood.event_shape != (size,):
        shape = likelihood.event_shape
        reason = message(
            f"{{part}} is of events {shape}, and {size} columns are not constant", part=part
        )
    if reason is not None:
        normal = Part("likelihoods.Normal", {"event_shape": (size,)})
        raise IncompatibleError(
            reason, argument="likelihood", suggestions=(message("Use {normal}", normal=normal),)
        )
