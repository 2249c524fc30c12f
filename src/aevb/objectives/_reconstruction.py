"""Reconstruction alone: the autoencoder's objective."""

from __future__ import annotations

from torch import Tensor

from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective


class Reconstruction(Objective):
    """``E_q[log p(x|z)]``, with no divergence: for a Gaussian likelihood of fixed scale the squared error.

    It bounds nothing, and is reported as what it is. Random weights are paid for in the target.

    >>> Reconstruction().kind
    'reconstruction'
    """

    kind = "reconstruction"
    target_mean = ARITHMETIC_MEAN

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return "reconstruction log-likelihood"

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        value = ARITHMETIC_MEAN(terms.log_likelihood, terms.log_measure)
        return ObjectiveValue(bound=value, target=value - terms.weight_kl, penalty=terms.penalty)
