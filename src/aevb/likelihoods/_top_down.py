"""Likelihood of a hierarchy of latent images."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from .._conditional import capture_parameters
from .._registry import register
from ..distributions._chain import LayerTrace
from ..distributions._product import split_event
from ..networks._top_down import TopDown as Trunk
from ..notes import Argument, message
from ._likelihood import Likelihood
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="top-down decoder",
        paper="Vahdat and Kautz 2020, Child 2021",
        needs="a trunk that prior, posterior and decoder share",
        instead=message("Use {preset}", preset=Argument("preset", "top_down_vae")),
        use_when="images, with the latent images of models.top_down",
        cost="convolutions at every size",
        avoid_when="the latent should be one short vector",
    )
)
class TopDown(Likelihood):
    """``p(x | z_1 ... z_L)``: a likelihood of the features that the layers of a trunk lead to.

    A traversal of the trunk that has drawn a latent is not repeated for its likelihood.

    Args:
        trunk: The ``networks.TopDown`` that the model shares.
        likelihood: A likelihood with ``latent_rank=3``, which takes features
            ``[channels[0], H, W]`` in the place of a latent.

    Example:
        >>> import torch
        >>> from aevb import likelihoods, networks
        >>> trunk = networks.TopDown((8, 8), [8, 16], latent=2, layers=1)
        >>> TopDown(trunk, likelihoods.Bernoulli(networks.Conv(8, 8), (8, 8), latent_rank=3))(
        ...     torch.zeros(5, 40)
        ... ).mean.shape
        torch.Size([5, 8, 8])
    """

    def __init__(self, trunk: Trunk, likelihood: Likelihood) -> None:
        super().__init__()
        self._describe_data_as(likelihood)
        self.factorises, self.allows_missing = likelihood.factorises, likelihood.allows_missing
        self.trunk = trunk
        self.likelihood: Likelihood = likelihood

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        lead = input.shape[:-1]
        pieces = split_event(input.reshape(-1, input.shape[-1]), self.trunk.signature.shapes)
        rows = None if context is None else context.expand(*lead, -1).reshape(lead.numel(), -1)
        return self._decode(self.trunk(lead.numel(), rows, lambda i, p, h: pieces[i]), input)

    def decode_layers(
        self, passage: LayerTrace, z: Tensor, context: Tensor | None = None
    ) -> Distribution:
        return (
            self._decode(passage, z)
            if passage.source is capture_parameters(self.trunk)
            else self(z, context)
        )

    def update_state(
        self, distribution: Distribution, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution, value, weight)

    def _decode(self, passage: LayerTrace, z: Tensor) -> Distribution:
        assert passage.features is not None
        return self.likelihood(passage.features.reshape(*z.shape[:-1], *passage.features.shape[1:]))
