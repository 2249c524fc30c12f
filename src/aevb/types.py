"""The records that travel between data, model, objective and gradient.

Axis order everywhere: samples ``K``, batch ``B``, event: ``[K, B, *event]``. Log-densities are reduced over the event: ``[K, B]``.
Units: nats per datum, in the units of the data as given.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from torch import Tensor, nn
from torch.distributions import Distribution


@dataclass(frozen=True)
class Batch:
    """What the data give."""

    x: Tensor  # [B, *event]
    context: Tensor | None = None  # [B, C]: labels or covariates, for all three slots
    index: Tensor | None = None  # [B]: row numbers, for parameters per datum
    dataset_size: int | None = None  # rows in the set that the batch was drawn from


@dataclass(frozen=True)
class Terms:
    """What the model says about draws of the latent variable."""

    log_likelihood: Tensor  # log p(x|z)  [K, B]
    log_prior: Tensor  # log p(z)  [K, B]
    log_posterior: Tensor  # log q(z|x)  [K, B]
    log_measure: (
        Tensor  # [K, 1] or [K, B]: -log K for samples, log q(z|x) where every state is listed
    )
    kl: (
        Tensor | None
    )  # KL(q || p)  [B], exact, where wanted and registered; [K, B] of a hierarchy, exact given the layers before
    z: Tensor  # [K, B, *latent]
    q: Distribution
    reconstruction: Distribution
    batch: Batch
    weight_kl: Tensor  # [], KL(q(theta) || p(theta)) / N where weights are random
    penalty: Tensor  # [], from modules that have one
    layer_kl: Tensor | None = (
        None  # [L, K, B], what each layer of a hierarchy adds to the divergence, from the data up
    )

    @property
    def log_weight(self) -> Tensor:
        """``log p(x|z) + log p(z) - log q(z|x)``, ``[K, B]``."""
        return self.log_likelihood + self.log_prior - self.log_posterior


@dataclass(frozen=True)
class ObjectiveValue:
    """What an objective makes of the terms: the bound is reported, the target is climbed."""

    bound: Tensor  # [B], under the name that the objective's kind gives it
    target: Tensor  # [B], the bound, or beta-weighted, with free bits ...
    penalty: Tensor  # [], per batch
    posterior_target: Tensor | None = None  # [B], climbed by the posterior alone, where it differs
    metric_values: tuple[
        Tensor, ...
    ] = ()  # [] each, what the penalties measure, named by the objective's ``measures``


@dataclass(frozen=True)
class GradientEstimate:
    """What a gradient makes of the score: the loss is differentiated."""

    objective_value: ObjectiveValue
    loss: Tensor  # []
    terms: Terms


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that learn at another rate than the model's: a critic's."""

    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0  # times the model's learning rate
    betas: tuple[float, float] | None = (
        None  # of an optimiser that has some; the model's by default
    )


class Configurable:
    """Remembers the arguments it was built with, so that what is composed of such parts can be written as JSON and built again."""

    arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(
            self,
            "arguments",
            _bind_arguments(inspect.signature(cls.__init__), self, *args, **kwargs),
        )
        return self


def _bind_arguments(signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments by name but the first; defaults too, so that what was written is built again where a later version has others."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # a copy is made without arguments: its record arrives with its state
        return {}
    bound.apply_defaults()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: value
        for name, value in list(bound.arguments.items())[1:]
        if signature.parameters[name].kind not in open_ended
    }
