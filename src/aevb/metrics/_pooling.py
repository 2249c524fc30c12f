"""Estimates of several completed tables as one, by Rubin's rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ArgumentError
from ._significance import student_t_p_value


@dataclass(frozen=True)
class PooledEstimate:
    """An estimate from several imputations of the same table.

    Args:
        value: The mean of the estimates.
        variance: Its variance: ``within + (1 + 1/M) between``.
        within: The mean of the variances of the estimates.
        between: The variance of the estimates, which missing cells cause.
        degrees_of_freedom: Those of Student's t distribution of the estimate.
        missing_information: Share of the variance that missing cells cause.
    """

    value: float
    variance: float
    within: float
    between: float
    degrees_of_freedom: float
    missing_information: float

    @property
    def standard_error(self) -> float:
        """The root of the variance."""
        return math.sqrt(self.variance)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Compute a confidence interval.

        Args:
            level: Its probability.

        Returns:
            The lower and the upper end.

        Raises:
            ArgumentError: The level is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ArgumentError("give a number between 0 and 1", argument="level", value=level)
        half = self.standard_error * _t_quantile(1 - level, self.degrees_of_freedom)
        return self.value - half, self.value + half


def pool_estimates(estimates: Sequence[float], variances: Sequence[float]) -> PooledEstimate:
    """Pool the estimates of several completed tables (Rubin, Multiple imputation, 1987).

    Args:
        estimates: The estimate of each table, at least two.
        variances: Its squared standard error.

    Returns:
        The pooled estimate, whose variance contains that of the missing cells.

    Raises:
        ArgumentError: There are fewer than two estimates, or a variance is missing or negative.

    Example:
        >>> found = pool_estimates([1.0, 2.0, 3.0], [0.5, 0.5, 0.5])
        >>> found.value, round(found.variance, 3), round(found.degrees_of_freedom, 2)
        (2.0, 1.833, 3.78)
    """
    count = len(estimates)
    if count < 2:
        raise ArgumentError("give at least two", argument="estimates", value=count)
    usable = len(variances) == count and all(0 <= x < math.inf for x in variances)
    if not usable:
        raise ArgumentError(
            f"give {count} numbers of at least 0, one for each estimate", argument="variances"
        )
    value, within = math.fsum(estimates) / count, math.fsum(variances) / count
    between = math.fsum((each - value) ** 2 for each in estimates) / (count - 1)
    extra = (1 + 1 / count) * between
    variance = within + extra
    share = extra / variance if variance else 0.0
    degrees = (count - 1) / share**2 if share else math.inf
    return PooledEstimate(value, variance, within, between, degrees, share)


def _t_quantile(p_value: float, degrees: float) -> float:
    """The size of Student's t whose two-sided p-value this is, by bisection."""
    low, high = 0.0, 1.0
    while student_t_p_value(high, degrees) > p_value:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if student_t_p_value(middle, degrees) > p_value else (low, middle)
        )
    return high
