"""A class beside a code, once a datum is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from ..networks import Heads
from ..networks._condition import Condition


class Labelled(Conditional):
    """``q(y, z|x) = q(y|x) q(z|x, y)``: a classifier, and a posterior that is told the class. Where the class is known, the latter alone.

    ``classifier`` is a network of the datum; ``posterior`` one whose network takes the datum and a class one-hot as its context
    ``[N, C]``. The class is what the context of a batch says, NaN where nobody knows it. The prior is ``priors.Labelled``, the gradient
    ``gradients.EnumerateLabels``, and a decoder of class and code together goes into ``networks.WithoutContext``.

    Kingma, Mohamed, Rezende and Welling, Semi-supervised learning with deep generative models (2014), model M2.

    >>> from aevb import networks, posteriors
    >>> condition = networks.Condition([networks.Labels("digit", range(10), known=0.1)])
    >>> encoder = posteriors.Normal(networks.MLP(64, [32], context=10), latent=2)
    >>> posterior = Labelled(networks.MLP(64, [32]), encoder, condition)
    >>> posterior(torch.zeros(5, 64)).sample().shape
    torch.Size([5, 12])
    """

    def __init__(self, classifier: nn.Module, posterior: Conditional, condition: Condition) -> None:
        super().__init__()
        self.heads = Heads(classifier, (condition.width,))
        self.posterior = posterior
        self.condition = condition
        self.lazy_networks, self.has_density = posterior.lazy_networks, posterior.has_density

    def forward(
        self, input: Tensor, context: Tensor | None = None
    ) -> distributions.ClassConditional:
        (logits,) = self.heads(input)
        classes, rows = self.condition.width, len(input)
        copies = input.expand(classes, *input.shape).flatten(0, 1)
        each = torch.eye(classes, dtype=logits.dtype, device=logits.device).repeat_interleave(
            rows, 0
        )
        label = None if context is None else self.condition.check_context(context)
        return distributions.ClassConditional(logits, self.posterior(copies, each), label)
