"""Posterior of latent images from coarse to fine."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._conditional import Conditional, capture_parameters
from .._registry import register
from ..distributions import gaussian, to_scale
from ..distributions._chain import LayerTrace, LayerValueFn
from ..networks import Heads
from ..networks._activations import build_activation
from ..networks._mlp import glorot
from ..networks._top_down import TopDown as Trunk
from ..notes import Argument, message
from ..priors._chain import repeat_rows
from ..priors._top_down import TOP_DOWN_MOMENT_SAMPLES
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="top-down latent images",
        paper="Vahdat and Kautz 2020, Child 2021",
        needs="a trunk that prior, posterior and decoder share",
        instead=message("Use {preset}", preset=Argument("preset", "top_down_vae")),
        use_when="images at many scales",
        cost="convolutions at every size",
        avoid_when="the latent should be one short vector",
    )
)
class TopDown(Conditional):
    """``q(z_i | z_{i+1} ... z_L, x) = N(mu_i + sigma_i d_i, (sigma_i r_i)^2)`` for each layer.

    ``mu_i`` and ``sigma_i`` are those of the prior at the features of this draw; ``d_i`` and
    ``r_i`` come from these features and from the encoder's features of the same size. Where the
    data are uninformative a layer equals the prior's. Scales are bounded: ``sigma_i`` and ``r_i``
    lie between 0.0025 and 403 each. Mean and variance are estimated, except those of the last
    layer.

    Vahdat and Kautz, NVAE (2020); Child, Very deep VAEs generalize autoregressive models (2021).

    Args:
        encoder: Maps data to features at every size with the trunk's channels, as
            ``networks.Pyramid`` does.
        trunk: The network that prior, posterior and decoder share.

    Example:
        >>> from aevb import networks
        >>> trunk = networks.TopDown((8, 8), [8, 16], latent=2, layers=1)
        >>> TopDown(networks.Pyramid((8, 8), [8, 16]), trunk)(torch.zeros(5, 8, 8)).rsample(
        ...     (3,)
        ... ).shape
        torch.Size([3, 5, 40])
    """

    lazy_networks = True

    def __init__(self, encoder: nn.Module, trunk: Trunk) -> None:
        super().__init__()
        self.encoder = encoder
        self.posterior_trunk = _PosteriorTrunk(trunk)

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Chain:
        trunk, merged = (
            capture_parameters(self.posterior_trunk.trunk),
            capture_parameters(self.posterior_trunk),
        )
        pyramid = self.encoder(input) if context is None else self.encoder(input, context)

        def walk(copies: int, choose: LayerValueFn) -> LayerTrace:
            maps = [repeat_rows(features, copies) for features in pyramid]
            return replace(
                merged(copies * len(input), repeat_rows(context, copies), maps, choose),
                source=trunk,
            )

        kind, batch = self.posterior_trunk.trunk.signature, input.shape[:1]
        return distributions.Chain(
            walk,
            kind,
            batch,
            self.posterior_trunk.trunk.start,
            top_down=True,
            source=trunk,
            draws=TOP_DOWN_MOMENT_SAMPLES,
        )


class _PosteriorTrunk(nn.Module):
    """The trunk with the features of the data at each of its layers."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        self.trunk = trunk
        pairs = zip(trunk.widths, trunk.signature.shapes, strict=True)
        self.heads = nn.ModuleList(
            Heads(_merge_network(width, trunk.activation), shape, shape) for width, shape in pairs
        )

    def forward(
        self, points: int, context: Tensor | None, maps: list[Tensor], choose: LayerValueFn
    ) -> LayerTrace:
        layers: dict[int, Independent] = {}

        def meet(i: int, p: Independent, h: Tensor) -> Tensor:
            shift, raw = self.heads[i](torch.cat([h, maps[self.trunk.stages[i]].to(h.dtype)], 1))
            layers[i] = gaussian(p.mean + p.stddev * shift, p.stddev * to_scale(raw))
            return choose(i, layers[i])

        passage = self.trunk(points, context, meet)
        return replace(
            passage, layers=tuple(layers[i] for i in range(len(self.heads))), prior=passage.layers
        )


def _merge_network(width: int, activation: str) -> nn.Module:
    """Network of both features; its output starts at 0, and every layer as the prior's."""
    last = nn.Conv2d(width, width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias if last.bias is not None else torch.zeros(0))
    return nn.Sequential(
        build_activation(activation),
        glorot(nn.Conv2d(2 * width, width, 3, padding=1)),
        build_activation(activation),
        last,
    )
