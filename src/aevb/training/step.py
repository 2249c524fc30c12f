"""One step: draw, score, differentiate, update; and nothing that is not finite ever reaches the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..gradients import Gradient
from ..models import VAE
from ..objectives import Objective
from ..random import seeded
from ..types import Batch, Estimate
from .optimisers import updater

STATISTICS = ("bound", "log_likelihood", "kl", "target", "penalty")


class Differentiated(NamedTuple):
    """What one pass over a batch gives."""

    statistics: Tensor  # [5 + measures], in the order of STATISTICS and of the recipe's measures; zeros where refused
    refused: Tensor  # [], whether the loss or the gradient's norm is not finite
    gradients: tuple[Tensor | None, ...]  # as the parameters


Differentiate = Callable[..., Differentiated]


class Step:
    """Steps of one run. Counters live on the device and are read by the loop when it wants to know.

    ``compile`` may put loss, gradients, their clipping and the check that they are finite into one graph; the update is one call of the
    optimiser either way. ``capture`` may record all of it once and replay it. The draws come from the same stream in each way, so all
    take the same steps, to rounding.
    """

    def __init__(
        self,
        model: VAE,
        objective: Objective,
        gradient: Gradient,
        optimizer: Optimizer,
        clip: float | None = None,
        parts: int = 1,
        compile: Callable[[Differentiate], Differentiate] = lambda function: function,
        capture: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = lambda function: function,
    ) -> None:
        self.model, self.objective, self.gradient, self.clip, self.parts = model, objective, gradient, clip, parts
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.update = updater(optimizer)
        # what is saved with a model may change during a step, and is then put back where the step is refused
        self.state = [tensor for part in (model, objective, gradient) for tensor in learned_buffers(part)]
        zero = torch.zeros((), device=model.device)
        self.skipped, self.streak = zero.clone(), zero.clone()
        self.differentiate = compile(self._differentiate)
        self.take = capture(self._take)

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; returns its statistics ``[5 + measures]``, zeros where it was refused."""
        return self.take(batch.x, batch.context, batch.index, batch.total)

    def plainly(self, batch: Batch) -> Tensor:
        """The same without a recording of its own: for steps that are part of a longer one."""
        return self._take(batch.x, batch.context, batch.index, batch.total)

    def _take(self, x: Tensor, context: Tensor | None, index: Tensor | None, total: int | None) -> Tensor:
        batch = Batch(x, context, index, total)
        held = [buffer.clone() for buffer in self.state]
        measured, refused, gradients = self._whole(batch) if self.parts == 1 else self._in_parts(batch)
        self.update(self.parameters, gradients, refused)
        for buffer, before in zip(self.state, held, strict=True):
            buffer.copy_(torch.where(refused, before, buffer))
        self.skipped += refused
        self.streak += 1
        self.streak *= refused
        return measured

    def _whole(self, batch: Batch) -> Differentiated:
        return self.differentiate(batch.x, batch.context, batch.index, batch.total)

    def _in_parts(self, batch: Batch) -> Differentiated:
        """Means over equal parts of the batch, one after the other: the memory is that of one part."""
        pieces = [[None] * self.parts if field is None else field.chunk(self.parts) for field in (batch.x, batch.context, batch.index)]
        made = [self.differentiate(*piece, batch.total) for piece in zip(*pieces, strict=True)]
        gradients = tuple(None if each[0] is None else _mean(each) for each in zip(*(one.gradients for one in made), strict=True))
        refused, gradients = guarded(_mean([one.statistics for one in made])[3], gradients, self.clip)
        refused = refused | torch.stack([one.refused for one in made]).any()
        return Differentiated(torch.where(refused, 0.0, _mean([one.statistics for one in made])), refused, gradients)

    def _differentiate(self, x: Tensor, context: Tensor | None, index: Tensor | None, total: int | None) -> Differentiated:
        clip = self.clip if self.parts == 1 else None  # of parts, the norm is known only at the end
        return differentiate(self.model, self.objective, self.gradient, self.parameters, Batch(x, context, index, total), clip)

    def culprit(self, batch: Batch) -> str:
        """The first tensor that is not finite when the model looks at this batch again, by name."""
        held = [buffer.clone() for buffer in self.state]
        with seeded(0, self.model.device):
            estimate = self.gradient(self.model, self.objective, batch)
        for buffer, before in zip(self.state, held, strict=True):  # looking leaves no trace in what is learned without a gradient
            buffer.copy_(before)
        terms, score = estimate.terms, estimate.score
        named = {
            "the data": batch.x,
            "the latent draw": terms.z,
            "log p(x|z)": terms.log_likelihood,
            "log p(z)": terms.log_prior,
            "log q(z|x)": terms.log_posterior,
            "the divergence": terms.kl,
            "the target": score.target,
            "the penalty": score.penalty,
        }
        return next((name for name, value in named.items() if value is not None and not value.isfinite().all()), "the gradient")


def differentiate(
    model: VAE, objective: Objective, gradient: Gradient, parameters: Sequence[Tensor], batch: Batch, clip: float | None
) -> Differentiated:
    """Loss and gradients of one batch, the gradients clipped to the norm ``clip``, and whether all of it is finite."""
    estimate = gradient(model, objective, batch)
    found = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    gradients = tuple(
        None if gradient is None else laid_out(gradient, parameter) for gradient, parameter in zip(found, parameters, strict=True)
    )
    refused, gradients = guarded(estimate.loss.detach(), gradients, clip)
    return Differentiated(torch.where(refused, 0.0, statistics(estimate)), refused, gradients)


def guarded(loss: Tensor, gradients: Sequence[Tensor | None], clip: float | None) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Whether the loss or the norm of the gradients is not finite, and the gradients clipped to the norm ``clip``."""
    norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
    refused = ~torch.isfinite(loss + norm)
    if clip is None:
        return refused, tuple(gradients)
    return refused, _scaled(gradients, (clip / (norm + 1e-6)).clamp(max=1.0))


def _scaled(gradients: Sequence[Tensor | None], factor: Tensor) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient * factor for gradient in gradients)


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(0)


def laid_out(tensor: Tensor, like: Tensor) -> Tensor:
    """The same numbers in the memory layout of ``like``: the fused optimisers go through memory, not through indices."""
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)


def learned_buffers(module: nn.Module) -> list[Tensor]:
    """Buffers that are saved with a model: those that a step may change."""
    kept = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in kept]


@torch.no_grad()
def statistics(estimate: Estimate) -> Tensor:
    """Means over the batch, in the order of ``STATISTICS``, after them what penalties measure, and the divergence of each layer."""
    terms, score = estimate.terms, estimate.score
    weight = terms.log_measure.exp()
    rate = (weight * (terms.log_posterior - terms.log_prior)).sum(0) if terms.kl is None else terms.kl
    log_likelihood = (weight * terms.log_likelihood).sum(0)
    layers = () if terms.layers is None else (weight * terms.layers).sum(1).mean(1).unbind()
    means = (score.bound.mean(), log_likelihood.mean(), rate.mean(), score.target.mean(), score.penalty, *score.values, *layers)
    return torch.stack([mean.float() for mean in means])
