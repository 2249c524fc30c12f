"""The evidence lower bound."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .._registry import register
from ..distributions import elementwise_kl
from ..distributions._chain import layer_sizes
from ..distributions._moments import count_variables
from ..errors import ArgumentError, check_choice
from ..models import VAE
from ..notes import Argument, message
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective, ObjectiveRegistration
from ._schedules import Schedule, as_schedule, endpoint_range


@register(ObjectiveRegistration(paper="Kingma and Welling 2014", use_when="to start with"))
class ELBO(Objective):
    """The evidence lower bound ``E_q[log p(x|z)] - KL(q(z|x) || p(z))``.

    The target may weigh the KL divergence by ``beta``, leave ``free_bits`` nats per latent variable
    unpenalised, or keep the divergence at a ``capacity``:
    ``E_q[log p(x|z)] - beta |KL - capacity|``. The reported bound is always the plain ELBO.

    Args:
        samples: Number of draws per datum.
        beta: Weight of the KL divergence in the target, a number or a schedule (Higgins et al.
            2017).
        free_bits: Nats per latent variable that are not penalised (Kingma et al. 2016). A variable
            whose mean divergence over the batch is lower is not reduced further. Where the
            divergence does not factorise, the floor applies to the sum; in a hierarchy it applies
            to the sum of each layer.
        kl: ``"exact"`` uses the divergence in closed form, ``"sampled"`` estimates it as ``E_q[log
            q(z|x) - log p(z)]`` from the same draws, ``"auto"`` uses the closed form where one is
            registered.
        capacity: Nats per datum at which the divergence is kept, a number or a schedule (Burgess et
            al. 2018, whose gamma is ``beta``).

    Raises:
        ArgumentError: ``samples`` is below 1, another number is negative, ``kl`` is unknown, or
            both ``free_bits`` and ``capacity`` are set.

    Example:
        >>> ELBO(samples=2, beta=4.0).name
        'ELBO'

    References:
        Kingma and Welling, Auto-encoding variational Bayes (2014).
    """

    beta: Tensor
    capacity: Tensor
    target_mean = ARITHMETIC_MEAN

    def __init__(
        self,
        samples: int = 1,
        beta: float | Schedule = 1.0,
        free_bits: float = 0.0,
        kl: Literal["auto", "exact", "sampled"] = "auto",
        capacity: float | Schedule | None = None,
    ) -> None:
        super().__init__(samples)
        weight, target_rate = as_schedule(beta), as_schedule(0.0 if capacity is None else capacity)
        for argument, value in {
            "beta": endpoint_range(weight)[0],
            "free_bits": free_bits,
            "capacity": endpoint_range(target_rate)[0],
        }.items():
            if not 0 <= value < math.inf:
                raise ArgumentError("give 0 or more", argument=argument, value=value)
        check_choice("kl", kl, ("auto", "exact", "sampled"))
        if free_bits > 0 and capacity is not None:
            raise ArgumentError(
                message(
                    "{capacity} also says where the KL divergence should be: give one of the two",
                    capacity=Argument("capacity"),
                ),
                argument="free_bits",
                value=free_bits,
            )
        self.kl = kl
        self.free_bits = free_bits
        self.has_capacity = capacity is not None
        self.uses_log_weights = free_bits == 0 and not self.has_capacity
        self.register_schedule("beta", weight)
        if self.has_capacity:
            self.register_schedule("capacity", target_rate)

    @property
    def name(self) -> str:
        return "ELBO"

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood - self.beta * self._penalised_rate(terms, model)

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        bound = (
            ARITHMETIC_MEAN(terms.log_likelihood - _rate(terms), terms.log_measure)
            - terms.weight_kl
        )
        target = ARITHMETIC_MEAN(self.integrand(terms, model), terms.log_measure) - terms.weight_kl
        return ObjectiveValue(bound=bound, target=target, penalty=terms.penalty)

    def _penalised_rate(self, terms: Terms, model: VAE) -> Tensor:
        """The rate that ``beta`` weighs."""
        if self.has_capacity:
            return _capacity_gap(_rate(terms), self.capacity, terms.log_measure)
        return _rate(terms) if self.free_bits == 0 else self._free_bits_rate(terms, model)

    def _free_bits_rate(self, terms: Terms, model: VAE) -> Tensor:
        """The rate with a floor for each latent variable, layer or datum."""
        if terms.layer_kl is not None:
            floors = [self.free_bits * count for count in layer_sizes(terms.q)]
            return torch.stack(
                [
                    _apply_floor(*layer, terms.log_measure)
                    for layer in zip(terms.layer_kl, floors, strict=True)
                ]
            ).sum(0)
        elementwise = (
            None
            if terms.kl is None
            else elementwise_kl(terms.q, model.prior(None, terms.batch.context))
        )
        if elementwise is None:
            return _apply_floor(
                _rate(terms), self.free_bits * count_variables(terms.q), terms.log_measure
            )
        elementwise = elementwise.flatten(1)
        return torch.where(elementwise.mean(0) > self.free_bits, elementwise, self.free_bits).sum(1)


def _rate(terms: Terms) -> Tensor:
    """Return the KL divergence: ``[B]`` where exact, else one estimate per draw ``[K, B]``."""
    return terms.log_posterior - terms.log_prior if terms.kl is None else terms.kl


def _per_datum(rate: Tensor, log_measure: Tensor) -> Tensor:
    """Average a sampled rate over the draws."""
    return ARITHMETIC_MEAN(rate, log_measure) if rate.dim() > 1 else rate


def _apply_floor(rate: Tensor, floor: float, log_measure: Tensor) -> Tensor:
    """Replace a rate by the floor where its mean over the batch is below."""
    return torch.where(_per_datum(rate, log_measure).mean() > floor, rate, floor)


def _capacity_gap(rate: Tensor, capacity: Tensor, log_measure: Tensor) -> Tensor:
    """Return ``|KL - capacity|`` of each datum; one term per draw if it is sampled."""
    side = torch.sign(_per_datum(rate, log_measure) - capacity).detach()
    return side * (rate - capacity)
