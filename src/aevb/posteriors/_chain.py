"""Layers of latents, inferred from the data up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from .. import distributions
from .._conditional import Conditional, capture_parameters
from .._registry import register
from ..distributions._chain import LayerSignature, LayerTrace, LayerValueFn
from ..errors import ArgumentError
from ..notes import Argument, message
from ..priors._chain import LayerStack, infer_layer_kind, repeat_rows
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="bottom-up chain",
        paper="Burda et al. 2016",
        needs="a conditional for each layer of a hierarchy",
        instead=message("Use {preset}", preset=Argument("preset", "ladder_vae")),
        use_when="to compare with the ladder",
        cost="one network per layer",
        avoid_when="upper layers should be used; use the ladder",
    )
)
class Chain(Conditional):
    """``q(z|x) = q(z_1 | x) prod_i q(z_{i+1} | z_i)``: a hierarchy inferred from the data up.

    The latent is the concatenation of the flattened layers, ``z_1`` first, as in ``priors.Chain``
    and ``posteriors.Ladder``. Every layer receives the context. Layers far from the data easily
    carry no information; prefer ``Ladder``. Mean and variance are estimated, except those of the
    first layer.

    Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016), appendix C.

    Args:
        layers: The layers from the data up: the first takes the data, each other one the layer
            before.

    Raises:
        ArgumentError: ``layers`` is empty.
        IncompatibleError: A layer has a codebook.

    Example:
        >>> import torch
        >>> from aevb import networks, posteriors
        >>> layers = [
        ...     posteriors.Normal(networks.MLP(9, [8]), 4),
        ...     posteriors.Normal(networks.MLP(4, [8]), 2),
        ... ]
        >>> Chain(layers)(torch.zeros(5, 9)).rsample((3,)).shape
        torch.Size([3, 5, 6])
    """

    lazy_networks = True

    def __init__(self, layers: Sequence[Conditional]) -> None:
        super().__init__()
        if not layers:
            raise ArgumentError("give at least one layer", argument="layers", value=layers)
        self.layers = LayerStack(layers, downward=False)
        self.has_density = all(layer.has_density for layer in layers)
        self.n_rows = layers[0].n_rows
        self.kind: LayerSignature | None = None

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Chain:
        layers, first = capture_parameters(self.layers), self.layers.parts[0](input, context)
        if self.kind is None:
            self.kind = infer_layer_kind(first, self.layers, context)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            return replace(layers(first, repeat_rows(context, copies), choose), source=layers)

        return distributions.Chain(
            walk, self.kind, first.batch_shape, input, top_down=False, source=layers
        )
