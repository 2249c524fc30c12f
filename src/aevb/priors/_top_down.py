"""Latent images from coarse to fine."""

from __future__ import annotations

from dataclasses import replace

from torch import Size, Tensor

from .. import distributions
from .._conditional import Unconditional, capture_parameters
from ..distributions._chain import LayerTrace, LayerValueFn
from ..networks._top_down import TopDown as Trunk
from ._chain import repeat_rows

TOP_DOWN_MOMENT_SAMPLES = (
    16  # that the mean of a code is estimated from: each is a pass through convolutions
)


class TopDown(Unconditional):
    """``p(z) = prod_i p(z_i | z_{i+1} ... z_L)``: the layers of ``networks.TopDown``, flattened and put end to end, the finest first.

    ``trunk`` is shared with ``posteriors.TopDown`` and ``likelihoods.TopDown``: ``models.top_down`` puts them together. Mean and variance
    are estimated, but those of the last layer.

    >>> from aevb import networks
    >>> TopDown(networks.TopDown((8, 8), [8, 16], latent=2, layers=1))().sample((5,)).shape
    torch.Size([5, 40])
    """

    lazy_networks = True

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        self.needs_context = trunk.context > 0

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Chain:
        trunk, rows = capture_parameters(self.trunk), 1 if context is None else len(context)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            return replace(
                trunk(copies * rows, repeat_rows(context, copies), lambda i, p, h: choose(i, p)),
                source=trunk,
            )

        batch = Size() if context is None else context.shape[:1]
        return distributions.Chain(
            walk,
            self.trunk.signature,
            batch,
            self.trunk.start,
            top_down=True,
            source=trunk,
            draws=TOP_DOWN_MOMENT_SAMPLES,
        )
