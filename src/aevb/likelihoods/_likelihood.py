"""The base class of likelihoods."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._conditional import Conditional
from .._offset import Offset
from .._shapes import as_shape
from ..distributions._chain import LayerTrace
from ..networks import Heads
from ..networks._column import Measure

LogLikelihoodFunction = Callable[[Tensor], Tensor]


class Likelihood(Conditional, ABC):
    """Base of likelihoods ``p(x|z)`` over rows of data.

    A subclass sets ``event_shape`` and overrides ``forward``, which maps latents
    ``[*batch, *latent]`` to a distribution with batch shape ``[*batch]`` and event shape
    ``event_shape``.

    Attributes:
        event_shape: Shape of a row of data.
        measure: Whether rows have a ``"density"`` in the units of the data, a ``"probability"``,
            which has none, or both: ``"mixed"``. Only data with a density may be rescaled.
        unbounded: Whether data with probabilities have no greatest value.
        value_kind: Numbers, or angles and names of categories, which have no average.
        factorises: Whether the cells of a row are independent given ``z``.
        allows_missing: Whether cells may be missing (NaN).
        data_offset: What is subtracted from data far from 0, in float64, before the model receives
            them. The distributions are those of the data in these model units.
    """

    measure: Measure = "density"
    unbounded: bool = False
    value_kind: Literal["numbers", "angles", "names"] = "numbers"
    factorises: bool = True
    allows_missing: bool = False
    data_offset: Offset | None = None

    event_shape: tuple[int, ...]

    def log_likelihood_function(
        self, x: Tensor, context: Tensor | None = None, *, many_draws: bool = False
    ) -> LogLikelihoodFunction:
        """Prepare ``z -> log p(x|z)`` for many latents of the same rows, without gradients.

        A family whose density is linear in parts of ``x`` overrides this method to compute those
        parts once.

        Args:
            x: Rows of shape ``[B, *event]``.
            context: Context ``[B, C]``.
            many_draws: Whether enough draws will follow to make compilation worth its time.

        Returns:
            A function from latents ``[K, B, *latent]`` to log-densities ``[K, B]``.
        """
        return lambda z: self(z, context).log_prob(x)

    def decode_layers(
        self, passage: LayerTrace, z: Tensor, context: Tensor | None = None
    ) -> Distribution:
        """Return ``p(x|z)`` where the layers of a hierarchy have been traversed already.

        Args:
            passage: The traversal that gave ``z``; a decoder with the same trunk reuses its
                features.
            z: Latents ``[K, B, D]``.
            context: Context ``[B, C]``.

        Returns:
            The distribution with batch shape ``[K, B]``.
        """
        return self(z, context)

    def resample_weights(self) -> None:
        """Draw the random weights for the next training pass, also of nested likelihoods."""
        for inner in self._nested_likelihoods():
            inner.resample_weights()

    def weight_kl(self) -> Tensor | None:
        """Return ``KL(q(theta) || p(theta))`` of random weights, also of nested likelihoods.

        Returns:
            The KL divergence ``[]`` in nats, ``None`` without random weights.
        """
        nested = [inner.weight_kl() for inner in self._nested_likelihoods()]
        # two steps: a comprehension with := cannot be traced
        divergences = [divergence for divergence in nested if divergence is not None]
        return torch.stack(divergences).sum() if divergences else None

    def _describe_data_as(self, likelihood: Likelihood) -> None:
        """Take over what another likelihood says about its data."""
        self.measure, self.unbounded = likelihood.measure, likelihood.unbounded
        self.value_kind, self.event_shape = likelihood.value_kind, likelihood.event_shape

    def _nested_likelihoods(self) -> list[Likelihood]:
        return [part for part in self.children() if isinstance(part, Likelihood)]


def make_heads(
    network: nn.Module,
    event_shape: Sequence[int],
    parameters: int,
    latent_rank: int,
    per_element: int | None = None,
) -> Heads:
    """Heads for ``parameters`` tensors of the event's shape, or with ``per_element`` appended."""
    shape = (*event_shape, per_element) if per_element else tuple(event_shape)
    return Heads(network, *[shape] * parameters, input_ndim=latent_rank)


def as_event_shape(event_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an event, or an ``ArgumentError``."""
    return as_shape("event_shape", event_shape)
