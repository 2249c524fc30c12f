"""What every likelihood says about the data it accepts."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional
from .._shapes import as_shape
from ..distributions._chain import LayerTrace
from ..networks import Heads

LogLikelihoodFunction = Callable[[Tensor], Tensor]


class Likelihood(Conditional, ABC):
    """``p(x|z)`` over events of shape ``event_shape``; its support is that of the distribution it returns.

    ``discrete`` says that it gives probabilities, not densities: such data are not to be rescaled; ``unbounded`` that they have no
    greatest value. ``values`` says what they are: numbers, or angles and names of categories, which have no average. ``factorises`` says
    that the cells of a datum are independent once ``z`` is known, ``allows_missing`` that cells may be empty (NaN).
    """

    discrete: bool = False
    unbounded: bool = False
    value_kind: Literal["numbers", "angles", "names"] = "numbers"
    factorises: bool = True
    allows_missing: bool = False

    event_shape: tuple[int, ...]

    def log_likelihood_function(
        self, x: Tensor, context: Tensor | None = None, *, many_draws: bool = False
    ) -> LogLikelihoodFunction:
        """``z -> log p(x|z)`` for many codes ``[K, B, *latent]`` of the same data ``[B, *event]``: ``[K, B]``.

        A family whose density is linear in parts of ``x`` computes those parts here, once; ``long`` says that so many draws will follow
        that compiling pays. Without gradients.
        """
        return lambda z: self(z, context).log_prob(x)

    def decode_layers(
        self, passage: LayerTrace, z: Tensor, context: Tensor | None = None
    ) -> Distribution:
        """``p(x|z)`` where a passage through the layers of ``z`` ``[K, B, D]`` has been made: a decoder that goes the same way need not."""
        return self(z, context)

    def resample_weights(self) -> None:
        """Draw anew what is random in the weights, here or in a likelihood inside of this one; called before each training pass."""
        for inner in self._nested_likelihoods():
            inner.resample_weights()

    def weight_kl(self) -> Tensor | None:
        """``KL(q(theta) || p(theta))`` of the weights that are random, here or inside, ``[]`` nats; ``None`` where none are."""
        each = [inner.weight_kl() for inner in self._nested_likelihoods()]
        found = [
            divergence for divergence in each if divergence is not None
        ]  # one comprehension with := cannot be traced
        return torch.stack(found).sum() if found else None

    def _nested_likelihoods(self) -> list[Likelihood]:
        return [part for part in self.children() if isinstance(part, Likelihood)]


def make_heads(
    network: nn.Module,
    event_shape: Sequence[int],
    parameters: int,
    latent_rank: int,
    per_element: int | None = None,
) -> Heads:
    """Heads that give ``parameters`` tensors of the event's shape, each with a last axis of ``per_element`` where that is given."""
    shape = (*event_shape, per_element) if per_element else tuple(event_shape)
    return Heads(network, *[shape] * parameters, input_ndim=latent_rank)


def as_event_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an event, or an error."""
    return as_shape("event_shape", event_shape)
