"""A prior that is another one for each thing a model is told."""

from __future__ import annotations

from torch import Tensor
from torch.distributions import Distribution

from .._conditional import Conditional, Unconditional
from ..networks._condition import Condition


class ConditionalPrior(Unconditional):
    """``p(z|c)``: any posterior's family with the context in the place of the datum, learned with the rest.

    ``posterior`` is a conditional whose network takes the context ``[N, condition.width]``. With the standard normal prior the codes of a
    conditional model are free of what it is told; with this one, where a class lies among the codes is learned. Sohn, Lee and Yan,
    Learning structured output representation using deep conditional generative models (2015).

    >>> from aevb import networks, posteriors
    >>> condition = networks.Condition([networks.Labels("digit", range(10))])
    >>> prior = Given(posteriors.Normal(networks.MLP(10, [32]), latent=2), condition)
    >>> prior(None, condition.of("7", n=5).float()).sample().shape
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
