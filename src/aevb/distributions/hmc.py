"""Hamiltonian Monte Carlo on a log-density: many chains at once, each accepted or rejected by itself.

A log-density maps points ``[*chains, *event]`` (an event has at least one axis) to ``[*chains]``, and the value of a chain depends on its
own point alone. Kernels hold nothing: points and step sizes go in and come out, so that training, sampling and a ladder of temperatures
can share them. Draws come from the default random stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ArgumentError

LogDensity = Callable[[Tensor], Tensor]

ACCEPTANCE = 0.8  # between the 0.65 of many independent variables (Neal 2011) and the 0.9 of the AEVB paper
JITTER = 0.2  # of the step size, either way: a trajectory of one whole period would bring every chain back to where it began
DECAY = 0.6  # of the gain in the second half of a warm-up: a Robbins-Monro sequence settles for exponents above 1/2


@dataclass(frozen=True)
class Phase:
    """A point of each chain with its momentum, and what the log-density says there."""

    z: Tensor  # [*chains, *event]
    momentum: Tensor  # [*chains, *event]
    log_density: Tensor  # [*chains]
    slope: Tensor  # [*chains, *event], the gradient of the log-density

    @property
    def energy(self) -> Tensor:
        """``-log p(z) + |momentum|^2 / 2``, ``[*chains]``: what the exact flow would keep."""
        return 0.5 * self.momentum.square().flatten(self.log_density.dim()).sum(-1) - self.log_density


@dataclass(frozen=True)
class Transition:
    """Where the chains are after one proposal each."""

    z: Tensor  # [*chains, *event]
    acceptance: Tensor  # [*chains], the probability with which the proposal was accepted; 0 where its energy is not finite
    accepted: Tensor  # [*chains], whether it was


@dataclass(frozen=True)
class Samples:
    """Draws of every chain after its warm-up."""

    z: Tensor  # [draws, *chains, *event]
    acceptance: Tensor  # [*chains], the mean over the draws
    step: Tensor  # as the warm-up left it: [*chains], or the shape that was given


def phase(log_density: LogDensity, z: Tensor, momentum: Tensor, *, attached: bool = False) -> Phase:
    """Ask the log-density for its value and its gradient at ``z``; nothing else receives a gradient.

    ``attached`` keeps what is found differentiable, in ``z`` and in what the log-density depends on.
    """
    with torch.enable_grad():
        point = z if attached and z.requires_grad else z.detach().requires_grad_()
        value = log_density(point)
        (slope,) = torch.autograd.grad(value.sum(), point, create_graph=attached)
    return Phase(point, momentum, value, slope) if attached else Phase(z.detach(), momentum, value.detach(), slope)


def leapfrog(log_density: LogDensity, start: Phase, step: Tensor, leapfrogs: int, *, attached: bool = False) -> Phase:
    """Follow Hamilton's equations for ``leapfrogs`` steps of size ``step``, which broadcasts against ``[*chains]``.

    For any step size the map is reversible (turn the momentum, and it runs back) and preserves volume, so that a proposal needs no
    correction but that of its energy; with the step turned it runs back. ``attached`` keeps it differentiable in all that it depends on.
    Neal, MCMC using Hamiltonian dynamics (2011).

    >>> def gaussian(z):
    ...     return -0.5 * z.square().sum(-1)
    >>> start = phase(gaussian, torch.ones(1, 2), torch.zeros(1, 2))
    >>> leapfrog(gaussian, start, torch.tensor(0.1), 5).z.round(decimals=2)  # cos(0.5)
    tensor([[0.8800, 0.8800]])
    """
    size = step.reshape(*step.shape, *[1] * (start.z.dim() - start.log_density.dim()))
    there = start
    for _ in range(leapfrogs):
        half = there.momentum + 0.5 * size * there.slope
        there = phase(log_density, there.z + size * half, half, attached=attached)
        there = Phase(there.z, half + 0.5 * size * there.slope, there.log_density, there.slope)
    return there


def transition(log_density: LogDensity, z: Tensor, step: Tensor, leapfrogs: int = 10, jitter: float = JITTER) -> Transition:
    """One step of the kernel that leaves ``exp(log_density)`` as it is: fresh momenta, a trajectory, and a decision for each chain.

    ``step`` broadcasts against ``[*chains]``; each chain's is changed at random by up to the fraction ``jitter``. A proposal of an energy
    that is not finite is rejected.

    >>> torch.manual_seed(0).initial_seed()
    0
    >>> transition(lambda z: -0.5 * z.square().sum(-1), torch.zeros(4, 2), torch.tensor(0.1)).accepted
    tensor([True, True, True, True])
    """
    start = phase(log_density, z, torch.randn_like(z))
    jittered = step * (1 + jitter * (2 * torch.rand_like(start.log_density) - 1))
    end = leapfrog(log_density, start, jittered, leapfrogs)
    # where a chain stands on no density at all, every proposal that has one is taken
    gain = start.energy.nan_to_num(nan=torch.inf) - end.energy
    acceptance = torch.where(end.energy.isfinite(), gain.clamp(max=0).exp(), 0.0)
    accepted = torch.rand_like(acceptance) < acceptance
    chosen = accepted.reshape(*accepted.shape, *[1] * (z.dim() - accepted.dim()))
    return Transition(torch.where(chosen, end.z, start.z), acceptance, accepted)


def tuned(step: Tensor, acceptance: Tensor, target: float = ACCEPTANCE, gain: float = 0.1) -> Tensor:
    """``log step + gain (acceptance - target)``: a larger step where more was accepted than wanted. Robbins and Monro (1951).

    ``step`` is one number, one for each chain, or anything between that broadcasts: chains that share a step share their mean acceptance.

    >>> tuned(torch.ones(2), torch.tensor([1.0, 0.0]), gain=1.0)
    tensor([1.2214, 0.4493])
    """
    shared = acceptance.sum_to_size(step.shape) * (step.numel() / acceptance.numel())
    return step * torch.exp(gain * (shared - target))


def sample(
    log_density: LogDensity,
    z: Tensor,
    draws: int,
    *,
    warmup: int = 200,
    leapfrogs: int = 10,
    step: Tensor | float = 0.1,
    target: float = ACCEPTANCE,
    thin: int = 1,
) -> Samples:
    """``draws`` from every chain, started at ``z`` ``[*chains, *event]``, with ``thin`` transitions for each.

    During ``warmup`` transitions the step sizes move towards the acceptance ``target``, in the second half by less and less, over which
    their logarithm is averaged. A number for ``step`` is where each chain begins with a step of its own; a tensor is shared as it
    broadcasts. Raises ``ArgumentError`` for settings that no run could use.

    >>> torch.manual_seed(0).initial_seed()
    0
    >>> sample(lambda z: -0.5 * z.square().sum(-1), torch.zeros(50, 2), draws=20).z.std().round(decimals=1)
    tensor(1.)
    """
    for argument, value, least in (("draws", draws, 1), ("warmup", warmup, 0), ("leapfrogs", leapfrogs, 1), ("thin", thin, 1)):
        if value < least:
            raise ArgumentError(f"`{argument}` is {value}; give at least {least}.")
    if not 0 < target < 1:
        raise ArgumentError(f"`target` is {target}; give the share of proposals to be accepted, between 0 and 1.")
    z, size = _warm(log_density, z, _steps(log_density, z, step), warmup, leapfrogs, target)
    kept, acceptance = [], []
    for _ in range(draws):
        for _ in range(thin):
            moved = transition(log_density, z, size, leapfrogs)
            z = moved.z
        kept.append(z)
        acceptance.append(moved.acceptance)
    return Samples(torch.stack(kept), torch.stack(acceptance).mean(0), size)


def _steps(log_density: LogDensity, z: Tensor, step: Tensor | float) -> Tensor:
    if isinstance(step, Tensor):
        return step
    with torch.no_grad():
        return torch.full_like(log_density(z), step)


def _warm(log_density: LogDensity, z: Tensor, step: Tensor, warmup: int, leapfrogs: int, target: float) -> tuple[Tensor, Tensor]:
    """The chains after their warm-up, and the step size found."""
    logs = []
    for number in range(warmup):
        later = number - warmup // 2
        moved = transition(log_density, z, step, leapfrogs)
        z, step = moved.z, tuned(step, moved.acceptance, target, gain=max(later + 1, 1) ** -DECAY)
        if later >= 0:
            logs.append(step.log())
    return z, torch.stack(logs).mean(0).exp() if logs else step
