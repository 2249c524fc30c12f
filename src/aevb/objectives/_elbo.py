"""The evidence lower bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from .._registry import register
from ..distributions import elementwise_kl
from ..distributions._chain import hierarchy_terms, layer_sizes
from ..distributions._discrete import as_discrete
from ..distributions._moments import count_variables
from ..errors import ArgumentError, check_choice
from ..models import VAE
from ..notes import Argument, message
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN, leave_one_out_mean
from ._objective import Objective, ObjectiveRegistration, ValidationCriterion
from ._schedules import Schedule, as_schedule, endpoint_range

# draws that decide on which side of a capacity a datum lies, if its KL divergence is sampled
FRESH_DRAWS = 16


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
            to the sum of each layer. A sampled divergence is compared with the floor by the mean of
            the other rows of the batch.
        kl: ``"exact"`` uses the divergence in closed form, ``"sampled"`` estimates it as ``E_q[log
            q(z|x) - log p(z)]`` from the same draws, ``"auto"`` uses the closed form where one is
            registered.
        capacity: Nats per datum at which the divergence is kept, a number or a schedule (Burgess et
            al. 2018, whose gamma is ``beta``). Whether a sampled divergence lies above or below is
            decided by 16 further draws, so that the noise of the estimate is not penalised.

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
        low, high = endpoint_range(weight)
        self.fixed_beta = low if low == high and not self.has_capacity else None
        self.register_schedule("beta", weight)
        if self.has_capacity:
            self.register_schedule("capacity", target_rate)

    @property
    def name(self) -> str:
        return "ELBO"

    @property
    def target_criterion(self) -> ValidationCriterion:
        if self.fixed_beta in (None, 1.0):
            return self.validation_criterion
        weight = self.fixed_beta
        return ValidationCriterion(f"ELBO with beta {weight:g}", kl_weight=weight)

    def integrand(self, terms: Terms, model: VAE) -> Tensor:
        return terms.log_likelihood - self.beta * self._penalised_rate(terms)

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        bound = (
            ARITHMETIC_MEAN(terms.log_likelihood - _rate(terms), terms.log_measure)
            - terms.weight_kl
        )
        target = ARITHMETIC_MEAN(self.integrand(terms, model), terms.log_measure) - terms.weight_kl
        return ObjectiveValue(bound=bound, target=target, penalty=terms.penalty)

    def _penalised_rate(self, terms: Terms) -> Tensor:
        """The rate that ``beta`` weighs."""
        if self.has_capacity:
            return _capacity_gap(_rate(terms), self.capacity, terms)
        return _rate(terms) if self.free_bits == 0 else self._free_bits_rate(terms)

    def _free_bits_rate(self, terms: Terms) -> Tensor:
        """The rate with a floor for each latent variable, layer or datum."""
        if terms.layer_kl is not None:
            return _apply_floors(terms.layer_kl, self.free_bits, layer_sizes(terms.q), terms)
        elementwise = None if terms.kl is None else elementwise_kl(terms.q, terms.p)
        if elementwise is None:
            sizes = (count_variables(terms.q),)
            return _apply_floors(_rate(terms)[None], self.free_bits, sizes, terms)
        elementwise = elementwise.flatten(1)
        mean = terms.batch.row_mean(elementwise, 0)
        return torch.where(mean > self.free_bits, elementwise, self.free_bits).sum(1)


def _rate(terms: Terms) -> Tensor:
    """Return the KL divergence: ``[B]`` where exact, else one estimate per draw ``[K, B]``."""
    return terms.log_posterior - terms.log_prior if terms.kl is None else terms.kl


# A function with a kink, applied to a noisy rate, has another mean than the function of the mean.
# Which side of the kink a datum lies on is therefore decided by draws other than its own.


def _capacity_gap(rate: Tensor, capacity: Tensor, terms: Terms) -> Tensor:
    """Return ``|KL - capacity|`` of each datum; one term per draw if it is sampled."""
    mean = _fresh_rates(terms).sum(0) if _is_noisy(rate, terms) else _per_datum(rate, terms)
    return torch.sign(mean - capacity).detach() * (rate - capacity)


def _apply_floors(rates: Tensor, free_bits: float, sizes: Sequence[int], terms: Terms) -> Tensor:
    """Add the rates of all layers, each replaced by its floor where its mean over rows is below."""
    means = torch.stack([_per_datum(rate, terms) for rate in rates])  # [L, B]
    if not _is_noisy(rates[0], terms):
        means = terms.batch.row_mean(means)[:, None]
    elif means.shape[1] > 1:
        means = _means_of_other_rows(means, terms.batch.weight)
    else:
        means = _fresh_rates(terms)
    floors = [free_bits * size for size in sizes]
    return torch.stack(
        [
            torch.where(mean > floor, rate, floor)
            for rate, mean, floor in zip(rates, means, floors, strict=True)
        ]
    ).sum(0)


def _means_of_other_rows(values: Tensor, weight: Tensor | None) -> Tensor:
    """The mean of all other rows for each row, ``[L, B]``."""
    if weight is None:
        return leave_one_out_mean(values.T).T
    weight = weight.to(values.dtype)
    own, rest = values * weight, weight.sum() - weight
    return (own.sum(1, keepdim=True) - own) / rest.clamp(min=torch.finfo(values.dtype).tiny)


def _is_noisy(rate: Tensor, terms: Terms) -> bool:
    """Whether a rate depends on draws; the sum over all states of a discrete latent does not."""
    return rate.dim() > 1 and not (terms.enumerated and as_discrete(terms.q) is not None)


def _per_datum(rate: Tensor, terms: Terms) -> Tensor:
    """Average a sampled rate over the draws."""
    return ARITHMETIC_MEAN(rate, terms.log_measure) if rate.dim() > 1 else rate


@torch.no_grad()
def _fresh_rates(terms: Terms) -> Tensor:
    """Estimate the rate of each layer, ``[L, B]``, from further draws of the posterior."""
    z = terms.q.sample((FRESH_DRAWS,))
    layers = hierarchy_terms(terms.q, terms.p, z)
    if layers is not None:
        return layers.layer_kl.mean(1)
    return (terms.q.log_prob(z) - terms.p.log_prob(z)).mean(0)[None]
