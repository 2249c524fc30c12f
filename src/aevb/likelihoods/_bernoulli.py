"""Likelihood of binary data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent

from .._registry import register
from ..distributions import compiled_softplus_sum, softplus_sum
from ._likelihood import Likelihood, LogLikelihoodFunction, as_event_shape, make_heads
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="Bernoulli",
        kinds=("binary",),
        use_when="values are 0 or 1",
        cost="the least: one output per value",
        avoid_when="values lie between 0 and 1",
    )
)
class Bernoulli(Likelihood):
    """``log p(x|z) = sum(x l - softplus(l))`` with logits ``l``.

    Exact at any logit, without clamping. For values that are 0 or 1; for grey values see
    ``ContinuousBernoulli`` and ``DiscretisedLogistic``.

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``event_shape`` is not a shape.

    Example:
        >>> import torch
        >>> Bernoulli(nn.Identity(), (28, 28))(torch.zeros(5, 40)).mean.shape
        torch.Size([5, 28, 28])
    """

    measure = "probability"

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
        # sum_d x_d l_d = h . (W^T x) + x . b for logits linear in features h: x meets W once
        head = self.heads.head
        if not isinstance(head, nn.Linear) or self.heads.precision is not None:
            # in low precision the logits are rounded, and both terms must use the same logits
            return super().log_likelihood_function(x, context)
        normaliser = compiled_softplus_sum if many_draws else softplus_sum
        flat = x.flatten(1)
        shared, offset = flat @ head.weight, flat @ head.bias

        def score(z: Tensor) -> Tensor:
            features = self.heads.features(z, context)
            logits = self.heads.apply_head(features)
            linear = (features.reshape(*z.shape[:2], -1) * shared).sum(-1) + offset
            return linear - normaliser(logits).reshape(z.shape[:2])

        return score
