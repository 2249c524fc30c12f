"""Fused Adam without the Python code around its kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

UpdateFunction = Callable[[Sequence[Tensor], Sequence[Tensor | None], Tensor], None]


def is_plain_adam(optimizer: Optimizer) -> TypeGuard[Adam]:
    """Whether the optimiser is fused Adam as published, in one parameter group."""
    if type(optimizer) is not Adam or len(optimizer.param_groups) > 1:
        return False
    group = optimizer.param_groups[0]
    return bool(group.get("fused")) and not (group["amsgrad"] or group["decoupled_weight_decay"])


class FusedAdamUpdate:
    """Call the kernel of fused Adam directly: the Python code of ``Adam.step`` takes as long as
    the arithmetic of a small model.

    The state remains in the optimiser, where checkpoints find it.

    Args:
        optimizer: Fused Adam in one parameter group.
        first_update: Takes the first step, which makes the optimiser's state.
    """

    def __init__(self, optimizer: Adam, first_update: UpdateFunction) -> None:
        self.optimizer, self.first_update = optimizer, first_update
        self.used_indices: list[int] | None = None

    def __call__(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], skip: Tensor
    ) -> None:
        """Take a step, or change nothing if ``skip`` is true."""
        if self.used_indices is None:
            self.first_update(parameters, gradients, skip)
            self._collect_state(parameters, gradients)
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

    def _collect_state(
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
