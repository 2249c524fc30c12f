"""The numbers of a report, with their error bars, and what they mean in plain words."""

from __future__ import annotations

from ..metrics import LogLikelihood, Measured
from ..metrics.latent import THRESHOLD
from .html import Section, paragraph, signed, table
from .story import Story

Row = tuple[str, str, str]  # name, value, meaning

BAR = "± is one standard error of the mean over held-out data: it says how far the mean would move with other data of the same kind."
LOG_LIKELIHOOD = (
    "How probable the model finds a new {one}; higher is better. Estimated by importance sampling with {samples} samples from the "
    "posterior: in expectation a lower bound, which more samples raise towards the truth."
)
EFFECTIVE = "How many of the samples carry the weight, averaged over the data. Near 1, log p(x) is probably higher than estimated."
BITS = "−log p(x) / ({size} · ln 2): the length of a lossless code made with this model, in bits for each of the {size} values of a datum."
UPPER = "It would need exact draws from the posterior, and only simulated data come with these."
ELBO = (
    "The evidence lower bound, −distortion − rate, both with weight 1: it lies below log p(x) by the divergence of the "
    "posterior from the true one."
)
RATE = "KL(q(z|x) ‖ p(z)), averaged: the nats that the code tells of the datum. At 0 the code would be ignored."
DISTORTION = "−E log p(x|z): the nats that are missing once the code is known; lower is a closer reconstruction."
PERPLEXITY = "As many entries, all used alike, would tell as much; one number per table of entries."
ACTIVE = f"Latent variables whose posterior mean varies over the data, with a variance above {THRESHOLD}."


def with_error(value: Measured | LogLikelihood, digits: int = 2) -> str:
    """``mean ± standard error``; no error bar where there is a single datum."""
    bar = f" ± {value.standard_error:,.{digits}f}" if value.standard_error == value.standard_error else ""
    return signed(value.mean, digits) + bar


def verdict(story: Story) -> str:
    """The one sentence that the page opens with."""
    rows = f"{len(story.rows):,} held-out {story.one}{'' if len(story.rows) == 1 else 's'}"
    weighed = story.findings.log_likelihood
    if weighed is None and story.model.posterior.density:
        return (
            f"On {rows} the ELBO, a lower bound of the log-likelihood, is {with_error(story.findings.rate_distortion.elbo)} nats per "
            f"{story.one}; each has a single code, of which no better estimate can be made."
        )
    if weighed is None:
        return (
            f"On {rows} the reconstruction log-likelihood is {with_error(story.findings.reconstruction)} nats per {story.one}; "
            "an autoencoder has no likelihood of the data."
        )
    bits = f" ({with_error(weighed.value.bits_per_dimension(story.dimensions), 3)} bits per dimension)" if story.spec.discrete else ""
    return (
        f"On {rows} the log-likelihood is {with_error(weighed)} nats per {story.one}{bits}, "
        f"estimated with {weighed.samples:,} importance samples each."
    )


def cards(story: Story) -> list[tuple[str, str]]:
    """The few numbers at the top: value and name."""
    found, weighed = story.findings, story.findings.log_likelihood
    if weighed is None and story.model.posterior.density:
        return _of_codes(story)
    if weighed is None:
        return [
            (_short(story.findings.reconstruction), f"reconstruction log-likelihood, nats per {story.one}"),
            _parameters(story),
        ]
    terms = found.rate_distortion
    shown = [(_short(weighed), f"log p(x), nats per {story.one}")]
    if story.spec.discrete:
        shown.append((f"{weighed.value.bits_per_dimension(story.dimensions).mean:.3f}", "bits per dimension"))
    shown.append((_short(terms.rate), "rate: nats in the code"))
    shown.append((_short(terms.distortion), "distortion: nats still missing"))
    if found.active is not None:
        shown.append((f"{found.active.count} of {found.active.variance.numel()}", "latent variables in use"))
    return shown


