"""The two terms of the bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..data import Rows
from ..memory import enough_memory, rows_at_once
from ..models import VAE
from ..types import Terms
from .measured import Measured
from .sweep import blocks, dtype_of, evaluating, rows_of


@dataclass(frozen=True)
class RateDistortion:
    """``-ELBO = distortion + rate``: nats to say ``x`` given ``z``, and nats to say ``z``. Alemi et al., Fixing a broken ELBO (2018)."""

    rate: Measured  # E KL(q(z|x) || p(z))
    distortion: Measured  # -E log p(x|z)
    elbo: Measured
    per_datum: Tensor | None = field(default=None, compare=False, repr=False)  # [2, N], rate and distortion of each datum

    @staticmethod
    def of(rate: Tensor, distortion: Tensor) -> RateDistortion:
        """Means over data from both terms of each datum, ``[N]``."""
        each = torch.stack([rate, distortion])
        return RateDistortion(Measured.of(rate), Measured.of(distortion), Measured.of(-rate - distortion), each)

    @property
    def reconstruction(self) -> Measured:
        """``E log p(x|z)``, the distortion with its sign turned."""
        return Measured(-self.distortion.mean, self.distortion.standard_error)


def rate_distortion(model: VAE, x: Any, samples: int = 8, *, seed: int = 0, block: int = 256) -> RateDistortion:
    """Rate, distortion and ELBO over data ``[N, *event]``; the rate is exact where the divergence is registered, else sampled.

    For a posterior without a density the rate and the bound are NaN: an autoencoder has neither.
    """
    return rate_of_rows(model, rows_of(model, x), samples, seed=seed, block=block)


def rate_of_rows(model: VAE, data: Rows, samples: int, *, seed: int = 0, block: int = 256) -> RateDistortion:
    """The same of rows on the model's device that have been looked at before."""
    block = rows_at_once(math.prod(model.event_shape), most=block)
    with evaluating(model, seed), enough_memory("in an evaluation", samples=samples, block=block):
        terms = [torch.stack(both_terms(model, model.draw(batch, samples))) for batch in blocks(data, block, dtype_of(model))]
    return RateDistortion.of(*torch.cat(terms, 1))


def both_terms(model: VAE, terms: Terms) -> tuple[Tensor, Tensor]:
    """Rate and distortion of every datum, ``[B]`` each, float64."""
    distortion = -terms.log_likelihood.double().mean(0)
    if not model.posterior.density:
        return torch.full_like(distortion, torch.nan), distortion
    sampled = (terms.log_posterior - terms.log_prior).double().mean(0)
    exact = sampled if terms.kl is None else terms.kl.double()
    return exact.mean(0) if exact.dim() > 1 else exact, distortion
