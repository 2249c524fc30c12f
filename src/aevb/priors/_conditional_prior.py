"""Prior conditioned on the context."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from .._registry import register
from ..networks._condition import Condition
from ..notes import Argument, message
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="prior that depends on the context",
        paper="Sohn et al. 2015",
        needs="the context of the model",
        instead=message("Use {preset}", preset=Argument("preset", "cvae")),
        use_when="the position of a class in latent space should be learned",
        cost="one small network",
        avoid_when="the latent should be independent of the context",
    )
)
class ConditionalPrior(Unconditional):
    """``p(z|c)``: the family of a posterior with the context in the place of the data.

    With the standard normal prior the latents of a conditional model are independent of the
    context; with this prior the position of a class in latent space is learned.

    Sohn, Lee and Yan, Learning structured output representation using deep conditional generative
    models (2015).

    Args:
        posterior: A conditional whose network takes the context ``[N, condition.width]``.
        condition: The condition of the model.

    Example:
        >>> from aevb import networks, posteriors
        >>> condition = networks.Condition([networks.Labels("digit", range(10))])
        >>> prior = ConditionalPrior(posteriors.Normal(networks.MLP(10, [32]), latent=2), condition)
        >>> prior(None, condition.to_context("7", n=5).float()).sample().shape
        torch.Size([5, 2])
    """

    needs_context = True

    def __init__(self, posterior: Conditional, condition: Condition) -> None:
        super().__init__()
        self.posterior = posterior
        self.condition = condition
        self.lazy_networks = posterior.lazy_networks

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> Distribution:
        return self.posterior(self.condition.check_context(context))
