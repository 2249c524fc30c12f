"""The numbers of a model as tables of 80 columns and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..metrics import LogLikelihood, Measured
    from .measure import Evaluation


def as_record(numbers: Evaluation) -> dict[str, Any]:
    """The numbers for JSON."""
    weighed, terms = numbers.log_likelihood, numbers.terms
    record = {
        "n": numbers.n,
        "elbo": record_of(terms.elbo) if numbers.bounded else None,
        "log_likelihood": None if weighed is None else _weighed(weighed),
        "lower_bound": None if weighed is None else record_of(weighed.lower),
        "upper_bound": None if weighed is None else record_of(weighed.upper),
        "bracket": None if numbers.bracket is None else _bracketed(numbers.bracket),
        "rate": record_of(terms.rate) if numbers.bounded else None,
        "distortion": record_of(terms.distortion),
        "active_units": numbers.active,
        "bits_per_dimension": record_of(numbers.bits),
        "binarisation": numbers.binarisation,
    }
    if numbers.usage is not None:
        record["codebook"] = {
            "entries": numbers.usage.size,
            "unused": numbers.usage.dead,
            "perplexity": numbers.usage.perplexity.tolist(),
        }
    return record if numbers.bounded else record | {"reconstruction_log_likelihood": record_of(terms.reconstruction)}


def _weighed(found: LogLikelihood) -> dict[str, Any]:
    """The estimate, and what says how far it can be trusted."""
    curve = found.curve and [{"samples": k} | (record_of(v) or {}) for k, v in zip(found.curve.samples, found.curve.values, strict=True)]
    return {
        **(record_of(found) or {}),
        "method": found.method,
        "samples": found.samples,
        "effective_sample_size": found.effective_sample_size,
        "pareto_k": None if found.pareto_k is None else {"median": found.pareto_k.nanmedian().item(), "reliable": found.reliable},
        "acceptance": found.acceptance,
        "curve": curve,
        "impossible_rows": found.impossible.tolist(),
    }


def _bracketed(found: LogLikelihood) -> dict[str, Any]:
    parts = {"lower": found.lower, "estimate": found.value, "upper": found.upper, "gap": found.gap}
    return {"n": len(found.per_datum), "chains": found.samples} | {name: record_of(value) for name, value in parts.items()}


def as_table(numbers: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value, and what it is, for each number there is; 80 columns wide."""
    weighed, terms, one = numbers.log_likelihood, numbers.terms, numbers.spec.one
    if not numbers.bounded:
        return [("reconstruction log-likelihood", str(terms.reconstruction), f"nats per {one}; an autoencoder has no likelihood")]
    bits = numbers.bits
    if weighed is None:
        return _of_one_code(numbers)
    return [
        ("log-likelihood", with_error(weighed), f"log p(x), nats per {one}, {_BY[weighed.method]}"),
        *_trust(weighed),
        *([] if bits is None else [("bits per dimension", with_error(bits, 4), "-log2 p(x) per value")]),
        *_bounds(weighed),
        ("ELBO", str(terms.elbo), "a lower bound: -distortion - rate"),
        ("rate", str(terms.rate), "KL(q||p): nats that the codes carry"),
        ("distortion", str(terms.distortion), "-E log p(x|z): nats missing given the code"),
        (
            "active units",
            "-" if numbers.active is None else f"{numbers.active} of {numbers.latent}",
            "codes whose mean moves with the data",
        ),
        *([] if numbers.bracket is None else _between(numbers.bracket)),
        *([] if numbers.binarisation is None else [("binarisation", *_BINARISED[numbers.binarisation])]),
    ]


def _of_one_code(numbers: Evaluation) -> list[tuple[str, str, str]]:
    """What there is where each datum has a single code, with which no draws can be weighed."""
    terms, bits, usage = numbers.terms, numbers.bits, numbers.usage
    entries = (
        []
        if usage is None
        else [("codebook", f"{usage.size - usage.dead} of {usage.size}", f"entries in use, worth {usage.perplexity.mean():.1f} each table")]
    )
    return [
        ("ELBO", str(terms.elbo), f"a lower bound of log p(x), nats per {numbers.spec.one}"),
        ("log-likelihood", "-", "one code per datum: nothing to weigh"),
        *([] if bits is None else [("bits per dimension", with_error(bits, 4), "-ELBO / ln 2 per value: a code's length")]),
        ("rate", str(terms.rate), "KL(q||p): nats that the codes cost"),
        ("distortion", str(terms.distortion), "-E log p(x|z): nats missing given the code"),
        *entries,
    ]


_BY = {"importance": "by sampling", "ais": "by annealing", "exact": "exact"}
_BINARISED = {
    "as given": ("as given", "the data are binary already"),
    "fixed": ("fixed", "once, before training"),
    "dynamic": ("dynamic", "afresh each epoch of training, here once"),
}


def _trust(found: LogLikelihood) -> list[tuple[str, str, str]]:
    """How far the estimate can be trusted."""
    if found.method == "exact":
        return []
    effective = f"{found.effective_sample_size:.1f} of {found.samples:,}"
    if found.method == "ais":
        moved = "-" if found.acceptance is None or math.isnan(found.acceptance) else f"{100 * found.acceptance:.0f} %"
        return [("effective chains", effective, "that carry the weight"), ("acceptance", moved, "of the chains' proposals")]
    return [("effective samples", effective, "importance samples that carry the weight"), *_health(found)]


def _health(found: LogLikelihood) -> list[tuple[str, str, str]]:
    from ..inference.pareto import reliable_below

    if found.pareto_k is None or found.reliable is None:
        return []
    limit = reliable_below(found.samples)
    return [("Pareto k", f"{found.pareto_k.nanmedian():.2f}", f"median; below {limit:.2f} (good) in {100 * found.reliable:.0f} % of rows")]


def _bounds(found: LogLikelihood) -> list[tuple[str, str, str]]:
    """Where the truth lies."""
    upper = ("upper bound", "not available", "on real data: true codes are unknown")
    if found.method == "exact":
        return []
    return [upper] if found.method == "importance" else [("lower bound", str(found.lower), "mean log-weight of the chains"), upper]


def _between(found: LogLikelihood) -> list[tuple[str, str, str]]:
    """Both bounds of rows that the model made up."""
    made_up = f"log p(x) of {len(found.per_datum):,} rows the model made up"
    return [
        ("bracket: lower", str(found.lower), made_up),
        ("bracket: upper", str(found.upper), made_up),
        ("bracket: width", str(found.gap), "the truth is in it: how near annealing is"),
    ]


def with_error(value: Measured | LogLikelihood, digits: int = 2) -> str:
    """``mean ± standard error``."""
    from ..metrics import measured

    return measured.with_error(value.mean, value.standard_error, digits)


def record_of(value: Measured | LogLikelihood | None) -> dict[str, Any] | None:
    """A number with its error bar, for JSON."""
    return None if value is None else {"mean": value.mean, "standard_error": value.standard_error}


def key_of(name: str) -> str:
    """The key of a number in JSON.

    >>> key_of("Reconstruction log-likelihood")
    'reconstruction_log_likelihood'
    """
    return name.lower().replace("-", "_").replace(" ", "_")
