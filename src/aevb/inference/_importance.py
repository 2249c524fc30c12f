"""Importance sampling of the marginal likelihood in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from .._conditional import Conditional
from .._memory import MAX_ELEMENTS_PER_BLOCK
from .._row_noise import RowNoise
from ..distributions import ClassAndLatent
from ..distributions._support import has_mass_outside
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch
from ._pareto import pareto_k, tail_length

DRAW_BLOCKS = 16  # blocks of pairs whose latents are drawn together
_DENSITY_NOISE = 1  # the noise of a prior whose density is an estimate
DEFAULT_MAX_PAIRS = 1024  # (sample, row) pairs decoded together: outputs fit the processor's cache
MAX_BUFFERED_WEIGHTS = 1 << 22  # log-weights in the buffer: 32 MiB


@dataclass(frozen=True)
class ImportanceWeights:
    """Importance weights ``w_k = p(x, z_k) / q(z_k|x)`` of every row, accumulated in float64.

    Args:
        log_mean: ``log 1/K sum w_k``, ``[B]``: the estimate of ``log p(x)``.
        effective_sample_size: ``(sum w)^2 / sum w^2``, ``[B]``, between 1 and ``K``.
        elbo: ``1/K sum log w_k``, ``[B]``.
        elbo_error: Its standard error over the draws, ``[B]``; NaN for a single weight.
        distortion: ``-1/K sum log p(x|z_k)``, ``[B]``.
        samples: Number of weights, ``K``.
        pareto_k: Shape of the tail of the weights, ``[B]``; NaN for fewer than 25 weights.
        curve: Estimates with 1, 2, 4 ... weights, averaged over all groups of that size, and with
            all weights, ``[sizes, B]``.
    """

    log_mean: Tensor
    effective_sample_size: Tensor
    elbo: Tensor
    elbo_error: Tensor
    distortion: Tensor
    samples: int
    pareto_k: Tensor
    curve: Tensor

    @property
    def log_mean_error(self) -> Tensor:
        """Standard error of ``log_mean`` over the draws, ``[B]``; NaN for a single weight."""
        return log_mean_error(self.effective_sample_size, self.samples)


@torch.no_grad()
def importance_weights(
    model: VAE,
    batch: Batch,
    samples: int,
    *,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    allow_compile: bool = False,
    defensive: float = 0.0,
    seed: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ImportanceWeights:
    """Estimate ``log p(x)`` by importance sampling: ``p(x) = E_q[p(x, z) / q(z|x)]``.

    A defensive mixture takes a fraction of the draws from the prior and weighs all draws against
    the mixture, so that no weight exceeds ``p(x|z) / defensive`` (Hesterberg, Weighted average
    importance sampling and defensive mixture distributions, 1995). Where the posterior misses a
    part of the prior, the estimate stays a lower bound for any number of samples, and ``pareto_k``
    is set to infinity. The draws of a row depend on the row, the seed and the number of the sample
    only: the same row has the same estimate in any batch.

    Args:
        model: The model.
        batch: Rows.
        samples: Number of draws per row, ``K``.
        max_pairs: Maximum number of pairs of a draw and a row that are decoded together.
        allow_compile: Whether the work is long enough to compile the likelihood.
        defensive: Fraction of the draws from the prior, in [0, 1).
        seed: Seed of the draws; by default the default random stream draws a seed.
        on_progress: Called with the number of pairs that are done.

    Returns:
        Estimates and diagnostics of every row.

    Raises:
        ArgumentError: ``samples`` is below 1, or ``defensive`` is no fraction or leaves no draw for
            the prior.
        IncompatibleError: The posterior has no density or draws outside the prior's support; or a
            defensive mixture has no density.
    """
    check_counts(samples=samples)
    misses_prior = check_importance_sampling(model, "importance sampling")
    noise = RowNoise.from_batch(batch, seed, model.constant_cells)
    density_noise, estimated = noise.fork(_DENSITY_NOISE), has_stochastic_density(model)
    p, q = model.prior(None, batch.context), model.infer(batch)
    draws = p.normalised() if isinstance(p, ClassAndLatent) else p
    proposal = Proposal(q, draws, _count_prior_draws(model, samples, defensive), samples)
    accumulator = WeightAccumulator(len(batch.x), samples, batch.x.device)
    score = model.likelihood.log_likelihood_function(
        batch.x, batch.context, many_draws=allow_compile
    )
    total = torch.zeros(len(batch.x), dtype=torch.float64)
    block = max(1, max_pairs // len(batch.x))
    for start, z in proposal.blocks(noise, block):
        count = len(z)
        with density_noise.samples(count, start) if estimated else nullcontext():
            log_prior = p.log_prob(z)
        log_likelihood = score(z)
        total = total.to(log_likelihood.device) + log_likelihood.double().sum(0)
        accumulator.add(log_likelihood + log_prior - proposal.log_prob(z))
        if on_progress is not None:
            on_progress(count * len(batch.x))
    weights = replace(accumulator.result(), distortion=-total / samples)
    if misses_prior:
        return replace(weights, pareto_k=torch.full_like(weights.pareto_k, math.inf))
    return weights


def check_importance_sampling(model: VAE, purpose: str) -> bool:
    """Whether the posterior misses a part of the prior.

    Raises:
        IncompatibleError: Importance weights have no meaning.
    """
    check_posterior_density(model, purpose)
    p, q = model.probe()
    if has_mass_outside(q, p):
        raise IncompatibleError(
            f"{purpose} needs a posterior inside the prior's support, and draws of "
            f"`posteriors.{type(model.posterior).__name__}` lie where "
            f"`priors.{type(model.prior).__name__}` has no mass",
            argument="posterior",
            suggestions=("Use a posterior with the prior's support",),
        )
    return has_mass_outside(p, q)


def check_posterior_density(model: VAE, purpose: str) -> None:
    """Check that the posterior has a density with full support.

    Raises:
        IncompatibleError: It has none.
    """
    posterior = f"`posteriors.{type(model.posterior).__name__}`"
    if not model.posterior.has_density:
        raise IncompatibleError(
            f"{purpose} needs a posterior with a density, got {posterior}; an autoencoder has a "
            "reconstruction error, but no likelihood",
            argument="posterior",
        )
    if not model.posterior.full_support:
        raise IncompatibleError(
            f"{purpose} needs a posterior with the prior's support, and {posterior} draws one code "
            "per datum",
            argument="posterior",
            suggestions=(
                message(
                    "Use the ELBO of {terms}, a lower bound of log p(x)",
                    terms=Part("metrics.rate_distortion"),
                ),
            ),
        )


def log_mean_error(effective_sample_size: Tensor, samples: int) -> Tensor:
    """Standard error of the log of a mean of weights, by the delta method.

    The sum of squares in the effective sample size holds the variance of the weights.

    Example:
        >>> weight = torch.tensor([1.0, 2.0, 3.0, 6.0])
        >>> size = weight.sum().square() / weight.square().sum()
        >>> log_mean_error(size, 4), weight.std() / 2 / weight.mean()
        (tensor(0.3600), tensor(0.3600))
    """
    if samples < 2:
        return torch.full_like(effective_sample_size, math.nan)
    return ((samples / effective_sample_size - 1).clamp(min=0) / (samples - 1)).sqrt()


def group_sizes(samples: int) -> tuple[int, ...]:
    """The numbers of weights in a convergence curve: powers of 2, and all.

    Example:
        >>> group_sizes(1), group_sizes(8), group_sizes(10)
        ((1,), (1, 2, 4, 8), (1, 2, 4, 8, 10))
    """
    powers = [1 << level for level in range(samples.bit_length())]
    return tuple(powers if powers[-1] == samples else [*powers, samples])


@dataclass(frozen=True)
class Proposal:
    """A mixture of posterior and prior, ``n_from_prior`` of ``samples`` draws from the prior.

    Fixed shares keep the mean and reduce the variance (Owen and Zhou, Safe and effective importance
    sampling, 2000).
    """

    q: Distribution
    p: Distribution
    n_from_prior: int
    samples: int

    def draw(self, start: int, count: int) -> Tensor:
        """Draws ``start`` to ``start + count``, ``[count, B, *latent]``."""
        z = self.q.sample((count,))
        if not self.n_from_prior:
            return z
        # the draws from the prior are spread evenly among the others
        number = torch.arange(start, start + count, device=z.device)
        n = self.n_from_prior
        from_prior = (number + 1) * n // self.samples > number * n // self.samples
        other = self.p.sample((count,) if self.p.batch_shape else (count, z.shape[1]))
        return torch.where(from_prior.reshape(-1, *[1] * (z.dim() - 1)), other, z)

    def blocks(self, noise: RowNoise, size: int) -> Iterator[tuple[int, Tensor]]:
        """All draws in blocks of ``size``, each with the number of its first draw.

        Draws that need no network are made for several blocks at once, which is faster, where they
        are few numbers.
        """
        drawn = (self.q, *([self.p] if self.n_from_prior else []))
        elements = size * math.prod((*self.q.batch_shape, *self.q.event_shape))
        blocks = min(DRAW_BLOCKS, MAX_ELEMENTS_PER_BLOCK // elements)
        at_once = size * (max(1, blocks) if all(isinstance(p, Independent) for p in drawn) else 1)
        for start in range(0, self.samples, at_once):
            count = min(at_once, self.samples - start)
            with noise.samples(count, start):
                z = self.draw(start, count)
            yield from zip(range(start, start + count, size), z.split(size), strict=True)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density of the mixture, ``[count, B]``."""
        if not self.n_from_prior:
            return self.q.log_prob(z)
        share = self.n_from_prior / self.samples
        return torch.logaddexp(
            self.q.log_prob(z) + math.log1p(-share), self.p.log_prob(z) + math.log(share)
        )


