"""What every likelihood says about the data it accepts."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from ..conditional import Conditional
from ..networks import Heads
from ..shapes import as_shape


class Likelihood(Conditional, ABC):
    """``p(x|z)`` over events of shape ``event_shape``; its support is that of the distribution it returns.

    ``discrete`` says that it gives probabilities, not densities: such data are not to be rescaled.
    """

    discrete: ClassVar[bool] = False

    event_shape: tuple[int, ...]


def heads(network: nn.Module, event_shape: Sequence[int], parameters: int, latent_rank: int, per_element: int | None = None) -> Heads:
    """Heads that give ``parameters`` tensors of the event's shape, each with a last axis of ``per_element`` where that is given."""
    shape = (*event_shape, per_element) if per_element else tuple(event_shape)
    return Heads(network, *[shape] * parameters, rank=latent_rank)


def event(event_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of an event, or an error."""
    return as_shape("event_shape", event_shape)
