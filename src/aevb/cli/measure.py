"""The numbers of a model on held-out rows, as sentences, tables and JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IncompatibleError, MissingExtraError
from .options import Common
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..metrics import LogLikelihood, Measured, RateDistortion
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

    @property
    def bits(self) -> Measured | None:
        """Bits per dimension, for values that are counted in steps."""
        if self.log_likelihood is None or not self.spec.discrete:
            return None
        return self.log_likelihood.value.bits_per_dimension(self.spec.dimensions)


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


def evaluate_model(model: VAE, rows: Rows, spec: Spec, samples: int, seed: int, screen: Screen) -> Evaluation:
    """Every number that ``aevb evaluate`` prints."""
    from ..report.story import Findings

    rows = rows.to(model.device)
    fitted = able(model, rows)
    with screen.progress("importance sampling", len(rows) * samples) as advance:
        found = Findings.of(fitted, rows, samples, seed, advance)
    return Evaluation(
        n=len(rows),
        spec=spec,
        terms=found.rate_distortion,
        log_likelihood=found.log_likelihood,
        active=None if found.active is None else found.active.count,
        latent=math.prod(model.latent_shape),
    )


def able(model: VAE, rows: Rows) -> VAE:
    """The model, or where its posterior holds parameters for training rows alone a copy with some for these, found by refinement."""
    import aevb

    return model if model.posterior.rows is None else aevb.inference.refine(model, rows.tensor()).model


def as_record(numbers: Evaluation) -> dict[str, Any]:
    """The numbers for JSON."""
    weighed, terms = numbers.log_likelihood, numbers.terms
    more = {} if weighed is None else {"samples": weighed.samples, "effective_sample_size": weighed.effective_sample_size}
    record = {
        "n": numbers.n,
        "elbo": None if weighed is None else record_of(terms.elbo),
        "log_likelihood": None if weighed is None else {**(record_of(weighed) or {}), **more},
        "rate": None if weighed is None else record_of(terms.rate),
        "distortion": record_of(terms.distortion),
        "active_units": numbers.active,
        "bits_per_dimension": record_of(numbers.bits),
    }
    return record if weighed is not None else record | {"reconstruction_log_likelihood": record_of(terms.reconstruction)}


def as_table(numbers: Evaluation) -> list[tuple[str, str, str]]:
    """Name, value, and what it is, for each number there is."""
    weighed, terms, one = numbers.log_likelihood, numbers.terms, numbers.spec.one
    if weighed is None:
        return [("reconstruction log-likelihood", str(terms.reconstruction), f"nats per {one}; an autoencoder has no likelihood")]
    rows = [
        ("log-likelihood", with_error(weighed), f"log p(x) in nats per {one}, by importance sampling"),
        ("effective samples", f"{weighed.effective_sample_size:.1f} of {weighed.samples:,}", "importance samples that carry the weight"),
        ("ELBO", str(terms.elbo), "its lower bound, -distortion - rate"),
        ("rate", str(terms.rate), "KL(q||p): nats that the codes carry"),
        ("distortion", str(terms.distortion), "-E log p(x|z): nats still missing, given the code"),
        ("active units", f"{numbers.active} of {numbers.latent}", "latent variables whose mean moves with the data"),
    ]
    bits = numbers.bits
    return rows if bits is None else [*rows[:2], ("bits per dimension", with_error(bits, 4), "-log2 p(x) per value"), *rows[2:]]


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


def write_report(run: Path, data: Dataset, screen: Screen, common: Common, effort: Effort | None = None) -> Path | None:
    """Write the report. At the end of another command (no ``effort``) it is kept short, and goes missing where its extra is missing."""
    from .. import report

    total = len(data.test)
    spent = effort or Effort.short(total, data.spec.network)
    try:
        with screen.progress("report", spent.rows * spent.samples) as advance:
            path = report.write(run, data, samples=spent.samples, seed=common.seed, rows=spent.rows, advance=advance)
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
