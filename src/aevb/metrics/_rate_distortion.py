"""The two terms of the bound."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .._memory import default_block_size, explain_out_of_memory
from ..data import Rows
from ..models import VAE
from ..types import Terms
from ._blocks import as_model_rows, iter_batches, model_dtype, seeded_evaluation
from ._estimate import Estimate


@dataclass(frozen=True)
class RateDistortion:
    """``-ELBO = distortion + rate``: nats to say ``x`` given ``z``, and nats to say ``z``. Alemi et al., Fixing a broken ELBO (2018)."""

    rate: Estimate  # E KL(q(z|x) || p(z))
    distortion: Estimate  # -E log p(x|z)
    elbo: Estimate
    per_datum: Tensor | None = field(
        default=None, compare=False, repr=False
    )  # [2, N], rate and distortion of each datum

    @staticmethod
    def from_terms(rate: Tensor, distortion: Tensor) -> RateDistortion:
        """Means over data from both terms of each datum, ``[N]``."""
        each = torch.stack([rate, distortion])
        return RateDistortion(
            Estimate.from_values(rate),
            Estimate.from_values(distortion),
            Estimate.from_values(-rate - distortion),
            each,
        )

    @property
    def reconstruction(self) -> Estimate:
        """``E log p(x|z)``, the distortion with its sign turned."""
        return Estimate(-self.distortion.mean, self.distortion.standard_error)


def rate_distortion(
    model: VAE, x: Any, samples: int = 8, *, seed: int = 0, block_size: int = 256
) -> RateDistortion:
    """Rate, distortion and ELBO over data ``[N, *event]``; the rate is exact where the divergence is registered, else sampled.

    For a posterior without a density the rate and the bound are NaN: an autoencoder has neither.
    """
    return rate_distortion_of_rows(
        model, as_model_rows(model, x), samples, seed=seed, block_size=block_size
    )


def rate_distortion_of_rows(
    model: VAE, data: Rows, samples: int, *, seed: int = 0, block_size: int = 256
) -> RateDistortion:
    """The same of rows on the model's device that have been looked at before."""
    block_size = default_block_size(math.prod(model.event_shape), max_rows=block_size)
    with (
        seeded_evaluation(model, seed),
        explain_out_of_memory("in an evaluation", samples=samples, block=block_size),
    ):
        terms = [
            torch.stack(rate_and_distortion(model, model.draw_terms(batch, samples)))
            for batch in iter_batches(data, block_size, model_dtype(model))
        ]
    return RateDistortion.from_terms(*torch.cat(terms, 1))


def rate_and_distortion(model: VAE, terms: Terms) -> tuple[Tensor, Tensor]:
    """Rate and distortion of every datum, ``[B]`` each, float64."""
    distortion = -terms.log_likelihood.double().mean(0)
    if not model.posterior.has_density:
        return torch.full_like(distortion, torch.nan), distortion
    sampled = (terms.log_posterior - terms.log_prior).double().mean(0)
    exact = sampled if terms.kl is None else terms.kl.double()
    return exact.mean(0) if exact.dim() > 1 else exact, distortion
