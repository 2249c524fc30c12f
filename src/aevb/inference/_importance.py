"""Importance sampling of the evidence, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional
from ..distributions._support import has_mass_outside
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import Batch
from ._pareto import pareto_k, tail_length

DEFAULT_MAX_PAIRS = 1024  # (sample, datum) pairs decoded at once: their outputs stay in the processor's cache, which is also the fastest
MAX_BUFFERED_WEIGHTS = 1 << 22  # log-weights that wait to be summed up: 32 MiB


@dataclass(frozen=True)
class ImportanceWeights:
    """What ``samples`` importance weights ``w_k = p(x, z_k) / q(z_k|x)`` say of each datum, accumulated in float64."""

    log_mean: Tensor  # [B]: log 1/K sum w_k, the estimate of log p(x)
    effective_sample_size: Tensor  # [B]: (sum w)^2 / sum w^2, between 1 and K
    elbo: Tensor  # [B]: 1/K sum log w_k
    distortion: Tensor  # [B]: -1/K sum log p(x|z_k)
    samples: int
    pareto_k: Tensor  # [B]: shape of the tail of the weights, NaN for fewer than 25 of them
    curve: Tensor  # [sizes, B]: the estimate with 1, 2, 4 ... of the weights, averaged over all groups of that size; then with all


@torch.no_grad()
def importance_weights(
    model: VAE,
    batch: Batch,
    samples: int,
    *,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    allow_compile: bool = False,
    defensive: float = 0.0,
    on_progress: Callable[[int], None] | None = None,
) -> ImportanceWeights:
    """Weigh ``samples`` draws from the posterior against the joint: ``p(x) = E_q[p(x, z) / q(z|x)]``.

    Encodes once; decodes ``rows`` pairs at a time; sums in float64. ``long`` says that this is part of so much work that compiling pays;
    ``advance`` is told how many pairs have been done. Draws come from the default random stream.

    ``defensive`` is the share of draws that come from the prior instead, each weighed against the mixture of both: no weight then exceeds
    ``p(x|z) / defensive``, however narrow the posterior is. Hesterberg, Weighted average importance sampling and defensive mixture
    distributions (1995).

    Where the prior has codes that the posterior never draws, what is found is a lower bound that no number of samples brings to the truth:
    the tail of the weights, which does not show it, is then called infinitely heavy.

    Raises ``ArgumentError`` for ``samples < 1`` or a share that is none, and ``IncompatibleError`` for a posterior without a density or
    with codes that the prior does not know, and for a defensive mixture where the prior reaches beyond the posterior's support or has a
    density that is an estimate.
    """
    if samples < 1:
        raise ArgumentError(f"`samples` is {samples}; draw at least 1.")
    missed = check_importance_sampling(model, "importance sampling")
    p, q = model.prior(None, batch.context), model.infer(batch)
    proposal = Proposal(q, p, _count_prior_draws(model, samples, defensive), samples)
    collected = WeightAccumulator(len(batch.x), samples, batch.x.device)
    score, fit = (
        model.likelihood.log_likelihood_function(batch.x, batch.context, many_draws=allow_compile),
        torch.zeros(len(batch.x), dtype=torch.float64),
    )
    block = max(1, max_pairs // len(batch.x))
    for start in range(0, samples, block):
        count = min(block, samples - start)
        z = proposal.draw(start, count)
        log_likelihood = score(z)
        fit = fit.to(log_likelihood.device) + log_likelihood.double().sum(0)
        collected.add(log_likelihood + p.log_prob(z) - proposal.log_prob(z))
        if on_progress is not None:
            on_progress(count * len(batch.x))
    found = replace(collected.result(), distortion=-fit / samples)
    return replace(found, pareto_k=torch.full_like(found.pareto_k, math.inf)) if missed else found


def check_importance_sampling(model: VAE, purpose: str) -> bool:
    """Whether the prior has codes that the posterior never draws. Raises ``IncompatibleError`` where weights have no meaning at all."""
    check_posterior_density(model, purpose)
    p, q = model.probe()
    if has_mass_outside(q, p):
        raise IncompatibleError(
            f"{purpose} needs a posterior that draws codes of the prior, and `posteriors.{type(model.posterior).__name__}` draws some where "
            f"`priors.{type(model.prior).__name__}` has no mass: nothing is weighed there. Take a posterior with the prior's support."
        )
    return has_mass_outside(p, q)


def check_posterior_density(model: VAE, purpose: str) -> None:
    """Refuse a posterior without a density, or with all its mass at one code. Raises ``IncompatibleError``."""
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"{purpose} needs a posterior with a density, got `posteriors.{type(model.posterior).__name__}`; "
            "an autoencoder has a reconstruction error, but no likelihood."
        )
    if not model.posterior.full_support:
        raise IncompatibleError(
            f"{purpose} needs a posterior that may draw what the prior may, and `posteriors.{type(model.posterior).__name__}` "
            "draws one code per datum. Use `metrics.rate_distortion(model, x).elbo`, its lower bound of log p(x)."
        )


def group_sizes(samples: int) -> tuple[int, ...]:
    """The numbers of weights that a curve is known for: powers of 2, and all.

    >>> group_sizes(1), group_sizes(8), group_sizes(10)
    ((1,), (1, 2, 4, 8), (1, 2, 4, 8, 10))
    """
    powers = [1 << level for level in range(samples.bit_length())]
    return tuple(powers if powers[-1] == samples else [*powers, samples])


@dataclass(frozen=True)
class Proposal:
    """``samples`` draws, ``n_from_prior`` of which come from the prior: weighed as draws from the mixture with just these shares.

    That the shares are fixed and not drawn keeps the mean, and takes noise away (Owen and Zhou, Safe and effective importance sampling,
    2000).
    """

    q: Distribution
    p: Distribution
    n_from_prior: int
    samples: int

    def draw(self, start: int, count: int) -> Tensor:
        """The draws ``start`` to ``start + count``, ``[count, B, *latent]``."""
        z = self.q.sample((count,))
        if not self.n_from_prior:
            return z
        number = torch.arange(start, start + count, device=z.device)
        turn = (
            (number + 1) * self.n_from_prior // self.samples
            > number * self.n_from_prior // self.samples
        )  # evenly spread among the others
        other = self.p.sample((count,) if self.p.batch_shape else (count, z.shape[1]))
        return torch.where(turn.reshape(-1, *[1] * (z.dim() - 1)), other, z)

    def log_prob(self, z: Tensor) -> Tensor:
        """``[count, B]``."""
        if not self.n_from_prior:
            return self.q.log_prob(z)
        share = self.n_from_prior / self.samples
        return torch.logaddexp(
            self.q.log_prob(z) + math.log1p(-share), self.p.log_prob(z) + math.log(share)
        )


def _count_prior_draws(model: VAE, samples: int, defensive: float) -> int:
    if not 0 <= defensive < 1:
        raise ArgumentError(
            f"`defensive` is {defensive}; give the share of draws from the prior, at least 0 and below 1."
        )
    if not defensive:
        return 0
    if samples < 2:
        raise ArgumentError(
            f"`samples` is {samples} with defensive={defensive}; draw at least 2, one of them from the prior."
        )
    if has_stochastic_density(model):
        raise IncompatibleError(
            f"a defensive mixture divides by the prior's density, and that of `priors.{type(model.prior).__name__}` is an estimate, whose "
            "inverse is too large on average. Write defensive=0."
        )
    p, q = model.probe()
    if has_mass_outside(p, q):
        name = type(model.posterior).__name__
        raise IncompatibleError(
            f"a defensive mixture needs the posterior's density at draws from the prior, and `posteriors.{name}` has none at some of them. "
            "Write defensive=0."
        )
    return min(max(1, round(defensive * samples)), samples - 1)


def has_stochastic_density(model: VAE) -> bool:
    """Whether the prior's density is an estimate, another one at each call."""
    return any(
        part.stochastic_density for part in model.prior.modules() if isinstance(part, Conditional)
    )


