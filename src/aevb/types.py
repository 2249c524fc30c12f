"""Records that travel between data, model, objective and gradient.

Axis order everywhere: samples ``K``, batch ``B``, event: ``[K, B, *event]``. Log-densities are
reduced over the event: ``[K, B]``. Units: nats per row, of the data in their own units.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

ProgressCallback = Callable[[int], None]
"""Called by long computations with the number of units of work that are done."""


@dataclass(frozen=True)
class Batch:
    """Rows of data, and what is known about each row.

    Args:
        x: The rows, ``[B, *event]``.
        context: Labels or covariates, ``[B, C]``, for prior, posterior and likelihood.
        index: Row numbers, ``[B]``, for parameters per row.
        dataset_size: Rows in the data set from which the batch was drawn.
        weight: Weights of the rows, ``[B]``, 0 or more, in every mean over rows; ``None`` for equal
            weights. A row with weight 0 is as good as absent.
    """

    x: Tensor
    context: Tensor | None = None
    index: Tensor | None = None
    dataset_size: int | None = None
    weight: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """Average values of rows by their weights.

        Args:
            values: Values ``[*, B]``.

        Returns:
            The mean over all axes, ``[]``.

        Example:
            >>> import torch
            >>> x = torch.zeros(2, 3)
            >>> Batch(x, weight=torch.tensor([3.0, 1.0])).mean(torch.tensor([0.0, 1.0]))
            tensor(0.2500)
        """
        return values.mean() if self.weight is None else self.row_mean(values).mean()

    def row_mean(self, values: Tensor, dim: int = -1) -> Tensor:
        """Average over the axis of the rows by their weights.

        Args:
            values: Values of which one axis are the rows.
            dim: That axis.

        Returns:
            The values without that axis.
        """
        return weighted_mean(values, self.weight, dim)


def weighted_mean(values: Tensor, weight: Tensor | None, dim: int = -1) -> Tensor:
    """Average values over an axis.

    Args:
        values: Values ``[*, B, *]``.
        weight: Weights ``[B]``, of which not all are 0; ``None``: equal ones.
        dim: The axis of the ``B`` values.

    Returns:
        The values without that axis.
    """
    if weight is None:
        return values.mean(dim)
    weight = weight.to(values.dtype)
    share = weight / weight.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return (values.movedim(dim, -1) * share).sum(-1)


@dataclass(frozen=True)
class Terms:
    """Log-densities of a model at draws of the latent variable.

    Args:
        log_likelihood: ``log p(x|z)``, ``[K, B]``.
        log_prior: ``log p(z)``, ``[K, B]``.
        log_posterior: ``log q(z|x)``, ``[K, B]``.
        log_measure: ``-log K`` for samples, ``[K, 1]``; ``log q(z|x)`` for enumerated states,
            ``[K, B]``.
        kl: Exact ``KL(q || p)``, ``[B]``, if requested and known. For a hierarchy ``[K, B]``:
            exact for each layer given the layers before.
        z: The draws, ``[K, B, *latent]``.
        q: The posterior.
        p: The prior.
        reconstruction: The likelihood ``p(x|z)``.
        batch: The batch.
        weight_kl: ``KL(q(theta) || p(theta)) / N``, ``[]``, for random weights.
        penalty: The penalty of the posterior, ``[]``.
        layer_kl: The contribution of each layer of a hierarchy to the KL divergence, ``[L, K, B]``,
            from the data up.
        enumerated: Whether ``z`` lists all states instead of samples.
    """

    log_likelihood: Tensor
    log_prior: Tensor
    log_posterior: Tensor
    log_measure: Tensor
    kl: Tensor | None
    z: Tensor
    q: Distribution
    p: Distribution
    reconstruction: Distribution
    batch: Batch
    weight_kl: Tensor
    penalty: Tensor
    layer_kl: Tensor | None = None
    enumerated: bool = False

    @property
    def log_weight(self) -> Tensor:
        """``log p(x|z) + log p(z) - log q(z|x)``, ``[K, B]``."""
        return self.log_likelihood + self.log_prior - self.log_posterior


@dataclass(frozen=True)
class ObjectiveValue:
    """The value of an objective: the bound is reported, the target is maximised.

    Args:
        bound: The bound, ``[B]``; the objective's ``kind`` says what bound it is.
        target: What is maximised, ``[B]``: the bound, or its variant with beta, free bits ...
        penalty: The penalty of the batch, ``[]``.
        posterior_target: What the posterior alone maximises, ``[B]``, if it differs.
        metric_values: What the penalties measure, ``[]`` each, named by the objective's
            ``metric_names``.
    """

    bound: Tensor
    target: Tensor
    penalty: Tensor
    posterior_target: Tensor | None = None
    metric_values: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class GradientEstimate:
    """The result of a gradient estimator.

    Args:
        objective_value: The value of the objective.
        loss: What is differentiated, ``[]``.
        terms: The terms of the draws.
    """

    objective_value: ObjectiveValue
    loss: Tensor
    terms: Terms


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with a learning rate of their own, for instance those of a critic.

    Args:
        parameters: The parameters.
        lr_scale: Factor on the model's learning rate.
        betas: Betas of Adam; by default those of the model.
    """

    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0
    betas: tuple[float, float] | None = None


class Configurable:
    """Base of parts that record the arguments of their constructor.

    Any composition of such parts can be written as JSON and built again.
    """

    arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        object.__setattr__(
            self, "arguments", _bind_arguments(_signature(cls.__init__), self, *args, **kwargs)
        )
        return self


_SIGNATURES: dict[Any, inspect.Signature] = {}


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function, which takes longer to find than many constructors to run.

    A dictionary, because torch's compiler warns of the caches of functools.
    """
    if function not in _SIGNATURES:
        _SIGNATURES[function] = inspect.signature(function)
    return _SIGNATURES[function]


def _bind_arguments(signature: inspect.Signature, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """All arguments but ``self`` by name.

    Defaults are included, so that a later version with other defaults builds the same part.
    """
    names = tuple(signature.parameters)[1:]
    if len(args) == 1 and len(names) == len(kwargs) and all(map(kwargs.__contains__, names)):
        return {name: kwargs[name] for name in names}  # of a copy with changes, in short time
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # a copy is made without arguments, and receives the record with its state
        return {}
    bound.apply_defaults()
    open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name: value
        for name, value in list(bound.arguments.items())[1:]
        if signature.parameters[name].kind not in open_ended
    }
