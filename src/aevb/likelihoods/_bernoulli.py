"""Binary data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent

from ..distributions import compiled_softplus_sum, softplus_sum
from ._likelihood import Likelihood, LogLikelihoodFunction, as_event_shape, make_heads


class Bernoulli(Likelihood):
    """``log p(x|z) = sum(x l - softplus(l))`` with logits ``l`` from the network: exact at any logit, nothing is clamped.

    For data that are 0 or 1. Grey values are not: see ``ContinuousBernoulli`` and ``DiscretisedLogistic``.

    >>> import torch
    >>> Bernoulli(nn.Identity(), (28, 28))(torch.zeros(5, 40)).mean.shape
    torch.Size([5, 28, 28])
    """

    discrete = True

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], latent_rank: int = 1
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        (logits,) = self.heads(input, context)
        return Independent(
            TorchBernoulli(logits=logits, validate_args=False),
            len(self.event_shape),
            validate_args=False,
        )

    def log_likelihood_function(
        self, x: Tensor, context: Tensor | None = None, *, many_draws: bool = False
    ) -> LogLikelihoodFunction:
        """``sum_d x_d l_d = h . (W^T x) + x . b`` where the logits are a linear map of features ``h``: ``x`` meets ``W`` once."""
        head = self.heads.head
        if not isinstance(head, nn.Linear) or self.heads.precision is not None:
            return super().log_likelihood_function(
                x, context
            )  # in low precision the logits are rounded, and both of their places must see the same
        normaliser = compiled_softplus_sum if many_draws else softplus_sum
        flat = x.flatten(1)
        shared, offset = flat @ head.weight, flat @ head.bias

        def score(z: Tensor) -> Tensor:
            features = self.heads.features(z, context)
            logits = self.heads.apply_head(features)
            linear = (features.reshape(*z.shape[:2], -1) * shared).sum(-1) + offset
            return linear - normaliser(logits).reshape(z.shape[:2])

        return score
