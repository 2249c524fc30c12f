"""The numbers of a model on rows that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

from ..data import Dataset, Rows, Spec
from ..data._formatting import format_list
from ..errors import MAX_COUNT, ArgumentError, IncompatibleError
from ..inference import AISOptions, refine
from ..inference._ais import DEFAULT_CHAINS
from ..inference._importance import check_posterior_density
from ..inference._inputs import TrainedModel, resolve_input, resolve_model
from ..models import VAE
from ..networks._column import Measure
from ..notes import Argument, Note, message
from ._baselines._fit import Baselines, fit_baselines
from ._baselines._scores import BaselineScores, baseline_numbers
from ._codebook import CodebookUsage, codebook_usage
from ._constant_cells import constant_notes
from ._latent import ActiveUnits, active_units
from ._log_likelihood import (
    LIKELIHOOD_SAMPLES,
    LikelihoodMethod,
    LogLikelihood,
    bidirectional_monte_carlo,
    check_likelihood_arguments,
    default_chain_start,
    log_likelihood,
)
from ._log_likelihood_numbers import log_likelihood_numbers
from ._number import MetricRegistration, Number
from ._rate_distortion import RateDistortion, elbo_number, elbo_samples, rate_distortion
from ._unbounded_density import density_notes

Metric = Callable[["EvaluationContext"], Iterable[Number | Note]]

_BINARISATION_NOTES = {
    "already binary": "The data are binary.",
    "fixed": "Grey values became 0 or 1 once, before training.",
    "dynamic": "Grey values became 0 or 1 at random: again in each epoch of training, once here.",
}


@dataclass(frozen=True)
class EvaluationOptions:
    """How ``evaluate`` estimates ``log p(x)``.

    Args:
        samples: Importance samples per row (100), or annealed chains (16).
        method: ``"importance"``, ``"annealing"`` or ``"exact"``.
        annealing: Path of the annealed chains.
        defensive: Share of the importance samples that come from the prior.
        bracket: Number of rows to draw from the model and to bound from both sides.
        bracket_start: Start of the chains of the bracket; chosen by the model if ``None``.

    Raises:
        ArgumentError: A value is out of range, or belongs to another method.

    Example:
        >>> EvaluationOptions(samples=50).total_work(n_rows=10)
        500
    """

    samples: int | None = None
    method: LikelihoodMethod = "importance"
    annealing: AISOptions = field(default_factory=AISOptions)
    defensive: float = 0.0
    bracket: int = 0
    bracket_start: Literal["posterior", "prior"] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.bracket <= MAX_COUNT:
            raise ArgumentError(
                "give the number of rows to draw from the model",
                argument="bracket",
                value=self.bracket,
            )
        unused = self.bracket > 0 and self.method != "annealing"  # only the bracket anneals
        check_likelihood_arguments(
            self.method, self.samples, AISOptions() if unused else self.annealing, self.defensive
        )
        if self.bracket_start is not None and not self.bracket:
            raise ArgumentError(
                message("it belongs to {bracket}", bracket=Argument("bracket", 32)),
                argument="bracket_start",
                value=self.bracket_start,
            )

    @property
    def samples_per_row(self) -> int:
        """Importance samples or chains per row."""
        return LIKELIHOOD_SAMPLES[self.method] if self.samples is None else self.samples

    @property
    def bracket_chains(self) -> int:
        """Chains per row of the bracket."""
        return self.samples_per_row if self.method == "annealing" else DEFAULT_CHAINS

    def total_work(self, n_rows: int) -> int:
        """Return the sum of what ``on_progress`` receives.

        Args:
            n_rows: Number of rows that are evaluated.

        Returns:
            Pairs of row and sample, or moves of annealed chains.
        """
        if self.method == "annealing":
            own = self.annealing.total_moves(n_rows, self.samples_per_row)
        else:
            own = n_rows * self.samples_per_row
        if not self.bracket:
            return own
        return own + self.annealing.total_moves(
            self.bracket, self.bracket_chains, bidirectional=True
        )


@dataclass(frozen=True)
class EvaluationContext:
    """What metrics compute from; results that several metrics share are computed once.

    Args:
        model: The model. A posterior with parameters per training row was refined for ``rows``.
        rows: Rows on the model's device.
        original_model: The model before refinement.
        spec: Description of the data, where there is one.
        options: How ``log p(x)`` is estimated.
        seed: Seed of every metric.
        on_progress: Receives the pairs of row and sample that were done.
        baselines: Classical models fitted to the training rows.
        notes: Reasons why the rows may not be held-out rows.
    """

    model: VAE
    rows: Rows
    original_model: VAE
    spec: Spec | None = None
    options: EvaluationOptions = EvaluationOptions()
    seed: int = 0
    on_progress: Callable[[int], None] | None = None
    baselines: Baselines | None = None
    notes: tuple[Note, ...] = ()

    @property
    def item_noun(self) -> str:
        """The word for one row: ``"image"`` or ``"row"``."""
        return "row" if self.spec is None else self.spec.item_noun

    @property
    def unit(self) -> str:
        """Unit of log-densities."""
        return f"nats per {self.item_noun}"

    @property
    def measure(self) -> Measure | None:
        """Whether rows have a density or a probability, ``None`` where this is unknown."""
        return None if self.spec is None else self.spec.measure

    @property
    def has_elbo(self) -> bool:
        """Whether the posterior has a density; an autoencoder has no ELBO."""
        return self.model.posterior.has_density

    @property
    def has_importance_weights(self) -> bool:
        """Whether ``log p(x)`` can be estimated from draws of the posterior."""
        return self.has_elbo and self.model.posterior.full_support

    @cached_property
    def log_likelihood(self) -> LogLikelihood | None:
        """The estimate of ``log p(x)``, ``None`` where there is none."""
        if not self.has_importance_weights:
            return None
        options = self.options
        return log_likelihood(
            self.model,
            self.rows,
            options.samples_per_row if options.method != "exact" else None,
            options.method,
            annealing=options.annealing if options.method == "annealing" else AISOptions(),
            defensive=options.defensive,
            seed=self.seed,
            on_progress=self.on_progress,
        )

    @cached_property
    def rate_distortion(self) -> RateDistortion:
        """Rate and distortion, from the draws of ``log_likelihood`` where that has them.

        With other draws the ELBO could come out above the estimate of ``log p(x)``.
        """
        shared = None if self.log_likelihood is None else self.log_likelihood.rate_distortion
        return shared or rate_distortion(self.model, self.rows, seed=self.seed)

    @cached_property
    def baseline_scores(self) -> BaselineScores | None:
        """Log p(x) of the rows by classical models, ``None`` where none applies."""
        return BaselineScores.of(self.baselines, self.rows)

    @cached_property
    def active_units(self) -> ActiveUnits | None:
        """Latent variables in use, ``None`` for a single row or without importance weights."""
        if not self.has_importance_weights or len(self.rows) < 2:
            return None
        return active_units(self.model, self.rows)

    @cached_property
    def codebook_usage(self) -> CodebookUsage | None:
        """Use of the codebook, ``None`` where the model has none."""
        if self.has_importance_weights or not self.has_elbo:
            return None
        return codebook_usage(self.model, self.rows)

    @cached_property
    def bracket(self) -> LogLikelihood | IncompatibleError | None:
        """Both bounds of rows drawn from the model; the reason where the model has none."""
        options, table = self.options, self.rows.context
        if not options.bracket or not self.has_importance_weights:
            return None
        model, start = self.original_model, options.bracket_start
        context = (
            None
            if table is None
            else table[[index % len(table) for index in range(options.bracket)]]
        )
        try:
            return bidirectional_monte_carlo(
                model,
                options.bracket,
                options.bracket_chains,
                context=context,
                annealing=replace(options.annealing, start=start or default_chain_start(model)),
                seed=self.seed,
                on_progress=self.on_progress,
            )
        except IncompatibleError as error:
            return error


@dataclass(frozen=True)
class Evaluation:
    """All numbers of a model on some rows, in the order in which tables show them.

    Args:
        n: Number of rows.
        numbers: The numbers of every registered metric that applies to the model.
        notes: What the user should know about the numbers.
        rate_distortion: Rate, distortion and ELBO with their values per row.
        log_likelihood: The estimate of ``log p(x)`` with its values per row; ``None`` for a model
            without importance weights.
        bracket: Both bounds of rows drawn from the model.
        active_units: Latent variables in use.
        codebook_usage: Use of the codebook.
        data_properties: Further fields of ``to_dict``: properties of the data that decide what the
            numbers can be compared with.

    Example:
        >>> import torch
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.MLP(9, [8]), 2),
        ...     likelihoods.Bernoulli(networks.MLP(2, [8]), (9,)),
        ... )
        >>> evaluation = evaluate(model, torch.ones(50, 9))
        >>> evaluation.n, evaluation["active_units"].value, evaluation.get("codebook")
        (50, 0, None)
    """

    n: int
    numbers: tuple[Number, ...]
    notes: tuple[Note, ...]
    rate_distortion: RateDistortion
    log_likelihood: LogLikelihood | None = None
    bracket: LogLikelihood | None = None
    active_units: ActiveUnits | None = None
    codebook_usage: CodebookUsage | None = None
    data_properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_elbo(self) -> bool:
        """Whether there is an ELBO; an autoencoder has none."""
        return not math.isnan(self.rate_distortion.rate.mean)

    @property
    def table(self) -> tuple[Number, ...]:
        """The numbers that tables show."""
        return tuple(number for number in self.numbers if number.in_tables)

    def get(self, key: str) -> Number | None:
        """Return a number by its key.

        Args:
            key: Name of the number in JSON.

        Returns:
            The number, or ``None`` where this evaluation does not have it.
        """
        return next((number for number in self.numbers if number.key == key), None)

    def __getitem__(self, key: str) -> Number:
        number = self.get(key)
        if number is None:
            raise KeyError(key)
        return number

    def to_dict(self) -> dict[str, Any]:
        """Convert the evaluation to JSON.

        Returns:
            ``{"n": ..., **{number.key: number.to_dict()}}``; keys with dots are nested.
        """
        record: dict[str, Any] = {"n": self.n}
        for number in self.numbers:
            *parents, name = number.key.split(".")
            parent = record
            for each in parents:
                parent = parent[each]
            parent[name] = number.to_dict()
        return record | dict(self.data_properties)

    def __str__(self) -> str:
        rows = [(number.label, str(number), number.unit) for number in self.table]
        widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
        return "\n".join(
            f"{label:<{widths[0]}}  {value:<{widths[1]}}  {unit}".rstrip()
            for label, value, unit in rows
        )


def evaluate(
    model: VAE | TrainedModel,
    data: Any = None,
    *,
    samples: int | None = None,
    method: LikelihoodMethod = "importance",
    annealing: AISOptions = AISOptions(),
    defensive: float = 0.0,
    bracket: int = 0,
    bracket_start: Literal["posterior", "prior"] | None = None,
    seed: int = 0,
    spec: Spec | None = None,
    baselines: Baselines | None = None,
    strict: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Compute every registered metric of a model on held-out rows.

    The numbers are the estimate of ``log p(x)`` and its reliability, the ELBO with its two terms,
    and the number of latent variables in use. An autoencoder has a reconstruction log-likelihood
    only. A model with parameters per training row is refined on the rows first.

    Args:
        model: The trained model, or a run. Its weights are not changed.
        data: Rows ``[N, *event]``: an array, a tensor or a list, ``Rows``, a data frame of numbers,
            a path, or a ``Dataset``, of which the test rows count. For a run, data that it reads;
            its test rows by default.
        samples: Importance samples per row (100), or annealed chains (16).
        method: How ``log p(x)`` is estimated: ``"importance"``, ``"annealing"`` or ``"exact"``.
        annealing: Path of the annealed chains, of ``method="annealing"`` and of the bracket.
        defensive: Share of the importance samples that come from the prior.
        bracket: Number of rows to draw from the model and to bound from both sides.
        bracket_start: Start of the chains of the bracket. By default the posterior, or the prior
            where the posterior's tails may be too thin.
        seed: Seed of every metric.
        spec: Description of the data, for units and bits per dimension; the description of a
            ``Dataset`` by default.
        baselines: Classical models to compare with, as ``fit_baselines`` returns them; by default
            they are fitted to the training rows of a ``Dataset``.
        strict: Whether to raise an error for options of ``log p(x)`` that do not apply because the
            model has no estimate of it.
        on_progress: Called with the amount of work done since the last call; the sum is
            ``EvaluationOptions.total_work``.

    Returns:
        The numbers, with the results per row from which they were computed.

    Raises:
        ArgumentError: An option is out of range, or belongs to another method.
        IncompatibleError: The model has no estimate of ``log p(x)``, which an option requires.
        DataError: A row has another shape, or lies outside the likelihood's support.
        NumericalError: ``log p(x)`` of a row is not a number.
    """
    options = EvaluationOptions(samples, method, annealing, defensive, bracket, bracket_start)
    if strict and options != EvaluationOptions():
        check_posterior_density(resolve_model(model), "finding log p(x)")
    context = _make_context(model, data, spec, options, seed, on_progress, baselines)
    metrics = sorted(MetricRegistration.all().values(), key=lambda metric: metric.order)
    results = [result for metric in metrics for result in metric.target(context)]
    binarisation, notes = _binarisation(context.spec)
    bracketed = context.bracket
    return Evaluation(
        n=len(context.rows),
        numbers=tuple(result for result in results if isinstance(result, Number)),
        notes=(
            *context.notes,
            *(result for result in results if isinstance(result, Note)),
            *notes,
            *constant_notes(context.original_model, context.rows, context.spec),
            *density_notes(context.original_model, context.rows, context.spec),
            *measure_notes(context.spec),
        ),
        rate_distortion=context.rate_distortion,
        log_likelihood=context.log_likelihood,
        bracket=bracketed if isinstance(bracketed, LogLikelihood) else None,
        active_units=context.active_units,
        codebook_usage=context.codebook_usage,
        data_properties={"binarisation": binarisation},
    )


