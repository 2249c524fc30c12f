"""Models side by side: how far apart they are, and whether that is more than noise.

Two models that score the same rows agree on which rows are hard, so that the difference row by row varies less than either score. Models
that differ in their seed are taken together; what another seed would change is then the error bar, since it is what a reader who trains
again will meet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..data._formatting import format_count, format_list
from ..errors import ArgumentError
from ..inference._importance import DEFAULT_MAX_PAIRS
from ..models import VAE
from ._blocks import as_model_rows
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

MIN_DOUBLING_GAIN = 0.01  # nats: what a doubling of the samples may bring and not be said
MIN_SEED_DEGREES_OF_FREEDOM = 4  # degrees of freedom between seeds below which that is said

Quantity = Literal["log_likelihood", "elbo", "reconstruction", "rate", "distortion"]
Verdict = Literal["best", "noise", "worse", "unknown"]


@dataclass(frozen=True)
class ModelScores:
    """What a model scores on each datum, ``[N]`` nats; what does not exist for it is None.

    Models with the same ``configuration`` differ in their seed alone. ``last_doubling_gain`` is what the estimate of log p(x) gained when its samples
    were last doubled: it still lies about that far below the truth.
    """

    name: str
    distortion: Tensor
    rate: Tensor | None = None
    log_likelihood: Tensor | None = None
    configuration: str | None = None
    last_doubling_gain: float = math.nan
    seed: int | None = (
        None  # where another seed means other rows: differences are then taken seed by seed
    )

    @staticmethod
    def from_metrics(
        name: str,
        rate_distortion: RateDistortion,
        log_likelihood: LogLikelihood | None,
        configuration: str | None = None,
    ) -> ModelScores:
        """From the numbers of a model, ``terms`` and ``weighed`` on the same rows."""
        if rate_distortion.per_datum is None:
            raise ArgumentError(
                "`terms` holds means alone: take what `metrics.rate_distortion(model, x)` returns."
            )
        rate, distortion = rate_distortion.per_datum.cpu()
        found = None if log_likelihood is None else log_likelihood.per_datum.cpu()
        return ModelScores(
            name,
            distortion,
            None if rate.isnan().all() else rate,
            found,
            configuration,
            gain_of_last_doubling(log_likelihood),
        )

    def per_datum(self, quantity: Quantity) -> Tensor | None:
        """One number of each datum, ``[N]``."""
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
    """A side less the best one, and how often noise alone makes as much of it."""

    value: Estimate
    p_value: (
        float  # two-sided, corrected for all pairs of sides; NaN where there is nothing to judge by
    )

    @property
    def is_noise(self) -> bool:
        """Whether the two are not told apart."""
        return self.p_value >= SIGNIFICANCE_LEVEL

    @property
    def is_significant(self) -> bool:
        """Whether they are."""
        return self.p_value < SIGNIFICANCE_LEVEL


@dataclass(frozen=True)
class QuantityComparison:
    """One number of all sides, and its differences to the best side, None for that one itself."""

    quantity: Quantity
    values: tuple[Estimate, ...]
    differences: tuple[Difference | None, ...]

    def to_bits_per_dimension(self, dimensions: int) -> QuantityComparison:
        """The same in bits per dimension, of log-probabilities of data with ``dimensions`` numbers."""
        values = tuple(value.bits_per_dimension(dimensions) for value in self.values)
        turned = (
            each and Difference(each.value.bits_per_dimension(dimensions), each.p_value)
            for each in self.differences
        )
        return QuantityComparison(self.quantity, values, tuple(turned))


@dataclass(frozen=True)
class ComparisonRow:
    """A line of the comparison: a model, or the seeds of one configuration."""

    name: str
    run_names: tuple[str, ...]
    last_doubling_gain: float = math.nan  # the mean of theirs


@dataclass(frozen=True)
class Comparison:
    """Models side by side, the best one told by the first column.

    ``spread`` says what the error bars are made of: ``"paired rows"``, differences row by row; ``"rows"``, where the models were not
    measured on the same ones; ``"seeds"``, means of runs that differ in their seed; ``"paired seeds"``, differences seed by seed, where
    every configuration has the same seeds and each seed its own rows.
    """

    table: tuple[ComparisonRow, ...]
    quantities: tuple[QuantityComparison, ...]
    best_index: int
    error_source: ErrorSource
    n_rows: int
    seed_mean: Estimate | None = (
        None  # where all differ in their seed alone: the mean, with the error between seeds
    )

    @property
    def primary(self) -> QuantityComparison:
        """The number that says which is best: log p(x), or the ELBO, or the reconstruction, the first that all have."""
        return self.quantities[0]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of each side: the best, as good as told, worse, or nothing to tell by."""
        return tuple(_verdict(difference) for difference in self.primary.differences)

    @property
    def unconverged(self) -> tuple[ComparisonRow, ...]:
        """Sides whose estimate of log p(x) still rises with its samples, by more than the best one's and the error bar: look again."""
        if self.primary.quantity != "log_likelihood":
            return ()
        pairs = zip(self.table, self.primary.differences, strict=True)
        top = self.table[self.best_index].last_doubling_gain
        return tuple(
            side
            for side, found in pairs
            if found
            and abs(side.last_doubling_gain - top)
            > max(found.value.standard_error, MIN_DOUBLING_GAIN)
        )

    @property
    def conclusions(self) -> tuple[str, ...]:
        """Which is best, which is not told from it, and which is worse."""
        return tuple(_conclusions(self))

    @property
    def notes(self) -> tuple[str, ...]:
        """What it comes to and how far it goes, in sentences."""
        return (*self.conclusions, *_error_notes(self), *_convergence_notes(self))


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
    """Measure models on the same data ``[N, *event]``, and say which differences are noise.

    ``d_n = log p_a(x_n) - log p_b(x_n)``, its mean over the data, and ``std(d) / sqrt(N)``; likewise for ELBO, rate and distortion, in nats
    per datum. Models of the same entry of ``configurations`` are seeds of one configuration: where there are several configurations, the
    error bars are those between seeds. Which model is best is seen in the same data, so every pair counts in the correction: with
    all models alike, a difference is called real in at most 5 of 100 tables (Holm, A simple sequentially rejective multiple test
    procedure, 1979).

    Args:
        models: by name, or in order.
        x: rows, a tensor or an array.
        samples: importance samples per datum for log p(x); the draws of all models begin at the same ``seed``.
        configurations: a name for each model, the same for those that differ in their seed alone.
        rows: pairs of a draw and a datum that are decoded at once.
        advance: is told how many pairs are done.

    Raises ``ArgumentError`` for fewer than two models, and ``IncompatibleError`` for densities beside probabilities, autoencoders beside
    models with a likelihood, and others whose numbers are not of one thing.

    >>> from aevb import likelihoods, networks, posteriors, priors
    >>> def make(scale):
    ...     return VAE(
    ...         priors.Normal(1),
    ...         posteriors.Normal(networks.MLP(3), 1),
    ...         likelihoods.Normal(networks.MLP(1), (3,), scale=scale),
    ...     )
    >>> found = compare({"narrow": make(0.1), "wide": make(1.0)}, torch.randn(100, 3), samples=10)
    >>> found.verdicts, found.spread
    (('worse', 'best'), 'paired rows')
    """
    named = (
        dict(models)
        if isinstance(models, Mapping)
        else {f"model {place}": model for place, model in enumerate(models, 1)}
    )
    groups = [None] * len(named) if configurations is None else list(configurations)
    if len(named) < 2:
        raise ArgumentError(f"`models` holds {len(named)}; give at least 2 to compare.")
    if len(groups) != len(named):
        raise ArgumentError(
            f"`configurations` has {len(groups)} names for {len(named)} models; give one for each."
        )
    check_comparable({name: ComparabilityKey.from_model(model) for name, model in named.items()})
    pairs = zip(named.items(), groups, strict=True)
    return compare_scores(
        [
            _score_model(name, model, x, group, samples, seed, max_pairs, on_progress)
            for (name, model), group in pairs
        ]
    )


