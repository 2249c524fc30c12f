"""One family of bounds: the power mean of an integrand over draws.

``f = 1/s log sum_k m_k exp(s h_k)`` with the integrand ``h`` ``[K, B]`` and the measure ``m`` (``1/K`` for samples): ``s -> 0`` is the
evidence lower bound, ``s = 1`` the importance-weighted one, ``s = 1 - alpha`` Renyi's. What the gradients need to know of a bound is
its first and second derivatives in ``h``, and both are closed forms of the same weights.
"""

from __future__ import annotations

import torch
from torch import Tensor


def power_mean(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """``f`` ``[B]``; dispatched at ``power`` 0, where the formula would cancel.

    >>> power_mean(torch.tensor([[0.0], [2.0]]), torch.full((2, 1), 0.5).log(), power=0.0)
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


def left_out(h: Tensor, log_measure: Tensor, power: float) -> Tensor:
    """``f`` with ``h_k`` replaced by the mean of the others, for each ``k``: ``[K, B]``, independent of draw ``k``.

    The baseline of RLOO for the ELBO and of VIMCO (Mnih and Rezende 2016) for the importance-weighted bound. Needs two draws.
    """
    count = h.shape[0]
    others = (h.sum(0) - h) / (count - 1)
    if power == 0:
        return others
    itself = torch.eye(count, dtype=torch.bool, device=h.device)[..., None]
    replaced = torch.where(itself, others[:, None], h[None])  # [k left out, K, B]
    return torch.logsumexp(log_measure + power * replaced, 1) / power
