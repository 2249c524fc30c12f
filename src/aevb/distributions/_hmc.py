"""Hamiltonian Monte Carlo on a log-density, for many chains in parallel.

A log-density maps points ``[*chains, *event]`` (with at least one event axis) to ``[*chains]``; the
value of a chain depends on its own point only. A ``StateFn`` evaluates the log-density and its
gradient at a point. Transitions are pure functions of states and step sizes, so that training,
sampling and annealing share them and never evaluate a point twice. Draws come from the default
random stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..errors import ArgumentError

TARGET_ACCEPTANCE = 0.8  # between 0.65 (Neal 2011, many variables) and 0.9 (the AEVB paper)
STEP_SIZE_JITTER = (
    0.2  # relative; avoids trajectories of a whole period, which end where they start
)
WARMUP_GAIN_DECAY = 0.6  # exponent of the gain's decrease; Robbins-Monro converges above 1/2


@dataclass(frozen=True)
class HMCState:
    """Point of each chain with its log-density and gradient.

    A ``StateFn`` may return a subclass with further fields.

    Args:
        z: Points ``[*chains, *event]``.
        log_density: Log-density at the points, ``[*chains]``.
        gradient: Gradient of the log-density, ``[*chains, *event]``.
    """

    z: Tensor
    log_density: Tensor
    gradient: Tensor


StateT = TypeVar("StateT", bound=HMCState)
LogDensity = Callable[[Tensor], Tensor]
StateFn = Callable[[Tensor], StateT]


@dataclass(frozen=True)
class PhasePoint(Generic[StateT]):
    """State with a momentum.

    Args:
        state: Points with log-density and gradient.
        momentum: Momenta ``[*chains, *event]``.
    """

    state: StateT
    momentum: Tensor

    @property
    def z(self) -> Tensor:
        """The points, ``[*chains, *event]``."""
        return self.state.z

    @property
    def energy(self) -> Tensor:
        """Total energy ``-log p(z) + |momentum|^2 / 2``, ``[*chains]``, a conserved quantity."""
        log_density = self.state.log_density
        return 0.5 * self.momentum.square().flatten(log_density.dim()).sum(-1) - log_density


@dataclass(frozen=True)
class HMCTransition(Generic[StateT]):
    """Result of one proposal for every chain.

    Args:
        state: States after the decision.
        acceptance: Acceptance probabilities ``[*chains]``; 0 where the energy of the proposal is
            not finite.
        is_accepted: Decisions ``[*chains]``.
    """

    state: StateT
    acceptance: Tensor
    is_accepted: Tensor


@dataclass(frozen=True)
class HMCSamples:
    """Draws of every chain after its warm-up.

    Args:
        z: Draws ``[draws, *chains, *event]``.
        acceptance: Mean acceptance probability, ``[*chains]``.
        step_size: Step sizes after the warm-up: ``[*chains]``, or the shape of the argument.
    """

    z: Tensor
    acceptance: Tensor
    step_size: Tensor


def hmc_state_fn(log_density: LogDensity, *, differentiable: bool = False) -> StateFn[HMCState]:
    """Make a function that evaluates a log-density and its gradient, by autograd.

    Args:
        log_density: Maps points ``[*chains, *event]`` to ``[*chains]``.
        differentiable: Whether value and gradient stay differentiable, in the point and in the
            parameters of the log-density.

    Returns:
        Function from points to an ``HMCState``.
    """

    def state_fn(z: Tensor) -> HMCState:
        value, gradient = value_and_grad(log_density, z, differentiable=differentiable)
        return HMCState(z if differentiable else z.detach(), value, gradient)

    return state_fn


def value_and_grad(
    log_density: LogDensity, z: Tensor, *, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """Value ``[*chains]`` of a log-density at ``z``, and its gradient ``[*chains, *event]``."""
    with torch.enable_grad():
        point = z if differentiable and z.requires_grad else z.detach().requires_grad_()
        value = log_density(point)
        (slope,) = torch.autograd.grad(value.sum(), point, create_graph=differentiable)
    return (value, slope) if differentiable else (value.detach(), slope)


def leapfrog(
    state_fn: StateFn[StateT],
    start: PhasePoint[StateT],
    step_size: Tensor,
    leapfrogs: int,
    scale: Tensor | None = None,
) -> PhasePoint[StateT]:
    """Integrate Hamilton's equations with leapfrog steps.

    For every step size the map is reversible (with the momentum or the step size negated) and
    preserves volume, so that the acceptance probability of a proposal depends on its energy only.
    Neal, MCMC using Hamiltonian dynamics (2011).

    Args:
        state_fn: Evaluates the log-density and its gradient.
        start: Initial points and momenta.
        step_size: Step size; broadcasts against ``[*chains]``.
        leapfrogs: Number of steps.
        scale: Scale of each variable, ``[*event]`` or broadcastable to the points; steps have
            length ``step_size * scale``.

    Returns:
        The final points and momenta.

    Example:
        >>> gaussian = hmc_state_fn(lambda z: -0.5 * z.square().sum(-1))
        >>> start = PhasePoint(gaussian(torch.ones(1, 2)), torch.zeros(1, 2))
        >>> leapfrog(gaussian, start, torch.tensor(0.1), 5).z.round(decimals=2)  # cos(0.5)
        tensor([[0.8800, 0.8800]])
    """
    size = _expand_to_event(step_size, start.z, start.state.log_density)
    size = size if scale is None else size * scale
    state, momentum = start.state, start.momentum
    for _ in range(leapfrogs):
        half = momentum + 0.5 * size * state.gradient
        state = state_fn(state.z + size * half)
        momentum = half + 0.5 * size * state.gradient
    return PhasePoint(state, momentum)


def hmc_transition(
    state_fn: StateFn[StateT],
    state: StateT,
    step_size: Tensor,
    leapfrogs: int = 10,
    jitter: float = STEP_SIZE_JITTER,
    scale: Tensor | None = None,
) -> HMCTransition[StateT]:
    """Apply one transition that leaves ``exp(log_density)`` invariant.

    Draw momenta, follow a trajectory, and accept or reject for each chain. A proposal whose energy
    is not finite is rejected.

    Args:
        state_fn: Evaluates the log-density and its gradient.
        state: Current states.
        step_size: Step size; broadcasts against ``[*chains]``.
        leapfrogs: Number of leapfrog steps per trajectory.
        jitter: Largest relative random change of each chain's step size.
        scale: Scale of each variable, as for ``leapfrog``.

    Returns:
        The next states, and which chains accepted their proposal.

    Example:
        >>> torch.manual_seed(0).initial_seed()
        0
        >>> gaussian = hmc_state_fn(lambda z: -0.5 * z.square().sum(-1))
        >>> hmc_transition(gaussian, gaussian(torch.zeros(4, 2)), torch.tensor(0.1)).is_accepted
        tensor([True, True, True, True])
    """
    start = PhasePoint(state, torch.randn_like(state.z))
    jittered = step_size * (1 + jitter * (2 * torch.rand_like(state.log_density) - 1))
    end = leapfrog(state_fn, start, jittered, leapfrogs, scale)
    # a chain at a point of density 0 accepts every proposal with a density
    gain = start.energy.nan_to_num(nan=torch.inf) - end.energy
    acceptance = torch.where(end.energy.isfinite(), gain.clamp(max=0).exp(), 0.0)
    accepted = torch.rand_like(acceptance) < acceptance
    return HMCTransition(_select_chains(accepted, end.state, state), acceptance, accepted)


def _select_chains(mask: Tensor, if_true: StateT, if_false: StateT) -> StateT:
    """Fields of ``if_true`` for the chains in ``mask``, fields of ``if_false`` for the others."""
    pairs = {
        field.name: (getattr(if_true, field.name), getattr(if_false, field.name))
        for field in fields(if_true)
    }
    return replace(
        if_true,
        **{
            name: torch.where(_expand_to_event(mask, a, mask), a, b)
            for name, (a, b) in pairs.items()
        },
    )


def _expand_to_event(value: Tensor, like: Tensor, chains: Tensor) -> Tensor:
    """Append the event axes of ``like`` to a value per chain."""
    return value.reshape(*value.shape, *[1] * (like.dim() - chains.dim()))


def tune_step_size(
    step_size: Tensor,
    acceptance: Tensor,
    target_acceptance: float = TARGET_ACCEPTANCE,
    gain: float = 0.1,
) -> Tensor:
    """Update step sizes: ``log step + gain (acceptance - target)``.

    Chains that share a step size share their mean acceptance. Robbins and Monro (1951).

    Args:
        step_size: Step sizes: a scalar, one per chain, or a shape that broadcasts to the chains.
        acceptance: Acceptance probabilities ``[*chains]``.
        target_acceptance: Acceptance probability to aim at.
        gain: Step length of the update.

    Returns:
        The new step sizes, with the shape of ``step_size``.

    Example:
        >>> tune_step_size(torch.ones(2), torch.tensor([1.0, 0.0]), gain=1.0)
        tensor([1.2214, 0.4493])
    """
    shared = acceptance.sum_to_size(step_size.shape) * (step_size.numel() / acceptance.numel())
    return step_size * torch.exp(gain * (shared - target_acceptance))


def sample_hmc(
    log_density: LogDensity,
    z: Tensor,
    draws: int,
    *,
    warmup: int = 200,
    leapfrogs: int = 10,
    step_size: Tensor | float = 0.1,
    target_acceptance: float = TARGET_ACCEPTANCE,
    thin: int = 1,
) -> HMCSamples:
    """Draw from a log-density with Hamiltonian Monte Carlo.

    During the warm-up the step sizes adapt to the target acceptance; in its second half the gain
    decreases and the final step sizes are geometric means.

    Args:
        log_density: Maps points ``[*chains, *event]`` to ``[*chains]``.
        z: Initial points ``[*chains, *event]``.
        draws: Number of draws per chain.
        warmup: Number of transitions that adapt the step sizes and are discarded.
        leapfrogs: Number of leapfrog steps per trajectory.
        step_size: Initial step size. A number: each chain adapts its own; a tensor: chains share
            step sizes as it broadcasts.
        target_acceptance: Acceptance probability to aim at, in (0, 1).
        thin: Number of transitions per draw.

    Returns:
        The draws, with acceptance and final step sizes.

    Raises:
        ArgumentError: A count is too small, or ``target_acceptance`` lies outside (0, 1).

    Example:
        >>> torch.manual_seed(0).initial_seed()
        0
        >>> sample_hmc(
        ...     lambda z: -0.5 * z.square().sum(-1), torch.zeros(50, 2), draws=20
        ... ).z.std().sub(1).abs() < 0.3
        tensor(True)
    """
    counts = {"draws": (draws, 1), "warmup": (warmup, 0), "leapfrogs": (leapfrogs, 1)}
    for argument, (count, least) in {**counts, "thin": (thin, 1)}.items():
        if count < least:
            raise ArgumentError(f"it must be at least {least}", argument=argument, value=count)
    if not 0 < target_acceptance < 1:
        raise ArgumentError(
            "it must be a probability between 0 and 1",
            argument="target_acceptance",
            value=target_acceptance,
        )
    state_fn = hmc_state_fn(log_density)
    state = state_fn(z)
    if not isinstance(step_size, Tensor):
        step_size = torch.full_like(state.log_density, step_size)
    state, size = _warm_up(state_fn, state, step_size, warmup, leapfrogs, target_acceptance)
    samples, acceptance = [], []
    for _ in range(draws):
        transition = hmc_transition(state_fn, state, size, leapfrogs)
        for _ in range(thin - 1):
            transition = hmc_transition(state_fn, transition.state, size, leapfrogs)
        state = transition.state
        samples.append(state.z)
        acceptance.append(transition.acceptance)
    return HMCSamples(torch.stack(samples), torch.stack(acceptance).mean(0), size)


def _warm_up(
    state_fn: StateFn[HMCState],
    state: HMCState,
    step_size: Tensor,
    warmup: int,
    leapfrogs: int,
    target_acceptance: float,
) -> tuple[HMCState, Tensor]:
    """Run the warm-up; returns the states and the adapted step sizes."""
    logs = []
    for number in range(warmup):
        later = number - warmup // 2
        transition = hmc_transition(state_fn, state, step_size, leapfrogs)
        state, gain = transition.state, max(later + 1, 1) ** -WARMUP_GAIN_DECAY
        step_size = tune_step_size(step_size, transition.acceptance, target_acceptance, gain)
        if later >= 0:
            logs.append(step_size.log())
    return state, torch.stack(logs).mean(0).exp() if logs else step_size
