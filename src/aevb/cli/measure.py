"""The numbers of a model on held-out rows, as sentences, tables and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArgumentError, IncompatibleError, MissingExtraError
from .options import Common
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..inference import Annealing
    from ..metrics import CodebookUsage, Diagnosis, LogLikelihood, Measured, RateDistortion
    from ..models import VAE

SAMPLES = 100  # importance samples where nobody says how many
FEW = 10  # at least so many for a report that nobody asked for, and so many
PAIRS = {"mlp": 1_000_000, "conv": 50_000}  # (sample, row) pairs in it: half a minute


@dataclass(frozen=True)
class Quick:
    """One number, at no cost: the bound on the test rows, or the reconstruction log-likelihood where there is no bound."""

    name: str
    value: Measured
    rows: int
    one: str

    @property
    def sentence(self) -> str:
        from ..data.words import count

        return f"{self.name} {self.value} nats per {self.one}, over {count(self.rows, 'test row')}."

    @property
    def record(self) -> dict[str, Any]:
        return {"n": self.rows, key_of(self.name): record_of(self.value)}


@dataclass(frozen=True)
class Evaluation:
    """All the numbers of a model on some rows; what does not exist for an autoencoder is None."""

    n: int
    spec: Spec
    terms: RateDistortion
    log_likelihood: LogLikelihood | None
    active: int | None
    latent: int
    bracket: LogLikelihood | None = None
    usage: CodebookUsage | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is an ELBO: of an autoencoder there is none."""
        return not math.isnan(self.terms.rate.mean)

    @property
    def binarisation(self) -> str | None:
        """How grey values became 0 or 1: likelihoods compare only where this is the same."""
        return self.spec.binarisation or ("as given" if self.spec.support == "binary" else None)

    @property
    def bits(self) -> Measured | None:
        """Bits per dimension, for values that are counted in steps."""
        if not (self.bounded and self.spec.discrete):
            return None
        best = self.terms.elbo if self.log_likelihood is None else self.log_likelihood.value
        return best.bits_per_dimension(self.spec.dimensions)


@dataclass(frozen=True)
class Weighing:
    """How log p(x) is found: by which method, with how many samples or chains per row, and with how many made-up rows in a bracket."""

    method: Literal["importance", "ais", "exact"] = "importance"
    samples: int | None = None
    temperatures: int | None = None
    defensive: float = 0.0
    bracket: int = 0
    start: Literal["posterior", "prior"] | None = None

    def __post_init__(self) -> None:
        if self.bracket < 0:
            raise ArgumentError(f"bracket={self.bracket}: give the number of rows that the model is to make up.")
        for name, value in (("temperatures", self.temperatures), ("start", self.start)):
            if value is not None and self.method != "ais" and not self.bracket:
                raise ArgumentError(f"{name}={value} with method={self.method}: it belongs to method=ais, or beside bracket=32.")

    def check(self) -> None:
        """Refuse what would change nothing, before anything is computed. Raises ``ArgumentError``."""
        from ..inference import Annealing
        from ..metrics.likelihood import check_asked

        check_asked(self.method, self.samples, self.annealing if self.method == "ais" else Annealing(), self.defensive)

    @property
    def asked(self) -> bool:
        """Whether somebody wants log p(x) found in a way of their own."""
        return self != Weighing()

    @property
    def count(self) -> int:
        """Samples or chains per row."""
        from ..metrics.likelihood import SAMPLES

        return SAMPLES[self.method] if self.samples is None else self.samples

    @property
    def chains(self) -> int:
        """Of the bracket."""
        from ..inference.ais import CHAINS

        return self.count if self.method == "ais" else CHAINS

    @property
    def annealing(self) -> Annealing:
        from ..inference import Annealing

        given: dict[str, Any] = {"temperatures": self.temperatures, "start": self.start}
        return Annealing(**{name: value for name, value in given.items() if value is not None})

    def work(self, rows: int) -> int:
        """The total of what is told on the way."""
        own = self.annealing.work(rows, self.count) if self.method == "ais" else rows * self.count
        return own + (self.annealing.work(self.bracket, self.chains, both=True) if self.bracket else 0)


