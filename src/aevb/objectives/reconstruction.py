"""Reconstruction alone: the autoencoder's objective."""

from __future__ import annotations

from torch import Tensor

from ..models import VAE
from ..types import Score, Terms
from .bounds import AVERAGE
from .objective import Objective


class Reconstruction(Objective):
    """``E_q[log p(x|z)]``, with no divergence: for a Gaussian likelihood of fixed scale the squared error.

    It bounds nothing, and is reported as what it is. Random weights are paid for in the target.

    >>> Reconstruction().kind
    'reconstruction'
    """

    kind = "reconstruction"
    mean = AVERAGE

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return "reconstruction log-likelihood"

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood

    def forward(self, terms: Terms, model: VAE) -> Score:
        value = AVERAGE(terms.log_likelihood, terms.log_measure)
        return Score(bound=value, target=value - terms.weight_kl, penalty=terms.penalty)
