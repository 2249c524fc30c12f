"""Comparison of models: how far apart they are, and whether that is more than noise.

Two models that score the same rows agree on which rows are hard, so that the difference row by row
varies less than either score. Models that differ in their seed alone form one configuration; the
error is then that between seeds, which a reader who trains again will see.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..data._formatting import format_count, format_list
from ..errors import ArgumentError
from ..inference._importance import DEFAULT_MAX_PAIRS
from ..inference._inputs import as_model_rows
from ..models import VAE
from ..notes import Note, Part, message
from ._comparability import ComparabilityKey, check_comparable
from ._estimate import Estimate
from ._log_likelihood import LogLikelihood, log_likelihood
from ._rate_distortion import RateDistortion, rate_distortion
from ._significance import (
    DIFFERENCE_FUNCTIONS,
    SIGNIFICANCE_LEVEL,
    ErrorSource,
    difference_p_value,
    holm_correction,
)
from ._unbounded_density import density_notes

MIN_DOUBLING_GAIN = 0.01
"""Nats that doubling the samples may gain without a note."""

MIN_SEED_DEGREES_OF_FREEDOM = 4
"""Degrees of freedom between seeds below which a note recommends more seeds."""

Quantity = Literal["log_likelihood", "elbo", "reconstruction", "rate", "distortion"]
Verdict = Literal["best", "noise", "worse", "unknown"]


@dataclass(frozen=True)
class ModelScores:
    """Scores of a model on each row, ``[N]`` nats; ``None`` for what the model does not have.

    Args:
        name: The name of the model.
        distortion: ``-E log p(x|z)``.
        rate: ``KL(q(z|x) || p(z))``.
        log_likelihood: The estimate of ``log p(x)``.
        configuration: The same name for models that differ in their seed alone.
        last_doubling_gain: What the estimate of ``log p(x)`` gained when its samples were last
            doubled: it is still about that far below the true value.
        seed: The seed of the run, where another seed means other rows; differences are then taken
            seed by seed.
    """

    name: str
    distortion: Tensor
    rate: Tensor | None = None
    log_likelihood: Tensor | None = None
    configuration: str | None = None
    last_doubling_gain: float = math.nan
    seed: int | None = None

    @staticmethod
    def from_metrics(
        name: str,
        rate_distortion: RateDistortion,
        log_likelihood: LogLikelihood | None,
        configuration: str | None = None,
    ) -> ModelScores:
        """Collect the scores of a model.

        Args:
            name: The name of the model.
            rate_distortion: Its rate and distortion with their values per row.
            log_likelihood: Its ``log p(x)`` of the same rows, where it has an estimate.
            configuration: The same name for models that differ in their seed alone.

        Returns:
            The scores.

        Raises:
            ArgumentError: ``rate_distortion`` has no values per row.
        """
        if rate_distortion.per_datum is None:
            raise ArgumentError(
                "`rate_distortion` has means only",
                argument="rate_distortion",
                suggestions=(
                    message("Pass the result of {it}", it=Part("metrics.rate_distortion")),
                ),
            )
        rate, distortion = rate_distortion.per_datum.cpu()
        return ModelScores(
            name,
            distortion,
            None if rate.isnan().all() else rate,
            None if log_likelihood is None else log_likelihood.per_datum.cpu(),
            configuration,
            gain_of_last_doubling(log_likelihood),
        )

    def per_datum(self, quantity: Quantity) -> Tensor | None:
        """Return one quantity of each row.

        Args:
            quantity: Which one.

        Returns:
            Values ``[N]``, or ``None`` where the model does not have them.
        """
        if quantity == "reconstruction":
            return -self.distortion
        if quantity == "elbo":
            return None if self.rate is None else -self.rate - self.distortion
        return {
            "log_likelihood": self.log_likelihood,
            "rate": self.rate,
            "distortion": self.distortion,
        }[quantity]


@dataclass(frozen=True)
class Difference:
    """The difference of a row of the comparison from the best one.

    Args:
        value: The difference with its standard error.
        p_value: Two-sided, corrected for all pairs; NaN where there is no error to compare with.
    """

    value: Estimate
    p_value: float

    @property
    def is_noise(self) -> bool:
        """Whether the two are not significantly different."""
        return self.p_value >= SIGNIFICANCE_LEVEL

    @property
    def is_significant(self) -> bool:
        """Whether the two are significantly different."""
        return self.p_value < SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class QuantityComparison:
    """One quantity of all rows of a comparison.

    Args:
        quantity: Which one.
        values: Its mean for each row.
        differences: Its difference from the best row; ``None`` for that row itself.
    """

    quantity: Quantity
    values: tuple[Estimate, ...]
    differences: tuple[Difference | None, ...]

    @property
    def name(self) -> str:
        """The name of the quantity in a sentence."""
        return QUANTITY_NAMES[self.quantity]

    def to_bits_per_dimension(self, dimensions: int) -> QuantityComparison:
        """Convert log-probabilities to bits per dimension.

        Args:
            dimensions: Number of values in a row.

        Returns:
            The same comparison in bits per dimension.
        """
        values = tuple(value.bits_per_dimension(dimensions) for value in self.values)
        differences = tuple(
            each and Difference(each.value.bits_per_dimension(dimensions), each.p_value)
            for each in self.differences
        )
        return QuantityComparison(self.quantity, values, differences)


@dataclass(frozen=True)
class ComparisonRow:
    """A row of a comparison: a model, or the seeds of one configuration.

    Args:
        name: The name of the model or of the configuration.
        run_names: The names of its models.
        last_doubling_gain: Mean gain of ``log p(x)`` when the samples were last doubled.
    """

    name: str
    run_names: tuple[str, ...]
    last_doubling_gain: float = math.nan


@dataclass(frozen=True)
class Comparison:
    """A comparison of models; the first quantity decides which one is best.

    Args:
        table: The rows.
        quantities: The quantities that all models have, the deciding one first.
        best_index: The row with the highest deciding quantity.
        error_source: What the errors are made of: ``"paired rows"``, differences row by row;
            ``"rows"``, where the models were evaluated on different rows; ``"seeds"``, means of
            models that differ in their seed; ``"paired seeds"``, differences seed by seed, where
            every configuration has the same seeds and each seed its own rows.
        n_rows: Number of data rows.
        seed_mean: Where all models differ in their seed alone: their mean, with the error between
            seeds.
        density_notes: Notes about models whose density has no bound.
    """

    table: tuple[ComparisonRow, ...]
    quantities: tuple[QuantityComparison, ...]
    best_index: int
    error_source: ErrorSource
    n_rows: int
    seed_mean: Estimate | None = None
    density_notes: tuple[Note, ...] = ()

    @property
    def primary(self) -> QuantityComparison:
        """The deciding quantity: ``log p(x)``, the ELBO or the reconstruction."""
        return self.quantities[0]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Verdict on each row: best, not significantly worse, worse, or unknown."""
        return tuple(_verdict(difference) for difference in self.primary.differences)

    @property
    def unconverged(self) -> tuple[ComparisonRow, ...]:
        """Rows whose ``log p(x)`` still rises with its samples, by more than the best row's.

        A difference from these rows is not final: more samples would change it.
        """
        if self.primary.quantity != "log_likelihood":
            return ()
        best = self.table[self.best_index].last_doubling_gain
        return tuple(
            row
            for row, difference in zip(self.table, self.primary.differences, strict=True)
            if difference
            and abs(row.last_doubling_gain - best)
            > max(difference.value.standard_error, MIN_DOUBLING_GAIN)
        )

    @property
    def conclusions(self) -> tuple[Note, ...]:
        """Which row is best, which are not significantly worse, and which are worse."""
        return tuple(_conclusions(self))

    @property
    def notes(self) -> tuple[Note, ...]:
        """The conclusions, what the errors are made of, and estimates that still rise."""
        return (
            *self.conclusions,
            *_error_notes(self),
            *_convergence_notes(self),
            *self.density_notes,
        )


