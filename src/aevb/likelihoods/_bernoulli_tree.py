"""Likelihood of binary data whose cells exclude or imply each other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .. import distributions
from .._registry import register
from ._chow_liu import fit_trees, one_hot_levels
from ._likelihood import Likelihood, as_event_shape, make_heads
from ._registration import LikelihoodRegistration

SMOOTHING = 1.0  # rows that the frequencies of all rows are worth at the start


@register(
    LikelihoodRegistration(
        title="Bernoulli tree",
        paper="Chow and Liu 1968",
        kinds=("binary",),
        use_when="values are 0 or 1, and many exclude or imply each other (one-hot categories)",
        cost="that of bernoulli; a draw takes one step for each generation of the tree",
        avoid_when="cells are missing, scores are explained by cell, or some cells are given",
    )
)
class BernoulliTree(Likelihood):
    """``logit p(x_d = 1 | x_parent(d), z) = l_d(z) + b_d + w_d x_parent(d)``.

    A latent variable describes what many columns have in common, and needs many bits to describe
    that one of three columns is 1. A tree of the columns states it with one number for each
    column. Training begins at the Chow-Liu tree of the data: the tree with the most mutual
    information, and the frequencies of each column given its parent.

    Chow and Liu, Approximating discrete probability distributions with dependence trees (1968).

    Args:
        network: Maps latents to features; the logits are a linear map of the features.
        event_shape: Shape of a row of data.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``event_shape`` is not a shape.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(50, 1)
        >>> likelihood = BernoulliTree(nn.Identity(), (2,))
        >>> likelihood.initialise_from_data(x)
        >>> likelihood.parents, likelihood.slopes.round().tolist()
        (tensor([0, 0]), [0.0, -9.0])
    """

    measure = "probability"
    factorises = False
    parents: Tensor

    def __init__(
        self, network: nn.Module, event_shape: Sequence[int], latent_rank: int = 1
    ) -> None:
        super().__init__()
        self.event_shape = as_event_shape(event_shape)
        self.heads = make_heads(network, self.event_shape, 1, latent_rank)
        size = math.prod(self.event_shape)
        self.register_buffer("parents", (torch.arange(size) - 1).clamp(min=0))
        self.intercepts = nn.Parameter(torch.zeros(size))
        self.slopes = nn.Parameter(torch.zeros(size))

    @torch.no_grad()
    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Begin at the Chow-Liu tree of the rows, unless the tree has been trained."""
        if self.slopes.any() or self.intercepts.any():
            return
        rows = one_hot_levels(x.flatten(1).cpu(), 2)
        (tree,) = fit_trees(rows, 2, [SMOOTHING])
        logits = tree.log_share[:, :, 1] - tree.log_share[:, :, 0]
        self.parents.copy_(tree.parents)
        self.intercepts.copy_(logits[:, 0])
        self.slopes.copy_(logits[:, 1] - logits[:, 0])

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.BernoulliTree:
        (logits,) = self.heads(input, context)
        logits = logits + self.intercepts.view(self.event_shape)
        return distributions.BernoulliTree(logits, self.slopes, self.parents, len(self.event_shape))
