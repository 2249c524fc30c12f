"""Hamiltonian Monte Carlo on a log-density: many chains at once, each accepted or rejected by itself.

A log-density maps points ``[*chains, *event]`` (an event has at least one axis) to ``[*chains]``, and the value of a chain depends on its
own point alone. A ``StateFn`` says where one stands: the value there and its slope. Kernels hold nothing: places and step sizes go in and
come out, so that training, sampling and a ladder of temperatures can share them, and nothing is asked twice of the same point. Draws come
from the default random stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..errors import ArgumentError

TARGET_ACCEPTANCE = (
    0.8  # between the 0.65 of many independent variables (Neal 2011) and the 0.9 of the AEVB paper
)
STEP_SIZE_JITTER = 0.2  # of the step size, either way: a trajectory of one whole period would bring every chain back to where it began
WARMUP_GAIN_DECAY = 0.6  # of the gain in the second half of a warm-up: a Robbins-Monro sequence settles for exponents above 1/2


@dataclass(frozen=True)
class HMCState:
    """A point of each chain, and what the log-density says there. A field may give a kind of its own, with more to remember."""

    z: Tensor  # [*chains, *event]
    log_density: Tensor  # [*chains]
    gradient: Tensor  # [*chains, *event], the gradient of the log-density


StateT = TypeVar("StateT", bound=HMCState)
LogDensity = Callable[[Tensor], Tensor]
StateFn = Callable[[Tensor], StateT]


@dataclass(frozen=True)
class PhasePoint(Generic[StateT]):
    """A place with a momentum."""

    state: StateT
    momentum: Tensor  # [*chains, *event]

    @property
    def z(self) -> Tensor:
        """The point, ``[*chains, *event]``."""
        return self.state.z

    @property
    def energy(self) -> Tensor:
        """``-log p(z) + |momentum|^2 / 2``, ``[*chains]``: what the exact flow would keep."""
        log_density = self.state.log_density
        return 0.5 * self.momentum.square().flatten(log_density.dim()).sum(-1) - log_density


@dataclass(frozen=True)
class HMCTransition(Generic[StateT]):
    """Where the chains are after one proposal each."""

    state: StateT
    acceptance: Tensor  # [*chains], the probability with which the proposal was accepted; 0 where its energy is not finite
    is_accepted: Tensor  # [*chains], whether it was


@dataclass(frozen=True)
class HMCSamples:
    """Draws of every chain after its warm-up."""

    z: Tensor  # [draws, *chains, *event]
    acceptance: Tensor  # [*chains], the mean over the draws
    step_size: Tensor  # as the warm-up left it: [*chains], or the shape that was given


def make_state_fn(log_density: LogDensity, *, differentiable: bool = False) -> StateFn[HMCState]:
    """The log-density as a field, by autograd; nothing but the point receives a gradient.

    ``differentiable`` keeps what is found differentiable, in ``z`` and in what the log-density depends on.
    """

    def at(z: Tensor) -> HMCState:
        value, slope = value_and_grad(log_density, z, differentiable=differentiable)
        return HMCState(z if differentiable else z.detach(), value, slope)

    return at


def value_and_grad(
    log_density: LogDensity, z: Tensor, *, differentiable: bool = False
) -> tuple[Tensor, Tensor]:
    """The value ``[*chains]`` at ``z`` and its gradient ``[*chains, *event]``."""
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
    """Follow Hamilton's equations for ``leapfrogs`` steps of size ``step``, which broadcasts against ``[*chains]``.

    ``scale`` ``[*event]``, or what broadcasts to ``z``, gives each variable a unit of its own: steps are ``step * scale`` long.
    For any step size the map is reversible (turn the momentum, and it runs back) and preserves volume, so that a proposal needs no
    correction but that of its energy; with the step turned it runs back. Neal, MCMC using Hamiltonian dynamics (2011).

    >>> gaussian = field(lambda z: -0.5 * z.square().sum(-1))
    >>> start = PhasePoint(gaussian(torch.ones(1, 2)), torch.zeros(1, 2))
    >>> leapfrog(gaussian, start, torch.tensor(0.1), 5).z.round(decimals=2)  # cos(0.5)
    tensor([[0.8800, 0.8800]])
    """
    size = _expand_to_event(step_size, start.z, start.state.log_density)
    size = size if scale is None else size * scale
    place, momentum = start.state, start.momentum
    for _ in range(leapfrogs):
        half = momentum + 0.5 * size * place.gradient
        place = state_fn(place.z + size * half)
        momentum = half + 0.5 * size * place.gradient
    return PhasePoint(place, momentum)


def hmc_transition(
    state_fn: StateFn[StateT],
    state: StateT,
    step_size: Tensor,
    leapfrogs: int = 10,
    jitter: float = STEP_SIZE_JITTER,
    scale: Tensor | None = None,
) -> HMCTransition[StateT]:
    """One step of the kernel that leaves ``exp(log_density)`` as it is: fresh momenta, a trajectory, and a decision for each chain.

    ``step`` broadcasts against ``[*chains]``; each chain's is changed at random by up to the fraction ``jitter``. ``scale`` is that of
    ``leapfrog``. A proposal of an energy that is not finite is rejected.

    >>> torch.manual_seed(0).initial_seed()
    0
    >>> gaussian = field(lambda z: -0.5 * z.square().sum(-1))
    >>> transition(gaussian, gaussian(torch.zeros(4, 2)), torch.tensor(0.1)).accepted
    tensor([True, True, True, True])
    """
    start = PhasePoint(state, torch.randn_like(state.z))
    jittered = step_size * (1 + jitter * (2 * torch.rand_like(state.log_density) - 1))
    end = leapfrog(state_fn, start, jittered, leapfrogs, scale)
    # where a chain stands on no density at all, every proposal that has one is taken
    gain = start.energy.nan_to_num(nan=torch.inf) - end.energy
    acceptance = torch.where(end.energy.isfinite(), gain.clamp(max=0).exp(), 0.0)
    accepted = torch.rand_like(acceptance) < acceptance
    return HMCTransition(_select_chains(accepted, end.state, state), acceptance, accepted)


def _select_chains(mask: Tensor, if_true: StateT, if_false: StateT) -> StateT:
    """For each chain what ``one`` holds where ``first`` ``[*chains]``, and what ``other`` holds elsewhere."""
    pairs = {
        each.name: (getattr(if_true, each.name), getattr(if_false, each.name))
        for each in fields(if_true)
    }
    return replace(
        if_true,
        **{
            name: torch.where(_expand_to_event(mask, a, mask), a, b)
            for name, (a, b) in pairs.items()
        },
    )


def _expand_to_event(value: Tensor, like: Tensor, chains: Tensor) -> Tensor:
    """A number for each chain with the axes of an event behind it, as ``like`` has them behind those of ``chains``."""
    return value.reshape(*value.shape, *[1] * (like.dim() - chains.dim()))


def tune_step_size(
    step_size: Tensor,
    acceptance: Tensor,
    target_acceptance: float = TARGET_ACCEPTANCE,
    gain: float = 0.1,
) -> Tensor:
    """``log step + gain (acceptance - target)``: a larger step where more was accepted than wanted. Robbins and Monro (1951).

    ``step`` is one number, one for each chain, or anything between that broadcasts: chains that share a step share their mean acceptance.

    >>> tuned(torch.ones(2), torch.tensor([1.0, 0.0]), gain=1.0)
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
    """``draws`` from every chain, started at ``z`` ``[*chains, *event]``, with ``thin`` transitions for each.

    During ``warmup`` transitions the step sizes move towards the acceptance ``target``, in the second half by less and less, over which
    their logarithm is averaged. A number for ``step`` is where each chain begins with a step of its own; a tensor is shared as it
    broadcasts. Raises ``ArgumentError`` for settings that no run could use.

    >>> torch.manual_seed(0).initial_seed()
    0
    >>> sample_hmc(lambda z: -0.5 * z.square().sum(-1), torch.zeros(50, 2), draws=20).z.std().sub(1).abs() < 0.3  # which errs by about 0.04
    tensor(True)
    """
    for argument, value, least in (
        ("draws", draws, 1),
        ("warmup", warmup, 0),
        ("leapfrogs", leapfrogs, 1),
        ("thin", thin, 1),
    ):
        if value < least:
            raise ArgumentError(f"`{argument}` is {value}; give at least {least}.")
    if not 0 < target_acceptance < 1:
        raise ArgumentError(
            f"`target` is {target_acceptance}; give the share of proposals to be accepted, between 0 and 1."
        )
    known = make_state_fn(log_density)
    here = known(z)
    here, size = _warm_up(
        known,
        here,
        step_size
        if isinstance(step_size, Tensor)
        else torch.full_like(here.log_density, step_size),
        warmup,
        leapfrogs,
        target_acceptance,
    )
    kept, acceptance = [], []
    for _ in range(draws):
        for _ in range(thin):
            moved = hmc_transition(known, here, size, leapfrogs)
            here = moved.state
        kept.append(here.z)
        acceptance.append(moved.acceptance)
    return HMCSamples(torch.stack(kept), torch.stack(acceptance).mean(0), size)


def _warm_up(
    state_fn: StateFn[HMCState],
    state: HMCState,
    step_size: Tensor,
    warmup: int,
    leapfrogs: int,
    target_acceptance: float,
) -> tuple[HMCState, Tensor]:
    """The chains after their warm-up, and the step size found."""
    logs = []
    for number in range(warmup):
        later = number - warmup // 2
        moved = hmc_transition(state_fn, state, step_size, leapfrogs)
        state, step_size = (
            moved.state,
            tune_step_size(
                step_size,
                moved.acceptance,
                target_acceptance,
                gain=max(later + 1, 1) ** -WARMUP_GAIN_DECAY,
            ),
        )
        if later >= 0:
            logs.append(step_size.log())
    return state, torch.stack(logs).mean(0).exp() if logs else step_size
