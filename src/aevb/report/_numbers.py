"""The numbers of a report, with their error bars, and what they mean in plain words."""

from __future__ import annotations

from ..metrics import Estimate, LogLikelihood
from ..metrics._latent import ACTIVE_UNIT_THRESHOLD
from ._html import Section, data_table, format_signed, paragraph
from ._report_context import ReportContext

NumberRow = tuple[str, str, str]  # name, value, meaning

STANDARD_ERROR_NOTE = "± is one standard error of the mean over held-out data: it says how far the mean would move with other data of the same kind."
LOG_LIKELIHOOD_MEANING = (
    "How probable the model finds a new {one}; higher is better. Estimated by importance sampling with {samples} samples from the "
    "posterior: in expectation a lower bound, which more samples raise towards the truth."
)
EFFECTIVE_SAMPLE_SIZE_MEANING = "How many of the samples carry the weight, averaged over the data. Near 1, log p(x) is probably higher than estimated."
BITS_PER_DIMENSION_MEANING = "−log p(x) / ({size} · ln 2): the length of a lossless code made with this model, in bits for each of the {size} values of a datum."
UPPER_BOUND_NOTE = (
    "It would need exact draws from the posterior, and only simulated data come with these."
)
ELBO_MEANING = (
    "The evidence lower bound, −distortion − rate, both with weight 1: it lies below log p(x) by the divergence of the "
    "posterior from the true one."
)
RATE_MEANING = "KL(q(z|x) ‖ p(z)), averaged: the nats that the code tells of the datum. At 0 the code would be ignored."
DISTORTION_MEANING = "−E log p(x|z): the nats that are missing once the code is known; lower is a closer reconstruction."
PERPLEXITY_MEANING = (
    "As many entries, all used alike, would tell as much; one number per table of entries."
)
ACTIVE_UNITS_MEANING = f"Latent variables whose posterior mean varies over the data, with a variance above {ACTIVE_UNIT_THRESHOLD}."


def format_signed_estimate(value: Estimate | LogLikelihood, digits: int = 2) -> str:
    """``mean ± standard error``; no error bar where there is a single datum."""
    bar = (
        f" ± {value.standard_error:,.{digits}f}"
        if value.standard_error == value.standard_error
        else ""
    )
    return format_signed(value.mean, digits) + bar


def headline(report: ReportContext) -> str:
    """The one sentence that the page opens with."""
    rows = f"{len(report.rows):,} held-out {report.item_noun}{'' if len(report.rows) == 1 else 's'}"
    weighed = report.metrics.log_likelihood
    if weighed is None and report.model.posterior.has_density:
        return (
            f"On {rows} the ELBO, a lower bound of the log-likelihood, is {format_signed_estimate(report.metrics.rate_distortion.elbo)} nats per "
            f"{report.item_noun}; each has a single code, of which no better estimate can be made."
        )
    if weighed is None:
        return (
            f"On {rows} the reconstruction log-likelihood is {format_signed_estimate(report.metrics.reconstruction)} nats per {report.item_noun}; "
            "an autoencoder has no likelihood of the data."
        )
    bits = (
        f" ({format_signed_estimate(weighed.value.bits_per_dimension(report.dimensions), 3)} bits per dimension)"
        if report.spec.discrete
        else ""
    )
    return (
        f"On {rows} the log-likelihood is {format_signed_estimate(weighed)} nats per {report.item_noun}{bits}, "
        f"estimated with {weighed.samples:,} importance samples each."
    )


def summary_cards(report: ReportContext) -> list[tuple[str, str]]:
    """The few numbers at the top: value and name."""
    found, weighed = report.metrics, report.metrics.log_likelihood
    if weighed is None and report.model.posterior.has_density:
        return _codebook_cards(report)
    if weighed is None:
        return [
            (
                _format_short(report.metrics.reconstruction),
                f"reconstruction log-likelihood, nats per {report.item_noun}",
            ),
            _parameter_card(report),
        ]
    terms = found.rate_distortion
    shown = [(_format_short(weighed), f"log p(x), nats per {report.item_noun}")]
    if report.spec.discrete:
        shown.append(
            (
                f"{weighed.value.bits_per_dimension(report.dimensions).mean:.3f}",
                "bits per dimension",
            )
        )
    shown.append((_format_short(terms.rate), "rate: nats in the code"))
    shown.append((_format_short(terms.distortion), "distortion: nats still missing"))
    if found.active_units is not None:
        shown.append(
            (
                f"{found.active_units.count} of {found.active_units.variance.numel()}",
                "latent variables in use",
            )
        )
    return shown