def evaluate_bound(
    model: VAE | TrainedModel,
    data: Any = None,
    *,
    seed: int = 0,
    spec: Spec | None = None,
    baselines: Baselines | None = None,
    samples: int | None = None,
) -> Evaluation:
    """Compute the bound at little cost: the ELBO, or an autoencoder's reconstruction.

    The sampled part of the bound has 8 draws per row for up to 1,000 rows, 1 above.

    Args:
        model: The trained model, or a run. Its weights are not changed.
        data: As for ``evaluate``.
        seed: Seed of the draws.
        spec: Description of the data, for the unit.
        baselines: As for ``evaluate``.
        samples: Importance samples per row, with which log p(x) is estimated, too, and compared
            with the baselines in place of the ELBO; ``None``: no estimate.

    Returns:
        An evaluation whose first number is ``"elbo"`` or ``"reconstruction_log_likelihood"``; the
        numbers of log p(x) and of the baselines follow.

    Raises:
        DataError: A row has another shape, or lies outside the likelihood's support.
    """
    options = EvaluationOptions(samples=samples)
    context = _make_context(model, data, spec, options, seed, None, baselines)
    terms = rate_distortion(
        context.model, context.rows, samples=elbo_samples(len(context.rows)), seed=seed
    )
    numbers, scores = [elbo_number(context, terms)], context.baseline_scores
    estimate = None if samples is None else context.log_likelihood
    if estimate is not None:
        numbers += [each for each in log_likelihood_numbers(context) if isinstance(each, Number)]
        if scores is not None:
            numbers += baseline_numbers(context, scores, "log p(x)", estimate.per_datum)
    elif scores is not None and context.has_elbo and terms.per_datum is not None:
        numbers += baseline_numbers(context, scores, "ELBO", -terms.per_datum.sum(0))
    return Evaluation(len(context.rows), tuple(numbers), (), terms)


