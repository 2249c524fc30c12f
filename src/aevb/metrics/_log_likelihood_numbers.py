"""What ``evaluate`` reports of the log-likelihood: the estimate, its reliability, its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .._registry import register
from ..errors import IncompatibleError
from ..inference._pareto import pareto_k_threshold
from ..notes import Note, message
from ._log_likelihood import LogLikelihood, list_rows
from ._number import MetricRegistration, Number

if TYPE_CHECKING:
    from ._evaluation import EvaluationContext


@register(
    MetricRegistration(
        name="log_likelihood",
        title="Log-likelihood",
        paper="Burda et al. (2016)",
        use_when="comparing models of the same data",
        cost="100 passes through the decoder",
        avoid_when="the posterior has no density, or a single code per row",
        order=10,
    )
)
def log_likelihood_numbers(context: EvaluationContext) -> Iterator[Number | Note]:
    """The estimate of log p(x) with what is known of its error."""
    estimate = context.log_likelihood
    if estimate is None:
        yield from _missing_numbers(context)
        return
    if len(estimate.zero_density_rows):
        yield _zero_density_note(estimate)
    fields: dict[str, Any] = {"unit": context.unit, "measure": context.measure}
    yield Number.from_estimate(
        "log_likelihood",
        "log-likelihood",
        estimate.value,
        **fields,
        meaning=_estimate_meaning(estimate, context.item_noun),
        details={
            "method": estimate.method,
            "samples": estimate.samples,
            "curve": _curve_record(estimate),
            "zero_density_rows": estimate.zero_density_rows.tolist(),
        },
    )
    yield from _reliability_numbers(estimate)
    yield Number.from_estimate(
        "lower_bound",
        "lower bound",
        estimate.lower_bound,
        **fields,
        meaning="Mean log-weight of the annealed chains, a lower bound of log p(x).",
        in_tables=estimate.method == "annealing",
    )
    yield Number.from_estimate(
        "upper_bound",
        "upper bound",
        estimate.upper_bound,
        **fields,
        meaning="An upper bound needs exact draws from the posterior, which only simulated data "
        "have.",
        in_tables=estimate.method != "exact",
    )


def _missing_numbers(context: EvaluationContext) -> Iterator[Number]:
    """Why there is no log-likelihood; its bounds are missing as well."""
    if context.has_elbo:
        meaning = (
            "Not estimated: each row has a single code, and importance sampling needs others to "
            "weigh it against. The ELBO is the number to compare."
        )
    else:
        meaning = "Not defined: the encoder of an autoencoder has no density."
    yield Number(
        "log_likelihood",
        "log-likelihood",
        None,
        text="-",
        meaning=meaning,
        in_tables=context.has_elbo,
    )
    yield Number("lower_bound", "lower bound", None, in_tables=False)
    yield Number("upper_bound", "upper bound", None, in_tables=False)


def _estimate_meaning(estimate: LogLikelihood, item_noun: str) -> str:
    if estimate.method == "exact":
        return f"log p(x) of a held-out {item_noun}, exact; higher is better."
    how = {
        "importance": f"importance sampling with {estimate.samples:,} samples",
        "annealing": f"annealed importance sampling with {estimate.samples:,} chains",
    }[estimate.method]
    return (
        f"log p(x) of a held-out {item_noun}, estimated by {how}: in expectation a lower bound, "
        "which more samples raise towards the true value; higher is better."
    )


def _curve_record(estimate: LogLikelihood) -> list[dict[str, Any]] | None:
    curve = estimate.convergence_curve
    return curve and [
        {"samples": samples, "mean": value.mean, "standard_error": value.standard_error}
        for samples, value in zip(curve.samples, curve.values, strict=True)
    ]


def _zero_density_note(estimate: LogLikelihood) -> Note:
    rows = estimate.zero_density_rows.tolist()
    plural = "s" if len(rows) > 1 else ""
    return Note(
        "zero_density_rows",
        f"Row{plural} {list_rows(rows)}: the likelihood is 0 at every draw, so that log p(x) and "
        "its mean are minus infinity.",
        "warning",
        {"rows": rows},
    )


def _reliability_numbers(estimate: LogLikelihood) -> Iterator[Number]:
    """How far the estimate can be trusted."""
    annealed, importance = estimate.method == "annealing", estimate.method == "importance"
    unit = "chains" if annealed else "importance samples"
    yield Number(
        "log_likelihood.effective_sample_size",
        "effective chains" if annealed else "effective samples",
        estimate.effective_sample_size,
        text=f"{estimate.effective_sample_size:.1f} of {estimate.samples:,}",
        meaning=f"Number of {unit} that carry the weight, averaged over rows; near 1, log p(x) is "
        "probably higher than estimated.",
        in_tables=annealed or importance,
    )
    rate = estimate.acceptance_rate
    yield Number(
        "log_likelihood.acceptance_rate",
        "acceptance rate",
        rate,
        text="-" if rate is None or math.isnan(rate) else f"{100 * rate:.0f} %",
        meaning="Share of the chains' proposals that were accepted.",
        in_tables=annealed,
    )
    yield _pareto_k_number(estimate)


def _pareto_k_number(estimate: LogLikelihood) -> Number:
    key, label, shapes = "log_likelihood.pareto_k", "Pareto k", estimate.pareto_k
    if shapes is None:
        return Number(key, label, None, in_tables=False)
    median, reliable = shapes.nanmedian().item(), estimate.reliable_fraction
    meaning = "Shape of the tail of the importance weights, median over rows"
    if reliable is not None:
        meaning += (
            f"; below {pareto_k_threshold(estimate.samples):.2f}, where the estimate is reliable, "
            f"in {100 * reliable:.0f} % of rows"
        )
    return Number(
        key,
        label,
        median,
        meaning=f"{meaning}.",
        details={"median": median, "reliable_fraction": reliable},
        in_tables=reliable is not None,
    )


@register(
    MetricRegistration(
        name="bits_per_dimension",
        title="Bits per dimension",
        paper="Theis et al. (2016)",
        use_when="the data are values in steps, as grey levels",
        order=20,
    )
)
def _bits_per_dimension_number(context: EvaluationContext) -> Iterator[Number]:
    spec, estimate = context.spec, context.log_likelihood
    if spec is None or not (spec.measure == "probability" and context.has_elbo):
        yield Number("bits_per_dimension", "bits per dimension", None, in_tables=False)
        return
    best = context.rate_distortion.elbo if estimate is None else estimate.value
    name = "ELBO" if estimate is None else "log p(x)"
    yield Number.from_estimate(
        "bits_per_dimension",
        "bits per dimension",
        best.bits_per_dimension(spec.dimensions),
        unit="bits per value",
        measure=context.measure,
        meaning=f"-{name} / ({spec.dimensions:,} ln 2): length of a lossless code made with this "
        "model, per value.",
        digits=4,
    )


@register(
    MetricRegistration(
        name="bracket",
        title="Bracket of the log-likelihood",
        paper="Grosse et al. (2015)",
        use_when="checking how tight annealed bounds are for this model",
        cost="two annealed chains per row and sample",
        order=60,
    )
)
def _bracket_numbers(context: EvaluationContext) -> Iterator[Number | Note]:
    bracket = context.bracket
    if isinstance(bracket, IncompatibleError):
        reason = bracket.reason
        yield Note("bracket_unavailable", message("There is no bracket: {reason}.", reason=reason))
    if not isinstance(bracket, LogLikelihood):
        yield Number("bracket", "bracket", None, in_tables=False)
        return
    n, fields = len(bracket.per_datum), {"unit": context.unit, "measure": context.measure}
    counts = {"n": n, "chains": bracket.samples}
    yield Number("bracket", "bracket", None, details=counts, in_tables=False)
    parts = (
        ("lower", "lower", bracket.lower_bound, "Lower bound of log p(x)"),
        ("estimate", "estimate", bracket.value, "Estimate of log p(x)"),
        ("upper", "upper", bracket.upper_bound, "Upper bound of log p(x)"),
        ("gap", "width", bracket.bound_gap, "Difference of the bounds, which contain the truth"),
    )
    for key, label, estimate, meaning in parts:
        yield Number.from_estimate(
            f"bracket.{key}",
            f"bracket: {label}",
            estimate,
            **fields,
            meaning=f"{meaning}, for {n:,} rows drawn from the model.",
            in_tables=key != "estimate",
        )
