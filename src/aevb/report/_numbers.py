"""The numbers of a report with their standard errors and their meaning."""

from __future__ import annotations

from .._persistence import count_parameters
from ..metrics import Number
from ._html import Section, data_table, format_signed, note_list, paragraph, use_minus_signs
from ._report_context import ReportContext

STANDARD_ERROR_NOTE = (
    "± is one standard error of the mean over held-out data: how far the mean would move with "
    "other data of the same kind."
)
HEADLINE_KEYS = ("log_likelihood", "elbo", "reconstruction_log_likelihood")
"""Numbers that summarise a model; the first available one is the result of a report."""

CARD_KEYS = ("bits_per_dimension", "rate", "distortion", "active_units", "codebook")
"""Further numbers at the top of the page."""

MAX_CARD_DIGITS = 3


def format_number(number: Number, max_digits: int | None = None) -> str:
    """A number as tables show it: ``value ± standard error`` or its own text.

    >>> format_number(Number("elbo", "ELBO", -1234.5, 0.25))
    '−1,234.50 ± 0.25'
    """
    if number.value is None:
        return "not available"
    if number.text is not None:
        return use_minus_signs(number.text)
    digits = number.digits if max_digits is None else min(number.digits, max_digits)
    error = number.standard_error
    has_error = error is not None and error == error  # NaN for a single row
    return format_signed(number.value, digits) + (
        f" ± {error:,.{digits}f}" if error is not None and has_error else ""
    )


def result_number(report: ReportContext) -> Number:
    """The log-likelihood, else the ELBO, else the reconstruction log-likelihood."""
    numbers = [report.evaluation.get(key) for key in HEADLINE_KEYS]
    return next(number for number in numbers if number is not None and number.value is not None)


def headline(report: ReportContext) -> str:
    """The sentence at the top of the page."""
    noun, result = report.item_noun, result_number(report)
    rows = f"{len(report.rows):,} held-out {noun}{'' if len(report.rows) == 1 else 's'}"
    bits = report.evaluation.get("bits_per_dimension")
    in_bits = (
        f" ({format_number(bits, MAX_CARD_DIGITS)} bits per dimension)"
        if bits is not None and bits.value is not None
        else ""
    )
    value = f"{format_number(result)} nats per {noun}{in_bits}"
    weights = report.evaluation.log_likelihood
    if weights is not None:
        return (
            f"On {rows} the log-likelihood is {value}, estimated with {weights.samples:,} "
            "importance samples each."
        )
    if report.evaluation.has_elbo:
        return (
            f"On {rows} the ELBO, a lower bound of the log-likelihood, is {value}; no better "
            "estimate exists for a single code per row."
        )
    return (
        f"On {rows} the reconstruction log-likelihood is {value}; an autoencoder has no "
        "likelihood of the data."
    )


def summary_cards(report: ReportContext) -> list[tuple[str, str]]:
    """The numbers at the top of the page: value and label."""
    further = [
        number
        for number in report.evaluation.table
        if number.key in CARD_KEYS and number.value is not None
    ]
    numbers = [result_number(report), *further]
    cards = [(_card_value(number), _card_label(number)) for number in numbers]
    if report.evaluation.has_elbo:
        return cards
    return [*cards, (f"{count_parameters(report.model):,}", "parameters")]


def numbers_section(report: ReportContext) -> Section:
    """Every number with its standard error and its meaning, and the notes about them."""
    rows = [
        (number.label, format_number(number), use_minus_signs(number.meaning))
        for number in report.evaluation.table
    ]
    return Section(
        "numbers",
        "Results",
        paragraph(_units_sentence(report), STANDARD_ERROR_NOTE)
        + data_table(("", "value", "meaning"), rows)
        + note_list(report.evaluation.notes),
    )


def _card_value(number: Number) -> str:
    """A number in few digits, on one line."""
    if number.standard_error is None:
        return format_number(number)
    digits = 1 if number.standard_error >= 1 else MAX_CARD_DIGITS
    return format_number(number, digits).replace("± ", "±\u00a0")


def _card_label(number: Number) -> str:
    """The label of a number, with its unit in nats; "bits per dimension" is a unit itself."""
    return f"{number.label}, {number.unit}" if number.unit.startswith("nats") else number.label


def _units_sentence(report: ReportContext) -> str:
    """What a nat of these data is."""
    nats, measure = f"Nats per {report.item_noun}", report.spec.measure
    if measure == "probability":
        return f"{nats} are of probabilities: at most 0."
    what = "a density" if measure == "density" else "probabilities and of densities"
    units = "in the units of the data: they may be positive and change with the units"
    return f"{nats} are of {what} {units}."
