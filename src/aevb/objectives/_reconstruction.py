"""Reconstruction alone: the objective of autoencoders."""

from __future__ import annotations

from torch import Tensor

from .._registry import register
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective, ObjectiveRegistration


@register(
    ObjectiveRegistration(
        paper="Rumelhart et al. 1986",
        use_when="autoencoders, alone or with penalties",
        avoid_when="a likelihood or samples from the prior are wanted",
    )
)
class Reconstruction(Objective):
    """The reconstruction log-likelihood ``E_q[log p(x|z)]``, without a KL divergence.

    For a Gaussian likelihood of fixed scale this is the squared error. It is no bound. The target
    contains the KL divergence of random weights.

    Args:
        samples: Number of draws per datum.

    Raises:
        ArgumentError: ``samples`` is below 1.

    Example:
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
