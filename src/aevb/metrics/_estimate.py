"""A mean with its standard error."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A mean over rows with its standard error.

    Args:
        mean: The mean, in nats per row unless stated otherwise.
        standard_error: The standard error of the mean, NaN for a single row.
    """

    mean: float
    standard_error: float

    @staticmethod
    def from_values(values: Tensor) -> Estimate:
        """Average values of independent rows.

        Args:
            values: One value per row, ``[N]``.

        Returns:
            The mean with its standard error.

        Example:
            >>> import torch
            >>> str(Estimate.from_values(torch.tensor([1.0, 3.0])))
            '2.00 ± 1.00'
        """
        values = values.double()
        error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return Estimate(values.mean().item(), error)

    def bits_per_dimension(self, dimensions: int) -> Estimate:
        """Convert a log-probability to bits per dimension, ``-nats / (D ln 2)``.

        Args:
            dimensions: Number of values in a row, D.

        Returns:
            Bits per dimension with their standard error.

        Example:
            >>> str(Estimate(-64 * math.log(2), 0.0).bits_per_dimension(64))
            '1.00 ± 0.00'
        """
        scale = dimensions * math.log(2)
        return Estimate(-self.mean / scale, self.standard_error / scale)

    def __str__(self) -> str:
        return format_with_error(self.mean, self.standard_error)


def format_with_error(mean: float, standard_error: float, digits: int = 2) -> str:
    """``mean ± standard error``; the mean alone where the standard error is NaN.

    >>> format_with_error(-1.5, 0.25), format_with_error(-1.5, math.nan)
    ('-1.50 ± 0.25', '-1.50')
    """
    bar = "" if math.isnan(standard_error) else f" ± {standard_error:.{digits}f}"
    return f"{mean:.{digits}f}{bar}"
