"""Ordinal distributions: ordered levels without distances."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._discretised_logistic import log_interval_mass
from ._integer_categorical import IntegerCategorical


def ordinal(location: Tensor, first_cut: Tensor, gaps: Tensor) -> IntegerCategorical:
    """Cumulative logit distribution of ordered levels: ``P(x <= k) = sigmoid(cut_k - location)``.

    The cut points are ``first_cut``, ``first_cut + gaps[0]``, and so on. The probability between
    two cuts is computed as in ``DiscretisedLogistic``, without cancellation. McCullagh, Regression
    models for ordinal data (1980).

    Args:
        location: Location ``[*batch]``.
        first_cut: First cut point, ``[1]`` or ``[*batch, 1]``.
        gaps: Positive distances between the cuts, ``[levels - 2]`` or ``[*batch, levels - 2]``.

    Returns:
        Distribution of the levels 0 ... levels-1.

    Example:
        >>> p = ordinal(torch.tensor(0.0), torch.tensor([-1.0]), torch.tensor([2.0]))
        >>> [round(mass, 4) for mass in p.logits.exp().tolist()]
        [0.2689, 0.4621, 0.2689]
    """
    cuts = torch.cat([first_cut, first_cut + gaps.cumsum(-1)], -1) - location.unsqueeze(-1)
    below, above = F.logsigmoid(cuts), F.logsigmoid(-cuts)
    middle = log_interval_mass(below[..., 1:], above[..., :-1], gaps)
    return IntegerCategorical(torch.cat([below[..., :1], middle, above[..., -1:]], -1))