def compare(
    models: Mapping[str, VAE] | Sequence[VAE],
    x: Any,
    samples: int = 100,
    *,
    configurations: Sequence[str] | None = None,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    on_progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Evaluate models on the same data, and report which differences are noise.

    ``d_n = log p_a(x_n) - log p_b(x_n)``, its mean over the data, and ``std(d) / sqrt(N)``;
    likewise for ELBO, rate and distortion, in nats per row. The same data decide which model is
    best, so that every pair counts in the correction: with all models alike, at most 5 of 100
    tables have a significant difference (Holm, A simple sequentially rejective multiple test
    procedure, 1979).

    Args:
        models: The models, by name or in order.
        x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.
        samples: Importance samples per row for ``log p(x)``.
        configurations: A name for each model, the same for models that differ in their seed alone.
            With several configurations the errors are those between seeds.
        seed: Seed of the draws, the same for every model.
        max_pairs: Largest number of (sample, row) pairs that are decoded at once.
        on_progress: Receives the number of pairs that were done.

    Returns:
        The comparison.

    Raises:
        ArgumentError: There are fewer than two models, or not one configuration for each.
        IncompatibleError: The numbers of the models measure different things: densities and
            probabilities, or a reconstruction and a likelihood.
        DataError: A row has another shape, or lies outside a likelihood's support.

    Example:
        >>> from aevb import likelihoods, networks, posteriors, priors
        >>> def make(scale):
        ...     return VAE(
        ...         priors.Normal(1),
        ...         posteriors.Normal(networks.MLP(3), 1),
        ...         likelihoods.Normal(networks.MLP(1), (3,), scale=scale),
        ...     )
        >>> models = {"narrow": make(0.1), "wide": make(1.0)}
        >>> result = compare(models, torch.randn(100, 3), samples=10)
        >>> result.verdicts, result.error_source
        (('worse', 'best'), 'paired rows')
    """
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        named = {f"model {number}": model for number, model in enumerate(models, 1)}
    groups = [None] * len(named) if configurations is None else list(configurations)
    if len(named) < 2:
        raise ArgumentError(
            f"`models` has {format_count(len(named), 'model')}; give at least 2 to compare",
            argument="models",
        )
    if len(groups) != len(named):
        raise ArgumentError(
            f"`configurations` has {len(groups)} names for {len(named)} models; give one for each",
            argument="configurations",
        )
    check_comparable({name: ComparabilityKey.from_model(model) for name, model in named.items()})
    compared = compare_scores(
        [
            _score_model(name, model, x, group, samples, seed, max_pairs, on_progress)
            for (name, model), group in zip(named.items(), groups, strict=True)
        ]
    )
    notes = [
        note for model in named.values() for note in density_notes(model, as_model_rows(model, x))
    ]
    return replace(compared, density_notes=tuple(notes[:1]))


def gain_of_last_doubling(log_likelihood: LogLikelihood | None) -> float:
    """What doubling the samples gained last; NaN without a convergence curve."""
    if log_likelihood is None or log_likelihood.convergence_curve is None:
        return math.nan
    curve = log_likelihood.convergence_curve
    values = dict(zip(curve.samples, curve.values, strict=True))
    doubled = [size for size in values if 2 * size in values]
    return values[2 * doubled[-1]].mean - values[doubled[-1]].mean if doubled else math.nan


def compare_scores(scores: Sequence[ModelScores], same_rows: bool = True) -> Comparison:
    """Compare scores; ``same_rows`` is whether entry n of each is of the same datum.

    >>> noise = torch.tensor([0.0, 0.1, -0.1, 0.05])
    >>> hard = torch.tensor([9.0, 1.0, 5.0, 3.0])
    >>> result = compare_scores([ModelScores("a", hard), ModelScores("b", hard + 1 + noise)])
    >>> result.primary.quantity, result.verdicts
    ('reconstruction', ('best', 'worse'))
    >>> result.primary.differences[1].value.standard_error < 0.1
    True
    """
    groups = _group_by_configuration(scores)
    several = 1 < len(groups) < len(scores)
    if several:
        error_source: ErrorSource = (
            "paired seeds" if _has_paired_seeds(groups, same_rows) else "seeds"
        )
        rows = [tuple(sorted(group, key=lambda score: str(score.seed))) for group in groups]
    else:
        error_source = "paired rows" if same_rows else "rows"
        rows = [(score,) for score in scores]
    quantities = _common_quantities(scores)
    tables: dict[Quantity, list[Tensor]] = {
        quantity: [_quantity_values(row, quantity, error_source) for row in rows]
        for quantity in quantities
    }
    means = [_nan_as_lowest(table.mean().item()) for table in tables[quantities[0]]]
    best = means.index(max(means))
    columns = tuple(
        compare_quantity(quantity, table, error_source, best) for quantity, table in tables.items()
    )
    seed_mean = None
    if len(groups) == 1 and len(scores) > 1:
        seed_mean = Estimate.from_values(_quantity_values(groups[0], quantities[0], "seeds"))
    n_rows = len(scores[0].distortion)
    return Comparison(
        tuple(map(_comparison_row, rows)), columns, best, error_source, n_rows, seed_mean
    )


def _has_paired_seeds(groups: Sequence[Sequence[ModelScores]], same_rows: bool) -> bool:
    """Whether all configurations have the same seeds, and each seed its own rows."""
    seeds = [[score.seed for score in group] for group in groups]
    return (
        not same_rows
        and len(seeds[0]) > 1
        and None not in seeds[0]
        and all(sorted(map(str, each)) == sorted(map(str, seeds[0])) for each in seeds)
    )


def compare_quantity(
    quantity: Quantity, values: Sequence[Tensor], error_source: ErrorSource, best_index: int
) -> QuantityComparison:
    """Compare one quantity: ``values`` are of data rows, or of runs where the source is seeds.

    >>> values = [torch.tensor([-9.0, -9.2]), torch.tensor([-12.0, -12.2])]
    >>> result = compare_quantity("elbo", values, "seeds", best_index=0)
    >>> round(result.differences[1].value.mean, 4), result.differences[1].is_noise
    (-3.0, False)
    """
    difference = DIFFERENCE_FUNCTIONS[error_source](values)
    pairs = list(itertools.combinations(range(len(values)), 2))
    p_values = holm_correction([difference_p_value(*difference(*pair)) for pair in pairs])
    corrected = dict(zip(pairs, p_values, strict=True))
    differences = [
        None
        if row == best_index
        else Difference(
            difference(row, best_index)[0], corrected[min(row, best_index), max(row, best_index)]
        )
        for row in range(len(values))
    ]
    return QuantityComparison(
        quantity, tuple(map(Estimate.from_values, values)), tuple(differences)
    )


def _score_model(
    name: str,
    model: VAE,
    x: Any,
    configuration: str | None,
    samples: int,
    seed: int,
    max_pairs: int,
    on_progress: Callable[[int], None] | None,
) -> ModelScores:
    """The scores of a model on data."""
    data, estimate = as_model_rows(model, x), None
    if model.posterior.has_density and model.posterior.full_support:
        estimate = log_likelihood(
            model, data, samples, seed=seed, max_pairs=max_pairs, on_progress=on_progress
        )
    terms = (estimate and estimate.rate_distortion) or rate_distortion(model, data, seed=seed)
    return ModelScores.from_metrics(name, terms, estimate, configuration)


def _common_quantities(scores: Sequence[ModelScores]) -> list[Quantity]:
    """The quantities that all models have, the deciding one first."""
    quantities: tuple[Quantity, ...] = ("log_likelihood", "elbo", "rate", "distortion")
    common: list[Quantity] = [
        quantity
        for quantity in quantities
        if all(score.per_datum(quantity) is not None for score in scores)
    ]
    return common if "elbo" in common else ["reconstruction"]


def _group_by_configuration(scores: Sequence[ModelScores]) -> list[tuple[ModelScores, ...]]:
    """The seeds of each configuration; a model without a configuration is its own."""
    groups: dict[object, list[ModelScores]] = {}
    for index, score in enumerate(scores):
        key = index if score.configuration is None else score.configuration
        groups.setdefault(key, []).append(score)
    return [tuple(group) for group in groups.values()]


def _quantity_values(
    group: Sequence[ModelScores], quantity: Quantity, error_source: ErrorSource
) -> Tensor:
    """The values whose spread is the error: those of data rows, or the mean of each run."""
    tables = [
        values.double() for score in group if (values := score.per_datum(quantity)) is not None
    ]
    if error_source in ("seeds", "paired seeds"):
        return torch.stack([table.mean() for table in tables])
    return tables[0]


def _comparison_row(group: Sequence[ModelScores]) -> ComparisonRow:
    """The row of a model or of a configuration."""
    names = tuple(score.name for score in group)
    gain = sum(score.last_doubling_gain for score in group) / len(group)
    name = names[0] if len(names) == 1 else group[0].configuration or names[0]
    return ComparisonRow(name, names, gain)


def _verdict(difference: Difference | None) -> Verdict:
    """Verdict on a row by its difference from the best one."""
    if difference is None:
        return "best"
    return "noise" if difference.is_noise else "worse" if difference.is_significant else "unknown"


def _nan_as_lowest(mean: float) -> float:
    """The mean in an order in which NaN is lowest."""
    return -math.inf if math.isnan(mean) else mean


QUANTITY_NAMES = {
    "log_likelihood": "log p(x)",
    "elbo": "ELBO",
    "reconstruction": "reconstruction log-likelihood",
    "rate": "rate",
    "distortion": "distortion",
}


def _conclusions(comparison: Comparison) -> Iterator[Note]:
    """One note for each verdict that occurs."""
    primary, best = comparison.primary, comparison.table[comparison.best_index]
    value = primary.values[comparison.best_index]
    yield Note(
        "best",
        f"{best.name} has the highest {primary.name}: {value} nats.",
        data={"name": best.name, "quantity": primary.quantity, "mean": value.mean},
    )
    sentences: tuple[tuple[Verdict, str, str], ...] = (
        ("noise", "not_significantly_worse", "Not significantly worse, the difference is noise"),
        ("worse", "significantly_worse", "Significantly worse"),
        ("unknown", "no_error_estimate", "No error to compare with"),
    )
    for verdict, code, sentence in sentences:
        rows = [
            (row.name, difference)
            for row, difference, each in zip(
                comparison.table, primary.differences, comparison.verdicts, strict=True
            )
            if each == verdict
        ]
        listed = [
            name if verdict == "unknown" or difference is None else f"{name} ({difference.value})"
            for name, difference in rows
        ]
        if rows:
            names = [name for name, _ in rows]
            yield Note(code, f"{sentence}: {format_list(listed)}.", data={"names": names})


_ERROR_SENTENCES: Mapping[ErrorSource, str] = {
    "paired rows": "Errors are of differences row by row, over the same {rows}{corrected}: what "
    "other rows would change. They do not include what another seed would change.",
    "rows": "The models were evaluated on different rows, so that differences are not "
    "paired{corrected}, and small ones are not detected.",
    "paired seeds": "Errors are of differences seed by seed, with one spread for all "
    "configurations{corrected}: what another seed, and the other rows that come with it, would "
    "change.",
    "seeds": "Errors are between seeds, with one spread for all configurations{corrected}: what "
    "another seed would change, and not what other rows would change.",
}


def _error_notes(comparison: Comparison) -> Iterator[Note]:
    """What the errors are made of."""
    table, source = comparison.table, comparison.error_source
    if len(table) < 2:
        return
    pairs = len(table) * (len(table) - 1) // 2
    sentence = _ERROR_SENTENCES[source].format(
        rows=format_count(comparison.n_rows, "row"),
        corrected=f", corrected for {pairs} pairs (Holm)" if pairs > 1 else "",
    )
    yield Note("error_source", sentence, data={"error_source": source, "pairs": pairs})
    paired = (len(table) - 1) * (len(table[0].run_names) - 1)
    separate = sum(len(row.run_names) - 1 for row in table)
    degrees = paired if source == "paired seeds" else separate
    if "seeds" in source and degrees < MIN_SEED_DEGREES_OF_FREEDOM:
        yield Note(
            "few_seeds",
            "With so few seeds only large differences are detected: train more of them.",
            "warning",
            {"degrees_of_freedom": degrees},
        )
    if comparison.seed_mean is not None:
        rows = "" if source == "paired rows" else ", each on its own rows"
        yield Note(
            "seeds_alone_differ",
            f"The models differ in their seed alone: their mean is {comparison.seed_mean} nats, "
            f"with the error between seeds{rows}.",
            data={"mean": comparison.seed_mean.mean},
        )


def _convergence_notes(comparison: Comparison) -> Iterator[Note]:
    """Estimates of ``log p(x)`` that still rise with their samples."""
    rows, best = comparison.unconverged, comparison.table[comparison.best_index]
    if not rows:
        return
    gains = {row.name: row.last_doubling_gain for row in (best, *rows)}
    others = format_list(f"{row.name} by {row.last_doubling_gain:.2f}" for row in rows)
    yield Note(
        "log_likelihood_still_rises",
        "Estimates of log p(x) still rise with their samples: the last doubling raised "
        f"{best.name} by {best.last_doubling_gain:.2f} nats, {others}. The errors do not include "
        "this: use more samples.",
        "warning",
        {"gains": gains},
    )
