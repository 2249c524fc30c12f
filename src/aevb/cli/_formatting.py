"""The numbers of a model as tables of 80 columns and as JSON."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..metrics import Estimate, LogLikelihood
    from ._evaluation import Evaluation


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """The numbers for JSON."""
    weighed, terms = evaluation.log_likelihood, evaluation.rate_distortion
    record = {
        "n": evaluation.n,
        "elbo": estimate_record(terms.elbo) if evaluation.has_elbo else None,
        "log_likelihood": None if weighed is None else _log_likelihood_record(weighed),
        "lower_bound": None if weighed is None else estimate_record(weighed.lower_bound),
        "upper_bound": None if weighed is None else estimate_record(weighed.upper_bound),
        "bracket": None if evaluation.bracket is None else _bracket_record(evaluation.bracket),
        "rate": estimate_record(terms.rate) if evaluation.has_elbo else None,
        "distortion": estimate_record(terms.distortion),
        "active_units": evaluation.active_units,
        "bits_per_dimension": estimate_record(evaluation.bits_per_dimension),
        "binarisation": evaluation.binarisation,
    }
    if evaluation.codebook_usage is not None:
        record["codebook"] = {
            "entries": evaluation.codebook_usage.size,
            "unused": evaluation.codebook_usage.n_dead,
            "perplexity": evaluation.codebook_usage.perplexity.tolist(),
        }
    return (
        record
        if evaluation.has_elbo
        else record | {"reconstruction_log_likelihood": estimate_record(terms.reconstruction)}
    )


def _log_likelihood_record(log_likelihood: LogLikelihood) -> dict[str, Any]:
    """The estimate, and what says how far it can be trusted."""
    curve = log_likelihood.curve and [
        {"samples": k} | (estimate_record(v) or {})
        for k, v in zip(log_likelihood.curve.samples, log_likelihood.curve.values, strict=True)
    ]
    return {
        **(estimate_record(log_likelihood) or {}),
        "method": log_likelihood.method,
        "samples": log_likelihood.samples,
        "effective_sample_size": log_likelihood.effective_sample_size,
        "pareto_k": None
        if log_likelihood.pareto_k is None
        else {
            "median": log_likelihood.pareto_k.nanmedian().item(),
            "reliable": log_likelihood.reliable_share,
        },
        "acceptance": log_likelihood.acceptance,
        "curve": curve,
        "impossible_rows": log_likelihood.zero_likelihood_rows.tolist(),
    }


def _bracket_record(bracket: LogLikelihood) -> dict[str, Any]:
    parts = {
        "lower": bracket.lower_bound,
        "estimate": bracket.value,
        "upper": bracket.upper_bound,
        "gap": bracket.bound_gap,
    }
    return {"n": len(bracket.per_datum), "chains": bracket.samples} | {
        name: estimate_record(value) for name, value in parts.items()
    }


def evaluation_table(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value, and what it is, for each number there is; 80 columns wide."""
    weighed, terms, one = (
        evaluation.log_likelihood,
        evaluation.rate_distortion,
        evaluation.spec.item_noun,
    )
    if not evaluation.has_elbo:
        return [
            (
                "reconstruction log-likelihood",
                str(terms.reconstruction),
                f"nats per {one}; an autoencoder has no likelihood",
            )
        ]
    bits = evaluation.bits_per_dimension
    if weighed is None:
        return _single_code_table(evaluation)
    return [
        (
            "log-likelihood",
            format_estimate(weighed),
            f"log p(x), nats per {one}, {_METHOD_PHRASES[weighed.method]}",
        ),
        *_reliability_cells(weighed),
        *(
            []
            if bits is None
            else [("bits per dimension", format_estimate(bits, 4), "-log2 p(x) per value")]
        ),
        *_bound_cells(weighed),
        ("ELBO", str(terms.elbo), "a lower bound: -distortion - rate"),
        ("rate", str(terms.rate), "KL(q||p): nats that the codes carry"),
        ("distortion", str(terms.distortion), "-E log p(x|z): nats missing given the code"),
        (
            "active units",
            "-"
            if evaluation.active_units is None
            else f"{evaluation.active_units} of {evaluation.latent_size}",
            "codes whose mean moves with the data",
        ),
        *([] if evaluation.bracket is None else _bracket_cells(evaluation.bracket)),
        *(
            []
            if evaluation.binarisation is None
            else [("binarisation", *_BINARISATION_CELLS[evaluation.binarisation])]
        ),
    ]


