"""What a gradient is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..distributions._discrete import as_discrete
from ..models import VAE
from ..objectives import Objective
from ..objectives._objective import BoundKind
from ..objectives._schedules import ScheduledModule
from ..types import Batch, Configurable, GradientEstimate, ObjectiveValue, Terms


class Gradient(Configurable, ScheduledModule, ABC):
    """``(model, objective, batch) -> Estimate(score, loss)``; ``loss.backward()`` leaves the gradient in the parameters."""

    @abstractmethod
    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate: ...

    @abstractmethod
    def check(self, model: VAE, objective: Objective) -> None:
        """Raise ``IncompatibleError``, with the line to write instead, where this gradient does not exist for model and objective."""

    def bound_name(self, objective: Objective) -> str:
        """The name under which the bound is printed, as this gradient draws."""
        return objective.name

    def bound_kind(self, objective: Objective) -> BoundKind:
        """What the bound is, as this gradient draws."""
        return objective.kind


def sample_terms(model: VAE, objective: Objective, batch: Batch, *, reparameterised: bool) -> Terms:
    """The terms of fresh draws from the posterior, with the gradient running through them or not."""
    q = model.infer(batch)
    z = (
        q.rsample((objective.samples,))
        if reparameterised
        else sample_without_gradient(q, objective.samples)
    )
    return model.terms(batch, z, q, exact_kl=resolve_exact_kl(model, objective))


@torch.no_grad()
def sample_without_gradient(q: Distribution, samples: int) -> Tensor:
    """Draws ``[K, B, *latent]`` without a gradient.

    Discrete ones by the largest of the perturbed logits: a logit that is not finite then makes a density that is not, and the step is
    refused, where the samplers of ``torch.distributions`` end the program.
    """
    found = as_discrete(q)
    return (
        q.sample((samples,))
        if found is None
        else found.hard_sample(found.sample_perturbed((samples,)))
    )


def resolve_exact_kl(model: VAE, objective: Objective) -> bool:
    """Whether the divergence is to be had by formula."""
    return objective.kl != "sampled" and model.uses_analytic_kl


def loss_from_score(score: ObjectiveValue, surrogate: Tensor | None = None) -> Tensor:
    """``-mean(target) + penalty``, ``[]``; ``surrogate`` ``[B]`` stands in for the target where its gradient differs."""
    return score.penalty - (score.target if surrogate is None else surrogate).mean()


def gradient_only(value: Tensor) -> Tensor:
    """A gradient without a value: the loss stays that of the target."""
    return value - value.detach()
