"""Images from latent images."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from ..conditional import held
from ..distributions.chain import Passage
from ..distributions.product import cut
from ..networks.top_down import TopDown as Trunk
from .likelihood import Likelihood


class TopDown(Likelihood):
    """``p(x | z_1 ... z_L)``: ``likelihood``, given the features that the layers of ``trunk`` lead to.

    ``likelihood`` takes features ``[channels[0], H, W]`` in the place of a code, so it has ``latent_rank=3``. The passage that has drawn
    a code is not made again for its likelihood.

    >>> import torch
    >>> from aevb import likelihoods, networks
    >>> trunk = networks.TopDown((8, 8), [8, 16], latent=2, layers=1)
    >>> TopDown(trunk, likelihoods.Bernoulli(networks.Conv(8, 8), (8, 8), latent_rank=3))(torch.zeros(5, 40)).mean.shape
    torch.Size([5, 8, 8])
    """

    def __init__(self, trunk: Trunk, likelihood: Likelihood) -> None:
        super().__init__()
        self.discrete, self.unbounded, self.missing = likelihood.discrete, likelihood.unbounded, likelihood.missing
        self.values = likelihood.values
        self.factorises, self.event_shape = likelihood.factorises, likelihood.event_shape
        self.trunk = trunk
        self.likelihood: Likelihood = likelihood

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        lead = input.shape[:-1]
        pieces = cut(input.reshape(-1, input.shape[-1]), self.trunk.kind.shapes)
        rows = None if context is None else context.expand(*lead, -1).reshape(lead.numel(), -1)
        return self._given(self.trunk(lead.numel(), rows, lambda i, p, h: pieces[i]), input)

    def along(self, passage: Passage, z: Tensor, context: Tensor | None = None) -> Distribution:
        return self._given(passage, z) if passage.source is held(self.trunk) else self(z, context)

    def adapt(self, distribution: Distribution, value: Tensor, weight: Tensor | None = None) -> None:
        self.likelihood.adapt(distribution, value, weight)

    def _given(self, passage: Passage, z: Tensor) -> Distribution:
        assert passage.features is not None
        return self.likelihood(passage.features.reshape(*z.shape[:-1], *passage.features.shape[1:]))
