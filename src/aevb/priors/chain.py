"""Layers of latent variables, from one that depends on nothing down to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from .. import distributions
from ..conditional import Conditional, Unconditional, held
from ..distributions.chain import Choose, Kind, Passage
from ..errors import ArgumentError
from .codebook import refuse_codebooks


class Chain(Unconditional):
    """``p(z) = p(z_L) prod_i p(z_i | z_{i+1})``: ``layers`` from the data up, the last of which is a prior and the others conditionals.

    The code is the layers' codes, flattened and put end to end, ``z_1`` first; a likelihood that is to see ``z_1`` alone has its network
    in ``networks.Part``. A conditional is any family with the layer above as its input, as ``posteriors.Normal(network, latent)``. Of a
    context every layer is told. Mean and variance are estimated, but those of the last layer.

    Raises ``ArgumentError`` where the last layer is no prior, or another one is.

    >>> from aevb import networks, posteriors, priors
    >>> prior = Chain([posteriors.Normal(networks.MLP(2, [8]), latent=4), priors.Normal(2)])
    >>> prior().sample((5,)).shape
    torch.Size([5, 6])
    """

    late = True

    def __init__(self, layers: Sequence[Conditional]) -> None:
        super().__init__()
        places = [i for i, layer in enumerate(layers) if isinstance(layer, Unconditional)]
        if not places or places != [len(layers) - 1]:
            raise ArgumentError(
                f"`layers` holds priors at {places} of {len(layers)} places; the last one alone is one, as in "
                "layers=[posteriors.Normal(networks.MLP(2, [64]), 8), priors.Normal(2)]."
            )
        self.layers = Layers(layers, downward=True)
        self.told = any(layer.told for layer in layers if isinstance(layer, Unconditional))
        self.kind: Kind | None = None

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> distributions.Chain:
        layers, first = held(self.layers), self.layers.parts[-1](None, context)
        if self.kind is None:
            self.kind = kind_of(first, self.layers, context)

        def walk(copies: int, choose: Choose) -> Passage:
            return replace(layers(first, copied(context, copies), choose), source=layers)

        like = next(self.parameters(), torch.zeros(()))
        batch = Size() if context is None else context.shape[:1]
        return distributions.Chain(walk, self.kind, batch, like, downward=True, source=layers)


class Layers(nn.Module):
    """Conditionals one after the other, each given the value of the one before: from the last to the first where ``downward``."""

    def __init__(self, parts: Sequence[Conditional], downward: bool) -> None:
        super().__init__()
        refuse_codebooks("a chain", parts)
        self.parts = nn.ModuleList(parts)
        self.downward = downward

    def forward(self, first: Distribution, context: Tensor | None, choose: Choose) -> Passage:
        """The passage that begins with the distribution ``first``; ``context`` ``[N, C]``."""
        begin, *others = reversed(range(len(self.parts))) if self.downward else range(len(self.parts))
        found, values = {begin: first}, {begin: choose(begin, first)}
        value = values[begin]
        for i in others:
            found[i] = self.parts[i](value, context)
            value = values[i] = choose(i, found[i])
        places = range(len(self.parts))
        return Passage(tuple(found[i] for i in places), tuple(values[i] for i in places))


@torch.no_grad()
def kind_of(first: Distribution, layers: nn.Module, context: Tensor | None) -> Kind:
    """What the layers are, seen on the way of their means: no draw, so that asking moves nobody's random stream."""
    points = first.batch_shape.numel() if context is None else len(context)

    def mean(i: int, layer: Distribution) -> Tensor:
        rows = layer.mean.reshape(layer.batch_shape.numel(), *layer.event_shape)
        return rows.expand(points, *layer.event_shape)

    return Kind.of(layers(first, context, mean).layers)


@overload
def copied(rows: Tensor, copies: int) -> Tensor: ...


@overload
def copied(rows: None, copies: int) -> None: ...


def copied(rows: Tensor | None, copies: int) -> Tensor | None:
    """Rows ``[B, ...]`` again and again: ``[copies * B, ...]``."""
    return rows if rows is None or copies == 1 else rows.expand(copies, *rows.shape).flatten(0, 1)
