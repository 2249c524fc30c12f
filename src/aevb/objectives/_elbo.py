"""The evidence lower bound."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ..distributions import kl as divergences
from ..distributions._chain import layer_sizes
from ..distributions._moments import count_variables
from ..errors import ArgumentError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN
from ._objective import Objective
from ._schedules import Schedule, as_schedule, endpoint_range


class ELBO(Objective):
    """``E_q[log p(x|z)] - KL(q(z|x) || p(z))`` with ``samples`` draws per datum.

    ``kl="exact"`` takes the divergence by formula, ``"sampled"`` as ``E_q[log q(z|x) - log p(z)]`` from the same draws, ``"auto"`` by
    formula where one is registered. The target climbed may weigh it by ``beta`` (a number or a schedule; Higgins et al. 2017) and leave
    ``free_bits`` nats per latent variable free (Kingma et al. 2016: a variable whose mean divergence over the batch is below is not
    pressed further; where the divergence does not factorise, the floor is on the sum; in a hierarchy it is on the sum of each layer, the
    divergence of which is exact given the layers drawn before it). With a ``capacity`` (nats per datum, a number or a
    schedule) the target is ``E_q[log p(x|z)] - beta |KL - capacity|`` (Burgess et al. 2018, where ``beta`` is their gamma). The bound
    reported is always the plain one.

    Kingma and Welling (2014). Raises ``ArgumentError`` for ``beta < 0``, ``free_bits < 0``, ``capacity < 0``, both of the last two at
    once, or ``samples < 1``.

    >>> ELBO(samples=2, beta=4.0).name
    'ELBO'
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
        weight, room = as_schedule(beta), as_schedule(0.0 if capacity is None else capacity)
        for argument, value in {
            "beta": endpoint_range(weight)[0],
            "free_bits": free_bits,
            "capacity": endpoint_range(room)[0],
        }.items():
            if not value >= 0:
                raise ArgumentError(f"`{argument}` is {value}; give 0 or more.")
        if kl not in ("auto", "exact", "sampled"):
            raise ArgumentError(f'`kl` is {kl!r}; use "auto", "exact" or "sampled".')
        if free_bits > 0 and capacity is not None:
            raise ArgumentError(
                f"`free_bits` is {free_bits} and a capacity is given; both say where the divergence is to go: give one."
            )
        self.kl = kl
        self.free_bits = free_bits
        self.has_capacity = capacity is not None
        self.uses_log_weights = free_bits == 0 and not self.has_capacity
        self.register_schedule("beta", weight)
        if self.has_capacity:
            self.register_schedule("capacity", room)

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
        """What ``beta`` weighs."""
        if self.has_capacity:
            return _capacity_gap(_rate(terms), self.capacity, terms.log_measure)
        return _rate(terms) if self.free_bits == 0 else self._free_bits_rate(terms, model)

    def _free_bits_rate(self, terms: Terms, model: VAE) -> Tensor:
        if terms.layer_kl is not None:
            floors = [self.free_bits * count for count in layer_sizes(terms.q)]
            return torch.stack(
                [
                    _apply_floor(*layer, terms.log_measure)
                    for layer in zip(terms.layer_kl, floors, strict=True)
                ]
            ).sum(0)
        each = (
            None
            if terms.kl is None
            else divergences.elementwise_kl(terms.q, model.prior(None, terms.batch.context))
        )
        if each is None:
            return _apply_floor(
                _rate(terms), self.free_bits * count_variables(terms.q), terms.log_measure
            )
        each = each.flatten(1)
        return torch.where(each.mean(0) > self.free_bits, each, self.free_bits).sum(1)


def _rate(terms: Terms) -> Tensor:
    """The divergence, ``[B]`` where exact, else one estimate per draw ``[K, B]``."""
    return terms.log_posterior - terms.log_prior if terms.kl is None else terms.kl


def _per_datum(rate: Tensor, log_measure: Tensor) -> Tensor:
    return ARITHMETIC_MEAN(rate, log_measure) if rate.dim() > 1 else rate


def _apply_floor(rate: Tensor, floor: float, log_measure: Tensor) -> Tensor:
    return torch.where(_per_datum(rate, log_measure).mean() > floor, rate, floor)


def _capacity_gap(rate: Tensor, capacity: Tensor, log_measure: Tensor) -> Tensor:
    """``|KL - capacity|`` of each datum, as one term per draw where the divergence is sampled."""
    side = torch.sign(_per_datum(rate, log_measure) - capacity).detach()
    return side * (rate - capacity)
