"""A conditional distribution: a module whose ``forward`` returns a ``torch.distributions.Distribution``.

Prior (no input), posterior (input x) and likelihood (input z) are this one type in three roles.
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
    """``(input, context) -> Distribution`` with batch shape ``[*batch]`` and the event of the role.

    ``lazy_networks`` says that the distribution runs its networks after ``forward`` has returned (a flow does), so that stopping its parameters
    takes a second call; ``density`` says whether it has one at all (a Dirac has not); ``full_support`` whether it has mass wherever the prior
    may, as weighing its draws takes (a quantised posterior has all of it at one code); ``estimated`` that its density is one that draws are
    taken for afresh each time, without bias, so that no two calls agree; ``rows`` of how many data it holds parameters of
    their own: its input is then their row numbers ``[B]``, int64, and ``None`` says that its input are the data.
    """

    lazy_networks: bool = False
    has_density: bool = True
    full_support: bool = True
    stochastic_density: bool = False
    n_rows: int | None = None

    @abstractmethod
    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        """The distribution given ``input`` ``[*batch, *shape]`` and ``context`` ``[B, C]``."""

    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Learn where to begin from some data ``[N, *event]`` and their context; called once, before the first step of a run."""

    def update_state(
        self, distribution: Distribution, value: Tensor, weight: Tensor | None = None
    ) -> None:
        """Learn state that no gradient reaches from what was observed; called after each training pass.

        ``weight`` ``[K, B]`` is that of each draw of the input; ``None`` means that all count the same.
        """

    def penalty(self, distribution: Distribution) -> Tensor | None:
        """What this part wants descended beside the bound, ``[]``, a mean over the batch; ``None`` for nothing."""


class Unconditional(Conditional, ABC):
    """A conditional that needs no input: a prior. Called with nothing, its batch shape is empty.

    ``told`` says that it is another one for each context, so that it must be called with one.
    """

    needs_context: bool = False

    @abstractmethod
    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> Distribution: ...


def detach_parameters(module: nn.Module) -> Callable[..., Distribution]:
    """The same conditional with its parameters stopped; networks that it runs late are stopped too.

    >>> import torch
    >>> from aevb import networks, posteriors
    >>> posterior = posteriors.Normal(networks.MLP(3, [4]), latent=2)
    >>> _ = posterior(torch.zeros(1, 3))
    >>> detached(posterior)(torch.zeros(1, 3)).mean.requires_grad
    False
    """
    return _with_parameters(
        module, {name: parameter.detach() for name, parameter in _unique_parameters(module).items()}
    )


def capture_parameters(module: nn.Module) -> Callable[..., Any]:
    """The module with the parameters that it has now: where they are stopped for the time of a call, so they are in what runs later.

    Where they are its own, this is the module itself.
    """
    places = _unique_parameters(module)
    return (
        module
        if all(isinstance(value, nn.Parameter) for value in places.values())
        else _with_parameters(module, places)
    )


def _unique_parameters(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, each place once: torch's own search for shared weights puts a module that occurs twice back as it stands."""
    named = [
        (prefix, name, p)
        for prefix, part in module.named_modules()
        for name, p in part.named_parameters(recurse=False)
    ]
    return {f"{prefix}.{name}".lstrip("."): parameter for prefix, name, parameter in named}


def _with_parameters(module: nn.Module, values: dict[str, Tensor]) -> Callable[..., Any]:
    return lambda *inputs: functional_call(module, values, inputs, tie_weights=False)


def stop_gradient(
    module: Conditional, q: Distribution, input: Tensor, context: Tensor | None = None
) -> Distribution:
    """``q = module(input, context)`` with its parameters stopped: no gradient but the one through the value of ``log_prob``."""
    return (
        detach_parameters(module)(input, context)
        if module.lazy_networks
        else detach_distribution(q)
    )
