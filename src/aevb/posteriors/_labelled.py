"""Posterior of a class and a latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from ..networks import Heads
from ..networks._condition import Condition
from ..notes import Argument, message
from ._registration import PosteriorRegistration


@register(
    PosteriorRegistration(
        title="class and latent",
        paper="Kingma et al. 2014",
        needs="a classifier and the classes of a label",
        instead=message("Use {preset}", preset=Argument("preset", "semi_supervised_vae")),
        use_when="some rows have labels",
        cost="one pass per class",
        avoid_when="all rows have labels; use a context",
    )
)
class Labelled(Conditional):
    """``q(y, z|x) = q(y|x) q(z|x, y)``: a classifier, and a posterior given the class.

    Where the context contains the class, the posterior is ``q(z|x, y)`` alone; unknown classes are
    NaN. The prior is ``priors.Labelled`` and the gradient ``gradients.EnumerateLabels``; a decoder
    of class and latent together belongs into ``networks.WithoutContext``.

    Kingma, Mohamed, Rezende and Welling, Semi-supervised learning with deep generative models
    (2014), model M2.

    Args:
        classifier: Maps data to features for ``q(y|x)``.
        posterior: The posterior ``q(z|x, y)``, whose network takes the data and a one-hot class
            ``[N, C]`` as its context.
        condition: The condition with the classes.

    Example:
        >>> from aevb import networks, posteriors
        >>> condition = networks.Condition(
        ...     [networks.Labels("digit", range(10), labelled_fraction=0.1)]
        ... )
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
