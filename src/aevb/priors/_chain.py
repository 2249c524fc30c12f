"""Layers of latent variables, from one that depends on nothing down to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from ..distributions._chain import LayerSignature, LayerTrace, LayerValueFn
from ..errors import ArgumentError
from ._codebook import check_no_codebook


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

    lazy_networks = True

    def __init__(self, layers: Sequence[Conditional]) -> None:
        super().__init__()
        places = [i for i, layer in enumerate(layers) if isinstance(layer, Unconditional)]
        if not places or places != [len(layers) - 1]:
            raise ArgumentError(
                f"`layers` holds priors at {places} of {len(layers)} places; the last one alone is one, as in "
                "layers=[posteriors.Normal(networks.MLP(2, [64]), 8), priors.Normal(2)]."
            )
        self.layers = LayerStack(layers, downward=True)
        self.needs_context = any(
            layer.needs_context for layer in layers if isinstance(layer, Unconditional)
        )
        self.kind: LayerSignature | None = None

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Chain:
        layers, first = capture_parameters(self.layers), self.layers.parts[-1](None, context)
        if self.kind is None:
            self.kind = infer_layer_kind(first, self.layers, context)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            return replace(layers(first, repeat_rows(context, copies), choose), source=layers)

        like = next(self.parameters(), torch.zeros(()))
        batch = Size() if context is None else context.shape[:1]
        return distributions.Chain(walk, self.kind, batch, like, top_down=True, source=layers)


class LayerStack(nn.Module):
    """Conditionals one after the other, each given the value of the one before: from the last to the first where ``downward``."""

    def __init__(self, parts: Sequence[Conditional], downward: bool) -> None:
        super().__init__()
        check_no_codebook("a chain", parts)
        self.parts = nn.ModuleList(parts)
        self.downward = downward

    def forward(
        self, first: Distribution, context: Tensor | None, choose: LayerValueFn
    ) -> LayerTrace:
        """The passage that begins with the distribution ``first``; ``context`` ``[N, C]``."""
        begin, *others = (
            reversed(range(len(self.parts))) if self.downward else range(len(self.parts))
        )
        found, values = {begin: first}, {begin: choose(begin, first)}
        value = values[begin]
        for i in others:
            found[i] = self.parts[i](value, context)
            value = values[i] = choose(i, found[i])
        places = range(len(self.parts))
        return LayerTrace(tuple(found[i] for i in places), tuple(values[i] for i in places))


@torch.no_grad()
def infer_layer_kind(
    first: Distribution, layers: nn.Module, context: Tensor | None
) -> LayerSignature:
    """What the layers are, seen on the way of their means: no draw, so that asking moves nobody's random stream."""
    points = first.batch_shape.numel() if context is None else len(context)

    def mean(i: int, layer: Distribution) -> Tensor:
        rows = layer.mean.reshape(layer.batch_shape.numel(), *layer.event_shape)
        return rows.expand(points, *layer.event_shape)

    return LayerSignature.from_layers(layers(first, context, mean).layers)


@overload
def repeat_rows(rows: Tensor, repeats: int) -> Tensor: ...


@overload
def repeat_rows(rows: None, repeats: int) -> None: ...


def repeat_rows(rows: Tensor | None, repeats: int) -> Tensor | None:
    """Rows ``[B, ...]`` again and again: ``[copies * B, ...]``."""
    return rows if rows is None or repeats == 1 else rows.expand(repeats, *rows.shape).flatten(0, 1)
