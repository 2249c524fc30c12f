"""Binary data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Bernoulli as Bits
from torch.distributions import Independent

from ..distributions import compiled_sum, softplus_sum
from .likelihood import Likelihood, Scorer, event, heads


class Bernoulli(Likelihood):
    """``log p(x|z) = sum(x l - softplus(l))`` with logits ``l`` from the network: exact at any logit, nothing is clamped.

    For data that are 0 or 1. Grey values are not: see ``ContinuousBernoulli`` and ``DiscretisedLogistic``.

    >>> import torch
    >>> Bernoulli(nn.Identity(), (28, 28))(torch.zeros(5, 40)).mean.shape
    torch.Size([5, 28, 28])
    """

    discrete = True

    def __init__(self, network: nn.Module, event_shape: Sequence[int], latent_rank: int = 1) -> None:
        super().__init__()
        self.event_shape = event(event_shape)
        self.heads = heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(Bits(logits=logits, validate_args=False), len(self.event_shape), validate_args=False)

    def scorer(self, x: Tensor, context: Tensor | None = None, *, long: bool = False) -> Scorer:
        """``sum_d x_d l_d = h . (W^T x) + x . b`` where the logits are a linear map of features ``h``: ``x`` meets ``W`` once."""
        head = self.heads.head
        if not isinstance(head, nn.Linear) or self.heads.precision is not None:
            return super().scorer(x, context)  # in low precision the logits are rounded, and both of their places must see the same
        normaliser = compiled_sum if long else softplus_sum
        flat = x.flatten(1)
        shared, offset = flat @ head.weight, flat @ head.bias

        def score(z: Tensor) -> Tensor:
            features = self.heads.features(z, context)
            logits = self.heads.map(features)
            linear = (features.reshape(*z.shape[:2], -1) * shared).sum(-1) + offset
            return linear - normaliser(logits).reshape(z.shape[:2])

        return score