def _count_prior_draws(model: VAE, samples: int, defensive: float) -> int:
    if not 0 <= defensive < 1:
        raise ArgumentError(
            "give the fraction of draws from the prior, at least 0 and below 1",
            argument="defensive",
            value=defensive,
        )
    if not defensive:
        return 0
    if samples < 2:
        raise ArgumentError(
            message(
                "with {defensive} draw at least 2, one of them from the prior",
                defensive=Argument("defensive", defensive),
            ),
            argument="samples",
            value=samples,
        )
    if has_stochastic_density(model):
        raise IncompatibleError(
            "a defensive mixture divides by the prior's density, and the density of "
            f"`priors.{type(model.prior).__name__}` is an estimate, with a biased inverse",
            argument="defensive",
            value=defensive,
            suggestions=(message("Write {defensive}", defensive=Argument("defensive", 0)),),
        )
    p, q = model.probe()
    if has_mass_outside(p, q):
        raise IncompatibleError(
            "a defensive mixture needs the posterior's density at draws from the prior, and "
            f"`posteriors.{type(model.posterior).__name__}` has none at some of them",
            argument="defensive",
            value=defensive,
            suggestions=(message("Write {defensive}", defensive=Argument("defensive", 0)),),
        )
    return min(max(1, round(defensive * samples)), samples - 1)


