"""One family of bounds: means of an integrand over draws.

The power mean of an integrand ``h`` ``[K, B]`` under a measure ``m`` (``1/K`` for samples) is
``f = 1/s log sum_k m_k exp(s h_k)``: ``s -> 0`` is the evidence lower bound, ``s = 1`` the
importance-weighted bound, ``s = 1 - alpha`` the bound of Renyi. Weighted sums of power means, and
means over groups of draws, are the bounds of Rainforth et al. (2018). Gradients need the first and
second derivatives of a bound in ``h``; both are closed forms of the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DrawReduction = Callable[[Tensor, Tensor, float], Tensor]


def power_mean(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """Return ``f`` ``[B]``; power 0 is the arithmetic mean, where the formula would cancel.

    Example:
        >>> h, log_measure = torch.tensor([[0.0], [2.0]]), torch.full((2, 1), 0.5).log()
        >>> power_mean(h, log_measure, power=0.0).round(decimals=4)
        tensor([1.])
    """
    if power == 0:
        return (log_measure.exp() * h).sum(0)
    return torch.logsumexp(log_measure + power * h, 0) / power


def responsibilities(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """Return ``df / dh_k = w_k`` ``[K, B]``: non-negative, with sum 1 over the draws."""
    return torch.softmax(log_measure + power * h, 0)


def path_factor(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """Return ``c_k = 1 - f_kk / f_k = (1 - s) + s w_k`` ``[K, B]``.

    The doubly reparameterised gradient scales the path through ``z_k`` by it. The quotient itself
    would be 0/0 for log-weights such as 0, -50, -120.
    """
    return (1 - power) + power * responsibilities(h, log_measure, power)


def leave_one_out_mean(h: Tensor) -> Tensor:
    """Return the mean of all other draws for each draw, ``[K, B]``; needs two draws."""
    return (h.sum(0) - h) / (len(h) - 1)


@dataclass(frozen=True)
class PowerMean:
    """A weighted sum of power means, ``f = sum_i a_i f_i``, averaged over groups of draws.

    Args:
        components: Pairs ``(a_i, s_i)`` of a weight and a power.
        groups: Number of groups of consecutive draws.

    Example:
        >>> h, measure = torch.tensor([[0.0], [2.0]]), torch.full((2, 1), 0.5).log()
        >>> means = PowerMean(((1.0, 0.0),)), PowerMean(((1.0, 1.0),), groups=2)
        >>> [round(mean(h, measure).item(), 4) for mean in means]
        [1.0, 1.0]
    """

    components: tuple[tuple[float, float], ...]
    groups: int = 1

    def __call__(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """Return ``f`` ``[B]``."""
        total = self._weighted_sum(power_mean, h, log_measure)
        return total if self.groups == 1 else total.mean(0)

    @property
    def is_average(self) -> bool:
        """Whether it is the average over draws, to which a closed-form KL divergence applies."""
        return self.components == ((1.0, 0.0),)

    def weights(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """Return ``f_k = df / dh_k`` ``[K, B]``."""
        return self._per_draw(responsibilities, h, log_measure)

    def path_weights(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """Return ``f_k - f_kk`` ``[K, B]``: the doubly reparameterised weights of the paths."""
        return self._per_draw(
            lambda h, m, s: responsibilities(h, m, s) * path_factor(h, m, s), h, log_measure
        )

    def path_factor(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """Return ``c_k = 1 - f_kk / f_k`` ``[K, B]``."""
        if len(self.components) == 1:
            return self._ungroup(
                path_factor(
                    self._group(h), self._group_log_measure(log_measure), self.components[0][1]
                )
            )
        weights = self.weights(h, log_measure)
        # a sum of several means has no closed form; where a weight is 0, so is what it scales
        return torch.where(weights != 0, self.path_weights(h, log_measure) / weights, 0.0)

    def leave_one_out(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """Return ``f`` with ``h_k`` replaced by the mean of the others, for each ``k``: ``[K, B]``.

        It does not depend on draw ``k``: the baseline of RLOO for the ELBO and of VIMCO (Mnih and
        Rezende 2016) for the importance-weighted bound. Needs two draws.
        """
        others = leave_one_out_mean(h)
        if self.is_average:
            return others
        own_draw = torch.eye(len(h), dtype=torch.bool, device=h.device)[..., None]
        replaced = torch.where(own_draw, others[None], h[:, None])  # [K, k left out, B]
        return self(replaced, log_measure[:, None])

    def _per_draw(self, reduction: DrawReduction, h: Tensor, log_measure: Tensor) -> Tensor:
        """A derivative of the mean for each draw, ``[K, B]``."""
        total = self._weighted_sum(reduction, h, log_measure)
        return self._ungroup(total / self.groups if self.groups > 1 else total)

    def _weighted_sum(self, reduction: DrawReduction, h: Tensor, log_measure: Tensor) -> Tensor:
        h, log_measure = self._group(h), self._group_log_measure(log_measure)
        first, *more = (_scale(a, reduction(h, log_measure, s)) for a, s in self.components)
        return sum(more, start=first)

    def _group(self, h: Tensor) -> Tensor:
        """Reshape ``[K, ...]`` to ``[K / groups, groups, ...]``."""
        return h if self.groups == 1 else h.unflatten(0, (self.groups, -1)).transpose(0, 1)

    def _group_log_measure(self, log_measure: Tensor) -> Tensor:
        return log_measure if self.groups == 1 else self._group(log_measure) + math.log(self.groups)

    def _ungroup(self, values: Tensor) -> Tensor:
        return values if self.groups == 1 else values.transpose(0, 1).flatten(0, 1)


def _scale(a: float, value: Tensor) -> Tensor:
    return value if a == 1 else a * value


ARITHMETIC_MEAN = PowerMean(((1.0, 0.0),))  # of log-weights: the evidence lower bound
IMPORTANCE_WEIGHTED_MEAN = PowerMean(((1.0, 1.0),))  # of log-weights: the importance-weighted bound