def _codebook_cards(report: ReportContext) -> list[tuple[str, str]]:
    """Where each datum is one entry, or several, of a codebook."""
    terms, usage = report.metrics.rate_distortion, report.metrics.codebook_usage
    entries = (
        []
        if usage is None
        else [(f"{usage.size - usage.n_dead} of {usage.size}", "entries of the codebook in use")]
    )
    return [
        (
            _format_short(terms.elbo),
            f"ELBO, a lower bound of log p(x), nats per {report.item_noun}",
        ),
        (_format_short(terms.rate), "rate: nats that the codes cost"),
        (_format_short(terms.distortion), "distortion: nats still missing"),
        *entries,
    ]


def numbers_section(report: ReportContext) -> Section:
    """Every number, its error bar, and its meaning."""
    weighed = report.metrics.log_likelihood
    if weighed is None:
        rows = (
            _codebook_rows(report)
            if report.model.posterior.has_density
            else _autoencoder_rows(report)
        )
    else:
        rows = _likelihood_rows(report, weighed)
    return Section(
        "numbers",
        "The numbers",
        paragraph(_units_sentence(report), STANDARD_ERROR_NOTE)
        + data_table(("", "value", "what it means"), rows),
    )


def _likelihood_rows(report: ReportContext, log_likelihood: LogLikelihood) -> list[NumberRow]:
    rows = [
        (
            "log p(x)",
            format_signed_estimate(log_likelihood),
            LOG_LIKELIHOOD_MEANING.format(
                one=report.item_noun, samples=f"{log_likelihood.samples:,}"
            ),
        ),
        (
            "effective sample size",
            f"{log_likelihood.effective_sample_size:,.1f} of {log_likelihood.samples:,}",
            EFFECTIVE_SAMPLE_SIZE_MEANING,
        ),
    ]
    if report.spec.discrete:
        rows.append(
            (
                "bits per dimension",
                format_signed_estimate(
                    log_likelihood.value.bits_per_dimension(report.dimensions), 4
                ),
                BITS_PER_DIMENSION_MEANING.format(size=f"{report.dimensions:,}"),
            )
        )
    return [
        *rows,
        ("upper bound on log p(x)", "not available on real data", UPPER_BOUND_NOTE),
        *_bound_rows(report),
    ]


def _bound_rows(report: ReportContext) -> list[NumberRow]:
    terms, active = report.metrics.rate_distortion, report.metrics.active_units
    units = (
        []
        if active is None
        else [
            ("active units", f"{active.count} of {active.variance.numel()}", ACTIVE_UNITS_MEANING)
        ]
    )
    return [
        ("ELBO", format_signed_estimate(terms.elbo), ELBO_MEANING),
        ("rate", format_signed_estimate(terms.rate), RATE_MEANING),
        ("distortion", format_signed_estimate(terms.distortion), DISTORTION_MEANING),
        *units,
    ]


def _codebook_rows(report: ReportContext) -> list[NumberRow]:
    usage = report.metrics.codebook_usage
    why = "A datum has one code, and importance sampling needs others to weigh it against: the ELBO is the number to compare."
    rows = [*_bound_rows(report), ("log p(x)", "not estimated", why)]
    if report.spec.discrete:
        bits = format_signed_estimate(
            report.metrics.rate_distortion.elbo.bits_per_dimension(report.dimensions), 4
        )
        rows.append(
            (
                "bits per dimension",
                bits,
                BITS_PER_DIMENSION_MEANING.format(size=f"{report.dimensions:,}").replace(
                    "log p(x)", "ELBO"
                ),
            )
        )
    if usage is None:
        return rows
    worth = ", ".join(f"{value:.1f}" for value in usage.perplexity.tolist())
    used = "Entries of the codebook that some held-out datum uses."
    return [
        *rows,
        ("codebook", f"{usage.size - usage.n_dead} of {usage.size}", used),
        ("perplexity", worth, PERPLEXITY_MEANING),
    ]


def _autoencoder_rows(report: ReportContext) -> list[NumberRow]:
    value = report.metrics.reconstruction
    means = "log p(x|z) at the code of x; higher is a closer reconstruction. It says nothing about how probable a datum is."
    rows = [("reconstruction log-likelihood", format_signed_estimate(value), means)]
    why = "An autoencoder gives each datum a single code and no density over codes: ELBO, rate and log p(x) do not exist for it."
    return [*rows, ("log p(x)", "not defined", why)]


def _format_short(value: Estimate | LogLikelihood) -> str:
    return format_signed_estimate(value, 1 if value.standard_error >= 1 else 2).replace(
        "± ", "±\u00a0"
    )


def _units_sentence(report: ReportContext) -> str:
    if report.spec.discrete:
        return f"Nats per {report.item_noun}, of probabilities: at most 0."
    return f"Nats per {report.item_noun}, of a density in the units of the data as given: it may be positive, and changes with the units."


def _parameter_card(report: ReportContext) -> tuple[str, str]:
    return f"{sum(parameter.numel() for parameter in report.model.parameters()):,}", "parameters"
