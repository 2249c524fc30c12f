"""Optimisers as factories, and how the learning rate moves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

Factory = Callable[[Iterable[Tensor]], Optimizer]


def adam(rate: float = 1.5e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, fused: bool = True) -> Factory:
    """Adam (Kingma and Ba 2015) in its fused form, as a factory ``parameters -> Optimizer``.

    >>> adam(1e-3)([torch.zeros(2, requires_grad=True)]).defaults["lr"]
    0.001
    """
    return lambda parameters: Adam(parameters, lr=rate, betas=betas, eps=eps, fused=fused)


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


def constant(step: int, total: float) -> float:
    """The factor 1 at every step."""
    return 1.0


def set_rates(optimizer: Optimizer, base: list[float], factor: float) -> None:
    """Scale every group's learning rate from its own base."""
    for group, rate in zip(optimizer.param_groups, base, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * factor)
        else:
            group["lr"] = rate * factor


def base_rates(optimizer: Optimizer) -> list[float]:
    return [float(group["lr"]) for group in optimizer.param_groups]


def is_fused(optimizer: Optimizer) -> bool:
    """Whether the optimiser's kernel can be told, on the device, to leave everything as it is."""
    return all(group.get("fused") for group in optimizer.param_groups)


def all_finite(loss: Tensor, gradients: list[Tensor]) -> Tensor:
    """Whether the loss and the norm of the gradient are finite, as a 0-dim tensor on their device."""
    return torch.isfinite(loss.detach() + torch.nn.utils.get_total_norm(gradients, foreach=True))
