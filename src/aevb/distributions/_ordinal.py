"""Levels with an order and without distances."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ._discretised_logistic import log_interval_mass
from ._integer_categorical import IntegerCategorical


def ordinal(location: Tensor, first_cut: Tensor, gaps: Tensor) -> IntegerCategorical:
    """``P(x <= k) = sigmoid(cut_k - location)`` with the cut points ``first``, ``first + gaps[0]``, ...

    ``location`` ``[*batch]``, ``first`` ``[1]`` or ``[*batch, 1]``, ``gaps`` ``[levels - 2]`` or ``[*batch, levels - 2]``, positive. One
    between two cuts is a difference of two logistic functions, taken as in ``DiscretisedLogistic``, so that nothing cancels. McCullagh,
    Regression models for ordinal data (1980).

    >>> p = ordinal(torch.tensor(0.0), torch.tensor([-1.0]), torch.tensor([2.0]))
    >>> [round(mass, 4) for mass in p.logits.exp().tolist()]
    [0.2689, 0.4621, 0.2689]
    """
    cuts = torch.cat([first_cut, first_cut + gaps.cumsum(-1)], -1) - location.unsqueeze(-1)
    below, above = F.logsigmoid(cuts), F.logsigmoid(-cuts)
    middle = log_interval_mass(below[..., 1:], above[..., :-1], gaps)
    return IntegerCategorical(torch.cat([below[..., :1], middle, above[..., -1:]], -1))