def has_stochastic_density(model: VAE) -> bool:
    """Whether the prior's density is an estimate that differs from call to call."""
    return any(
        part.stochastic_density for part in model.prior.modules() if isinstance(part, Conditional)
    )


class WeightAccumulator:
    """Accumulates blocks of log-weights in float64."""

    def __init__(self, size: int, samples: int, device: torch.device) -> None:
        self.samples = samples
        # a power of 2, so that each flush adds whole groups to the curve
        self.capacity = 1 << max(0, (MAX_BUFFERED_WEIGHTS // size).bit_length() - 1)
        # one allocation: small blocks between the large ones of decoding would fragment the memory
        self.buffer = torch.empty(
            min(self.capacity, samples), size, dtype=torch.float64, device=device
        )
        self.n_buffered = 0
        self.log_sums = RunningLogSums(size, device)
        self.curve = _ConvergenceCurve()
        self.largest = torch.empty(0, size, dtype=torch.float64, device=device)

    def add(self, log_weight: Tensor) -> None:
        """Add log-weights ``[n, B]``."""
        while len(log_weight):
            count = min(len(log_weight), len(self.buffer) - self.n_buffered)
            self.buffer[self.n_buffered : self.n_buffered + count] = log_weight[:count]
            self.n_buffered, log_weight = self.n_buffered + count, log_weight[count:]
            if self.n_buffered == len(self.buffer):
                self._flush()

    def result(self) -> ImportanceWeights:
        """Summarise all weights."""
        self._flush()
        first = self.log_sums.log_mean(self.samples)
        curve = self.curve.means(self.samples)
        return ImportanceWeights(
            log_mean=first,
            effective_sample_size=self.log_sums.effective_sample_size(),
            elbo=self.log_sums.log_weight_sum / self.samples,
            elbo_error=self.log_sums.elbo_error(self.samples),
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
    """Running log-sum-exp of weights and squared weights, and the sum of log-weights."""

    def __init__(self, size: int, device: torch.device) -> None:
        zero = torch.zeros(size, dtype=torch.float64, device=device)
        self.log_max = torch.full_like(zero, -math.inf)
        self.weight_sum, self.squared_weight_sum, self.log_weight_sum = zero, zero, zero
        self.centre: Tensor | None = None  # of log-weights: the peak of the first of them
        self.squared_deviation = zero

    def add(self, log_weight: Tensor) -> tuple[Tensor, Tensor]:
        """Add log-weights ``[n, B]``, float64.

        Returns the factor by which previous sums shrink ``[B]``, and the new weights on the same
        scale.
        """
        peak = torch.maximum(self.log_max, log_weight.amax(0))
        finite = torch.where(peak.isfinite(), peak, 0.0)  # a row of likelihood 0 keeps the sum 0
        shift = torch.exp(self.log_max - finite)
        scaled = torch.exp(log_weight - finite)
        self.weight_sum = self.weight_sum * shift + scaled.sum(0)
        self.squared_weight_sum = self.squared_weight_sum * shift**2 + scaled.square().sum(0)
        self.centre = finite if self.centre is None else self.centre
        self.log_weight_sum = self.log_weight_sum + log_weight.sum(0)
        self.squared_deviation = self.squared_deviation + (log_weight - self.centre).square().sum(0)
        self.log_max = peak
        return shift, scaled

    def log_mean(self, samples: int) -> Tensor:
        return self.log_max + self.weight_sum.log() - math.log(samples)

    def elbo_error(self, samples: int) -> Tensor:
        """Standard error of the mean log-weight of ``samples``."""
        if samples < 2 or self.centre is None:
            return torch.full_like(self.log_weight_sum, math.nan)
        away = self.log_weight_sum / samples - self.centre
        variance = (self.squared_deviation / samples - away.square()).clamp(min=0)
        return (variance / (samples - 1)).sqrt()

    def effective_sample_size(self) -> Tensor:
        return torch.where(
            self.squared_weight_sum > 0, self.weight_sum.square() / self.squared_weight_sum, 0.0
        )


class _ConvergenceCurve:
    """``log 1/n sum w`` for groups of ``n = 1, 2, 4 ...`` weights, averaged over the groups.

    Every block except the last has a power of 2 of weights.
    """

    def __init__(self) -> None:
        self.sums: list[Tensor] = []
        self.counts: list[int] = []
        self.block_log_sums: list[Tensor] = []

    def add(self, log_weight: Tensor) -> None:
        self.block_log_sums.append(self._accumulate_levels(log_weight, 0).clone())

    def means(self, samples: int) -> list[Tensor]:
        level = len(self.sums)
        if len(self.block_log_sums) > 1:  # an incomplete last group is left out
            whole = (
                self.block_log_sums
                if samples % (1 << (level - 1)) == 0
                else self.block_log_sums[:-1]
            )
            self._accumulate_levels(_merge_pairs(torch.stack(whole)), level)
        return [total / count for total, count in zip(self.sums, self.counts, strict=True)]

    def _accumulate_levels(self, log_sums: Tensor, level: int) -> Tensor:
        """Add these groups and all groups they form; returns the largest group."""
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
    """Log-sums of adjacent pairs, ``[n, B]`` to ``[n // 2, B]``."""
    whole = log_sums[: len(log_sums) // 2 * 2]
    return torch.logaddexp(whole[0::2], whole[1::2])
