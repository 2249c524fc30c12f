"""Prior of latent images from coarse to fine."""

from __future__ import annotations

from dataclasses import replace

from torch import Size, Tensor

from .. import distributions
from .._conditional import Unconditional, capture_parameters
from .._registry import register
from ..distributions._chain import LayerTrace, LayerValueFn
from ..networks._top_down import TopDown as Trunk
from ..notes import Argument, message
from ._chain import repeat_rows
from ._registration import PriorRegistration

TOP_DOWN_MOMENT_SAMPLES = 16  # draws for the estimated mean: each is a pass through convolutions


@register(
    PriorRegistration(
        title="top-down latent images",
        paper="Vahdat and Kautz 2020, Child 2021",
        needs="a trunk that prior, posterior and decoder share",
        instead=message("Use {preset}", preset=Argument("preset", "top_down_vae")),
        use_when="images at many scales",
        cost="convolutions at every size",
        avoid_when="the latent should be one short vector",
    )
)
class TopDown(Unconditional):
    """``p(z) = prod_i p(z_i | z_{i+1} ... z_L)``: the layers of a ``networks.TopDown``.

    The latent is the concatenation of the flattened layers, the finest first. ``models.top_down``
    puts this prior together with ``posteriors.TopDown`` and ``likelihoods.TopDown``, which share
    the trunk. Mean and variance are estimated, except those of the last layer.

    Vahdat and Kautz, NVAE (2020); Child, Very deep VAEs generalize autoregressive models (2021).

    Args:
        trunk: The network that the three parts share.

    Example:
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
