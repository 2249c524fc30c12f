"""Layers of latents, from an unconditional one down to the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from .._registry import register
from ..distributions._chain import LayerSignature, LayerTrace, LayerValueFn
from ..errors import ArgumentError
from ..notes import Argument, Part, message
from ._codebook import check_no_codebook
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="chain of layers",
        paper="Sonderby et al. 2016",
        needs="a conditional for each layer of a hierarchy",
        instead=message("Use {preset}", preset=Argument("preset", "ladder_vae")),
        use_when="several layers of latents",
        cost="one network per layer",
        avoid_when="one layer reaches the same bound",
    )
)
class Chain(Unconditional):
    """``p(z) = p(z_L) prod_i p(z_i | z_{i+1})``: a hierarchy of latents.

    The latent is the concatenation of the flattened layers, ``z_1`` first; a likelihood that uses
    ``z_1`` alone wraps its network in ``networks.LeadingLatents``. Every layer receives the
    context. Mean and variance are estimated, except those of the last layer.

    Sonderby et al., Ladder variational autoencoders (2016).

    Args:
        layers: The layers from the data up: conditionals with the layer above as their input, such
            as ``posteriors.Normal(network, latent)``, and a prior as the last one.

    Raises:
        ArgumentError: The last layer is not a prior, or another layer is one.
        IncompatibleError: A layer has a codebook.

    Example:
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
            example = [Part("posteriors.Normal"), Part("priors.Normal")]
            raise ArgumentError(
                f"the last of {len(layers)} layers, and no other, must be a prior; priors are "
                f"at {places}",
                argument="layers",
                suggestions=(
                    message("Give {lower} and then {top}", lower=example[0], top=example[1]),
                ),
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
    """Conditionals in sequence, each given the value of the previous one."""

    def __init__(self, parts: Sequence[Conditional], downward: bool) -> None:
        super().__init__()
        check_no_codebook("a chain", parts)
        self.parts = nn.ModuleList(parts)
        self.downward = downward

    def forward(
        self, first: Distribution, context: Tensor | None, choose: LayerValueFn
    ) -> LayerTrace:
        """The traversal that starts with the distribution ``first``; ``context`` is ``[N, C]``."""
        begin, *others = (
            reversed(range(len(self.parts))) if self.downward else range(len(self.parts))
        )
        layers, values = {begin: first}, {begin: choose(begin, first)}
        value = values[begin]
        for i in others:
            layers[i] = self.parts[i](value, context)
            value = values[i] = choose(i, layers[i])
        order = range(len(self.parts))
        return LayerTrace(tuple(layers[i] for i in order), tuple(values[i] for i in order))


@torch.no_grad()
def infer_layer_kind(
    first: Distribution, layers: nn.Module, context: Tensor | None
) -> LayerSignature:
    """Kinds of the layers, from a traversal of their means without random draws."""
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
    """Rows ``[B, ...]`` repeated: ``[repeats * B, ...]``."""
    return rows if rows is None or repeats == 1 else rows.expand(repeats, *rows.shape).flatten(0, 1)
