"""Layers of latent variables, inferred from the data up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from .. import distributions
from .._conditional import Conditional, capture_parameters
from ..distributions._chain import LayerSignature, LayerTrace, LayerValueFn
from ..errors import ArgumentError
from ..priors._chain import LayerStack, infer_layer_kind, repeat_rows


class Chain(Conditional):
    """``q(z|x) = q(z_1 | x) prod_i q(z_{i+1} | z_i)``: ``layers`` from the data up, the first given the data, others the one before.

    The code is the layers' codes, flattened and put end to end, ``z_1`` first, as that of ``priors.Chain`` and ``posteriors.Ladder``. Of a
    context every layer is told. Layers far from the data easily carry nothing: ``Ladder`` is the one to take. Mean and variance are
    estimated, but those of the first layer.

    Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016), appendix C. Raises ``ArgumentError`` for no layer.

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
            raise ArgumentError(
                "`layers` is empty; give at least one, as layers=[posteriors.Normal(networks.MLP(784, [64]), 8)]."
            )
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
