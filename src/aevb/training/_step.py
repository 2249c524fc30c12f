"""One step: draw, score, differentiate, update; and nothing that is not finite ever reaches the weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._random import seed_scope
from ..gradients import Gradient
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate
from ._optimisers import make_update

STATISTIC_NAMES = ("bound", "log_likelihood", "kl", "target", "penalty")


class StepGradients(NamedTuple):
    """What one pass over a batch gives."""

    statistics: Tensor  # [5 + measures], in the order of STATISTICS and of the recipe's measures; zeros where refused
    skip: Tensor  # [], whether the loss or the gradient's norm is not finite
    gradients: tuple[Tensor | None, ...]  # as the parameters


DifferentiateFunction = Callable[..., StepGradients]


class TrainingStep:
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
        clip_norm: float | None = None,
        micro_batches: int = 1,
        compile: Callable[[DifferentiateFunction], DifferentiateFunction] = lambda function: (
            function
        ),
        capture: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = lambda function: (
            function
        ),
    ) -> None:
        self.model, self.objective, self.gradient, self.clip_norm, self.micro_batches = (
            model,
            objective,
            gradient,
            clip_norm,
            micro_batches,
        )
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.update = make_update(optimizer)
        # what is saved with a model may change during a step, and is then put back where the step is refused
        self.saved_buffers = [
            tensor for part in (model, objective, gradient) for tensor in persistent_buffers(part)
        ]
        zero = torch.zeros((), device=model.device)
        self.skipped_steps, self.skip_streak = zero.clone(), zero.clone()
        self.differentiate = compile(self._differentiate)
        self.captured_step = capture(self._run)

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; returns its statistics ``[5 + measures]``, zeros where it was refused."""
        return self.captured_step(batch.x, batch.context, batch.index, batch.dataset_size)

    def run_uncaptured(self, batch: Batch) -> Tensor:
        """The same without a recording of its own: for steps that are part of a longer one."""
        return self._run(batch.x, batch.context, batch.index, batch.dataset_size)

    def _run(
        self, x: Tensor, context: Tensor | None, index: Tensor | None, total: int | None
    ) -> Tensor:
        batch = Batch(x, context, index, total)
        held = [buffer.clone() for buffer in self.saved_buffers]
        measured, refused, gradients = (
            self._differentiate_whole(batch)
            if self.micro_batches == 1
            else self._differentiate_micro_batches(batch)
        )
        self.update(self.parameters, gradients, refused)
        for buffer, before in zip(self.saved_buffers, held, strict=True):
            buffer.copy_(torch.where(refused, before, buffer))
        self.skipped_steps += refused
        self.skip_streak += 1
        self.skip_streak *= refused
        return measured

    def _differentiate_whole(self, batch: Batch) -> StepGradients:
        return self.differentiate(batch.x, batch.context, batch.index, batch.dataset_size)

    def _differentiate_micro_batches(self, batch: Batch) -> StepGradients:
        """Means over equal parts of the batch, one after the other: the memory is that of one part."""
        pieces = [
            [None] * self.micro_batches if field is None else field.chunk(self.micro_batches)
            for field in (batch.x, batch.context, batch.index)
        ]
        made = [
            self.differentiate(*piece, batch.dataset_size) for piece in zip(*pieces, strict=True)
        ]
        gradients = tuple(
            None if each[0] is None else _mean(each)
            for each in zip(*(one.gradients for one in made), strict=True)
        )
        refused, gradients = clip_and_check(
            _mean([one.statistics for one in made])[3], gradients, self.clip_norm
        )
        refused = refused | torch.stack([one.skip for one in made]).any()
        return StepGradients(
            torch.where(refused, 0.0, _mean([one.statistics for one in made])), refused, gradients
        )

    def _differentiate(
        self, x: Tensor, context: Tensor | None, index: Tensor | None, total: int | None
    ) -> StepGradients:
        clip = (
            self.clip_norm if self.micro_batches == 1 else None
        )  # of parts, the norm is known only at the end
        return differentiate(
            self.model,
            self.objective,
            self.gradient,
            self.parameters,
            Batch(x, context, index, total),
            clip,
        )

    def find_nonfinite(self, batch: Batch) -> str:
        """The first tensor that is not finite when the model looks at this batch again, by name."""
        held = [buffer.clone() for buffer in self.saved_buffers]
        with seed_scope(0, self.model.device):
            estimate = self.gradient(self.model, self.objective, batch)
        for buffer, before in zip(
            self.saved_buffers, held, strict=True
        ):  # looking leaves no trace in what is learned without a gradient
            buffer.copy_(before)
        terms, score = estimate.terms, estimate.objective_value
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
        return next(
            (
                name
                for name, value in named.items()
                if value is not None and not value.isfinite().all()
            ),
            "the gradient",
        )


def differentiate(
    model: VAE,
    objective: Objective,
    gradient: Gradient,
    parameters: Sequence[Tensor],
    batch: Batch,
    clip_norm: float | None,
) -> StepGradients:
    """Loss and gradients of one batch, the gradients clipped to the norm ``clip``, and whether all of it is finite."""
    estimate = gradient(model, objective, batch)
    found = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    gradients = tuple(
        None if gradient is None else match_memory_layout(gradient, parameter)
        for gradient, parameter in zip(found, parameters, strict=True)
    )
    refused, gradients = clip_and_check(estimate.loss.detach(), gradients, clip_norm)
    return StepGradients(torch.where(refused, 0.0, batch_statistics(estimate)), refused, gradients)


def clip_and_check(
    loss: Tensor, gradients: Sequence[Tensor | None], clip_norm: float | None
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Whether the loss or the norm of the gradients is not finite, and the gradients clipped to the norm ``clip``."""
    norm = torch.nn.utils.get_total_norm(
        [gradient for gradient in gradients if gradient is not None]
    )
    refused = ~torch.isfinite(loss + norm)
    if clip_norm is None:
        return refused, tuple(gradients)
    return refused, _scale(gradients, (clip_norm / (norm + 1e-6)).clamp(max=1.0))


def _scale(gradients: Sequence[Tensor | None], factor: Tensor) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient * factor for gradient in gradients)


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(tensors)).mean(0)


def match_memory_layout(tensor: Tensor, like: Tensor) -> Tensor:
    """The same numbers in the memory layout of ``like``: the fused optimisers go through memory, not through indices."""
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)


def persistent_buffers(module: nn.Module) -> list[Tensor]:
    """Buffers that are saved with a model: those that a step may change."""
    kept = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in kept]


@torch.no_grad()
def batch_statistics(estimate: GradientEstimate) -> Tensor:
    """Means over the batch, in the order of ``STATISTICS``, after them what penalties measure, and the divergence of each layer."""
    terms, score = estimate.terms, estimate.objective_value
    weight = terms.log_measure.exp()
    rate = (
        (weight * (terms.log_posterior - terms.log_prior)).sum(0) if terms.kl is None else terms.kl
    )
    log_likelihood = (weight * terms.log_likelihood).sum(0)
    layers = () if terms.layer_kl is None else (weight * terms.layer_kl).sum(1).mean(1).unbind()
    means = (
        score.bound.mean(),
        log_likelihood.mean(),
        rate.mean(),
        score.target.mean(),
        score.penalty,
        *score.metric_values,
        *layers,
    )
    return torch.stack([mean.float() for mean in means])
