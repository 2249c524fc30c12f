"""The numbers of a model on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import IncompatibleError, MissingExtraError
from ._console import ConsoleOutput
from ._formatting import estimate_record, json_key
from ._likelihood_options import EvaluationBudget, LikelihoodOptions
from ._options import CommonOptions

if TYPE_CHECKING:
    from ..data import Dataset, Rows, Spec
    from ..metrics import CodebookUsage, Diagnosis, Estimate, LogLikelihood, RateDistortion
    from ..models import VAE


@dataclass(frozen=True)
class QuickEvaluation:
    """One number, at no cost: the bound on the test rows, or the reconstruction log-likelihood where there is no bound."""

    name: str
    value: Estimate
    n: int
    item_noun: str

    @property
    def sentence(self) -> str:
        from ..data._formatting import format_count

        return f"{self.name} {self.value} nats per {self.item_noun}, over {format_count(self.n, 'test row')}."

    @property
    def record(self) -> dict[str, Any]:
        return {"n": self.n, json_key(self.name): estimate_record(self.value)}


@dataclass(frozen=True)
class Evaluation:
    """All the numbers of a model on some rows; what does not exist for an autoencoder is None."""

    n: int
    spec: Spec
    rate_distortion: RateDistortion
    log_likelihood: LogLikelihood | None
    active_units: int | None
    latent_size: int
    bracket: LogLikelihood | None = None
    codebook_usage: CodebookUsage | None = None

    @property
    def has_elbo(self) -> bool:
        """Whether there is an ELBO: of an autoencoder there is none."""
        return not math.isnan(self.rate_distortion.rate.mean)

    @property
    def binarisation(self) -> str | None:
        """How grey values became 0 or 1: likelihoods compare only where this is the same."""
        return self.spec.binarisation or ("as given" if self.spec.support == "binary" else None)

    @property
    def bits_per_dimension(self) -> Estimate | None:
        """Bits per dimension, for values that are counted in steps."""
        if not (self.has_elbo and self.spec.discrete):
            return None
        best = (
            self.rate_distortion.elbo if self.log_likelihood is None else self.log_likelihood.value
        )
        return best.bits_per_dimension(self.spec.dimensions)


def evaluate_model(
    model: VAE,
    rows: Rows,
    spec: Spec,
    samples: int,
    seed: int,
    console: ConsoleOutput,
    likelihood_options: LikelihoodOptions | None = None,
) -> Evaluation:
    """Every number that ``aevb evaluate`` prints; log p(x) as ``likelihood_options`` says, by importance sampling with ``samples`` by default."""
    from .. import metrics
    from ..inference._importance import check_posterior_density

    rows, how = rows.to(model.device), likelihood_options or LikelihoodOptions(samples=samples)
    how.check()
    if likelihood_options is not None and likelihood_options.is_custom:
        check_posterior_density(model, "finding log p(x)")
    fitted = with_row_parameters(model, rows)
    several = model.posterior.has_density and model.posterior.full_support
    active = metrics.active_units(fitted, rows).count if several and len(rows) > 1 else None
    usage = (
        None
        if model.posterior.full_support or not model.posterior.has_density
        else metrics.codebook_usage(fitted, rows)
    )
    weighed = bracket = None
    if several:
        with console.progress_bar("log p(x)", how.total_work(len(rows))) as advance:
            asked: dict[str, Any] = {"annealing": how.annealing} if how.method == "ais" else {}
            weighed = metrics.log_likelihood(
                fitted,
                rows,
                how.samples,
                how.method,
                defensive=how.defensive,
                **asked,
                seed=seed,
                on_progress=advance,
            )
            bracket = (
                _estimate_bracket(model, rows, how, seed, console, advance) if how.bracket else None
            )
    known = (
        None if weighed is None else weighed.rate_distortion
    )  # of the very draws: by others the bound may come out above the estimate
    terms = known or metrics.rate_distortion(fitted, rows, seed=seed)
    if weighed is not None and len(weighed.zero_likelihood_rows):
        console.print_note(f"{weighed}.")
    return Evaluation(
        len(rows), spec, terms, weighed, active, math.prod(model.latent_shape), bracket, usage
    )


def _estimate_bracket(
    model: VAE,
    rows: Rows,
    likelihood_options: LikelihoodOptions,
    seed: int,
    console: ConsoleOutput,
    on_progress: Callable[[int], None],
) -> LogLikelihood | None:
    """Of rows that the model makes up, given what it was told of rows like these; ``None``, and a note, where there is none."""
    from .. import metrics

    told = (
        None
        if rows.context is None
        else rows.context[[place % len(rows) for place in range(likelihood_options.bracket)]]
    )
    try:
        return metrics.bidirectional_monte_carlo(
            model,
            likelihood_options.bracket,
            likelihood_options.bracket_chains,
            context=told,
            annealing=likelihood_options.bracket_annealing(model),
            seed=seed,
            on_progress=on_progress,
        )
    except IncompatibleError as error:
        console.print_note(
            f"there is no bracket: {str(error).split('. Use method')[0].rstrip('.')}."
        )
        return None


def with_row_parameters(model: VAE, rows: Rows) -> VAE:
    """The model, or where its posterior holds parameters for training rows alone a copy with some for these, found by refinement."""
    import aevb

    return (
        model
        if model.posterior.n_rows is None
        else aevb.inference.refine(model, rows.tensor(), context=rows.context).model
    )


def quick_evaluation(model: VAE, data: Dataset, seed: int) -> QuickEvaluation:
    """The bound on the test rows."""
    import aevb

    rows = data.test.to(model.device)
    terms = aevb.metrics.rate_distortion(
        with_row_parameters(model, rows), rows, samples=elbo_samples(len(rows)), seed=seed
    )
    name, value = (
        ("ELBO", terms.elbo)
        if model.posterior.has_density
        else ("Reconstruction log-likelihood", terms.reconstruction)
    )
    return QuickEvaluation(name, value, len(data.test), data.spec.item_noun)


def elbo_samples(n_rows: int) -> int:
    """Draws per row that make the sampled part of a bound small beside the spread of the rows.

    >>> draws(180), draws(10_000)
    (8, 1)
    """
    return 8 if n_rows <= 1000 else 1


def write_run_report(
    run: Path,
    data: Dataset,
    console: ConsoleOutput,
    common: CommonOptions,
    budget: EvaluationBudget | None = None,
    diagnosis: Diagnosis | None = None,
) -> Path | None:
    """Write the report. At the end of another command (no ``budget``) it is kept short, and goes missing where its extra is missing."""
    from .. import report

    total = len(data.test)
    spent = budget or EvaluationBudget.for_report(total, data.spec.network)
    try:
        with console.progress_bar("report", spent.n_rows * spent.samples) as advance:
            path = report.write_report(
                run,
                data,
                samples=spent.samples,
                seed=common.seed,
                max_rows=spent.n_rows,
                diagnosis=diagnosis,
                on_progress=advance,
            )
    except (MissingExtraError, IncompatibleError) as error:
        if budget is not None:
            raise
        console.print_note(f"no report was written: {str(error).rstrip('.')}.")
        return None
    part = (
        f" on {spent.n_rows:,} of {total:,} test rows, {spent.samples} samples each; `aevb report {run}` takes all"
        if spent.n_rows < total
        else ""
    )
    console.print_paragraph("Report", f"{path}{part}")
    return path
