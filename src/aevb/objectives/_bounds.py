"""One family of bounds: means of an integrand over draws.

The power mean of an integrand ``h`` ``[K, B]`` under a measure ``m`` (``1/K`` for samples) is ``f = 1/s log sum_k m_k exp(s h_k)``:
``s -> 0`` is the evidence lower bound, ``s = 1`` the importance-weighted one, ``s = 1 - alpha`` Renyi's. Weighted sums of them, and means
over groups of draws, are the bounds of Rainforth et al. (2018). What the gradients need to know of a bound is its first and second
derivatives in ``h``, and both are closed forms of the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

DrawReduction = Callable[[Tensor, Tensor, float], Tensor]


def power_mean(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """``f`` ``[B]``; dispatched at ``power`` 0, where the formula would cancel.

    >>> power_mean(torch.tensor([[0.0], [2.0]]), torch.full((2, 1), 0.5).log(), power=0.0).round(decimals=4)
    tensor([1.])
    """
    if power == 0:
        return (log_measure.exp() * h).sum(0)
    return torch.logsumexp(log_measure + power * h, 0) / power


def responsibilities(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """``df / dh_k = w_k`` ``[K, B]``: non-negative, summing to 1 over the draws."""
    return torch.softmax(log_measure + power * h, 0)


def path_factor(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """``c_k = 1 - f_kk / f_k = (1 - s) + s w_k`` ``[K, B]``, by which the doubly reparameterised gradient scales the path through ``z_k``.

    Never the quotient itself, which is 0/0 for log-weights such as 0, -50, -120.
    """
    return (1 - power) + power * responsibilities(h, log_measure, power)


def leave_one_out_mean(h: Tensor) -> Tensor:
    """For each draw the mean of all the others, ``[K, B]``. Needs two draws."""
    return (h.sum(0) - h) / (len(h) - 1)


@dataclass(frozen=True)
class PowerMean:
    """``f = sum_i a_i f_i`` with ``parts`` ``(a_i, s_i)``: power means of powers ``s_i``, each averaged over ``groups`` of the draws.

    >>> h, measure = torch.tensor([[0.0], [2.0]]), torch.full((2, 1), 0.5).log()
    >>> [round(mean(h, measure).item(), 4) for mean in (PowerMean(((1.0, 0.0),)), PowerMean(((1.0, 1.0),), groups=2))]
    [1.0, 1.0]
    """

    components: tuple[tuple[float, float], ...]
    groups: int = 1

    def __call__(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """``f`` ``[B]``."""
        total = self._weighted_sum(power_mean, h, log_measure)
        return total if self.groups == 1 else total.mean(0)

    @property
    def is_average(self) -> bool:
        """Whether it is the average over draws, which a divergence by formula makes quieter."""
        return self.components == ((1.0, 0.0),)

    def weights(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """``f_k = df / dh_k`` ``[K, B]``."""
        return self._per_draw(responsibilities, h, log_measure)

    def path_weights(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """``f_k - f_kk`` ``[K, B]``: what the path through ``z_k`` weighs in the doubly reparameterised gradient."""
        return self._per_draw(
            lambda h, m, s: responsibilities(h, m, s) * path_factor(h, m, s), h, log_measure
        )

    def path_factor(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """``c_k = 1 - f_kk / f_k`` ``[K, B]``."""
        if len(self.components) == 1:
            return self._ungroup(
                path_factor(
                    self._group(h), self._group_log_measure(log_measure), self.components[0][1]
                )
            )
        weights = self.weights(h, log_measure)
        # a sum of several means has no closed form; where all its weights vanish, so does all that they scale
        return torch.where(weights != 0, self.path_weights(h, log_measure) / weights, 0.0)

    def leave_one_out(self, h: Tensor, log_measure: Tensor) -> Tensor:
        """``f`` with ``h_k`` replaced by the mean of the others, for each ``k``: ``[K, B]``, independent of draw ``k``.

        The baseline of RLOO for the ELBO and of VIMCO (Mnih and Rezende 2016) for the importance-weighted bound. Needs two draws.
        """
        others = leave_one_out_mean(h)
        if self.is_average:
            return others
        itself = torch.eye(len(h), dtype=torch.bool, device=h.device)[..., None]
        replaced = torch.where(itself, others[None], h[:, None])  # [K, k left out, B]
        return self(replaced, log_measure[:, None])

    def _per_draw(self, reduction: DrawReduction, h: Tensor, log_measure: Tensor) -> Tensor:
        total = self._weighted_sum(reduction, h, log_measure)
        return self._ungroup(total / self.groups if self.groups > 1 else total)

    def _weighted_sum(self, reduction: DrawReduction, h: Tensor, log_measure: Tensor) -> Tensor:
        h, log_measure = self._group(h), self._group_log_measure(log_measure)
        first, *more = (_scale(a, reduction(h, log_measure, s)) for a, s in self.components)
        return sum(more, start=first)

    def _group(self, h: Tensor) -> Tensor:
        """``[K, ...]`` as ``[K / groups, groups, ...]``."""
        return h if self.groups == 1 else h.unflatten(0, (self.groups, -1)).transpose(0, 1)

    def _group_log_measure(self, log_measure: Tensor) -> Tensor:
        return log_measure if self.groups == 1 else self._group(log_measure) + math.log(self.groups)

    def _ungroup(self, each: Tensor) -> Tensor:
        return each if self.groups == 1 else each.transpose(0, 1).flatten(0, 1)


def _scale(a: float, value: Tensor) -> Tensor:
    return value if a == 1 else a * value


ARITHMETIC_MEAN = PowerMean(((1.0, 0.0),))  # the evidence lower bound, of log-weights
IMPORTANCE_WEIGHTED_MEAN = PowerMean(((1.0, 1.0),))  # the importance-weighted bound, of log-weights
