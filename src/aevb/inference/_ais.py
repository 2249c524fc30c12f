"""Annealed importance sampling: from a start distribution to the posterior in many small steps.

Neal, Annealed importance sampling (2001); Wu, Burda, Salakhutdinov and Grosse, On the quantitative
analysis of decoder-based generative models (2017). Chains that run backwards from an exact
posterior draw give an upper bound: Grosse, Ghahramani and Adams, Sandwiching the marginal
likelihood using bidirectional Monte Carlo (2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from .._grad_mode import differentiable, gradients_enabled, make_differentiable
from .._row_noise import RowNoise
from ..distributions import HMCState, HMCTransition, hmc_transition, tune_step_size
from ..distributions._hmc import value_and_grad
from ..distributions._support import has_mass_outside
from ..errors import ArgumentError, IncompatibleError, check_choice, check_counts
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch, ProgressCallback
from ._importance import (
    WeightAccumulator,
    check_posterior_density,
    has_stochastic_density,
    log_mean_error,
)

DEFAULT_CHAINS = 16
# chains that tune the step sizes and are discarded, so that the kernels of the others do not depend
# on their own past
PILOT_CHAINS = 4
PILOT_WARMUP = 20  # transitions of the pilots before the first temperature
INITIAL_STEP_SIZE = 0.5  # in units of the scale of each variable
STEP_SIZE_GAIN = 0.1  # of the adaptation along the temperatures
SCALE_DRAWS = 64  # draws for the scale of each variable
_SCALE_NOISE, _PILOT_NOISE, _BACKWARD_NOISE = 1, 2, 3  # noise beside that of the forward chains
SIGMOID_SLOPE = 4.0  # of the sigmoid schedule, which is slow near both ends


@dataclass(frozen=True)
class AISOptions:
    """Options of annealed importance sampling.

    Chains pass through ``start^(1 - beta) p(x, z)^beta`` at ``temperatures + 1`` values of ``beta``
    from 0 to 1, with one proposal of Hamiltonian Monte Carlo at each. The gap between the bounds
    and ``log p(x)`` decreases as ``1 / temperatures``. A leapfrog step costs one pass through the
    decoder and back; at equal cost, many temperatures with one or two leapfrog steps give tighter
    bounds than the reverse (``benchmarks/bracket.py``).

    Args:
        temperatures: Number of annealing steps.
        start: Start distribution: the model's ``"posterior"``, usually closer, or its ``"prior"``.
        leapfrogs: Number of leapfrog steps per proposal.
        acceptance: Acceptance probability to aim at; 0.65 as in Wu et al. (2017).
        schedule: Values of ``beta``: equal steps of a ``"sigmoid"``, or ``"linear"``.

    Raises:
        ArgumentError: A count is below 1, the acceptance is not in (0, 1), or a name is unknown.

    Example:
        >>> AISOptions(temperatures=4).betas().round(decimals=3).tolist()
        [0.0, 0.105, 0.5, 0.895, 1.0]
    """

    temperatures: int = 500
    start: Literal["posterior", "prior"] = "posterior"
    leapfrogs: int = 2
    acceptance: float = 0.65
    schedule: Literal["sigmoid", "linear"] = "sigmoid"

    def __post_init__(self) -> None:
        check_counts(temperatures=self.temperatures, leapfrogs=self.leapfrogs)
        if not 0 < self.acceptance < 1:
            raise ArgumentError(
                "it must be a probability between 0 and 1",
                argument="acceptance",
                value=self.acceptance,
            )
        check_choice("start", self.start, ("posterior", "prior"))
        check_choice("schedule", self.schedule, ("sigmoid", "linear"))

    def betas(self) -> Tensor:
        """The inverse temperatures.

        Returns:
            ``[temperatures + 1]`` from 0 to 1, float64.
        """
        even = torch.linspace(0, 1, self.temperatures + 1, dtype=torch.float64)
        if self.schedule == "linear":
            return even
        curve = torch.sigmoid(SIGMOID_SLOPE * (2 * even - 1))
        return (curve - curve[0]) / (curve[-1] - curve[0])

    def total_moves(self, n_rows: int, chains: int, bidirectional: bool = False) -> int:
        """Total number of moves (of one chain on one row), the sum of all progress reports.

        Args:
            n_rows: Number of rows.
            chains: Number of chains per row.
            bidirectional: Whether chains also run backwards.

        Example:
            >>> AISOptions(temperatures=3).total_moves(n_rows=10, chains=2)
            940
        """
        return n_rows * (
            (self.temperatures - 1) * (PILOT_CHAINS + chains * (2 if bidirectional else 1))
            + PILOT_CHAINS * PILOT_WARMUP
            + chains
        )


@dataclass(frozen=True)
class AISResult:
    """Annealed importance weights ``w`` of every row, with ``E w = p(x)``; in nats, float64.

    Args:
        lower: Mean of ``log w``, ``[B]``: at most ``log p(x)`` in expectation.
        log_mean: Log of the mean of ``w``, ``[B]``: the estimate, in expectation between the lower
            bound and ``log p(x)``.
        upper: Mean of ``log w`` of backward chains, ``[B]``: at least ``log p(x)`` in expectation;
            ``None`` without exact draws.
        effective_sample_size: Effective sample size, ``[B]``, between 1 and ``chains``.
        acceptance: Mean acceptance probability over all temperatures, ``[B]``.
        chains: Number of chains per row.
    """

    lower: Tensor
    log_mean: Tensor
    upper: Tensor | None
    effective_sample_size: Tensor
    acceptance: Tensor
    chains: int

    @property
    def log_mean_error(self) -> Tensor:
        """Standard error of ``log_mean`` over the chains, ``[B]``; NaN for a single chain."""
        return log_mean_error(self.effective_sample_size, self.chains)


@gradients_enabled()
@torch.no_grad()
def annealed_importance_sampling(
    model: VAE,
    batch: Batch,
    chains: int = DEFAULT_CHAINS,
    annealing: AISOptions = AISOptions(),
    *,
    z: Tensor | None = None,
    max_pairs: int | None = None,
    seed: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> AISResult:
    """Estimate ``log p(x)`` with annealed importance sampling.

    All chains of a batch move in parallel, ``[chains, B, *latent]``. Latents with constrained
    support move in unconstrained coordinates, in units of the spread of the posterior. The draws of
    a row depend on the row, the seed and the number of the chain only.

    Args:
        model: The model.
        batch: Rows.
        chains: Number of chains per row.
        annealing: Options of the chains.
        z: Exact posterior draws ``[B, *latent]``, available where the model drew the data itself
            (``VAE.sample_joint``); backward chains from these give the upper bound.
        max_pairs: Maximum number of chains, of all rows, that are decoded together; ``None``: all.
        seed: Seed of the draws; by default the default random stream draws a seed.
        on_progress: Called with the number of chains that have moved.

    Returns:
        Bounds, estimate and diagnostics of every row.

    Raises:
        ArgumentError: ``chains`` is below 1.
        IncompatibleError: The posterior has no density, latents do not move continuously, the
            density of the prior is an estimate, or the supports of start and prior differ.

    Example:
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> net = networks.MLP(6, [8])
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(net, 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
        ... )
        >>> z, p = model.sample_joint(50)
        >>> result = annealed_importance_sampling(
        ...     model, Batch(p.sample()), chains=4, annealing=AISOptions(temperatures=50), z=z
        ... )
        >>> bool(result.lower.mean() < result.upper.mean())
        True
    """
    check_counts(chains=chains)
    check_ais(model, annealing)
    make_differentiable(model)
    context = None if batch.context is None else differentiable(batch.context)
    batch = replace(batch, x=differentiable(batch.x), context=context)
    noise = RowNoise.from_batch(batch, seed, model.constant_cells)
    with noise.fork(_SCALE_NOISE).samples(SCALE_DRAWS):
        path = _AnnealingPath(model, batch, annealing)
    with noise.fork(_PILOT_NOISE).samples(PILOT_CHAINS):
        steps = _tune_step_sizes(path, on_progress)
    block = chains if max_pairs is None else max(1, max_pairs // path.size)
    blocks = [(min(block, chains - start), start) for start in range(0, chains, block)]
    accumulator, acceptance, upper = WeightAccumulator(path.size, chains, batch.x.device), [], []
    for count, start in blocks:
        with noise.samples(count, start):
            forward = _run_forward(path, steps, count, on_progress)
        accumulator.add(forward.log_weight)
        acceptance.append(count * forward.acceptance)
    if z is not None:
        for count, start in blocks:
            with noise.fork(_BACKWARD_NOISE).samples(count, start):
                backward = _run_backward(path, steps, z.expand(count, *z.shape), on_progress)
            upper.append(backward.log_weight.sum(0))
    weights = accumulator.result()
    return AISResult(
        lower=weights.elbo,
        log_mean=weights.log_mean,
        upper=torch.stack(upper).sum(0) / chains if upper else None,
        effective_sample_size=weights.effective_sample_size,
        acceptance=torch.stack(acceptance).sum(0) / chains,
        chains=chains,
    )


def ais_block_size(chains: int, max_pairs: int) -> int:
    """Number of rows per block: at most ``max_pairs`` chains, pilots too, are decoded together."""
    return max(1, max_pairs // max(PILOT_CHAINS, min(chains, max_pairs)))


def check_ais(model: VAE, annealing: AISOptions) -> None:
    """Check that chains can move and reach the posterior.

    Raises:
        IncompatibleError: They cannot.
    """
    check_posterior_density(model, "annealed importance sampling")
    prior = f"`priors.{type(model.prior).__name__}`"
    use_importance = message("Use {method}", method=Argument("method", "importance"))
    if has_stochastic_density(model):
        raise IncompatibleError(
            f"annealed importance sampling compares densities, and the density of {prior} is an "
            "estimate that differs from call to call, which gives no bounds",
            argument="method",
            suggestions=(use_importance,),
        )
    p, q = model.probe()
    try:
        biject_to(p.support)
    except NotImplementedError:
        raise IncompatibleError(
            f"annealed importance sampling moves latents continuously, and latents of {prior} "
            "cannot be moved",
            argument="method",
            suggestions=(use_importance,),
        ) from None
    if annealing.start == "posterior" and (has_mass_outside(p, q) or has_mass_outside(q, p)):
        options = Part("inference.AISOptions", {"start": "prior"})
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` and {prior} have different supports, "
            "so that chains from the posterior cannot reach the target",
            argument="annealing",
            suggestions=(message("Write {annealing}", annealing=Argument("annealing", options)),),
        )


@dataclass(frozen=True)
class _TemperedState(HMCState):
    """Points at a temperature. The decoder's values are reused at every other temperature.

    Args:
        log_likelihood: ``log p(x|z)``, ``[chains, B]``.
        likelihood_gradient: Its gradient, ``[chains, B, *latent]``.
        log_ratio: ``log p(x, z) - log start(z)``, ``[chains, B]``, float64: the factor of a change
            in ``beta``.
    """

    log_likelihood: Tensor
    likelihood_gradient: Tensor
    log_ratio: Tensor


class _AnnealingPath:
    """``log f_beta(u) = (1 - beta) log start(z) + beta log p(x, z) + log |dz/du|``."""

    def __init__(self, model: VAE, batch: Batch, annealing: AISOptions) -> None:
        self.annealing, self.size = annealing, len(batch.x)
        self.prior = model.prior(None, batch.context)
        # a posterior with per-row parameters has none for other rows
        unknown = model.posterior.n_rows is not None and batch.index is None
        posterior = self.prior if unknown and annealing.start == "prior" else model.infer(batch)
        self.start = posterior if annealing.start == "posterior" else self.prior
        self.score = model.likelihood.log_likelihood_function(batch.x, batch.context)
        self.betas: list[float] = annealing.betas().tolist()
        # Any, because torch annotates calls of a Transform as Tensor | None
        self.bijector: Any = biject_to(self.prior.support)
        self.start_precision = self._precision(self.start)
        precision = self._precision(posterior)
        # posterior draws outside the prior's support have no scale
        self.end_precision = torch.where(precision.isfinite(), precision, self.start_precision)

    def initial_state(self, chains: int) -> _TemperedState:
        """Draws from the start distribution."""
        return self.evaluate(self.bijector.inv(self._draw(self.start, chains)), 0)

    def evaluate(self, u: Tensor, level: int) -> _TemperedState:
        """The state at ``u`` under the temperature with index ``level``."""
        return self._tempered_state(
            u, level, *value_and_grad(lambda point: self.score(self.bijector(point)), u)
        )

    def propose(
        self, state: _TemperedState, level: int, step: Tensor
    ) -> HMCTransition[_TemperedState]:
        """One proposal per chain at the temperature with index ``level``."""
        scale = torch.rsqrt(torch.lerp(self.start_precision, self.end_precision, self.betas[level]))
        tempered = self._tempered_state(
            state.z, level, state.log_likelihood, state.likelihood_gradient
        )
        return hmc_transition(
            lambda u: self.evaluate(u, level), tempered, step, self.annealing.leapfrogs, scale=scale
        )

    def _tempered_state(
        self, u: Tensor, level: int, log_likelihood: Tensor, likelihood_gradient: Tensor
    ) -> _TemperedState:
        beta, log_ratio = self.betas[level], torch.empty(0)

        def density_without_data(point: Tensor) -> Tensor:
            nonlocal log_ratio
            z = self.bijector(point)
            start, prior = self.start.log_prob(z), self.prior.log_prob(z)
            log_ratio = (log_likelihood + prior - start).detach().double()
            return (1 - beta) * start + beta * prior + self.bijector.log_abs_det_jacobian(point, z)

        value, gradient = value_and_grad(density_without_data, u)
        return _TemperedState(
            u,
            value + beta * log_likelihood,
            gradient + beta * likelihood_gradient,
            log_likelihood,
            likelihood_gradient,
            log_ratio,
        )

    def _precision(self, distribution: Distribution) -> Tensor:
        """Reciprocal variance of each unconstrained variable, ``[B, *latent]``."""
        variance = self.bijector.inv(self._draw(distribution, SCALE_DRAWS)).var(0)
        return 1 / variance.clamp(min=torch.finfo(variance.dtype).tiny ** 0.5)

    def _draw(self, distribution: Distribution, count: int) -> Tensor:
        return distribution.sample((count,) if distribution.batch_shape else (count, self.size))


@dataclass(frozen=True)
class _ChainWeights:
    log_weight: Tensor  # [chains, B]
    acceptance: Tensor  # [B]


def _tune_step_sizes(path: _AnnealingPath, on_progress: ProgressCallback | None) -> list[Tensor]:
    """Step size of each temperature and row, ``[B]``, from pilot chains."""
    report = _ProgressReporter(on_progress, PILOT_CHAINS * path.size)
    state, temperatures = path.initial_state(PILOT_CHAINS), path.annealing.temperatures
    step = torch.full_like(state.log_density[0], INITIAL_STEP_SIZE)
    steps = [step]
    for level in (*[min(1, temperatures - 1)] * PILOT_WARMUP, *range(1, temperatures)):
        transition = path.propose(state, level, step)
        state = transition.state
        step = tune_step_size(
            step, transition.acceptance, path.annealing.acceptance, STEP_SIZE_GAIN
        )
        steps.append(step)
        report()
    return steps[PILOT_WARMUP:]


def _run_forward(
    path: _AnnealingPath,
    step_sizes: list[Tensor],
    chains: int,
    on_progress: ProgressCallback | None,
) -> _ChainWeights:
    """``log w = sum_t (beta_t - beta_t-1) log_ratio(z_t-1)``.

    The kernel of ``beta_t`` draws ``z_t``.
    """
    report = _ProgressReporter(on_progress, chains * path.size)
    state, weight = path.initial_state(chains), _LogWeightAccumulator(path.betas)
    for level in range(1, path.annealing.temperatures):
        weight.add(state, level)
        transition = path.propose(state, level, step_sizes[level])
        state = transition.state
        weight.acceptance.append(transition.acceptance.mean(0))
        report()
    weight.add(state, path.annealing.temperatures)
    report()
    return weight.result()


def _run_backward(
    path: _AnnealingPath, step_sizes: list[Tensor], z: Tensor, on_progress: ProgressCallback | None
) -> _ChainWeights:
    """The weights of reversed chains: Hamiltonian kernels are reversible."""
    report = _ProgressReporter(on_progress, len(z) * path.size)
    state = path.evaluate(path.bijector.inv(z), path.annealing.temperatures)
    weight = _LogWeightAccumulator(path.betas)
    weight.add(state, path.annealing.temperatures)
    for level in range(path.annealing.temperatures - 1, 0, -1):
        state = path.propose(state, level, step_sizes[level]).state
        weight.add(state, level)
        report()
    return weight.result()


class _LogWeightAccumulator:
    """Accumulates the log-weight of each chain."""

    def __init__(self, betas: list[float]) -> None:
        self.betas = betas
        self.log_weight = torch.zeros((), dtype=torch.float64)
        self.acceptance: list[Tensor] = []

    def add(self, state: _TemperedState, level: int) -> None:
        """Add the gain of the step to the temperature with index ``level``."""
        self.log_weight = (
            self.log_weight + (self.betas[level] - self.betas[level - 1]) * state.log_ratio
        )

    def result(self) -> _ChainWeights:
        acceptance = torch.full_like(self.log_weight[0], math.nan)
        if self.acceptance:
            acceptance = torch.stack(self.acceptance).mean(0)
        return _ChainWeights(self.log_weight, acceptance)


class _ProgressReporter:
    """Reports that ``increment`` chains have moved."""

    def __init__(self, on_progress: ProgressCallback | None, increment: int) -> None:
        self.on_progress, self.increment = on_progress, increment

    def __call__(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.increment)
