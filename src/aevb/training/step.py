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

    statistics: Tensor  # [5], in the order of STATISTICS; zeros where refused
    refused: Tensor  # [], whether the loss or the gradient's norm is not finite
    gradients: tuple[Tensor | None, ...]  # as the parameters


Differentiate = Callable[..., Differentiated]


class Step:
    """Steps of one run. Counters live on the device and are read by the loop when it wants to know.

    ``compile`` may put loss, gradients, their clipping and the check that they are finite into one graph; the update is one call of the
    optimiser either way. The draws come from the same stream in both, so both take the same steps, to rounding.
    """

    def __init__(
        self,
        model: VAE,
        objective: Objective,
        gradient: Gradient,
        optimizer: Optimizer,
        clip: float | None = None,
        compile: Callable[[Differentiate], Differentiate] = lambda function: function,
    ) -> None:
        self.model, self.objective, self.gradient, self.clip = model, objective, gradient, clip
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.update = updater(optimizer)
        # what is saved with a model may change during a step, and is then put back where the step is refused
        self.state = [tensor for part in (model, objective, gradient) for tensor in learned_buffers(part)]
        zero = torch.zeros((), device=model.device)
        self.skipped, self.streak = zero.clone(), zero.clone()
        self.differentiate = compile(self._differentiate)

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; returns its statistics ``[5]``, zeros where it was refused."""
        held = [buffer.clone() for buffer in self.state]
        measured, refused, gradients = self.differentiate(batch.x, batch.context, batch.index, batch.total)
        self.update(self.parameters, gradients, refused)
        for buffer, before in zip(self.state, held, strict=True):
            buffer.copy_(torch.where(refused, before, buffer))
        self.skipped += refused
        self.streak += 1
        self.streak *= refused
        return measured

    def _differentiate(self, x: Tensor, context: Tensor | None, index: Tensor | None, total: int | None) -> Differentiated:
        return differentiate(self.model, self.objective, self.gradient, self.parameters, Batch(x, context, index, total), self.clip)

    def culprit(self, batch: Batch) -> str:
        """The first tensor that is not finite when the model looks at this batch again, by name."""
        with seeded(0, self.model.device):
            estimate = self.gradient(self.model, self.objective, batch)
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
    gradients = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
    if clip is not None:
        factor = (clip / (norm + 1e-6)).clamp(max=1.0)
        gradients = tuple(None if gradient is None else gradient * factor for gradient in gradients)
    refused = ~torch.isfinite(estimate.loss.detach() + norm)
    return Differentiated(torch.where(refused, 0.0, statistics(estimate)), refused, gradients)


def learned_buffers(module: nn.Module) -> list[Tensor]:
    """Buffers that are saved with a model: those that a step may change."""
    kept = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in kept]


@torch.no_grad()
def statistics(estimate: Estimate) -> Tensor:
    """Means over the batch, in the order of ``STATISTICS``."""
    terms, score = estimate.terms, estimate.score
    weight = terms.log_measure.exp()
    rate = (weight * (terms.log_posterior - terms.log_prior)).sum(0) if terms.kl is None else terms.kl
    log_likelihood = (weight * terms.log_likelihood).sum(0)
    means = (score.bound.mean(), log_likelihood.mean(), rate.mean(), score.target.mean(), score.penalty)
    return torch.stack([mean.float() for mean in means])
