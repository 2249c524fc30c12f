"""Decoupled weight decay, for every optimiser and every way of taking a step."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.optim import Optimizer

from ..errors import ArgumentError
from ..models import VAE
from ._engine._fused_adam import UpdateFunction

_LAYERS = (nn.Linear, _ConvNd, nn.RNNBase)


def decayed_parameters(model: VAE) -> list[nn.Parameter]:
    """The weights that decay: those of linear, convolutional and recurrent layers.

    Biases, learned scales, embeddings, parameters of rows and everything that belongs to the prior
    alone have no natural value at 0, and keep theirs.

    Args:
        model: The model.

    Returns:
        Weights of the networks of posterior and likelihood, each once.
    """
    found = {
        id(parameter): parameter
        for part in (model.posterior, model.likelihood)
        for module in part.modules()
        if isinstance(module, _LAYERS)
        for name, parameter in module.named_parameters(recurse=False)
        if name.startswith("weight") and parameter.requires_grad
    }
    return list(found.values())


def check_weight_decay(weight_decay: float, learning_rate: float = 0.0) -> None:
    """Check that a step shrinks the weights, and keeps their signs.

    Args:
        weight_decay: The rate of decay, in units of the learning rate.
        learning_rate: The largest learning rate of the run, as far as it is known.

    Raises:
        ArgumentError: It does not.
    """
    if not (weight_decay >= 0 and math.isfinite(weight_decay)):
        raise ArgumentError(
            "give a number from 0, as 0.01", argument="weight_decay", value=weight_decay
        )
    if weight_decay * learning_rate >= 1:
        raise ArgumentError(
            f"times the learning rate {learning_rate:.3g} it must be below 1, or a step turns the "
            "weights around",
            argument="weight_decay",
            value=weight_decay,
        )


class DecayedUpdate:
    """Multiply the weights by ``1 - lr * weight_decay``, then update (Loshchilov and Hutter, 2019).

    The optimiser does not see the decay, so that its kernel, its checkpoints and its recordings
    are the same with it.

    Args:
        optimizer: The optimiser, whose learning rates follow the schedule.
        decayed: The weights that decay.
        weight_decay: The rate of decay, in units of the learning rate.
        update: The update of the optimiser.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decayed: Sequence[Tensor],
        weight_decay: float,
        update: UpdateFunction,
    ) -> None:
        self.optimizer, self.weight_decay, self.update = optimizer, weight_decay, update
        chosen = {id(tensor) for tensor in decayed}
        self.groups = [
            [id(parameter) in chosen for parameter in group["params"]]
            for group in optimizer.param_groups
        ]

    @torch.no_grad()
    def __call__(
        self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None], skip: Tensor
    ) -> None:
        """Take a step, or change nothing if ``skip`` is true; weights without gradient stay."""
        start = 0
        for group, chosen in zip(self.optimizer.param_groups, self.groups, strict=True):
            places = [start + i for i, decays in enumerate(chosen) if decays]
            weights = [parameters[i] for i in places if gradients[i] is not None]
            if weights:
                taken = (~skip).to(weights[0].dtype)
                kept = 1.0 - group["lr"] * self.weight_decay * taken
                torch._foreach_mul_(weights, kept)  # pyright: ignore[reportPrivateImportUsage]
            start += len(chosen)
        self.update(parameters, gradients, skip)