def _make_context(
    model: VAE | TrainedModel,
    data: Any,
    spec: Spec | None,
    options: EvaluationOptions,
    seed: int,
    on_progress: Callable[[int], None] | None,
    baselines: Baselines | None,
) -> EvaluationContext:
    """The rows on the model's device, and the model with parameters for them."""
    notes: tuple[Note, ...] = ()
    if isinstance(model, TrainedModel):
        rows = model.rows(data)
        notes, spec = model.evaluation_notes(data, rows), spec or model.spec
        baselines = baselines or model.baselines
        model, data = model.model, rows
    if isinstance(data, Dataset):
        spec = spec or data.spec
        baselines = baselines or fit_baselines(resolve_model(model), data.train, spec)
        data = data.evaluation_rows
    model, rows = resolve_input(model, data)
    refined = with_row_parameters(model, rows)
    return EvaluationContext(
        refined, rows, model, spec, options, seed, on_progress, baselines, notes
    )


def with_row_parameters(model: VAE, rows: Rows) -> VAE:
    """The model; if its posterior has parameters per training row, a copy refined for ``rows``."""
    if model.posterior.n_rows is None:
        return model
    return refine(model, rows.tensor(), context=rows.context).model


def measure_notes(spec: Spec | None) -> tuple[Note, ...]:
    """What log p(x) of a table is a sum of, where some columns have a density."""
    if spec is None or spec.schema is None or spec.measure != "mixed":
        return ()
    names = [each.name for each in spec.schema.modelled if each.measure != "probability"]
    text = (
        f"log p(x) is of mixed measure: log-densities of {format_list(names, 6)} in their units, "
        "and log-probabilities of all other columns."
    )
    return (Note("mixed_measure", text, data={"densities": names}),)


def _binarisation(spec: Spec | None) -> tuple[str | None, tuple[Note, ...]]:
    """How grey values became 0 or 1: likelihoods are comparable only where this agrees."""
    if spec is None or (spec.binarisation is None and spec.support != "binary"):
        return None, ()
    kind = spec.binarisation or "already binary"
    return kind, (Note("binarisation", _BINARISATION_NOTES[kind], data={"binarisation": kind}),)
