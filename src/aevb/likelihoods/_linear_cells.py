"""The cells of a likelihood whose locations are linear outputs of the decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..distributions._gaussian_cells import gaussian_moments
from ..distributions._output_maps import LEAST_SCALE


@dataclass(frozen=True)
class LinearCells:
    """Numbers as the likelihood standardises them, with their moments.

    Args:
        values: ``[N, n]`` float64 on the CPU; missing cells are NaN.
        mean: ``[n]``.
        covariance: ``[n, n]``.
        places: The places of the numbers in the event, in row-major order; ``None`` for those of a
            network that takes all numbers in this order.
        least_scale: The least scale that the likelihood gives to a number.
    """

    values: Tensor
    mean: Tensor
    covariance: Tensor
    places: tuple[int, ...] | None = None
    least_scale: float = LEAST_SCALE

    def with_white(self, count: int) -> LinearCells:
        """The same with mean 0 and no correlations among the first ``count`` numbers.

        This is so by construction, also in directions in which the rows do not vary.
        """
        mean, covariance = self.mean.clone(), self.covariance.clone()
        mean[:count] = 0
        covariance[:count, :count] = torch.eye(count, dtype=covariance.dtype)
        return replace(self, mean=mean, covariance=covariance)

    @classmethod
    def from_rows(
        cls, rows: Tensor, places: tuple[int, ...] | None = None, least_scale: float = LEAST_SCALE
    ) -> LinearCells:
        """The cells ``[N, *event]`` with their moments."""
        values = rows.detach().cpu().double().flatten(1)
        return cls(values, *gaussian_moments(values), places, least_scale)