def gain_of_last_doubling(log_likelihood: LogLikelihood | None) -> float:
    """What doubling the samples brought last; NaN where no curve is known."""
    if log_likelihood is None or log_likelihood.curve is None:
        return math.nan
    known = dict(zip(log_likelihood.curve.samples, log_likelihood.curve.values, strict=True))
    doubled = [size for size in known if 2 * size in known]
    return known[2 * doubled[-1]].mean - known[doubled[-1]].mean if doubled else math.nan


def compare_scores(scores: Sequence[ModelScores], same_rows: bool = True) -> Comparison:
    """Compare what has been measured; ``same_rows`` says whether entry n of each is the same datum.

    >>> noise = torch.tensor([0.0, 0.1, -0.1, 0.05])
    >>> hard = torch.tensor([9.0, 1.0, 5.0, 3.0])
    >>> found = compare_scores([ModelScores("a", hard), ModelScores("b", hard + 1 + noise)])
    >>> (
    ...     found.deciding.quantity,
    ...     found.verdicts,
    ...     found.deciding.differences[1].value.standard_error < 0.1,
    ... )
    ('reconstruction', ('best', 'worse'), True)
    """
    groups = _group_by_configuration(scores)
    seeds = [[score.seed for score in group] for group in groups]
    several = 1 < len(groups) < len(scores)
    paired = (
        not same_rows
        and len(seeds[0]) > 1
        and None not in seeds[0]
        and all(sorted(map(str, s)) == sorted(map(str, seeds[0])) for s in seeds)
    )
    spread: ErrorSource = (
        ("paired seeds" if paired else "seeds")
        if several
        else "paired rows"
        if same_rows
        else "rows"
    )
    taken = (
        [tuple(sorted(group, key=lambda score: str(score.seed))) for group in groups]
        if several
        else [(score,) for score in scores]
    )
    quantities = _common_quantities(scores)
    tables: dict[Quantity, list[Tensor]] = {
        quantity: [_quantity_values(group, quantity, spread) for group in taken]
        for quantity in quantities
    }
    heights = [_nan_as_lowest(table.mean().item()) for table in tables[quantities[0]]]
    best = heights.index(max(heights))
    columns = tuple(
        compare_quantity(quantity, table, spread, best) for quantity, table in tables.items()
    )
    alone = len(groups) == 1 and len(scores) > 1
    alike = (
        Estimate.from_values(_quantity_values(groups[0], quantities[0], "seeds")) if alone else None
    )
    return Comparison(
        tuple(map(_comparison_row, taken)), columns, best, spread, len(scores[0].distortion), alike
    )


