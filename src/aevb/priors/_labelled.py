"""Prior of a class and a latent."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from ..distributions._class_and_latent import apply_known_labels
from ..networks._condition import Condition
from ..notes import Argument, message
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="class and latent",
        paper="Kingma et al. 2014",
        needs="the classes of a label",
        instead=message("Use {preset}", preset=Argument("preset", "semi_supervised_vae")),
        use_when="some rows have labels",
        cost="one pass per class",
        avoid_when="all rows have labels; use a context",
    )
)
class Labelled(Unconditional):
    """``p(y) p(z)`` with a class ``y``: the prior for ``posteriors.Labelled``.

    Where the context contains the class, all mass, ``p(y)``, is at that class, and draws are of
    that class. The bound of a row with a label is a bound of ``log p(x, y)`` (equation 6): it
    trains the probabilities of the classes, and lies below ``log p(x)``, too.

    Kingma, Mohamed, Rezende and Welling, Semi-supervised learning with deep generative models
    (2014).

    Args:
        prior: The prior of ``z``.
        condition: The condition with the classes.
        learned: Whether the probabilities of the classes are learned or equal.

    Example:
        >>> from aevb import networks, priors
        >>> condition = networks.Condition(
        ...     [networks.Labels("digit", range(10), labelled_fraction=0.1)]
        ... )
        >>> prior = Labelled(priors.Normal(2), condition)
        >>> prior().sample().shape, prior(None, condition.to_context("7", n=3)).sample()[:, 7]
        (torch.Size([12]), tensor([1., 1., 1.]))
    """

    logits: Tensor

    def __init__(self, prior: Unconditional, condition: Condition, learned: bool = False) -> None:
        super().__init__()
        self.prior = prior
        self.condition = condition
        logits = torch.zeros(condition.width)
        if learned:
            self.logits = nn.Parameter(logits)
        else:
            self.register_buffer("logits", logits, persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.ClassAndLatent:
        label = (
            None if context is None else self.condition.check_context(context).to(self.logits.dtype)
        )
        known = apply_known_labels(torch.zeros_like(self.logits), label)
        return distributions.ClassAndLatent(
            torch.log_softmax(self.logits, -1) + known, self.prior()
        )
