"""Reconstruction alone: the autoencoder's objective."""

from __future__ import annotations

from torch import Tensor

from ..models import VAE
from ..types import Score, Terms
from .bounds import power_mean
from .objective import Objective


class Reconstruction(Objective):
    """``E_q[log p(x|z)]``, with no divergence: for a Gaussian likelihood of fixed scale the squared error.

    It bounds nothing, and is reported as what it is.

    >>> Reconstruction().kind
    'reconstruction'
    """

    kind = "reconstruction"
    power = 0.0

    def __init__(self, samples: int = 1) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return "reconstruction log-likelihood"

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood

    def forward(self, terms: Terms, model: VAE) -> Score:
        value = power_mean(terms.log_likelihood, terms.log_measure, 0.0)
        return Score(bound=value, target=value, penalty=terms.penalty)
