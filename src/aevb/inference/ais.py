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

from ..distributions import hmc
from ..distributions.support import reaches_beyond
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..models import VAE
from ..types import Batch
from .importance import Collected, check_density, estimated

CHAINS = 16
PILOTS = 4  # chains that find the step sizes, and are not counted: the others then move by kernels that know nothing of their past
WARMUP = 20  # transitions of the pilots before the first temperature
FIRST = 0.5  # step size to begin with, in units of the scale of each variable
GAIN = 0.1  # of its adaptation along the way
SCALE_DRAWS = 64  # from which the scale of each variable is read
SPREAD = 4.0  # of the sigmoid whose equal steps the temperatures are: slow near both ends

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Annealing:
    """How chains go from ``start`` to ``p(z|x)``: through ``q^(1 - beta) p(x, z)^beta`` at ``temperatures`` + 1 values of ``beta``.

    At each one proposal of Hamiltonian Monte Carlo with ``leapfrogs`` steps, whose size is such that the share ``acceptance`` of proposals
    is taken. ``start`` is the model's posterior approximation, mostly the shorter way, or its prior. The betas are equal steps of a
    sigmoid, or equally spaced (``"linear"``). The bounds come closer to ``log p(x)`` as one over ``temperatures``. Every leapfrog step is
    one pass through the decoder and back, and a new temperature is none: at the same cost many temperatures with one or two leapfrog
    steps bring the bounds closer than the reverse (``benchmarks/bracket.py``).

    Raises ``ArgumentError`` for counts below 1, an acceptance outside (0, 1), and names that are none.

    >>> Annealing(temperatures=4).betas().round(decimals=3).tolist()
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
            raise ArgumentError(f"`acceptance` is {self.acceptance}; give the share of proposals to be accepted, between 0 and 1.")
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
        curve = torch.sigmoid(SPREAD * (2 * even - 1))
        return (curve - curve[0]) / (curve[-1] - curve[0])

    def work(self, rows: int, chains: int, both: bool = False) -> int:
        """How many moves of one chain on one datum that is, forwards or in both directions: the total of what ``advance`` is told.

        >>> Annealing(temperatures=3).work(rows=10, chains=2)
        940
        """
        return rows * ((self.temperatures - 1) * (PILOTS + chains * (2 if both else 1)) + PILOTS * WARMUP + chains)


@dataclass(frozen=True)
class Annealed:
    """What the weights ``w`` of annealed chains say of each datum, ``E w = p(x)``; nats, float64."""

    lower: Tensor  # [B]: mean log w, at most log p(x) in expectation
    log_mean: Tensor  # [B]: log mean w, the estimate: in expectation between the lower bound and log p(x)
    upper: Tensor | None  # [B]: mean log w of chains that ran backwards from an exact draw, at least log p(x) in expectation
    effective_sample_size: Tensor  # [B], between 1 and the number of chains
    acceptance: Tensor  # [B], of proposals, the mean over all temperatures
    chains: int


@torch.no_grad()
def anneal(
    model: VAE,
    batch: Batch,
    chains: int = CHAINS,
    annealing: Annealing = Annealing(),
    *,
    z: Tensor | None = None,
    rows: int | None = None,
    advance: Advance | None = None,
) -> Annealed:
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
    >>> model = VAE(priors.Normal(2), posteriors.Normal(net, 2), likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)))
    >>> z, p = model.dream(3)
    >>> found = anneal(model, Batch(p.sample()), chains=4, annealing=Annealing(temperatures=50), z=z)
    >>> bool((found.lower < found.upper + 0.5).all())
    True
    """
    if chains < 1:
        raise ArgumentError(f"`chains` is {chains}; run at least 1.")
    check_annealed(model, annealing)
    path = _Path(model, batch, annealing)
    steps = _step_sizes(path, advance)
    most = chains if rows is None else max(1, rows // path.size)
    shares = [min(most, chains - start) for start in range(0, chains, most)]
    collected, acceptance, upper = Collected(path.size, chains, batch.x.device), [], []
    for share in shares:
        forward = _forwards(path, steps, share, advance)
        collected.add(forward.log_weight)
        acceptance.append(share * forward.acceptance)
    if z is not None:
        upper = [_backwards(path, steps, z.expand(share, *z.shape), advance).log_weight.sum(0) for share in shares]
    weights = collected.weights()
    return Annealed(
        lower=weights.elbo,
        log_mean=weights.log_mean,
        upper=torch.stack(upper).sum(0) / chains if upper else None,
        effective_sample_size=weights.effective_sample_size,
        acceptance=torch.stack(acceptance).sum(0) / chains,
        chains=chains,
    )


def rows_together(chains: int, rows: int) -> int:
    """Data whose chains are to be annealed together, so that no more than ``rows`` of all of them, pilots too, are decoded at once."""
    return max(1, rows // max(PILOTS, min(chains, rows)))


def check_annealed(model: VAE, annealing: Annealing) -> None:
    """Refuse models whose chains cannot move, or could not arrive. Raises ``IncompatibleError``."""
    check_density(model, "annealed importance sampling")
    if estimated(model):
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
    if annealing.start == "posterior" and (reaches_beyond(p, q) or reaches_beyond(q, p)):
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` and `priors.{type(model.prior).__name__}` have different supports, so there is "
            'no way from the one to the other. Write annealing=Annealing(start="prior").'
        )


@dataclass(frozen=True)
class _Rung(hmc.Place):
    """A place under one temperature. What the decoder says there holds at every other, and is not asked for again."""

    log_likelihood: Tensor  # [chains, B], log p(x|z)
    pull: Tensor  # [chains, B, *latent], its slope
    gain: Tensor  # [chains, B], log p(x, z) - log start(z), float64: what a change of beta is multiplied by


class _Path:
    """``log f_beta(u) = (1 - beta) log start(z) + beta log p(x, z) + log |dz/du|`` for unconstrained ``u`` ``[chains, B, *latent]``."""

    def __init__(self, model: VAE, batch: Batch, annealing: Annealing) -> None:
        self.annealing, self.size = annealing, len(batch.x)
        self.prior = model.prior(None, batch.context)
        unknown = model.posterior.rows is not None and batch.index is None  # it has no parameters for these data
        posterior = self.prior if unknown and annealing.start == "prior" else model.infer(batch)
        self.start = posterior if annealing.start == "posterior" else self.prior
        self.score = model.likelihood.scorer(batch.x, batch.context)
        self.betas: list[float] = annealing.betas().tolist()
        self.free: Any = biject_to(self.prior.support)  # a Transform, whose calls torch annotates as if they could give nothing
        self.first = self._precision(self.start)
        last = self._precision(posterior)
        self.last = torch.where(last.isfinite(), last, self.first)  # codes of the posterior that the prior does not know have no scale

    def begin(self, chains: int) -> _Rung:
        """Draws from where the chains start."""
        return self.at(self.free.inv(self._drawn(self.start, chains)), 0)

    def at(self, u: Tensor, number: int) -> _Rung:
        """What there is to know of ``u`` at the temperature ``number``."""
        return self._rung(u, number, *hmc.valued(lambda point: self.score(self.free(point)), u))

    def move(self, here: _Rung, number: int, step: Tensor) -> hmc.Transition[_Rung]:
        """One proposal for each chain at the temperature ``number``, in units of the scale that each variable has there."""
        scale = torch.rsqrt(torch.lerp(self.first, self.last, self.betas[number]))
        tempered = self._rung(here.z, number, here.log_likelihood, here.pull)
        return hmc.transition(lambda u: self.at(u, number), tempered, step, self.annealing.leapfrogs, scale=scale)

    def _rung(self, u: Tensor, number: int, log_likelihood: Tensor, pull: Tensor) -> _Rung:
        beta, gain = self.betas[number], torch.empty(0)

        def without_data(point: Tensor) -> Tensor:
            nonlocal gain
            z = self.free(point)
            start, prior = self.start.log_prob(z), self.prior.log_prob(z)
            gain = (log_likelihood + prior - start).detach().double()
            return (1 - beta) * start + beta * prior + self.free.log_abs_det_jacobian(point, z)

        value, slope = hmc.valued(without_data, u)
        return _Rung(u, value + beta * log_likelihood, slope + beta * pull, log_likelihood, pull, gain)

    def _precision(self, distribution: Distribution) -> Tensor:
        """One over the variance of each variable in unconstrained coordinates, ``[B, *latent]``; precisions of Gaussians add up."""
        variance = self.free.inv(self._drawn(distribution, SCALE_DRAWS)).var(0)
        return 1 / variance.clamp(min=torch.finfo(variance.dtype).tiny ** 0.5)

    def _drawn(self, distribution: Distribution, count: int) -> Tensor:
        return distribution.sample((count,) if distribution.batch_shape else (count, self.size))


@dataclass(frozen=True)
class _Run:
    log_weight: Tensor  # [chains, B]
    acceptance: Tensor  # [B]


def _step_sizes(path: _Path, advance: Advance | None) -> list[Tensor]:
    """A step size for each temperature and each datum, ``[B]``, from a few chains of their own."""
    here, told = path.begin(PILOTS), _Told(advance, PILOTS * path.size)
    step = torch.full_like(here.log_density[0], FIRST)
    steps = [step]
    moves = [min(1, path.annealing.temperatures - 1)] * WARMUP + list(range(1, path.annealing.temperatures))
    for number in moves:
        moved = path.move(here, number, step)
        here, step = moved.place, hmc.tuned(step, moved.acceptance, path.annealing.acceptance, GAIN)
        steps.append(step)
        told()
    return steps[WARMUP:]


def _forwards(path: _Path, steps: list[Tensor], chains: int, advance: Advance | None) -> _Run:
    """``log w = sum_t (beta_t - beta_t-1) gain(z_t-1)``, where ``z_t`` comes from ``z_t-1`` by the kernel of ``beta_t``."""
    here, weight, told = path.begin(chains), _Weight(path.betas), _Told(advance, chains * path.size)
    for number in range(1, path.annealing.temperatures):
        weight.add(here, number)
        moved = path.move(here, number, steps[number])
        here = moved.place
        weight.acceptance.append(moved.acceptance.mean(0))
        told()
    weight.add(here, path.annealing.temperatures)
    told()
    return weight.run()


def _backwards(path: _Path, steps: list[Tensor], z: Tensor, advance: Advance | None) -> _Run:
    """The same weights of the same chains in reverse: Hamiltonian kernels are their own reversal."""
    here, weight, told = path.at(path.free.inv(z), path.annealing.temperatures), _Weight(path.betas), _Told(advance, len(z) * path.size)
    weight.add(here, path.annealing.temperatures)
    for number in range(path.annealing.temperatures - 1, 0, -1):
        here = path.move(here, number, steps[number]).place
        weight.add(here, number)
        told()
    return weight.run()


class _Weight:
    """The logarithm of the weight of each chain, as it grows."""

    def __init__(self, betas: list[float]) -> None:
        self.betas = betas
        self.log = torch.zeros((), dtype=torch.float64)
        self.acceptance: list[Tensor] = []

    def add(self, here: _Rung, number: int) -> None:
        """What the chains gain where ``beta`` rises to its value ``number``."""
        self.log = self.log + (self.betas[number] - self.betas[number - 1]) * here.gain

    def run(self) -> _Run:
        told = torch.stack(self.acceptance).mean(0) if self.acceptance else torch.full_like(self.log[0], math.nan)
        return _Run(self.log, told)


class _Told:
    """Says that so many chains have moved."""

    def __init__(self, advance: Advance | None, amount: int) -> None:
        self.advance, self.amount = advance, amount

    def __call__(self) -> None:
        if self.advance is not None:
            self.advance(self.amount)
