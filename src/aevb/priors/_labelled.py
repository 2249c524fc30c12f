"""A class beside a code, before any datum is seen."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Unconditional
from ..distributions._class_and_latent import apply_known_labels
from ..networks._condition import Condition


class Labelled(Unconditional):
    """``p(y) p(z)``, ``y`` one of the classes of ``condition`` with equal or learned probabilities: the prior to ``posteriors.Labelled``.

    Where the context says which class it is, all mass is there: what the model then says is ``p(x|y)``, and its draws are of that class.
    Kingma et al., Semi-supervised learning with deep generative models (2014).

    >>> from aevb import networks, priors
    >>> condition = networks.Condition([networks.Labels("digit", range(10), known=0.1)])
    >>> prior = Labelled(priors.Normal(2), condition)
    >>> prior().sample().shape, prior(None, condition.of("7", n=3)).sample()[:, 7]
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
        return distributions.ClassAndLatent(
            apply_known_labels(torch.log_softmax(self.logits, -1), label), self.prior()
        )
