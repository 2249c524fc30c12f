"""Optimisers as factories, and schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from .._hardware import uses_plain_engine
from .._recipe import Recipe
from .._skipped_steps import learning_rate_limit, overflow_error
from ._engine._fused_adam import FusedAdamUpdate, UpdateFunction, is_plain_adam
from ._weight_decay import DecayedUpdate

OptimizerFactory = Callable[[Iterable[Tensor]], Optimizer]
LearningRateSchedule = Callable[[int, float], float]


def adam(
    lr: float = 1.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    fused: bool = True,
) -> OptimizerFactory:
    """Make a factory of Adam optimisers (Kingma and Ba 2015), for ``fit(..., optimizer=...)``.

    Args:
        lr: Learning rate, which the schedule of the run scales.
        betas: Decays of the running means of gradients and of squared gradients.
        eps: Added to the root of the second mean.
        fused: Whether one kernel updates all parameters.

    Returns:
        A function from parameters to an optimiser.

    Example:
        >>> import torch
        >>> adam(1e-3)([torch.zeros(2, requires_grad=True)]).defaults["lr"]
        0.001
    """
    return lambda parameters: Adam(parameters, lr=lr, betas=betas, eps=eps, fused=fused)


def build_optimizer(recipe: Recipe, factory: OptimizerFactory) -> Optimizer:
    """Build the optimiser of a run, with one more group for each that the objective sets apart."""
    groups = recipe.objective.parameter_groups()
    owned = {id(parameter) for group in groups for parameter in group.parameters}
    parts = (recipe.model, recipe.objective, recipe.gradient)
    learned = [p for part in parts for p in part.parameters() if p.requires_grad]
    optimizer = factory([parameter for parameter in learned if id(parameter) not in owned])
    base = optimizer.param_groups[0]["lr"]
    for group in groups:
        has_betas = group.betas is not None and "betas" in optimizer.defaults
        betas = {"betas": group.betas} if has_betas else {}
        optimizer.add_param_group(
            {"params": list(group.parameters), "lr": base * group.lr_scale, **betas}
        )
    return optimizer


@dataclass(frozen=True)
class WarmupCosine:
    """A factor on the learning rate: linear warm-up, then half a cosine down to the end of the run.

    Args:
        warmup: Steps of the warm-up, at most a tenth of the run.
        final: The factor at the end.

    Example:
        >>> schedule = WarmupCosine(warmup=10, final=0.01)
        >>> [round(schedule(step, 110 * 10), 2) for step in (0, 4, 9)]
        [0.1, 0.5, 1.0]
        >>> round(schedule(1100, 1100), 2)
        0.01
    """

    warmup: int = 1000
    final: float = 0.01

    def __call__(self, step: int, total: float) -> float:
        """Compute the factor.

        Args:
            step: Number of the step, from 0.
            total: Steps in the whole run, as far as they can be foreseen.

        Returns:
            The factor on the learning rate.
        """
        warmup = min(self.warmup, total / 10)
        if step < warmup:
            return (step + 1) / max(warmup, 1)
        share = min((step - warmup) / max(total - warmup, 1), 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))


def constant_schedule(step: int, total: float) -> float:
    """The factor 1 at every step."""
    return 1.0


def set_learning_rates(optimizer: Optimizer, base: list[float], factor: float) -> None:
    """Set every group's learning rate to its base rate times a factor."""
    for group, rate in zip(optimizer.param_groups, base, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * factor)
        else:
            group["lr"] = rate * factor


def base_learning_rates(optimizer: Optimizer) -> list[float]:
    """The learning rate of every group, before the schedule."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def make_update(
    optimizer: Optimizer, weight_decay: float = 0.0, decayed: Sequence[Tensor] = ()
) -> UpdateFunction:
    """Make the update ``(parameters, gradients, skip)``; a skipped step changes nothing.

    A fused kernel reads ``skip`` on the device; for other optimisers the host waits for it. Where
    no limit on the learning rate excludes it, an update that overflows is undone and raised.

    Args:
        optimizer: The optimiser.
        weight_decay: Decoupled decay, in units of the learning rate.
        decayed: The weights that decay.
    """
    fused = all(group.get("fused") for group in optimizer.param_groups)
    update: UpdateFunction = partial(_update_unless_skipped, optimizer, fused)
    fast = optimizer if is_plain_adam(optimizer) and not uses_plain_engine() else None
    if fast is not None:
        update = FusedAdamUpdate(fast, update)
    if weight_decay:
        update = DecayedUpdate(optimizer, decayed, weight_decay, update)
    limited = fast is not None or learning_rate_limit(optimizer)
    return update if limited else partial(_update_checked, optimizer, update)


@torch.no_grad()
def _update_checked(
    optimizer: Optimizer,
    update: UpdateFunction,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    skip: Tensor,
) -> None:
    before = [parameter.clone() for parameter in parameters]
    rate = float(optimizer.param_groups[0]["lr"])
    try:
        update(parameters, gradients, skip)
        overflows = not torch.nn.utils.get_total_norm(parameters, math.inf).isfinite()
    except RuntimeError as error:  # a number that does not fit into the type of the weights
        if "overflow" not in str(error):
            raise
        overflows = True
    if overflows:
        for parameter, old in zip(parameters, before, strict=True):
            parameter.copy_(old)
        raise overflow_error(rate)


def _update_unless_skipped(
    optimizer: Optimizer,
    fused: bool,
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    skip: Tensor,
) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient
    if fused:
        optimizer.grad_scale, optimizer.found_inf = None, skip.float()  # pyright: ignore[reportAttributeAccessIssue]
        optimizer.step()
    elif not skip:
        optimizer.step()
