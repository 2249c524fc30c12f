"""Differential expression: which columns of counts differ between two groups of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .._random import seed_scope
from ..errors import ArgumentError, check_choice, check_counts
from ..models import VAE
from ..types import Batch
from ._batches import eval_mode, model_dtype
from ._expression import changed_context, check_counts_likelihood, means_of_counts
from ._inputs import TrainedModel, resolve_input

DifferenceMode = Literal["change", "vanilla"]
PAIR_BLOCK = 256


@dataclass(frozen=True)
class DifferentialExpression:
    """How the share of each column differs between two groups of rows.

    Args:
        probability: Probability that a column differs in its more probable direction (mode
            ``"change"``) or that its share is larger in the first group (mode ``"vanilla"``),
            float64 ``[D]``.
        log2_fold_change: Posterior mean of the log2 of the ratio of shares, first group over
            second, ``[D]``.
        deviation: Its posterior standard deviation, ``[D]``.
        mode: The question that was asked.
    """

    probability: Tensor
    log2_fold_change: Tensor
    deviation: Tensor
    mode: DifferenceMode

    @property
    def bayes_factor(self) -> Tensor:
        """Log of the odds of ``probability``, ``[D]``; infinite where no pair disagrees."""
        return torch.logit(self.probability)

    def found(self, false_discovery_rate: float = 0.05) -> Tensor:
        """The columns that differ, as many as keep the expected share of false ones below a rate.

        The expected false discovery proportion of a set is the mean of one minus the probabilities
        of its columns, and the set takes columns in the order of their probability.

        Args:
            false_discovery_rate: The rate, in (0, 1).

        Returns:
            Booleans ``[D]``.

        Raises:
            ArgumentError: The rate is not in (0, 1).
        """
        if not 0 < false_discovery_rate < 1:
            raise ArgumentError(
                "give a number between 0 and 1",
                argument="false_discovery_rate",
                value=false_discovery_rate,
            )
        wrong = 1 - self.probability
        if self.mode == "vanilla":  # either direction is a difference
            wrong = torch.minimum(wrong, self.probability)
        order = wrong.argsort(stable=True)
        places = torch.arange(1, len(order) + 1, dtype=wrong.dtype)
        count = int((wrong[order].cumsum(0) / places <= false_discovery_rate).sum())
        chosen = torch.zeros(len(order), dtype=torch.bool)
        chosen[order[:count]] = True
        return chosen


def differential_expression(
    model: VAE | TrainedModel,
    x: Any,
    first: Tensor,
    second: Tensor,
    *,
    mode: DifferenceMode = "change",
    delta: float = 0.25,
    pairs: int = 5000,
    pseudocount: float = 1e-6,
    batches: list[dict[str, Any]] | None = None,
    seed: int = 0,
) -> DifferentialExpression:
    """Compare the shares of columns of counts between two groups of rows.

    A row of each group and a draw from each posterior make a pair. In mode ``"vanilla"`` (Lopez et
    al. 2018) the probability is that of a larger share in the first group; in mode ``"change"``
    (Boyeau et al. 2019) that of a log2 fold change beyond ``delta`` in one direction, the more
    probable one: the probability of both together grows with uncertainty alone. Uncertainty is
    that of the latent variables given the model; it does not contain that of the training.

    Lopez et al., Deep generative modeling for single-cell transcriptomics (2018). Boyeau et al.,
    Deep generative models for detecting differential expression in single cells (2019).

    Args:
        model: The model, or a run, with a likelihood of counts.
        x: Rows of counts, as for ``encode``.
        first: The rows of the first group: booleans ``[N]`` or row numbers.
        second: Those of the second group.
        mode: ``"change"`` or ``"vanilla"``.
        delta: The smallest log2 fold change that matters; without meaning in mode ``"vanilla"``.
        pairs: Number of pairs of draws.
        pseudocount: Is added to all shares, so that the ratio of tiny shares means nothing.
        batches: Values of variables of the condition, such as ``[{"batch": "a"}, {"batch": "b"}]``:
            both rows of a pair are decoded under one of them, each for as many pairs, so that the
            difference of batches is none of groups. By default each row keeps its own.
        seed: Seed of pairs and draws.

    Returns:
        Probabilities and fold changes of all columns.

    Raises:
        IncompatibleError: The likelihood is not of counts.
        ArgumentError: A group is empty, or a setting is out of range.

    Example:
        >>> import aevb, numpy as np
        >>> x = np.random.default_rng(0).poisson(2.0, (60, 4))
        >>> data = aevb.data.load(x, likelihood="poisson", condition="library_size")
        >>> model = aevb.presets.count_vae(data.spec, latent=2, hidden=[8]).model
        >>> found = differential_expression(
        ...     model, data.train, torch.arange(10), torch.arange(10, 40), pairs=64
        ... )
        >>> found.probability.shape
        torch.Size([4])
    """
    check_counts(pairs=pairs)
    check_choice("mode", mode, get_args(DifferenceMode))
    for name, value in (("delta", delta), ("pseudocount", pseudocount)):
        if not 0 < value < math.inf:
            raise ArgumentError("give a positive number", argument=name, value=value)
    net, rows = resolve_input(model, x)
    check_counts_likelihood(net)
    groups = [
        _row_numbers(name, group, len(rows))
        for name, group in (("first", first), ("second", second))
    ]
    changes = [changed_context(net, each) for each in batches or [None]]
    size = math.prod(net.event_shape)
    sums = torch.zeros(4, size, dtype=torch.float64)
    with torch.no_grad(), eval_mode(net), seed_scope(seed, net.device):
        for number, block in enumerate(torch.arange(pairs).split(PAIR_BLOCK)):
            change = changes[number % len(changes)]
            logs = []
            for group in groups:
                index = group[torch.randint(len(group), (len(block),))]
                batch = rows.batch(index)
                batch = Batch(batch.x.to(model_dtype(net)), batch.context)
                z = net.infer(batch).sample()
                means = means_of_counts(net.likelihood(z, change(batch.context)))
                shares = means / means.flatten(1).sum(1).reshape(-1, *[1] * (means.dim() - 1))
                logs.append((shares.flatten(1).double() + pseudocount).log2().cpu())
            difference = logs[0] - logs[1]
            least = delta if mode == "change" else 0.0
            above, below = difference > least, difference < -least
            parts = [above.double(), below.double(), difference, difference**2]
            sums += torch.stack([part.sum(0) for part in parts])
    above, below, mean, square = sums / pairs
    probability = above if mode == "vanilla" else torch.maximum(above, below)
    deviation = (square - mean**2).clamp(min=0).sqrt()
    return DifferentialExpression(probability, mean, deviation, mode)


def _row_numbers(name: str, group: Any, total: int) -> Tensor:
    """The row numbers of a group.

    Raises:
        ArgumentError: It has none, or others than those of the rows.
    """
    chosen = torch.as_tensor(group)
    if chosen.dtype == torch.bool and chosen.shape == (total,):
        chosen = chosen.nonzero()[:, 0]
    valid = chosen.dtype in (torch.int64, torch.int32) and chosen.dim() == 1 and len(chosen) > 0
    if not valid or int(chosen.min()) < 0 or int(chosen.max()) >= total:
        raise ArgumentError(
            f"give at least one of the {total:,} rows, as booleans or row numbers", argument=name
        )
    return chosen.long()