class WeightAccumulator:
    """Log-weights as they come, block by block, in any number: what is told of them needs some of them at a time, in float64."""

    def __init__(self, size: int, samples: int, device: torch.device) -> None:
        self.samples = samples
        self.capacity = 1 << max(
            0, (MAX_BUFFERED_WEIGHTS // size).bit_length() - 1
        )  # a power of 2: what was summed up fills whole groups
        # one piece of memory: many small ones between the large ones of decoding would leave holes that nothing fits into
        self.buffer = torch.empty(
            min(self.capacity, samples), size, dtype=torch.float64, device=device
        )
        self.n_buffered = 0
        self.log_sums = RunningLogSums(size, device)
        self.curve = _ConvergenceCurve()
        self.largest = torch.empty(0, size, dtype=torch.float64, device=device)

    def add(self, log_weight: Tensor) -> None:
        """Some more log-weights ``[n, B]``."""
        while len(log_weight):
            count = min(len(log_weight), len(self.buffer) - self.n_buffered)
            self.buffer[self.n_buffered : self.n_buffered + count] = log_weight[:count]
            self.n_buffered, log_weight = self.n_buffered + count, log_weight[count:]
            if self.n_buffered == len(self.buffer):
                self._flush()

    def result(self) -> ImportanceWeights:
        """What they say, all of them together."""
        self._flush()
        first = self.log_sums.log_mean(self.samples)
        curve = self.curve.means(self.samples)
        return ImportanceWeights(
            log_mean=first,
            effective_sample_size=self.log_sums.effective_sample_size(),
            elbo=self.log_sums.log_weight_sum / self.samples,
            distortion=torch.full_like(first, math.nan),
            samples=self.samples,
            pareto_k=pareto_k(self.largest),
            curve=torch.stack(
                curve if len(curve) == len(group_sizes(self.samples)) else [*curve, first]
            ),
        )

    def _flush(self) -> None:
        if not self.n_buffered:
            return
        log_weight, self.n_buffered = self.buffer[: self.n_buffered], 0
        self.log_sums.add(log_weight)
        self.curve.add(log_weight)
        tail = tail_length(self.samples)
        if tail:
            both = torch.cat([self.largest, log_weight])
            self.largest = both.topk(min(tail + 1, len(both)), 0).values


class RunningLogSums:
    """Log-sum-exp of weights and of their squares, and the sum of their logs, one block after another."""

    def __init__(self, size: int, device: torch.device) -> None:
        zero = torch.zeros(size, dtype=torch.float64, device=device)
        self.log_max = torch.full_like(zero, -math.inf)
        self.weight_sum, self.squared_weight_sum, self.log_weight_sum = zero, zero, zero

    def add(self, log_weight: Tensor) -> tuple[Tensor, Tensor]:
        """Some more ``[n, B]``, float64; returns by what all sums so far shrink ``[B]``, and the new weights on that scale."""
        peak = torch.maximum(self.log_max, log_weight.amax(0))
        finite = torch.where(
            peak.isfinite(), peak, 0.0
        )  # a datum of likelihood 0 keeps a sum of 0, not NaN
        shift = torch.exp(self.log_max - finite)
        scaled = torch.exp(log_weight - finite)
        self.weight_sum = self.weight_sum * shift + scaled.sum(0)
        self.squared_weight_sum = self.squared_weight_sum * shift**2 + scaled.square().sum(0)
        self.log_weight_sum = self.log_weight_sum + log_weight.sum(0)
        self.log_max = peak
        return shift, scaled

    def log_mean(self, samples: int) -> Tensor:
        return self.log_max + self.weight_sum.log() - math.log(samples)

    def effective_sample_size(self) -> Tensor:
        return torch.where(
            self.squared_weight_sum > 0, self.weight_sum.square() / self.squared_weight_sum, 0.0
        )


class _ConvergenceCurve:
    """``log 1/n sum w`` for groups of ``n = 1, 2, 4 ...`` weights, averaged over the groups: each block but the last is a power of 2."""

    def __init__(self) -> None:
        self.sums: list[Tensor] = []
        self.counts: list[int] = []
        self.block_log_sums: list[Tensor] = []

    def add(self, log_weight: Tensor) -> None:
        self.block_log_sums.append(self._accumulate_levels(log_weight, 0).clone())

    def means(self, samples: int) -> list[Tensor]:
        level = len(self.sums)
        if len(self.block_log_sums) > 1:  # a last block that is no whole group is left out
            whole = (
                self.block_log_sums
                if samples % (1 << (level - 1)) == 0
                else self.block_log_sums[:-1]
            )
            self._accumulate_levels(_merge_pairs(torch.stack(whole)), level)
        return [total / count for total, count in zip(self.sums, self.counts, strict=True)]

    def _accumulate_levels(self, log_sums: Tensor, level: int) -> Tensor:
        """Note these groups and all that are made of them; returns the largest."""
        root = log_sums[0] if len(log_sums) else torch.empty(0)
        while len(log_sums):
            root = log_sums[0]
            self._add_level(log_sums, level)
            log_sums, level = _merge_pairs(log_sums), level + 1
        return root

    def _add_level(self, log_sums: Tensor, level: int) -> None:
        if level == len(self.sums):
            self.sums.append(torch.zeros_like(log_sums[0]))
            self.counts.append(0)
        self.sums[level] = self.sums[level] + (log_sums - level * math.log(2)).sum(0)
        self.counts[level] += len(log_sums)


def _merge_pairs(log_sums: Tensor) -> Tensor:
    """The log-sums of neighbours, ``[n, B]`` to ``[n // 2, B]``."""
    whole = log_sums[: len(log_sums) // 2 * 2]
    return torch.logaddexp(whole[0::2], whole[1::2])
