"""Normal numbers that are missing with a probability that depends on the number itself.

``P(missing | y) = sigmoid(slope * y + offset)``. Integrals over a missing number are sums over a
grid of its standard score, by the trapezoidal rule, whose error falls exponentially with the
number of points for functions as smooth as these.
"""

from __future__ import annotations

import math

import torch
from torch import Size, Tensor
from torch.distributions import Normal
from torch.nn.functional import logsigmoid
from torch.types import _size

from ._columns import CellGroup, NumberCells
from ._discrete import open_uniform

GRID_END, GRID_STEP = 6.25, 0.25  # in standard deviations; the mass beyond is 4e-10


class SelfMaskedCells(CellGroup):
    """Normal numbers with the probability that each is missing.

    ``log_prob`` of an observed cell is ``log p(y) + log P(observed | y)``, and that of a missing
    one ``log P(missing)``, integrated over ``y``.

    Args:
        numbers: The numbers, with a normal distribution of the encoded numbers.
        slope: What a unit of the encoded number adds to the logit of being missing, ``[n]``.
        offset: The logit at 0, ``[n]``.

    Example:
        >>> numbers = NumberCells(Normal(torch.zeros(1), 1.0), torch.zeros(1))
        >>> cells = SelfMaskedCells(numbers, torch.ones(1), torch.zeros(1))
        >>> cells.log_prob(torch.tensor([torch.nan])).exp()
        tensor([0.5000])
    """

    is_discrete = False
    scores_missing = True

    def __init__(self, numbers: NumberCells, slope: Tensor, offset: Tensor) -> None:
        self.numbers, self.slope, self.offset = numbers, slope, offset
        super().__init__(numbers.batch_shape)

    @property
    def mean(self) -> Tensor:
        return self.numbers.mean

    @property
    def variance(self) -> Tensor:
        return self.numbers.variance

    def log_prob(self, value: Tensor) -> Tensor:
        missing = value.isnan()
        filled = torch.where(missing, self.numbers.mean.detach(), value)
        observed = logsigmoid(-(self.slope * filled + self.offset))
        score = self.numbers.log_prob(filled) + observed
        return torch.where(missing, _LogWeights(self).log_sum, score)

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        return self.numbers.sample(Size(sample_shape))

    def given_missing(self, value: Tensor) -> CellGroup:
        return MissingCells(self)

    def contains(self, value: Tensor) -> Tensor:
        return self.numbers.contains(value)


class MissingCells(CellGroup):
    """Numbers given that they are missing: ``p(y | missing)``, in proportion to
    ``p(y) P(missing | y)``.

    Args:
        cells: The numbers with the probability that each is missing.
    """

    is_discrete = False

    def __init__(self, cells: SelfMaskedCells) -> None:
        self.cells, self._weights = cells, _LogWeights(cells)
        super().__init__(cells.batch_shape)

    @property
    def mean(self) -> Tensor:
        weights = self._weights
        return (weights.shares * weights.points).sum(-1)

    @property
    def variance(self) -> Tensor:
        weights = self._weights
        return (weights.shares * (weights.points - self.mean[..., None]).square()).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        cells = self.cells
        masked = logsigmoid(cells.slope * value + cells.offset)
        return cells.numbers.log_prob(value) + masked - self._weights.log_sum

    def sample(self, sample_shape: _size = Size()) -> Tensor:
        """Draw a point of the grid, and a number within half a step of it."""
        weights, shape = self._weights, Size(sample_shape) + self.batch_shape
        uniform = open_uniform((2, *shape), weights.shares)
        below = weights.shares.cumsum(-1).expand(*shape, -1).contiguous()
        place = torch.searchsorted(below, (uniform[0] * below[..., -1])[..., None])
        place = place.clamp(max=below.shape[-1] - 1)
        point = weights.points.expand(*shape, -1).gather(-1, place)[..., 0]
        return point + weights.scale * GRID_STEP * (uniform[1] - 0.5)

    def contains(self, value: Tensor) -> Tensor:
        return self.cells.contains(value)


class _LogWeights:
    """The joint density of a number and of its being missing on a grid.

    Args:
        cells: The numbers.
    """

    def __init__(self, cells: SelfMaskedCells) -> None:
        base = cells.numbers.base
        assert isinstance(base, Normal)
        loc, self.scale = base.loc, base.scale
        half = round(GRID_END / GRID_STEP)
        scores = torch.arange(-half, half + 1, dtype=loc.dtype, device=loc.device) * GRID_STEP
        self.points = loc[..., None] + self.scale[..., None] * scores
        log_normal = -scores.square() / 2 + math.log(GRID_STEP / math.sqrt(2 * math.pi))
        logit = cells.slope[..., None] * self.points + cells.offset[..., None]
        self.values = log_normal + logsigmoid(logit)

    @property
    def log_sum(self) -> Tensor:
        """``log P(missing)``, ``[*batch, n]``."""
        return self.values.logsumexp(-1)

    @property
    def shares(self) -> Tensor:
        """The probability of each point given that the number is missing."""
        return self.values.softmax(-1)