def compare_quantity(
    quantity: Quantity, values: Sequence[Tensor], error_source: ErrorSource, best_index: int
) -> QuantityComparison:
    """One number of several sides, each ``[N]``: of rows, or of runs where ``spread`` is ``"seeds"``.

    >>> found = column(
    ...     "elbo", [torch.tensor([-9.0, -9.2]), torch.tensor([-12.0, -12.2])], "seeds", best=0
    ... )
    >>> round(found.differences[1].value.mean, 4), found.differences[1].noise
    (-3.0, False)
    """
    gap = DIFFERENCE_FUNCTIONS[error_source](values)
    places = list(itertools.combinations(range(len(values)), 2))
    corrected = dict(
        zip(
            places,
            holm_correction([difference_p_value(*gap(first, second)) for first, second in places]),
            strict=True,
        )
    )
    differences = [
        None
        if side == best_index
        else Difference(
            gap(side, best_index)[0], corrected[min(side, best_index), max(side, best_index)]
        )
        for side in range(len(values))
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
    data = as_model_rows(model, x)
    several = model.posterior.has_density and model.posterior.full_support
    weighed = (
        log_likelihood(
            model, data, samples, seed=seed, max_pairs=max_pairs, on_progress=on_progress
        )
        if several
        else None
    )
    terms = (weighed and weighed.rate_distortion) or rate_distortion(model, data, seed=seed)
    return ModelScores.from_metrics(name, terms, weighed, configuration)


def _common_quantities(scores: Sequence[ModelScores]) -> list[Quantity]:
    """What all of them have, the number that decides first."""
    wanted: tuple[Quantity, ...] = ("log_likelihood", "elbo", "rate", "distortion")
    found: list[Quantity] = [
        each for each in wanted if all(score.per_datum(each) is not None for score in scores)
    ]
    return found if "elbo" in found else ["reconstruction"]


def _group_by_configuration(scores: Sequence[ModelScores]) -> list[tuple[ModelScores, ...]]:
    """Seeds of one configuration side by side, in the order in which configurations are met; no configuration is one of its own."""
    groups: dict[object, list[ModelScores]] = {}
    for place, score in enumerate(scores):
        groups.setdefault(place if score.configuration is None else score.configuration, []).append(
            score
        )
    return [tuple(group) for group in groups.values()]


def _quantity_values(
    group: Sequence[ModelScores], quantity: Quantity, error_source: ErrorSource
) -> Tensor:
    """The values that the spread is of: those of rows, or the mean of each run."""
    tables = [found.double() for score in group if (found := score.per_datum(quantity)) is not None]
    return (
        torch.stack([table.mean() for table in tables])
        if error_source in ("seeds", "paired seeds")
        else tables[0]
    )


def _comparison_row(group: Sequence[ModelScores]) -> ComparisonRow:
    names = tuple(score.name for score in group)
    rise = sum(score.last_doubling_gain for score in group) / len(group)
    return ComparisonRow(
        names[0] if len(names) == 1 else group[0].configuration or names[0], names, rise
    )


def _verdict(difference: Difference | None) -> Verdict:
    if difference is None:
        return "best"
    return "noise" if difference.is_noise else "worse" if difference.is_significant else "unknown"


def _nan_as_lowest(mean: float) -> float:
    """For comparisons, in which NaN loses."""
    return -math.inf if math.isnan(mean) else mean


QUANTITY_NAMES = {
    "log_likelihood": "log p(x)",
    "elbo": "ELBO",
    "reconstruction": "reconstruction log-likelihood",
    "rate": "rate",
    "distortion": "distortion",
}


def _conclusions(comparison: Comparison) -> list[str]:
    top, what = comparison.table[comparison.best_index], QUANTITY_NAMES[comparison.primary.quantity]
    held = list(
        zip(comparison.table, comparison.primary.differences, comparison.verdicts, strict=True)
    )
    sentences = [
        f"{top.name} has the highest {what}: {comparison.primary.values[comparison.best_index]} nats."
    ]
    alike = [
        f"{side.name} ({each.value})"
        for side, each, verdict in held
        if each is not None and verdict == "noise"
    ]
    worse = [
        f"{side.name} ({each.value})"
        for side, each, verdict in held
        if each is not None and verdict == "worse"
    ]
    unknown = [side.name for side, _, verdict in held if verdict == "unknown"]
    if alike:
        sentences.append(f"Not told apart from it, the difference is noise: {format_list(alike)}.")
    if worse:
        sentences.append(f"Worse, by more than noise: {format_list(worse)}.")
    if unknown:
        sentences.append(f"Nothing to judge by: {format_list(unknown)}.")
    return sentences


def _error_notes(comparison: Comparison) -> list[str]:
    """What the error bars are made of, and what was counted."""
    if len(comparison.table) < 2:
        return []
    pairs = len(comparison.table) * (len(comparison.table) - 1) // 2
    counted = f", corrected for {pairs} pairs (Holm)" if pairs > 1 else ""
    how = {
        "paired rows": f"Errors are of differences row by row, over the same {format_count(comparison.n_rows, 'row')}{counted}: what other rows would "
        "change. What another seed would change is not in them.",
        "rows": f"The runs were measured on different rows, so differences are not paired{counted}, and small ones are not seen.",
        "paired seeds": f"Errors are of differences seed by seed, with one spread for all configurations{counted}: what another seed, and "
        "the other rows that come with it, would change.",
        "seeds": f"Errors are between seeds, with one spread for all configurations{counted}: what another seed would change, and not "
        "what other rows would.",
    }
    between = len(comparison.table[0].run_names) - 1
    degrees = (
        (len(comparison.table) - 1) * between
        if comparison.error_source == "paired seeds"
        else sum(len(side.run_names) - 1 for side in comparison.table)
    )
    few = (
        ["So few seeds show large differences only: train more of them."]
        if "seeds" in comparison.error_source and degrees < MIN_SEED_DEGREES_OF_FREEDOM
        else []
    )
    rows = "" if comparison.error_source == "paired rows" else ", each on rows of its own"
    luck = f"The runs differ in their seed alone: their mean is {comparison.seed_mean} nats, with the error between seeds{rows}."
    return [how[comparison.error_source], *few, *([] if comparison.seed_mean is None else [luck])]


def _convergence_notes(comparison: Comparison) -> list[str]:
    loose, top = comparison.unconverged, comparison.table[comparison.best_index]
    if not loose:
        return []
    risen = format_list(f"{side.name} by {side.last_doubling_gain:.2f}" for side in loose)
    return [
        f"Estimates of log p(x) still rise with their samples: the last doubling lifted {top.name} by {top.last_doubling_gain:.2f} nats, {risen}. "
        "That is not in the error bars: take more samples."
    ]
