"""Annealed importance sampling: from where one can draw to the posterior in many small steps, each of them weighed.

Neal, Annealed importance sampling (2001); Wu, Burda, Salakhutdinov and Grosse, On the quantitative analysis of decoder-based generative
models (2017). Run backwards from an exact draw of the posterior it bounds from above: Grosse, Ghahramani and Adams, Sandwiching the
marginal likelihood using bidirectional Monte Carlo (2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution, biject_to

from ..distributions import _hmc as hmc
from ..distributions._support import has_mass_outside
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..models import VAE
from ..types import Batch
from ._importance import WeightAccumulator, check_posterior_density, has_stochastic_density

DEFAULT_CHAINS = 16
PILOT_CHAINS = 4  # chains that find the step sizes, and are not counted: the others then move by kernels that know nothing of their past
PILOT_WARMUP = 20  # transitions of the pilots before the first temperature
INITIAL_STEP_SIZE = 0.5  # step size to begin with, in units of the scale of each variable
STEP_SIZE_GAIN = 0.1  # of its adaptation along the way
SCALE_DRAWS = 64  # from which the scale of each variable is read
SIGMOID_SLOPE = 4.0  # of the sigmoid whose equal steps the temperatures are: slow near both ends

ProgressCallback = Callable[[int], None]


@dataclass(frozen=True)
class AISOptions:
    """How chains go from ``start`` to ``p(z|x)``: through ``q^(1 - beta) p(x, z)^beta`` at ``temperatures`` + 1 values of ``beta``.

    At each one proposal of Hamiltonian Monte Carlo with ``leapfrogs`` steps, whose size is such that the share ``acceptance`` of proposals
    is taken. ``start`` is the model's posterior approximation, mostly the shorter way, or its prior. The betas are equal steps of a
    sigmoid, or equally spaced (``"linear"``). The bounds come closer to ``log p(x)`` as one over ``temperatures``. Every leapfrog step is
    one pass through the decoder and back, and a new temperature is none: at the same cost many temperatures with one or two leapfrog
    steps bring the bounds closer than the reverse (``benchmarks/bracket.py``).

    Raises ``ArgumentError`` for counts below 1, an acceptance outside (0, 1), and names that are none.

    >>> AISOptions(temperatures=4).betas().round(decimals=3).tolist()
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """

    temperatures: int = 500
    start: Literal["posterior", "prior"] = "posterior"
    leapfrogs: int = 2
    acceptance: float = 0.65  # of Wu et al. (2017)
    schedule: Literal["sigmoid", "linear"] = "sigmoid"

    def __post_init__(self) -> None:
        check_counts(temperatures=self.temperatures, leapfrogs=self.leapfrogs)
        if not 0 < self.acceptance < 1:
            raise ArgumentError(
                f"`acceptance` is {self.acceptance}; give the share of proposals to be accepted, between 0 and 1."
            )
        for argument, name, known in (
            ("start", self.start, ("posterior", "prior")),
            ("schedule", self.schedule, ("sigmoid", "linear")),
        ):
            if name not in known:
                raise ArgumentError(f'`{argument}` is {name!r}; use "{known[0]}" or "{known[1]}".')

    def betas(self) -> Tensor:
        """``[temperatures + 1]`` from 0 to 1, float64."""
        even = torch.linspace(0, 1, self.temperatures + 1, dtype=torch.float64)
        if self.schedule == "linear":
            return even
        curve = torch.sigmoid(SIGMOID_SLOPE * (2 * even - 1))
        return (curve - curve[0]) / (curve[-1] - curve[0])

    def total_moves(self, n_rows: int, chains: int, bidirectional: bool = False) -> int:
        """How many moves of one chain on one datum that is, forwards or in both directions: the total of what ``advance`` is told.

        >>> AISOptions(temperatures=3).work(rows=10, chains=2)
        940
        """
        return n_rows * (
            (self.temperatures - 1) * (PILOT_CHAINS + chains * (2 if bidirectional else 1))
            + PILOT_CHAINS * PILOT_WARMUP
            + chains
        )


@dataclass(frozen=True)
class AISResult:
    """What the weights ``w`` of annealed chains say of each datum, ``E w = p(x)``; nats, float64."""

    lower: Tensor  # [B]: mean log w, at most log p(x) in expectation
    log_mean: (
        Tensor  # [B]: log mean w, the estimate: in expectation between the lower bound and log p(x)
    )
    upper: (
        Tensor | None
    )  # [B]: mean log w of chains that ran backwards from an exact draw, at least log p(x) in expectation
    effective_sample_size: Tensor  # [B], between 1 and the number of chains
    acceptance: Tensor  # [B], of proposals, the mean over all temperatures
    chains: int


@torch.no_grad()
def annealed_importance_sampling(
    model: VAE,
    batch: Batch,
    chains: int = DEFAULT_CHAINS,
    annealing: AISOptions = AISOptions(),
    *,
    z: Tensor | None = None,
    max_pairs: int | None = None,
    on_progress: ProgressCallback | None = None,
) -> AISResult:
    """Weigh ``chains`` annealed chains for each datum of a batch; they move together, ``[chains, B, *latent]``.

    ``rows`` bounds how many chains, those of all data, are decoded at once (all, by default): the others wait for their turn.

    ``z`` ``[B, *latent]`` are the codes that the data were drawn with, where the model itself made them up: exact draws from ``p(z|x)``,
    from which chains run backwards and give an upper bound. Latents on a constrained support move in unconstrained coordinates, with the
    spread of the posterior approximation as their unit. Draws come from the default random stream.

    Raises ``ArgumentError`` for ``chains < 1``, and ``IncompatibleError`` for a posterior without a density, for latent variables that
    do not move continuously, for a prior whose density is an estimate, and for a posterior that does not reach all of the prior, from
    which there is no way.

    >>> from aevb import VAE, likelihoods, networks, posteriors, priors
    >>> net = networks.MLP(6, [8])
    >>> model = VAE(
    ...     priors.Normal(2),
    ...     posteriors.Normal(net, 2),
    ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)),
    ... )
    >>> z, p = model.dream(3)
    >>> found = anneal(
    ...     model, Batch(p.sample()), chains=4, annealing=AISOptions(temperatures=50), z=z
    ... )
    >>> bool((found.lower < found.upper + 0.5).all())
    True
    """
    if chains < 1:
        raise ArgumentError(f"`chains` is {chains}; run at least 1.")
    check_ais(model, annealing)
    path = _AnnealingPath(model, batch, annealing)
    steps = _tune_step_sizes(path, on_progress)
    most = chains if max_pairs is None else max(1, max_pairs // path.size)
    shares = [min(most, chains - start) for start in range(0, chains, most)]
    collected, acceptance, upper = WeightAccumulator(path.size, chains, batch.x.device), [], []
    for share in shares:
        forward = _run_forward(path, steps, share, on_progress)
        collected.add(forward.log_weight)
        acceptance.append(share * forward.acceptance)
    if z is not None:
        upper = [
            _run_backward(path, steps, z.expand(share, *z.shape), on_progress).log_weight.sum(0)
            for share in shares
        ]
    weights = collected.result()
    return AISResult(
        lower=weights.elbo,
        log_mean=weights.log_mean,
        upper=torch.stack(upper).sum(0) / chains if upper else None,
        effective_sample_size=weights.effective_sample_size,
        acceptance=torch.stack(acceptance).sum(0) / chains,
        chains=chains,
    )


def ais_block_size(chains: int, max_pairs: int) -> int:
    """Data whose chains are to be annealed together, so that no more than ``rows`` of all of them, pilots too, are decoded at once."""
    return max(1, max_pairs // max(PILOT_CHAINS, min(chains, max_pairs)))


def check_ais(model: VAE, annealing: AISOptions) -> None:
    """Refuse models whose chains cannot move, or could not arrive. Raises ``IncompatibleError``."""
    check_posterior_density(model, "annealed importance sampling")
    if has_stochastic_density(model):
        raise IncompatibleError(
            f"annealed importance sampling holds densities against each other, and that of `priors.{type(model.prior).__name__}` is an "
            'estimate, another one at each call: its bounds would be none. Use method="importance".'
        )
    p, q = model.probe()
    try:
        biject_to(p.support)
    except NotImplementedError:
        raise IncompatibleError(
            f"annealed importance sampling moves codes continuously, and those of `priors.{type(model.prior).__name__}` cannot be. "
            'Use method="importance".'
        ) from None
    if annealing.start == "posterior" and (has_mass_outside(p, q) or has_mass_outside(q, p)):
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` and `priors.{type(model.prior).__name__}` have different supports, so there is "
            'no way from the one to the other. Write annealing=Annealing(start="prior").'
        )


@dataclass(frozen=True)
class _TemperedState(hmc.HMCState):
    """A place under one temperature. What the decoder says there holds at every other, and is not asked for again."""

    log_likelihood: Tensor  # [chains, B], log p(x|z)
    likelihood_gradient: Tensor  # [chains, B, *latent], its slope
    log_ratio: Tensor  # [chains, B], log p(x, z) - log start(z), float64: what a change of beta is multiplied by


class _AnnealingPath:
    """``log f_beta(u) = (1 - beta) log start(z) + beta log p(x, z) + log |dz/du|`` for unconstrained ``u`` ``[chains, B, *latent]``."""

    def __init__(self, model: VAE, batch: Batch, annealing: AISOptions) -> None:
        self.annealing, self.size = annealing, len(batch.x)
        self.prior = model.prior(None, batch.context)
        unknown = (
            model.posterior.n_rows is not None and batch.index is None
        )  # it has no parameters for these data
        posterior = self.prior if unknown and annealing.start == "prior" else model.infer(batch)
        self.start = posterior if annealing.start == "posterior" else self.prior
        self.score = model.likelihood.log_likelihood_function(batch.x, batch.context)
        self.betas: list[float] = annealing.betas().tolist()
        self.bijector: Any = biject_to(
            self.prior.support
        )  # a Transform, whose calls torch annotates as if they could give nothing
        self.start_precision = self._precision(self.start)
        last = self._precision(posterior)
        self.end_precision = torch.where(
            last.isfinite(), last, self.start_precision
        )  # codes of the posterior that the prior does not know have no scale

    def initial_state(self, chains: int) -> _TemperedState:
        """Draws from where the chains start."""
        return self.evaluate(self.bijector.inv(self._draw(self.start, chains)), 0)

    def evaluate(self, u: Tensor, level: int) -> _TemperedState:
        """What there is to know of ``u`` at the temperature ``number``."""
        return self._tempered_state(
            u, level, *hmc.value_and_grad(lambda point: self.score(self.bijector(point)), u)
        )

    def propose(
        self, state: _TemperedState, level: int, step: Tensor
    ) -> hmc.HMCTransition[_TemperedState]:
        """One proposal for each chain at the temperature ``number``, in units of the scale that each variable has there."""
        scale = torch.rsqrt(torch.lerp(self.start_precision, self.end_precision, self.betas[level]))
        tempered = self._tempered_state(
            state.z, level, state.log_likelihood, state.likelihood_gradient
        )
        return hmc.hmc_transition(
            lambda u: self.evaluate(u, level), tempered, step, self.annealing.leapfrogs, scale=scale
        )

    def _tempered_state(
        self, u: Tensor, level: int, log_likelihood: Tensor, likelihood_gradient: Tensor
    ) -> _TemperedState:
        beta, gain = self.betas[level], torch.empty(0)

        def without_data(point: Tensor) -> Tensor:
            nonlocal gain
            z = self.bijector(point)
            start, prior = self.start.log_prob(z), self.prior.log_prob(z)
            gain = (log_likelihood + prior - start).detach().double()
            return (1 - beta) * start + beta * prior + self.bijector.log_abs_det_jacobian(point, z)

        value, slope = hmc.value_and_grad(without_data, u)
        return _TemperedState(
            u,
            value + beta * log_likelihood,
            slope + beta * likelihood_gradient,
            log_likelihood,
            likelihood_gradient,
            gain,
        )

    def _precision(self, distribution: Distribution) -> Tensor:
        """One over the variance of each variable in unconstrained coordinates, ``[B, *latent]``; precisions of Gaussians add up."""
        variance = self.bijector.inv(self._draw(distribution, SCALE_DRAWS)).var(0)
        return 1 / variance.clamp(min=torch.finfo(variance.dtype).tiny ** 0.5)

    def _draw(self, distribution: Distribution, count: int) -> Tensor:
        return distribution.sample((count,) if distribution.batch_shape else (count, self.size))


@dataclass(frozen=True)
class _ChainWeights:
    log_weight: Tensor  # [chains, B]
    acceptance: Tensor  # [B]


def _tune_step_sizes(path: _AnnealingPath, on_progress: ProgressCallback | None) -> list[Tensor]:
    """A step size for each temperature and each datum, ``[B]``, from a few chains of their own."""
    here, told = (
        path.initial_state(PILOT_CHAINS),
        _ProgressReporter(on_progress, PILOT_CHAINS * path.size),
    )
    step = torch.full_like(here.log_density[0], INITIAL_STEP_SIZE)
    steps = [step]
    moves = [min(1, path.annealing.temperatures - 1)] * PILOT_WARMUP + list(
        range(1, path.annealing.temperatures)
    )
    for number in moves:
        moved = path.propose(here, number, step)
        here, step = (
            moved.state,
            hmc.tune_step_size(step, moved.acceptance, path.annealing.acceptance, STEP_SIZE_GAIN),
        )
        steps.append(step)
        told()
    return steps[PILOT_WARMUP:]


def _run_forward(
    path: _AnnealingPath,
    step_sizes: list[Tensor],
    chains: int,
    on_progress: ProgressCallback | None,
) -> _ChainWeights:
    """``log w = sum_t (beta_t - beta_t-1) gain(z_t-1)``, where ``z_t`` comes from ``z_t-1`` by the kernel of ``beta_t``."""
    here, weight, told = (
        path.initial_state(chains),
        _LogWeightAccumulator(path.betas),
        _ProgressReporter(on_progress, chains * path.size),
    )
    for number in range(1, path.annealing.temperatures):
        weight.add(here, number)
        moved = path.propose(here, number, step_sizes[number])
        here = moved.state
        weight.acceptance.append(moved.acceptance.mean(0))
        told()
    weight.add(here, path.annealing.temperatures)
    told()
    return weight.result()


def _run_backward(
    path: _AnnealingPath, step_sizes: list[Tensor], z: Tensor, on_progress: ProgressCallback | None
) -> _ChainWeights:
    """The same weights of the same chains in reverse: Hamiltonian kernels are their own reversal."""
    here, weight, told = (
        path.evaluate(path.bijector.inv(z), path.annealing.temperatures),
        _LogWeightAccumulator(path.betas),
        _ProgressReporter(on_progress, len(z) * path.size),
    )
    weight.add(here, path.annealing.temperatures)
    for number in range(path.annealing.temperatures - 1, 0, -1):
        here = path.propose(here, number, step_sizes[number]).state
        weight.add(here, number)
        told()
    return weight.result()


class _LogWeightAccumulator:
    """The logarithm of the weight of each chain, as it grows."""

    def __init__(self, betas: list[float]) -> None:
        self.betas = betas
        self.log_weight = torch.zeros((), dtype=torch.float64)
        self.acceptance: list[Tensor] = []

    def add(self, state: _TemperedState, level: int) -> None:
        """What the chains gain where ``beta`` rises to its value ``number``."""
        self.log_weight = (
            self.log_weight + (self.betas[level] - self.betas[level - 1]) * state.log_ratio
        )

    def result(self) -> _ChainWeights:
        told = (
            torch.stack(self.acceptance).mean(0)
            if self.acceptance
            else torch.full_like(self.log_weight[0], math.nan)
        )
        return _ChainWeights(self.log_weight, told)


class _ProgressReporter:
    """Says that so many chains have moved."""

    def __init__(self, on_progress: ProgressCallback | None, increment: int) -> None:
        self.on_progress, self.increment = on_progress, increment

    def __call__(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.increment)
