"""Optimisers as factories, and how the learning rate moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from .._recipe import Recipe

OptimizerFactory = Callable[[Iterable[Tensor]], Optimizer]


def adam(
    lr: float = 1.5e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    fused: bool = True,
) -> OptimizerFactory:
    """Adam (Kingma and Ba 2015) in its fused form, as a factory ``parameters -> Optimizer``.

    >>> adam(1e-3)([torch.zeros(2, requires_grad=True)]).defaults["lr"]
    0.001
    """
    return lambda parameters: Adam(parameters, lr=lr, betas=betas, eps=eps, fused=fused)


def build_optimizer(recipe: Recipe, factory: OptimizerFactory) -> Optimizer:
    """The optimiser of a run: the factory's, and beside its groups one for each that the objective sets apart."""
    apart = recipe.objective.parameter_groups()
    owned = {id(parameter) for group in apart for parameter in group.parameters}
    parts = (recipe.model, recipe.objective, recipe.gradient)
    learned = [
        parameter for part in parts for parameter in part.parameters() if parameter.requires_grad
    ]  # one may be frozen
    optimizer = factory([parameter for parameter in learned if id(parameter) not in owned])
    base = optimizer.param_groups[0]["lr"]
    for group in apart:
        betas = (
            {"betas": group.betas}
            if group.betas is not None and "betas" in optimizer.defaults
            else {}
        )
        optimizer.add_param_group(
            {"params": list(group.parameters), "lr": base * group.lr_scale, **betas}
        )
    return optimizer


@dataclass(frozen=True)
class WarmupCosine:
    """The factor on the learning rate: up from 0 over ``warmup`` steps, then down along half a cosine to ``final`` at the end of the run.

    >>> rate = WarmupCosine(warmup=10, final=0.01)
    >>> [round(rate(step, 110 * 10), 2) for step in (0, 4, 9)], round(rate(1100, 1100), 2)
    ([0.1, 0.5, 1.0], 0.01)
    """

    warmup: int = 1000
    final: float = 0.01

    def __call__(self, step: int, total: float) -> float:
        """The factor at ``step`` of ``total``; a warm-up never takes more than a tenth of the run."""
        warmup = min(self.warmup, total / 10)
        if step < warmup:
            return (step + 1) / max(warmup, 1)
        share = min((step - warmup) / max(total - warmup, 1), 1.0)
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * share))


def constant_schedule(step: int, total: float) -> float:
    """The factor 1 at every step."""
    return 1.0


def set_learning_rates(optimizer: Optimizer, base: list[float], factor: float) -> None:
    """Scale every group's learning rate from its own base."""
    for group, rate in zip(optimizer.param_groups, base, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * factor)
        else:
            group["lr"] = rate * factor


def base_learning_rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


UpdateFunction = Callable[[Sequence[Tensor], Sequence[Tensor | None], Tensor], None]


def make_update(optimizer: Optimizer) -> UpdateFunction:
    """How this optimiser takes ``(parameters, gradients, skip)`` so that a refused step changes nothing, its state included.

    A fused kernel is told on the device, and no answer is awaited from there; any other optimiser has to be asked on the host.
    """
    if is_plain_adam(optimizer):
        return _FusedAdamUpdate(optimizer)
    return partial(_update_unless_skipped, optimizer, _is_fused(optimizer))


def _is_fused(optimizer: Optimizer) -> bool:
    return all(group.get("fused") for group in optimizer.param_groups)


def is_plain_adam(optimizer: Optimizer) -> TypeGuard[Adam]:
    """Whether this is Adam as published, in one group, so that its kernel alone does all that it does."""
    if type(optimizer) is not Adam or len(optimizer.param_groups) > 1:
        return False
    return _is_fused(optimizer) and not any(
        optimizer.param_groups[0][name] for name in ("amsgrad", "decoupled_weight_decay")
    )


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


class _FusedAdamUpdate:
    """The kernel of fused Adam without the Python around it, which costs as much as the arithmetic of a small model.

    The state stays that of the optimiser, where checkpoints find it; the optimiser's own first step makes it, or has loaded it.
    """

    def __init__(self, optimizer: Adam) -> None:
        self.optimizer = optimizer
        self.used_indices: list[int] | None = None

    def __call__(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], skip: Tensor
    ) -> None:
        if self.used_indices is None:
            _update_unless_skipped(self.optimizer, True, parameters, gradients, skip)
            self._initialise_state(parameters, gradients)
            return
        group = self.optimizer.param_groups[0]
        self.step_counts += ~skip
        torch._fused_adam_(  # pyright: ignore[reportCallIssue, reportPrivateImportUsage]
            self.parameters,
            [gradients[i] for i in self.used_indices],  # pyright: ignore[reportArgumentType]
            self.exp_avgs,
            self.exp_avg_sqs,
            [],
            self.steps,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=group["maximize"],
            grad_scale=None,
            found_inf=skip.float(),
        )

    def _initialise_state(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]
    ) -> None:
        self.used_indices = [i for i, gradient in enumerate(gradients) if gradient is not None]
        self.parameters = [parameters[i] for i in self.used_indices]
        for parameter in self.parameters:
            parameter.grad = None
        states = [self.optimizer.state[parameter] for parameter in self.parameters]
        self.step_counts = torch.stack([state["step"] for state in states])
        self.steps = list(self.step_counts.unbind())  # views: one addition counts for all of them
        for state, step in zip(states, self.steps, strict=True):
            state["step"] = step
        self.exp_avgs = [state["exp_avg"] for state in states]
        self.exp_avg_sqs = [state["exp_avg_sq"] for state in states]