def _of_codes(story: Story) -> list[tuple[str, str]]:
    """Where each datum is one entry, or several, of a codebook."""
    terms, usage = story.findings.rate_distortion, story.findings.usage
    entries = [] if usage is None else [(f"{usage.size - usage.dead} of {usage.size}", "entries of the codebook in use")]
    return [
        (_short(terms.elbo), f"ELBO, a lower bound of log p(x), nats per {story.one}"),
        (_short(terms.rate), "rate: nats that the codes cost"),
        (_short(terms.distortion), "distortion: nats still missing"),
        *entries,
    ]


def section(story: Story) -> Section:
    """Every number, its error bar, and its meaning."""
    weighed = story.findings.log_likelihood
    if weighed is None:
        rows = _of_codebook(story) if story.model.posterior.density else _of_autoencoder(story)
    else:
        rows = _of_model(story, weighed)
    return Section("numbers", "The numbers", paragraph(_units(story), BAR) + table(("", "value", "what it means"), rows))


def _of_model(story: Story, weighed: LogLikelihood) -> list[Row]:
    rows = [
        ("log p(x)", with_error(weighed), LOG_LIKELIHOOD.format(one=story.one, samples=f"{weighed.samples:,}")),
        ("effective sample size", f"{weighed.effective_sample_size:,.1f} of {weighed.samples:,}", EFFECTIVE),
    ]
    if story.spec.discrete:
        rows.append(
            (
                "bits per dimension",
                with_error(weighed.value.bits_per_dimension(story.dimensions), 4),
                BITS.format(size=f"{story.dimensions:,}"),
            )
        )
    return [*rows, ("upper bound on log p(x)", "not available on real data", UPPER), *_of_bound(story)]


def _of_bound(story: Story) -> list[Row]:
    terms, active = story.findings.rate_distortion, story.findings.active
    units = [] if active is None else [("active units", f"{active.count} of {active.variance.numel()}", ACTIVE)]
    return [
        ("ELBO", with_error(terms.elbo), ELBO),
        ("rate", with_error(terms.rate), RATE),
        ("distortion", with_error(terms.distortion), DISTORTION),
        *units,
    ]


def _of_codebook(story: Story) -> list[Row]:
    usage = story.findings.usage
    why = "A datum has one code, and importance sampling needs others to weigh it against: the ELBO is the number to compare."
    rows = [*_of_bound(story), ("log p(x)", "not estimated", why)]
    if story.spec.discrete:
        bits = with_error(story.findings.rate_distortion.elbo.bits_per_dimension(story.dimensions), 4)
        rows.append(("bits per dimension", bits, BITS.format(size=f"{story.dimensions:,}").replace("log p(x)", "ELBO")))
    if usage is None:
        return rows
    worth = ", ".join(f"{value:.1f}" for value in usage.perplexity.tolist())
    used = "Entries of the codebook that some held-out datum uses."
    return [*rows, ("codebook", f"{usage.size - usage.dead} of {usage.size}", used), ("perplexity", worth, PERPLEXITY)]


def _of_autoencoder(story: Story) -> list[Row]:
    value = story.findings.reconstruction
    means = "log p(x|z) at the code of x; higher is a closer reconstruction. It says nothing about how probable a datum is."
    rows = [("reconstruction log-likelihood", with_error(value), means)]
    why = "An autoencoder gives each datum a single code and no density over codes: ELBO, rate and log p(x) do not exist for it."
    return [*rows, ("log p(x)", "not defined", why)]


def _short(value: Measured | LogLikelihood) -> str:
    return with_error(value, 1 if value.standard_error >= 1 else 2).replace("± ", "±\u00a0")


def _units(story: Story) -> str:
    if story.spec.discrete:
        return f"Nats per {story.one}, of probabilities: at most 0."
    return f"Nats per {story.one}, of a density in the units of the data as given: it may be positive, and changes with the units."


def _parameters(story: Story) -> tuple[str, str]:
    return f"{sum(parameter.numel() for parameter in story.model.parameters()):,}", "parameters"
