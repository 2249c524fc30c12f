"""One training step: draw, score, differentiate, update. Non-finite steps change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from .._random import seed_scope
from ..gradients import Gradient
from ..gradients._compatibility import check_row_weights
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, GradientEstimate, weighted_mean
from ._optimisers import make_update
from ._weight_decay import decayed_parameters

STATISTIC_NAMES = ("bound", "log_likelihood", "kl", "target", "penalty")


class StepGradients(NamedTuple):
    """The result of one pass over a batch."""

    # [5 + metrics]: STATISTIC_NAMES, then the metrics of the recipe; zeros where skipped
    statistics: Tensor
    skip: Tensor  # [], whether the loss or the norm of the gradient is not finite
    gradients: tuple[Tensor | None, ...]  # one per parameter


DifferentiateFunction = Callable[..., StepGradients]


class TrainingStep:
    """Steps of one run; the counters are on the device, and the loop reads them when it needs them.

    ``compile`` may turn the loss, its gradients, their clipping and the check for finite numbers
    into one graph; ``capture`` may record the whole step once and replay it. All ways draw from the
    same random stream and take the same steps, to rounding.

    Args:
        model: The model.
        objective: What is maximised.
        gradient: The gradient estimator.
        optimizer: The optimiser of all parameters.
        clip_norm: Largest norm of the gradient.
        micro_batches: Equal parts into which each batch is split.
        compile: Compiles the differentiation.
        capture: Records the step.
        weight_decay: Decoupled decay of the weights, in units of the learning rate.
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
        weight_decay: float = 0.0,
    ) -> None:
        self.model, self.objective, self.gradient = model, objective, gradient
        self.clip_norm, self.micro_batches = clip_norm, micro_batches
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]
        decayed = decayed_parameters(model) if weight_decay else ()
        self.update = make_update(optimizer, weight_decay, decayed)
        # a step may change the buffers that are saved with a model; a skipped step restores them
        self.saved_buffers = [
            tensor for part in (model, objective, gradient) for tensor in persistent_buffers(part)
        ]
        zero = torch.zeros((), device=model.device)
        self.skipped_steps, self.skip_streak = zero.clone(), zero.clone()
        self.differentiate = compile(self._differentiate)
        self.captured_step = capture(self._run)

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; returns its statistics ``[5 + metrics]``, zeros where it was skipped."""
        return self.captured_step(*_fields(batch))

    def run_uncaptured(self, batch: Batch) -> Tensor:
        """Take a step without a recording of its own: for steps inside a longer recording."""
        return self._run(*_fields(batch))

    def _run(self, *fields: Any) -> Tensor:
        batch = Batch(*fields)
        before = [buffer.clone() for buffer in self.saved_buffers]
        statistics, skip, gradients = (
            self.differentiate(*fields)
            if self.micro_batches == 1
            else self._differentiate_micro_batches(batch)
        )
        self.update(self.parameters, gradients, skip)
        for buffer, old in zip(self.saved_buffers, before, strict=True):
            buffer.copy_(torch.where(skip, old, buffer))
        self.skipped_steps += skip
        self.skip_streak += 1
        self.skip_streak *= skip
        return statistics

    def _differentiate_micro_batches(self, batch: Batch) -> StepGradients:
        """Average over equal parts of the batch, one after another, in the memory of one part."""
        pieces = [
            [None] * self.micro_batches if field is None else field.chunk(self.micro_batches)
            for field in (batch.x, batch.context, batch.index, batch.weight)
        ]
        parts = [
            self.differentiate(*piece, batch.dataset_size, weight)
            for *piece, weight in zip(*pieces, strict=True)
        ]
        share = None
        if batch.weight is not None:
            share = torch.stack([weight.sum() for weight in batch.weight.chunk(self.micro_batches)])
        gradients = tuple(
            None if own[0] is None else _mean(own, share)
            for own in zip(*(part.gradients for part in parts), strict=True)
        )
        statistics = _mean([part.statistics for part in parts], share)
        skip, gradients = clip_and_check(statistics[3], gradients, self.clip_norm)
        skip = skip | torch.stack([part.skip for part in parts]).any()
        return StepGradients(torch.where(skip, 0.0, statistics), skip, gradients)

    def _differentiate(
        self,
        x: Tensor,
        context: Tensor | None,
        index: Tensor | None,
        total: int | None,
        weight: Tensor | None,
    ) -> StepGradients:
        return differentiate(
            self.model,
            self.objective,
            self.gradient,
            self.parameters,
            Batch(x, context, index, total, weight),
            # the norm of a gradient in parts is known only when all parts are there
            self.clip_norm if self.micro_batches == 1 else None,
        )

    def find_nonfinite(self, batch: Batch) -> str:
        """The first tensor, by name, that is not finite in another pass over the batch."""
        before = [buffer.clone() for buffer in self.saved_buffers]
        with seed_scope(0, self.model.device):
            estimate = self.gradient(self.model, self.objective, batch)
        for buffer, old in zip(self.saved_buffers, before, strict=True):
            buffer.copy_(old)
        terms, value = estimate.terms, estimate.objective_value
        tensors = {
            "the data": batch.x,
            "the latent draw": terms.z,
            "log p(x|z)": terms.log_likelihood,
            "log p(z)": terms.log_prior,
            "log q(z|x)": terms.log_posterior,
            "the KL divergence": terms.kl,
            "the target": value.target,
            "the penalty": value.penalty,
        }
        return next(
            (
                name
                for name, tensor in tensors.items()
                if tensor is not None and not tensor.isfinite().all()
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
    """Compute statistics and gradients of one batch, clip the gradients, and check both."""
    if batch.weight is not None:
        check_row_weights(gradient, objective)
    estimate = gradient(model, objective, batch)
    raw = torch.autograd.grad(estimate.loss, parameters, allow_unused=True)
    gradients = tuple(
        None if each is None else match_memory_layout(each, parameter)
        for each, parameter in zip(raw, parameters, strict=True)
    )
    skip, gradients = clip_and_check(estimate.loss.detach(), gradients, clip_norm)
    return StepGradients(torch.where(skip, 0.0, batch_statistics(estimate)), skip, gradients)


def clip_and_check(
    loss: Tensor, gradients: Sequence[Tensor | None], clip_norm: float | None = None
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """Check the loss and the norm of the gradients, and clip the gradients.

    Args:
        loss: The loss ``[]``.
        gradients: One per parameter.
        clip_norm: Largest norm.

    Returns:
        Whether the step must be skipped, ``[]``, and the gradients with a norm of at most
        ``clip_norm``.
    """
    norm = torch.nn.utils.get_total_norm(
        [gradient for gradient in gradients if gradient is not None]
    )
    skip = ~torch.isfinite(loss + norm)
    if clip_norm is None:
        return skip, tuple(gradients)
    return skip, _scale(gradients, (clip_norm / (norm + 1e-6)).clamp(max=1.0))


def _scale(gradients: Sequence[Tensor | None], factor: Tensor) -> tuple[Tensor | None, ...]:
    return tuple(None if gradient is None else gradient * factor for gradient in gradients)


def _mean(tensors: Sequence[Tensor], weight: Tensor | None) -> Tensor:
    """The mean of the parts of a batch, by the sums of their weights ``[parts]``."""
    return weighted_mean(torch.stack(list(tensors)), weight, 0)


def _fields(batch: Batch) -> tuple[Any, ...]:
    """The fields of a batch in their order, for functions that are compiled or recorded."""
    return batch.x, batch.context, batch.index, batch.dataset_size, batch.weight


def match_memory_layout(tensor: Tensor, like: Tensor) -> Tensor:
    """The tensor in the memory layout of ``like``: fused optimisers ignore strides."""
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)


def persistent_buffers(module: nn.Module) -> list[Tensor]:
    """The buffers that are saved with a module: only these may change in a step."""
    saved = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in saved]


@torch.no_grad()
def batch_statistics(estimate: GradientEstimate) -> Tensor:
    """Means over the batch: ``STATISTIC_NAMES``, the metrics of penalties, the KL of each layer."""
    terms, value = estimate.terms, estimate.objective_value
    weight = terms.log_measure.exp()
    rate = (
        (weight * (terms.log_posterior - terms.log_prior)).sum(0) if terms.kl is None else terms.kl
    )
    log_likelihood = (weight * terms.log_likelihood).sum(0)
    batch, layers = terms.batch, ()
    if terms.layer_kl is not None:
        layers = batch.row_mean((weight * terms.layer_kl).sum(1)).unbind()
    means = (
        batch.mean(value.bound),
        batch.mean(log_likelihood),
        batch.mean(rate),
        batch.mean(value.target),
        value.penalty,
        *value.metric_values,
        *layers,
    )
    return torch.stack([mean.float() for mean in means])
