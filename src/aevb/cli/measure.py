"""The numbers of a model on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IncompatibleError, MissingExtraError
from .figures import key_of, record_of
from .options import Common
from .screen import Screen
from .weighing import Effort, Weighing

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..metrics import CodebookUsage, Diagnosis, LogLikelihood, Measured, RateDistortion
    from ..models import VAE


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
    from .. import metrics

    told = None if rows.context is None else rows.context[[place % len(rows) for place in range(how.bracket)]]
    try:
        return metrics.bracket(model, how.bracket, how.chains, context=told, annealing=how.path(model), seed=seed, advance=advance)
    except IncompatibleError as error:
        screen.note(f"there is no bracket: {str(error).split('. Use method')[0].rstrip('.')}.")
        return None


def able(model: VAE, rows: Rows) -> VAE:
    """The model, or where its posterior holds parameters for training rows alone a copy with some for these, found by refinement."""
    import aevb

    return model if model.posterior.rows is None else aevb.inference.refine(model, rows.tensor(), context=rows.context).model


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