def _single_code_table(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """What there is where each datum has a single code, with which no draws can be weighed."""
    terms, bits, usage = (
        evaluation.rate_distortion,
        evaluation.bits_per_dimension,
        evaluation.codebook_usage,
    )
    entries = (
        []
        if usage is None
        else [
            (
                "codebook",
                f"{usage.size - usage.n_dead} of {usage.size}",
                f"entries in use, worth {usage.perplexity.mean():.1f} each table",
            )
        ]
    )
    return [
        (
            "ELBO",
            str(terms.elbo),
            f"a lower bound of log p(x), nats per {evaluation.spec.item_noun}",
        ),
        ("log-likelihood", "-", "one code per datum: nothing to weigh"),
        *(
            []
            if bits is None
            else [
                (
                    "bits per dimension",
                    format_estimate(bits, 4),
                    "-ELBO / ln 2 per value: a code's length",
                )
            ]
        ),
        ("rate", str(terms.rate), "KL(q||p): nats that the codes cost"),
        ("distortion", str(terms.distortion), "-E log p(x|z): nats missing given the code"),
        *entries,
    ]


_METHOD_PHRASES = {"importance": "by sampling", "ais": "by annealing", "exact": "exact"}
_BINARISATION_CELLS = {
    "as given": ("as given", "the data are binary already"),
    "fixed": ("fixed", "once, before training"),
    "dynamic": ("dynamic", "afresh each epoch of training, here once"),
}


def _reliability_cells(log_likelihood: LogLikelihood) -> list[tuple[str, str, str]]:
    """How far the estimate can be trusted."""
    if log_likelihood.method == "exact":
        return []
    effective = f"{log_likelihood.effective_sample_size:.1f} of {log_likelihood.samples:,}"
    if log_likelihood.method == "ais":
        moved = (
            "-"
            if log_likelihood.acceptance is None or math.isnan(log_likelihood.acceptance)
            else f"{100 * log_likelihood.acceptance:.0f} %"
        )
        return [
            ("effective chains", effective, "that carry the weight"),
            ("acceptance", moved, "of the chains' proposals"),
        ]
    return [
        ("effective samples", effective, "importance samples that carry the weight"),
        *_pareto_k_cells(log_likelihood),
    ]


def _pareto_k_cells(log_likelihood: LogLikelihood) -> list[tuple[str, str, str]]:
    from ..inference._pareto import pareto_k_threshold

    if log_likelihood.pareto_k is None or log_likelihood.reliable_share is None:
        return []
    limit = pareto_k_threshold(log_likelihood.samples)
    return [
        (
            "Pareto k",
            f"{log_likelihood.pareto_k.nanmedian():.2f}",
            f"median; below {limit:.2f} (good) in {100 * log_likelihood.reliable_share:.0f} % of rows",
        )
    ]


def _bound_cells(log_likelihood: LogLikelihood) -> list[tuple[str, str, str]]:
    """Where the truth lies."""
    upper = ("upper bound", "not available", "on real data: true codes are unknown")
    if log_likelihood.method == "exact":
        return []
    return (
        [upper]
        if log_likelihood.method == "importance"
        else [
            ("lower bound", str(log_likelihood.lower_bound), "mean log-weight of the chains"),
            upper,
        ]
    )


def _bracket_cells(bracket: LogLikelihood) -> list[tuple[str, str, str]]:
    """Both bounds of rows that the model made up."""
    made_up = f"log p(x) of {len(bracket.per_datum):,} rows the model made up"
    return [
        ("bracket: lower", str(bracket.lower_bound), made_up),
        ("bracket: upper", str(bracket.upper_bound), made_up),
        ("bracket: width", str(bracket.bound_gap), "the truth is in it: how near annealing is"),
    ]


def format_estimate(value: Estimate | LogLikelihood, digits: int = 2) -> str:
    """``mean ± standard error``."""
    from ..metrics import _estimate as measured

    return measured.format_with_error(value.mean, value.standard_error, digits)


def estimate_record(value: Estimate | LogLikelihood | None) -> dict[str, Any] | None:
    """A number with its error bar, for JSON."""
    return None if value is None else {"mean": value.mean, "standard_error": value.standard_error}


def json_key(name: str) -> str:
    """The key of a number in JSON.

    >>> json_key("Reconstruction log-likelihood")
    'reconstruction_log_likelihood'
    """
    return name.lower().replace("-", "_").replace(" ", "_")
