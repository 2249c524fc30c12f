"""Baselines on the rows of an evaluation, and their distance to the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..._registry import register
from ...data import Rows
from .._estimate import Estimate
from .._number import MetricRegistration, Number
from ._fit import Baseline, BaselineName, Baselines

if TYPE_CHECKING:
    from .._evaluation import EvaluationContext


@dataclass(frozen=True)
class BaselineScores:
    """Log p(x) of rows by the baselines of a model.

    Args:
        baselines: The fitted baselines.
        per_datum: Log-densities ``[N]`` by the name of the baseline.
    """

    baselines: Baselines
    per_datum: dict[BaselineName, Tensor]

    @staticmethod
    def of(baselines: Baselines | None, *parts: Rows) -> BaselineScores | None:
        """Score rows; ``None`` where no baseline applies to all of them."""
        if baselines is None:
            return None
        scores = [baselines.log_prob(rows) for rows in parts]
        common: dict[BaselineName, Tensor] = {
            name: torch.cat([each[name] for each in scores])
            for name in scores[0]
            if all(name in each for each in scores)
        }
        return BaselineScores(baselines, common) if common else None

    @property
    def members(self) -> list[Baseline]:
        """The baselines that apply to the rows."""
        return [each for each in self.baselines.members if each.name in self.per_datum]

    @cached_property
    def best(self) -> Baseline:
        """The baseline with the highest mean log p(x)."""
        return max(self.members, key=lambda each: self.per_datum[each.name].mean().item())

    def estimate(self, baseline: Baseline) -> Estimate:
        """Mean log p(x) of a baseline."""
        return Estimate.from_values(self.per_datum[baseline.name])

    def gain(self, per_datum: Tensor) -> Estimate:
        """Paired difference of the model's values ``[N]`` and those of the best baseline."""
        return Estimate.from_values(per_datum.cpu() - self.per_datum[self.best.name])


@register(
    MetricRegistration(
        name="baselines",
        title="Classical baselines",
        use_when="judging whether a model has learned what columns have in common",
        cost="seconds, on the training rows",
        avoid_when="the training rows are not at hand",
        order=15,
    )
)
def _baseline_numbers(context: EvaluationContext) -> Iterator[Number]:
    scores, bound = context.baseline_scores, context.rate_distortion.per_datum
    if scores is None or not context.has_elbo:
        meaning = "" if context.baselines is None else context.baselines.joint_reason
        yield Number("baselines", "baselines", None, meaning=meaning, in_tables=False)
        return
    estimate = context.log_likelihood
    if estimate is not None:
        yield from baseline_numbers(context, scores, "log p(x)", estimate.per_datum)
    elif bound is not None:
        yield from baseline_numbers(context, scores, "ELBO", -bound.sum(0))


def baseline_numbers(
    context: EvaluationContext, scores: BaselineScores, name: str, per_datum: Tensor
) -> Iterator[Number]:
    """Log p(x) of each baseline, and the difference of the model's values from the best of them."""
    best, fitted = scores.best, scores.baselines
    record = {"n_train": fitted.n_rows, "best": best.name}
    yield Number("baselines", "baselines", None, details=record, in_tables=False)
    fields: dict[str, Any] = {"unit": context.unit, "measure": context.measure}
    for each in scores.members:
        yield Number.from_estimate(
            f"baselines.{each.name}",
            f"baseline: {each.title}",
            scores.estimate(each),
            **fields,
            meaning=_meaning(each, context.item_noun, fitted),
            details=each.details,
        )
    yield Number.from_estimate(
        "baselines.difference",
        "above the best baseline",
        scores.gain(per_datum),
        **fields,
        meaning=f"{name} minus that of the baseline {best.title}, row by row; below 0, the "
        "baseline is the better model.",
        details={"of": name, "baseline": best.name},
    )


def _meaning(baseline: Baseline, item_noun: str, fitted: Baselines) -> str:
    reason = fitted.joint_reason if baseline.name == "independent" else ""
    sentences = [
        f"log p(x) of a held-out {item_noun} by a classical model, fitted to {fitted.n_rows:,} "
        "training rows.",
        baseline.caveat,
        reason,
    ]
    return " ".join(filter(None, sentences))
