"""One step: draw, score, differentiate, update; and nothing that is not finite ever reaches the weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..gradients import Gradient
from ..models import VAE
from ..objectives import Objective
from ..types import Batch, Estimate
from .optimisers import all_finite, is_fused

STATISTICS = ("bound", "log_likelihood", "kl", "target", "penalty")


@dataclass
class Step:
    """Eager steps. Counters live on the device and are read by the loop when it wants to know."""

    model: VAE
    objective: Objective
    gradient: Gradient
    optimizer: Optimizer
    clip: float | None = None

    def __post_init__(self) -> None:
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.state = [buffer for part in (self.model, self.objective, self.gradient) for buffer in part.buffers()]
        self.fused = is_fused(self.optimizer)
        zero = torch.zeros((), device=self.model.device)
        self.skipped, self.streak = zero.clone(), zero.clone()
        self.last: Estimate | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step; returns its statistics ``[5]``, zeros where it was refused."""
        held = [buffer.clone() for buffer in self.state]
        self.optimizer.zero_grad(set_to_none=True)
        self.last = estimate = self.gradient(self.model, self.objective, batch)
        estimate.loss.backward()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        refused = ~all_finite(estimate.loss, gradients)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.clip, foreach=True)
        self._update(refused, held)
        return torch.where(refused, 0.0, statistics(estimate))

    def _update(self, refused: Tensor, held: list[Tensor]) -> None:
        if self.fused:
            # the kernel itself leaves weights, moments and its step count alone: no answer is awaited from the device
            self.optimizer.grad_scale, self.optimizer.found_inf = None, refused.float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif not refused:
            self.optimizer.step()
        for buffer, before in zip(self.state, held, strict=True):
            buffer.copy_(torch.where(refused, before, buffer))
        self.skipped += refused
        self.streak = torch.where(refused, self.streak + 1, 0.0)

    def culprit(self) -> str:
        """The first tensor of the last step that is not finite, by name."""
        if self.last is None:
            return "the loss"
        terms, score = self.last.terms, self.last.score
        named = {
            "the data": terms.batch.x,
            "the latent draw": terms.z,
            "log p(x|z)": terms.log_likelihood,
            "log p(z)": terms.log_prior,
            "log q(z|x)": terms.log_posterior,
            "the divergence": terms.kl,
            "the target": score.target,
            "the penalty": score.penalty,
        }
        return next((name for name, value in named.items() if value is not None and not value.isfinite().all()), "the gradient")


@torch.no_grad()
def statistics(estimate: Estimate) -> Tensor:
    """Means over the batch, in the order of ``STATISTICS``; the divergence is NaN for a posterior without a density."""
    terms, score = estimate.terms, estimate.score
    weight = terms.log_measure.exp()
    rate = (weight * (terms.log_posterior - terms.log_prior)).sum(0) if terms.kl is None else terms.kl
    log_likelihood = (weight * terms.log_likelihood).sum(0)
    means = (score.bound.mean(), log_likelihood.mean(), rate.mean(), score.target.mean(), score.penalty)
    return torch.stack([mean.float() for mean in means])
