"""Conditional distributions.

A module whose ``forward`` returns a ``torch.distributions.Distribution``. Prior (no input),
posterior (input x) and likelihood (input z) are one type in three roles.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from .distributions import detach_distribution
from .types import Configurable


class Conditional(Configurable, nn.Module, ABC):
    """Base of posteriors and of conditional layers: ``(input, context) -> Distribution``.

    A subclass overrides ``forward``; the distribution has batch shape ``[*batch]``.

    Attributes:
        lazy_networks: Whether the distribution runs its networks after ``forward`` has returned, as
            a flow does, so that detaching its parameters takes a second call.
        has_density: Whether the distribution has a density; a ``Dirac`` does not.
        full_support: Whether the distribution has mass wherever the prior may have some, as
            importance weights require; a quantised posterior has all mass at one latent.
        stochastic_density: Whether the density is an unbiased random estimate, so that two calls
            differ.
        initialisation_rows: Largest number of rows for ``initialise_from_data``.
        n_rows: Number of rows with parameters of their own; the input is then row numbers ``[B]``,
            int64. ``None`` where the input is data.
    """

    lazy_networks: bool = False
    has_density: bool = True
    full_support: bool = True
    stochastic_density: bool = False
    initialisation_rows: int = 1024
    n_rows: int | None = None

    @abstractmethod
    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        """Return the distribution given an input.

        Args:
            input: Inputs ``[*batch, *shape]``.
            context: Context ``[B, C]``.

        Returns:
            The distribution with batch shape ``[*batch]``.
        """

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Initialise data-dependent state; called once, before the first step of a run.

        Args:
            x: Rows of data ``[N, *event]``.
            context: Context ``[N, C]`` of these rows.
        """

    def update_state(self, distribution: Any, value: Tensor, weight: Tensor | None = None) -> None:
        """Update state that receives no gradient; called after each training pass.

        Args:
            distribution: The distribution that ``forward`` returned.
            value: The values that it scored or drew.
            weight: Weight ``[K, B]`` of each draw of the input, ``None`` for equal weights.
        """

    def penalty(self, distribution: Any, weight: Tensor | None = None) -> Tensor | None:
        """Return a penalty that is minimised beside the bound.

        Args:
            distribution: The distribution that ``forward`` returned.
            weight: Weights of the rows ``[B]``, ``None`` for equal weights.

        Returns:
            A mean over the batch ``[]``, or ``None`` for no penalty.
        """


class Unconditional(Conditional, ABC):
    """Base of priors: conditionals without an input, whose batch shape is then empty.

    Attributes:
        needs_context: Whether the distribution depends on the context and needs one.
    """

    needs_context: bool = False

    @abstractmethod
    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        """Return the distribution.

        Args:
            input: Unused.
            context: Context ``[B, C]``.

        Returns:
            The distribution, with batch shape ``[]``, or ``[B]`` where it depends on the context.
        """


def detach_parameters(module: nn.Module) -> Callable[..., Distribution]:
    """Return the same conditional with detached parameters, also in networks that run late.

    Example:
        >>> import torch
        >>> from aevb import networks, posteriors
        >>> posterior = posteriors.Normal(networks.MLP(3, [4]), latent=2)
        >>> _ = posterior(torch.zeros(1, 3))
        >>> detach_parameters(posterior)(torch.zeros(1, 3)).mean.requires_grad
        False
    """
    return _with_parameters(
        module, {name: parameter.detach() for name, parameter in _unique_parameters(module).items()}
    )


def capture_parameters(module: nn.Module) -> Callable[..., Any]:
    """Return the module with its current parameters, for networks that run later.

    Parameters that are detached during a call remain detached in what runs after the call. Without
    replaced parameters the result is the module itself.
    """
    parameters = _unique_parameters(module)
    own = all(isinstance(value, nn.Parameter) for value in parameters.values())
    return module if own else _with_parameters(module, parameters)


def _unique_parameters(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, each attribute once.

    torch's own search for shared weights restores a module that occurs twice as it was.
    """
    return {
        f"{prefix}.{name}".lstrip("."): parameter
        for prefix, part in module.named_modules()
        for name, parameter in part.named_parameters(recurse=False)
    }


def _with_parameters(module: nn.Module, values: dict[str, Tensor]) -> Callable[..., Any]:
    return lambda *inputs: functional_call(module, values, inputs, tie_weights=False)


def stop_gradient(
    module: Conditional, q: Distribution, input: Tensor, context: Tensor | None = None
) -> Distribution:
    """Return ``q = module(input, context)`` with detached parameters.

    Gradients of ``log_prob`` then pass through the value alone.
    """
    return (
        detach_parameters(module)(input, context)
        if module.lazy_networks
        else detach_distribution(q)
    )
