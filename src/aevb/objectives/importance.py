"""The importance-weighted bound."""

from __future__ import annotations

from ..models import VAE
from ..types import Score, Terms
from .bounds import power_mean
from .objective import Objective


class IWAE(Objective):
    """``log 1/K sum_k w_k`` with ``w_k = p(x, z_k) / q(z_k|x)``: a lower bound of ``log p(x)`` that rises with ``samples``.

    Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016). What is logged is the bound itself.

    >>> IWAE(samples=5).name
    'IWAE-5'
    """

    power = 1.0
    importance = True

    def __init__(self, samples: int = 5) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return f"IWAE-{self.samples}"

    def forward(self, terms: Terms, model: VAE) -> Score:
        bound = power_mean(terms.log_weight, terms.log_measure, 1.0) - terms.weight_kl
        return Score(bound=bound, target=bound, penalty=terms.penalty)
