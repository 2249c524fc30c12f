"""The check whether a classical model, fitted in seconds, is better than the model."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ..._registry import register
from ...likelihoods._location_scale import LocationScale
from ...models import first_member
from ...notes import Argument, Message, message
from .._baselines._scores import BaselineScores
from .._estimate import Estimate
from .._method_choice import is_untrustworthy
from ._check import DRIFT, FAILED_TRAINING, SCHEDULES, CheckRegistration
from ._context import DiagnosticContext
from ._diagnosis import CheckResult, Finding


@register(
    CheckRegistration(
        name="baseline",
        title="log p(x) above the best baseline",
        order=8,
        causes=(*DRIFT, *FAILED_TRAINING, *SCHEDULES),
    )
)
def _baseline(context: DiagnosticContext) -> CheckResult | None:
    """Compare log p(x), or the ELBO where it is not known, with the best classical model."""
    name, per_datum, scores = _model_and_baselines(context)
    if per_datum is None or scores is None:
        return None
    gain, best = scores.gain(per_datum), scores.best
    own, other = Estimate.from_values(per_datum.cpu()), scores.estimate(best)
    limits, finding = context.thresholds, None
    limit = max(limits.baseline_standard_errors * gain.standard_error, limits.baseline_gap_nats)
    if not context.has_few_rows and gain.mean < -limit:
        finding = Finding(
            "baseline_better",
            "A classical model is better",
            f"{name} is {-gain.mean:.2f} ± {gain.standard_error:.2f} nats below that of a simple "
            f"model of the training rows ({best.title}): {own} against {other}."
            + (f" {best.caveat}" if best.caveat else ""),
            "The model has not learned what this one captures in seconds: as a density of the "
            f"data it is worse.{_reliability_sentence(context)}",
            _recommendation(context),
        )
    return CheckResult(
        f"{name} above the best baseline",
        f"{gain} nats: {own.mean:.2f}, and {other.mean:.2f} for {best.title}",
        finding,
        {"gain": gain.mean, "error": gain.standard_error, "baseline": other.mean},
    )


def _model_and_baselines(
    context: DiagnosticContext,
) -> tuple[str, Tensor | None, BaselineScores | None]:
    """The number of the model, its values per row, and the baselines on the same rows.

    Where there are few rows, reference rows join them.
    """
    if context.baselines is None or not context.model.posterior.has_density:
        return "", None, None
    estimate, bound = context.log_likelihood, context.rate_distortion.per_datum
    if estimate is None:
        scores = BaselineScores.of(context.baselines, context.rows)
        return "the ELBO", None if bound is None else -bound.sum(0), scores
    parts, values = [context.importance_rows], [estimate.per_datum]
    more = context.reference_importance_rows
    if more is not None and context.reference_log_likelihood is not None:
        parts.append(more)
        values.append(context.reference_log_likelihood.per_datum)
    return "log p(x)", torch.cat(values), BaselineScores.of(context.baselines, *parts)


def _reliability_sentence(context: DiagnosticContext) -> str:
    estimate = context.log_likelihood
    if estimate is not None and is_untrustworthy(estimate):
        return (
            " But the importance weights cannot be trusted, and log p(x) is higher than estimated: "
            "the model may be the better one."
        )
    reliable = None if estimate is None else estimate.reliable_fraction
    if reliable is None or reliable >= 0.5:
        return ""
    return (
        " The importance weights are reliable for few rows, so that log p(x) may be higher than "
        "estimated."
    )


def _recommendation(context: DiagnosticContext) -> Message:
    """What to change, the likeliest first."""
    advice = list(_advice(context))
    text = "; ".join(template for template, _ in advice)
    arguments = {argument.name: argument for _, argument in advice}
    return message(f"{text[0].upper()}{text[1:]}.", **arguments)


def _advice(context: DiagnosticContext) -> Iterator[tuple[str, Argument]]:
    history, limits, best = context.history, context.thresholds, context.best_epoch
    if context.log_likelihood is not None and is_untrustworthy(context.log_likelihood):
        yield "first estimate log p(x) by {method}", Argument("method", "annealing")
    steps = history[-1].step if history else 0
    # more epochs bring nothing to a run whose best epoch is long past
    gaining = best is None or best.epoch >= limits.finished_share * history[-1].epoch
    if history and steps < limits.baseline_steps and gaining:
        longer = math.ceil(len(history) * max(3.0, limits.baseline_steps / max(steps, 1)))
        yield "train for longer, {epochs}", Argument("epochs", longer)
    model = first_member(context.model)
    latent, columns = math.prod(model.latent_shape), math.prod(model.event_shape)
    if latent < columns:
        yield "use more latent variables, {latent}", Argument("latent", min(columns, 2 * latent))
    kinds = {
        part.kind for part in context.model.likelihood.modules() if isinstance(part, LocationScale)
    }
    known = 0 if context.baselines is None else context.baselines.n_rows
    if "fixed" in kinds:
        yield "let the scale be learned, {scale}", Argument("scale", "per_element")
    elif kinds & {"shared", "per_element"} and known >= limits.predicted_scale_rows:
        yield "let the scale depend on the latents, {scale}", Argument("scale", "predicted")
    if not history or history[-1].targets_elbo:
        yield "maximise a tighter bound, {objective}", Argument("objective", "iwae")
    else:
        yield "draw more samples per row in the objective, {samples}", Argument("samples", 20)
