"""The evidence lower bound."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from ..distributions import kl as divergences
from ..errors import ArgumentError
from ..models import VAE
from ..types import Score, Terms
from .bounds import power_mean
from .objective import Objective
from .schedules import Schedule, as_schedule


class ELBO(Objective):
    """``E_q[log p(x|z)] - KL(q(z|x) || p(z))`` with ``samples`` draws per datum.

    ``kl="exact"`` takes the divergence by formula, ``"sampled"`` as ``E_q[log q(z|x) - log p(z)]`` from the same draws, ``"auto"`` by
    formula where one is registered. The target climbed may weigh it by ``beta`` (a number or a schedule; Higgins et al. 2017) and leave
    ``free_bits`` nats per latent variable free (Kingma et al. 2016: a variable whose mean divergence over the batch is below is not
    pressed further; where the divergence does not factorise, the floor is on the sum). The bound reported is always the plain one.

    Kingma and Welling (2014). Raises ``ArgumentError`` for ``beta < 0``, ``free_bits < 0`` or ``samples < 1``.

    >>> ELBO(samples=2, beta=4.0).name
    'ELBO'
    """

    beta: Tensor
    power = 0.0

    def __init__(
        self, samples: int = 1, beta: float | Schedule = 1.0, free_bits: float = 0.0, kl: Literal["auto", "exact", "sampled"] = "auto"
    ) -> None:
        super().__init__(samples)
        schedule = as_schedule(beta)
        for argument, value in {"beta": min(schedule(0), schedule(schedule.settled or 0)), "free_bits": free_bits}.items():
            if not value >= 0:
                raise ArgumentError(f"`{argument}` is {value}; give 0 or more.")
        if kl not in ("auto", "exact", "sampled"):
            raise ArgumentError(f'`kl` is {kl!r}; use "auto", "exact" or "sampled".')
        self.kl = kl
        self.free_bits = free_bits
        self.importance = free_bits == 0
        self.anneal("beta", schedule)

    @property
    def name(self) -> str:
        return "ELBO"

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood - self.beta * self._freed(terms, model)

    def forward(self, terms: Terms, model: VAE) -> Score:
        bound = power_mean(terms.log_likelihood - _rate(terms), terms.log_measure, 0.0) - terms.weight_kl
        target = power_mean(self.integrand(terms, model), terms.log_measure, 0.0) - terms.weight_kl
        return Score(bound=bound, target=target, penalty=terms.penalty)

    def _freed(self, terms: Terms, model: VAE) -> Tensor:
        if self.free_bits == 0:
            return _rate(terms)
        each = None if terms.kl is None else divergences.elementwise(terms.q, model.prior(None, terms.batch.context))
        if each is None:
            return _floored(_rate(terms), self.free_bits * _variables(terms.q), terms.log_measure)
        each = each.flatten(1)
        return torch.where(each.mean(0) > self.free_bits, each, self.free_bits).sum(1)


def _rate(terms: Terms) -> Tensor:
    """The divergence, ``[B]`` where exact, else one estimate per draw ``[K, B]``."""
    return terms.log_posterior - terms.log_prior if terms.kl is None else terms.kl


def _variables(q: Distribution) -> int:
    """How many latent variables there are; the categories of one variable are one."""
    return q.event_shape.numel() // (q.base_dist.event_shape.numel() if isinstance(q, Independent) else 1)


def _floored(rate: Tensor, floor: float, log_measure: Tensor) -> Tensor:
    mean = (power_mean(rate, log_measure, 0.0) if rate.dim() > 1 else rate).mean()
    return torch.where(mean > floor, rate, floor)
