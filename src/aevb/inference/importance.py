"""Importance sampling of the evidence, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import Batch

ROWS = 1024  # (sample, datum) pairs decoded at once: their outputs stay in the processor's cache, which is also the fastest


@dataclass(frozen=True)
class Weights:
    """What ``samples`` importance weights ``w_k = p(x, z_k) / q(z_k|x)`` say of each datum, accumulated in float64."""

    log_mean: Tensor  # [B]: log 1/K sum w_k, the estimate of log p(x)
    effective_sample_size: Tensor  # [B]: (sum w)^2 / sum w^2, between 1 and K
    elbo: Tensor  # [B]: 1/K sum log w_k
    samples: int


@torch.no_grad()
def importance_weights(
    model: VAE, batch: Batch, samples: int, *, rows: int = ROWS, long: bool = False, advance: Callable[[int], None] | None = None
) -> Weights:
    """Weigh ``samples`` draws from the posterior against the joint: ``p(x) = E_q[p(x, z) / q(z|x)]``.

    Encodes once; decodes ``rows`` pairs at a time; keeps a running maximum, sum and sum of squares per datum in float64. ``long`` says
    that this is part of so much work that compiling pays; ``advance`` is told how many pairs have been done. Draws come from the default
    random stream.

    Raises ``ArgumentError`` for ``samples < 1`` and ``IncompatibleError`` for a posterior without a density.
    """
    if samples < 1:
        raise ArgumentError(f"`samples` is {samples}; draw at least 1.")
    if not model.posterior.density:
        raise IncompatibleError(
            f"importance sampling needs a posterior with a density, got `posteriors.{type(model.posterior).__name__}`; "
            "an autoencoder has a reconstruction error, but no likelihood."
        )
    running = _Running(len(batch.x), batch.x.device)
    p, q = model.prior(None, batch.context), model.infer(batch)
    score = model.likelihood.scorer(batch.x, batch.context, long=long)
    block = max(1, rows // len(batch.x))
    for start in range(0, samples, block):
        count = min(block, samples - start)
        z = q.sample((count,))
        running.add(score(z) + p.log_prob(z) - q.log_prob(z))
        if advance is not None:
            advance(count * len(batch.x))
    return running.weights(samples)


class _Running:
    """Log-sum-exp of weights and of their squares, and the sum of their logs, one block after another."""

    def __init__(self, size: int, device: torch.device) -> None:
        zero = torch.zeros(size, dtype=torch.float64, device=device)
        self.peak = torch.full_like(zero, -math.inf)
        self.first, self.second, self.logs = zero, zero, zero

    def add(self, log_weight: Tensor) -> None:
        log_weight = log_weight.double()
        peak = torch.maximum(self.peak, log_weight.amax(0))
        finite = torch.where(peak.isfinite(), peak, 0.0)  # a datum of likelihood 0 keeps a sum of 0, not NaN
        shift = torch.exp(self.peak - finite)
        scaled = torch.exp(log_weight - finite)
        self.first = self.first * shift + scaled.sum(0)
        self.second = self.second * shift**2 + scaled.square().sum(0)
        self.logs = self.logs + log_weight.sum(0)
        self.peak = peak

    def weights(self, samples: int) -> Weights:
        log_mean = self.peak + self.first.log() - math.log(samples)
        effective = torch.where(self.second > 0, self.first.square() / self.second, 0.0)
        return Weights(log_mean=log_mean, effective_sample_size=effective, elbo=self.logs / samples, samples=samples)