@dataclass(frozen=True)
class Effort:
    """How much is weighed: so many rows, so many importance samples for each."""

    rows: int
    samples: int

    @classmethod
    def short(cls, rows: int, network: str) -> Effort:
        """At most half a minute's work.

        >>> Effort.short(180, "mlp"), Effort.short(10_000, "conv")
        (Effort(rows=180, samples=100), Effort(rows=5000, samples=10))
        """
        samples = min(max(PAIRS[network] // rows, FEW), SAMPLES)
        return cls(min(rows, PAIRS[network] // samples), samples)


def evaluate_model(
    model: VAE, rows: Rows, spec: Spec, samples: int, seed: int, screen: Screen, weighing: Weighing | None = None
) -> Evaluation:
    """Every number that ``aevb evaluate`` prints; log p(x) as ``weighing`` says, by importance sampling with ``samples`` by default."""
    from .. import metrics
    from ..inference.importance import check_density

    rows, how = rows.to(model.device), weighing or Weighing(samples=samples)
    how.check()
    if weighing is not None and weighing.asked:
        check_density(model, "finding log p(x)")
    fitted = able(model, rows)
    several = model.posterior.density and model.posterior.covers
    active = metrics.active_units(fitted, rows).count if several and len(rows) > 1 else None
    usage = None if model.posterior.covers or not model.posterior.density else metrics.codebook_usage(fitted, rows)
    weighed = bracket = None
    if several:
        with screen.progress("log p(x)", how.work(len(rows))) as advance:
            asked: dict[str, Any] = {"annealing": how.annealing} if how.method == "ais" else {}
            weighed = metrics.log_likelihood(
                fitted, rows, how.samples, how.method, defensive=how.defensive, **asked, seed=seed, advance=advance
            )
            bracket = _bracket(model, rows, how, seed, screen, advance) if how.bracket else None
    known = None if weighed is None else weighed.terms  # of the very draws: by others the bound may come out above the estimate
    terms = known or metrics.rate_distortion(fitted, rows, seed=seed)
    if weighed is not None and len(weighed.impossible):
        screen.note(f"{weighed}.")
    return Evaluation(len(rows), spec, terms, weighed, active, math.prod(model.latent_shape), bracket, usage)


def _bracket(model: VAE, rows: Rows, how: Weighing, seed: int, screen: Screen, advance: Callable[[int], None]) -> LogLikelihood | None:
    """Of rows that the model makes up, given what it was told of rows like these; ``None``, and a note, where there is none."""
    from dataclasses import replace

    from .. import metrics

    told = None if rows.context is None else rows.context[[place % len(rows) for place in range(how.bracket)]]
    try:
        path = (
            how.annealing
            if how.start
            else None
            if how.temperatures is None
            else replace(how.annealing, start=metrics.likelihood.beginning(model))
        )
        return metrics.bracket(model, how.bracket, how.chains, context=told, annealing=path, seed=seed, advance=advance)
    except IncompatibleError as error:
        screen.note(f"there is no bracket: {str(error).split('. Use method')[0].rstrip('.')}.")
        return None


def able(model: VAE, rows: Rows) -> VAE:
    """The model, or where its posterior holds parameters for training rows alone a copy with some for these, found by refinement."""
    import aevb

    return model if model.posterior.rows is None else aevb.inference.refine(model, rows.tensor(), context=rows.context).model


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


def quick(model: VAE, data: Dataset, seed: int) -> Quick:
    """The bound on the test rows."""
    import aevb

    rows = data.test.to(model.device)
    terms = aevb.metrics.rate_distortion(able(model, rows), rows, samples=draws(len(rows)), seed=seed)
    name, value = ("ELBO", terms.elbo) if model.posterior.density else ("Reconstruction log-likelihood", terms.reconstruction)
    return Quick(name, value, len(data.test), data.spec.one)


def draws(rows: int) -> int:
    """Draws per row that make the sampled part of a bound small beside the spread of the rows.

    >>> draws(180), draws(10_000)
    (8, 1)
    """
    return 8 if rows <= 1000 else 1


def write_report(
    run: Path, data: Dataset, screen: Screen, common: Common, effort: Effort | None = None, diagnosis: Diagnosis | None = None
) -> Path | None:
    """Write the report. At the end of another command (no ``effort``) it is kept short, and goes missing where its extra is missing."""
    from .. import report

    total = len(data.test)
    spent = effort or Effort.short(total, data.spec.network)
    try:
        with screen.progress("report", spent.rows * spent.samples) as advance:
            path = report.write(run, data, samples=spent.samples, seed=common.seed, rows=spent.rows, diagnosis=diagnosis, advance=advance)
    except (MissingExtraError, IncompatibleError) as error:
        if effort is not None:
            raise
        screen.note(f"no report was written: {str(error).rstrip('.')}.")
        return None
    part = (
        f" on {spent.rows:,} of {total:,} test rows, {spent.samples} samples each; `aevb report {run}` takes all"
        if spent.rows < total
        else ""
    )
    screen.tell("Report", f"{path}{part}")
    return path


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
