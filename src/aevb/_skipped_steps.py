"""Non-finite steps in optimisation loops: skipped, reported, and fatal when they repeat.

A finite gradient can still overflow the weights. No update of Adam can, up to a learning rate that
follows from its settings; the loops compare the rate with this limit before the step, which costs
nothing. The updates of other optimisers are checked when they are done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.optim import Adam, AdamW, Optimizer

from .errors import NumericalError
from .notes import Note, Text

MAX_SKIP_STREAK = 3  # skipped steps in a row that end a loop
MAX_SKIP_NOTES = 20
MAX_UPDATES = 1e9  # of one run
MIN_EPS = 1e-20  # of Adam, above which a second moment that underflows cannot divide by 0


class SkippedSteps:
    """Collect a note for each skipped step of a loop, and end the loop after three in a row.

    Args:
        suggestions: What the error suggests.
        outcome: What the error says about the state after the loop.
    """

    def __init__(self, suggestions: Sequence[Text], outcome: str = "") -> None:
        self.suggestions, self.outcome = tuple(suggestions), outcome
        self.notes: list[Note] = []

    def report(self, culprit: str, streak: int, step: int, **position: int) -> None:
        """Report a skipped step.

        Args:
            culprit: The first tensor that was not finite, by name.
            streak: Skipped steps in a row, this one included.
            step: Number of the step.
            **position: Where the step is, for instance ``epoch=2, batch=7``.

        Raises:
            NumericalError: ``MAX_SKIP_STREAK`` steps in a row were skipped.
        """
        places = ", ".join(f"{name} {number}" for name, number in position.items())
        name = f"step {step} ({places})" if places else f"step {step}"
        if len(self.notes) < MAX_SKIP_NOTES:
            text = f"{name.capitalize()} was skipped: {culprit} was not finite."
            data = {"step": step, "culprit": culprit, **position}
            self.notes.append(Note("step_skipped", text, "warning", data))
        if streak >= MAX_SKIP_STREAK:
            raise NumericalError(
                f"{MAX_SKIP_STREAK} steps in a row were not finite, the last at {name}: {culprit}"
                f"{self.outcome}",
                suggestions=self.suggestions,
            )


def learning_rate_limit(optimizer: Optimizer) -> float | None:
    """Return the learning rate up to which no run can overflow the weights.

    The update of Adam is at most ``lr / sqrt((1 - b2) (1 - b1^2 / b2))``, by the Cauchy-Schwarz
    inequality for its two moments.

    Args:
        optimizer: The optimiser.

    Returns:
        The limit, about 1e27 for Adam in float32; ``None`` where an update has no bound.

    Example:
        >>> weights = [torch.zeros(2, requires_grad=True)]
        >>> learning_rate_limit(Adam(weights)) > 1e27, learning_rate_limit(torch.optim.SGD(weights))
        (True, None)
    """
    if type(optimizer) not in (Adam, AdamW):
        return None
    limits = [_group_limit(group) for group in optimizer.param_groups]
    return None if None in limits else min(limit for limit in limits if limit is not None)


def _group_limit(group: Mapping[str, Any]) -> float | None:
    beta1, beta2 = group["betas"]
    shrinks = group["decoupled_weight_decay"]  # the weights, by the factor 1 - lr * weight_decay
    dtypes = {parameter.dtype for parameter in group["params"]}
    bounded = beta1**2 < beta2 < 1 and group["eps"] >= MIN_EPS
    if not (bounded and (shrinks or group["weight_decay"] <= 1) and _are_wide(dtypes)):
        return None
    largest = min((torch.finfo(dtype).max for dtype in dtypes), default=math.inf)
    limit = largest * math.sqrt((1 - beta2) * (1 - beta1**2 / beta2)) / MAX_UPDATES
    return min(limit, 2 / group["weight_decay"]) if shrinks and group["weight_decay"] else limit


def _are_wide(dtypes: set[torch.dtype]) -> bool:
    return dtypes <= {torch.float32, torch.float64}


def overflow_error(learning_rate: float) -> NumericalError:
    """Return the error for an update that would overflow the weights."""
    return NumericalError(
        f"an update with the learning rate {learning_rate:.3g} would overflow the weights, which "
        "are as before it",
        suggestions=("Lower the learning rate",),
    )
