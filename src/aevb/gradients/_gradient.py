"""The base class of gradient estimators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._registry import Registration
from ..distributions._discrete import as_discrete
from ..models import VAE
from ..objectives import Objective
from ..objectives._objective import BoundKind
from ..objectives._schedules import ScheduledModule
from ..types import Batch, Configurable, GradientEstimate, ObjectiveValue, Terms


@dataclass(frozen=True, kw_only=True)
class GradientRegistration(Registration):
    """What is known of a gradient estimator; ``parameters`` are the options that it takes.

    Args:
        posteriors: The posteriors that it fits.
        objectives: The objectives that it fits.
    """

    role: ClassVar[str] = "gradient"
    argument: ClassVar[str] = "gradient"
    package: ClassVar[str] = "gradients"
    posteriors: str = "any with a density"
    objectives: str = "any"


class Gradient(Configurable, ScheduledModule, ABC):
    """A map ``(model, objective, batch) -> GradientEstimate``: a loss to differentiate.

    ``loss.backward()`` leaves the estimate in the ``grad`` of the parameters. Subclasses implement
    ``forward`` and ``check``.

    Attributes:
        takes_weights: Whether means over rows are ``Batch.mean``, so that rows may have weights.
    """

    takes_weights: bool = False

    @abstractmethod
    def forward(self, model: VAE, objective: Objective, batch: Batch) -> GradientEstimate:
        """Estimate the gradient for a batch.

        Args:
            model: The model to train.
            objective: The objective to maximise.
            batch: B data with their context and row numbers.

        Returns:
            The value of the objective, the loss ``[]`` and the terms that they come from.
        """

    @abstractmethod
    def check(self, model: VAE, objective: Objective) -> None:
        """Check that this gradient estimator fits a model and an objective.

        Args:
            model: The model to train.
            objective: The objective to maximise.

        Raises:
            IncompatibleError: It does not; the suggestions say what to use instead.
        """

    def bound_name(self, objective: Objective) -> str:
        """Return the name under which the bound is printed.

        Args:
            objective: The objective.

        Returns:
            The name; it says where draws are not those of the objective.
        """
        return objective.name

    def bound_kind(self, objective: Objective) -> BoundKind:
        """Return the kind of bound that is reported.

        Args:
            objective: The objective.

        Returns:
            The kind, with the draws of this gradient estimator.
        """
        return objective.kind


def sample_terms(model: VAE, objective: Objective, batch: Batch, *, reparameterised: bool) -> Terms:
    """Compute the terms of posterior draws, reparameterised or without a gradient."""
    q = model.infer(batch)
    z = (
        q.rsample((objective.samples,))
        if reparameterised
        else sample_without_gradient(q, objective.samples)
    )
    return training_terms(model, batch, z, q, exact_kl=resolve_exact_kl(model, objective))


def training_terms(model: VAE, batch: Batch, z: Tensor, q: Distribution, **options: Any) -> Terms:
    """``model.terms`` between a new draw of random weights and an update of the running state.

    In evaluation mode the model is left as it is.
    """
    if not model.training:
        return model.terms(batch, z, q, **options)
    model.resample_weights()
    terms = model.terms(batch, z, q, **options)
    model.update_state(terms)
    return terms


@torch.no_grad()
def sample_without_gradient(q: Distribution, samples: int) -> Tensor:
    """Draw ``[K, B, *latent]`` without a gradient.

    Discrete draws take the largest perturbed logit: a logit that is not finite then gives a density
    that is not finite, and the step is refused, where the samplers of ``torch.distributions``
    abort."""
    discrete = as_discrete(q)
    return (
        q.sample((samples,))
        if discrete is None
        else discrete.hard_sample(discrete.sample_perturbed((samples,)))
    )


def resolve_exact_kl(model: VAE, objective: Objective) -> bool:
    """Whether the KL divergence is computed in closed form."""
    return objective.kl != "sampled" and model.uses_analytic_kl


def loss_from_value(value: ObjectiveValue, batch: Batch, surrogate: Tensor | None = None) -> Tensor:
    """Return ``-mean(target) + penalty``, ``[]``, with the weights of the batch.

    ``surrogate`` ``[B]`` replaces the target where its gradient differs.
    """
    return value.penalty - batch.mean(value.target if surrogate is None else surrogate)


def gradient_only(value: Tensor) -> Tensor:
    """Return 0 with the gradient of ``value``: the loss keeps the value of the target."""
    return value - value.detach()
