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

from ..data.words import count, listing
from ..errors import ArgumentError
from ..inference.importance import ROWS
from ..models import VAE
from .kind import Kind, check_kinds
from .likelihood import LogLikelihood, log_likelihood
from .measured import Measured
from .noise import GAPS, LEVEL, Spread, chance, holm
from .rate import RateDistortion, rate_distortion
from .sweep import rows_of

LEAST = 0.01  # nats: what a doubling of the samples may bring and not be said
FEW = 4  # degrees of freedom between seeds below which that is said

Quantity = Literal["log_likelihood", "elbo", "reconstruction", "rate", "distortion"]
Verdict = Literal["best", "noise", "worse", "unknown"]


@dataclass(frozen=True)
class Scores:
    """What a model scores on each datum, ``[N]`` nats; what does not exist for it is None.

    Models with the same ``configuration`` differ in their seed alone. ``rise`` is what the estimate of log p(x) gained when its samples
    were last doubled: it still lies about that far below the truth.
    """

    name: str
    distortion: Tensor
    rate: Tensor | None = None
    log_likelihood: Tensor | None = None
    configuration: str | None = None
    rise: float = math.nan
    seed: int | None = None  # where another seed means other rows: differences are then taken seed by seed

    @staticmethod
    def of(name: str, terms: RateDistortion, weighed: LogLikelihood | None, configuration: str | None = None) -> Scores:
        """From the numbers of a model, ``terms`` and ``weighed`` on the same rows."""
        if terms.per_datum is None:
            raise ArgumentError("`terms` holds means alone: take what `metrics.rate_distortion(model, x)` returns.")
        rate, distortion = terms.per_datum.cpu()
        found = None if weighed is None else weighed.per_datum.cpu()
        return Scores(name, distortion, None if rate.isnan().all() else rate, found, configuration, rise_of(weighed))

    def of_quantity(self, quantity: Quantity) -> Tensor | None:
        """One number of each datum, ``[N]``."""
        if quantity == "reconstruction":
            return -self.distortion
        if quantity == "elbo":
            return None if self.rate is None else -self.rate - self.distortion
        return {"log_likelihood": self.log_likelihood, "rate": self.rate, "distortion": self.distortion}[quantity]


@dataclass(frozen=True)
class Difference:
    """A side less the best one, and how often noise alone makes as much of it."""

    value: Measured
    p: float  # two-sided, corrected for all pairs of sides; NaN where there is nothing to judge by

    @property
    def noise(self) -> bool:
        """Whether the two are not told apart."""
        return self.p >= LEVEL

    @property
    def real(self) -> bool:
        """Whether they are."""
        return self.p < LEVEL


@dataclass(frozen=True)
class Column:
    """One number of all sides, and its differences to the best side, None for that one itself."""

    quantity: Quantity
    values: tuple[Measured, ...]
    differences: tuple[Difference | None, ...]

    def in_bits(self, dimensions: int) -> Column:
        """The same in bits per dimension, of log-probabilities of data with ``dimensions`` numbers."""
        values = tuple(value.bits_per_dimension(dimensions) for value in self.values)
        turned = (each and Difference(each.value.bits_per_dimension(dimensions), each.p) for each in self.differences)
        return Column(self.quantity, values, tuple(turned))


@dataclass(frozen=True)
class Side:
    """A line of the comparison: a model, or the seeds of one configuration."""

    name: str
    runs: tuple[str, ...]
    rise: float = math.nan  # the mean of theirs


@dataclass(frozen=True)
class Comparison:
    """Models side by side, the best one told by the first column.

    ``spread`` says what the error bars are made of: ``"paired rows"``, differences row by row; ``"rows"``, where the models were not
    measured on the same ones; ``"seeds"``, means of runs that differ in their seed; ``"paired seeds"``, differences seed by seed, where
    every configuration has the same seeds and each seed its own rows.
    """

    sides: tuple[Side, ...]
    columns: tuple[Column, ...]
    best: int
    spread: Spread
    rows: int
    over_seeds: Measured | None = None  # where all differ in their seed alone: the mean, with the error between seeds

    @property
    def deciding(self) -> Column:
        """The number that says which is best: log p(x), or the ELBO, or the reconstruction, the first that all have."""
        return self.columns[0]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of each side: the best, as good as told, worse, or nothing to tell by."""
        return tuple(_verdict(difference) for difference in self.deciding.differences)

    @property
    def unsettled(self) -> tuple[Side, ...]:
        """Sides whose estimate of log p(x) still rises with its samples, by more than the best one's and the error bar: look again."""
        if self.deciding.quantity != "log_likelihood":
            return ()
        pairs = zip(self.sides, self.deciding.differences, strict=True)
        top = self.sides[self.best].rise
        return tuple(side for side, found in pairs if found and abs(side.rise - top) > max(found.value.standard_error, LEAST))

    @property
    def outcome(self) -> tuple[str, ...]:
        """Which is best, which is not told from it, and which is worse."""
        return tuple(_outcome(self))

    @property
    def said(self) -> tuple[str, ...]:
        """What it comes to and how far it goes, in sentences."""
        return (*self.outcome, *_errors(self), *_settled(self))


def compare(
    models: Mapping[str, VAE] | Sequence[VAE],
    x: Any,
    samples: int = 100,
    *,
    configurations: Sequence[str] | None = None,
    seed: int = 0,
    rows: int = ROWS,
    advance: Callable[[int], None] | None = None,
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
    ...     return VAE(priors.Normal(1), posteriors.Normal(networks.MLP(3), 1), likelihoods.Normal(networks.MLP(1), (3,), scale=scale))
    >>> found = compare({"narrow": make(0.1), "wide": make(1.0)}, torch.randn(100, 3), samples=10)
    >>> found.verdicts, found.spread
    (('worse', 'best'), 'paired rows')
    """
    named = dict(models) if isinstance(models, Mapping) else {f"model {place}": model for place, model in enumerate(models, 1)}
    groups = [None] * len(named) if configurations is None else list(configurations)
    if len(named) < 2:
        raise ArgumentError(f"`models` holds {len(named)}; give at least 2 to compare.")
    if len(groups) != len(named):
        raise ArgumentError(f"`configurations` has {len(groups)} names for {len(named)} models; give one for each.")
    check_kinds({name: Kind.of(model) for name, model in named.items()})
    pairs = zip(named.items(), groups, strict=True)
    return of_scores([_scores(name, model, x, group, samples, seed, rows, advance) for (name, model), group in pairs])


def rise_of(weighed: LogLikelihood | None) -> float:
    """What doubling the samples brought last; NaN where no curve is known."""
    if weighed is None or weighed.curve is None:
        return math.nan
    known = dict(zip(weighed.curve.samples, weighed.curve.values, strict=True))
    doubled = [size for size in known if 2 * size in known]
    return known[2 * doubled[-1]].mean - known[doubled[-1]].mean if doubled else math.nan


def of_scores(scores: Sequence[Scores], same_rows: bool = True) -> Comparison:
    """Compare what has been measured; ``same_rows`` says whether entry n of each is the same datum.

    >>> noise = torch.tensor([0.0, 0.1, -0.1, 0.05])
    >>> hard = torch.tensor([9.0, 1.0, 5.0, 3.0])
    >>> found = of_scores([Scores("a", hard), Scores("b", hard + 1 + noise)])
    >>> found.deciding.quantity, found.verdicts, found.deciding.differences[1].value.standard_error < 0.1
    ('reconstruction', ('best', 'worse'), True)
    """
    groups = _grouped(scores)
    seeds = [[score.seed for score in group] for group in groups]
    several = 1 < len(groups) < len(scores)
    paired = (
        not same_rows
        and len(seeds[0]) > 1
        and None not in seeds[0]
        and all(sorted(map(str, s)) == sorted(map(str, seeds[0])) for s in seeds)
    )
    spread: Spread = ("paired seeds" if paired else "seeds") if several else "paired rows" if same_rows else "rows"
    taken = [tuple(sorted(group, key=lambda score: str(score.seed))) for group in groups] if several else [(score,) for score in scores]
    quantities = _quantities(scores)
    tables: dict[Quantity, list[Tensor]] = {quantity: [_table(group, quantity, spread) for group in taken] for quantity in quantities}
    heights = [_height(table.mean().item()) for table in tables[quantities[0]]]
    best = heights.index(max(heights))
    columns = tuple(column(quantity, table, spread, best) for quantity, table in tables.items())
    alone = len(groups) == 1 and len(scores) > 1
    alike = Measured.of(_table(groups[0], quantities[0], "seeds")) if alone else None
    return Comparison(tuple(map(_side, taken)), columns, best, spread, len(scores[0].distortion), alike)


def column(quantity: Quantity, tables: Sequence[Tensor], spread: Spread, best: int) -> Column:
    """One number of several sides, each ``[N]``: of rows, or of runs where ``spread`` is ``"seeds"``.

    >>> found = column("elbo", [torch.tensor([-9.0, -9.2]), torch.tensor([-12.0, -12.2])], "seeds", best=0)
    >>> round(found.differences[1].value.mean, 4), found.differences[1].noise
    (-3.0, False)
    """
    gap = GAPS[spread](tables)
    places = list(itertools.combinations(range(len(tables)), 2))
    corrected = dict(zip(places, holm([chance(*gap(first, second)) for first, second in places]), strict=True))
    differences = [
        None if side == best else Difference(gap(side, best)[0], corrected[min(side, best), max(side, best)]) for side in range(len(tables))
    ]
    return Column(quantity, tuple(map(Measured.of, tables)), tuple(differences))


def _scores(
    name: str,
    model: VAE,
    x: Any,
    configuration: str | None,
    samples: int,
    seed: int,
    rows: int,
    advance: Callable[[int], None] | None,
) -> Scores:
    data = rows_of(model, x)
    several = model.posterior.density and model.posterior.covers
    weighed = log_likelihood(model, data, samples, seed=seed, rows=rows, advance=advance) if several else None
    terms = (weighed and weighed.terms) or rate_distortion(model, data, seed=seed)
    return Scores.of(name, terms, weighed, configuration)


def _quantities(scores: Sequence[Scores]) -> list[Quantity]:
    """What all of them have, the number that decides first."""
    wanted: tuple[Quantity, ...] = ("log_likelihood", "elbo", "rate", "distortion")
    found: list[Quantity] = [each for each in wanted if all(score.of_quantity(each) is not None for score in scores)]
    return found if "elbo" in found else ["reconstruction"]


def _grouped(scores: Sequence[Scores]) -> list[tuple[Scores, ...]]:
    """Seeds of one configuration side by side, in the order in which configurations are met; no configuration is one of its own."""
    groups: dict[object, list[Scores]] = {}
    for place, score in enumerate(scores):
        groups.setdefault(place if score.configuration is None else score.configuration, []).append(score)
    return [tuple(group) for group in groups.values()]


def _table(group: Sequence[Scores], quantity: Quantity, spread: Spread) -> Tensor:
    """The values that the spread is of: those of rows, or the mean of each run."""
    tables = [found.double() for score in group if (found := score.of_quantity(quantity)) is not None]
    return torch.stack([table.mean() for table in tables]) if spread in ("seeds", "paired seeds") else tables[0]


def _side(group: Sequence[Scores]) -> Side:
    names = tuple(score.name for score in group)
    rise = sum(score.rise for score in group) / len(group)
    return Side(names[0] if len(names) == 1 else group[0].configuration or names[0], names, rise)


def _verdict(difference: Difference | None) -> Verdict:
    if difference is None:
        return "best"
    return "noise" if difference.noise else "worse" if difference.real else "unknown"


def _height(mean: float) -> float:
    """For comparisons, in which NaN loses."""
    return -math.inf if math.isnan(mean) else mean


WORDS = {
    "log_likelihood": "log p(x)",
    "elbo": "ELBO",
    "reconstruction": "reconstruction log-likelihood",
    "rate": "rate",
    "distortion": "distortion",
}


def _outcome(found: Comparison) -> list[str]:
    top, what = found.sides[found.best], WORDS[found.deciding.quantity]
    held = list(zip(found.sides, found.deciding.differences, found.verdicts, strict=True))
    sentences = [f"{top.name} has the highest {what}: {found.deciding.values[found.best]} nats."]
    alike = [f"{side.name} ({each.value})" for side, each, verdict in held if each is not None and verdict == "noise"]
    worse = [f"{side.name} ({each.value})" for side, each, verdict in held if each is not None and verdict == "worse"]
    unknown = [side.name for side, _, verdict in held if verdict == "unknown"]
    if alike:
        sentences.append(f"Not told apart from it, the difference is noise: {listing(alike)}.")
    if worse:
        sentences.append(f"Worse, by more than noise: {listing(worse)}.")
    if unknown:
        sentences.append(f"Nothing to judge by: {listing(unknown)}.")
    return sentences


def _errors(found: Comparison) -> list[str]:
    """What the error bars are made of, and what was counted."""
    if len(found.sides) < 2:
        return []
    pairs = len(found.sides) * (len(found.sides) - 1) // 2
    counted = f", corrected for {pairs} pairs (Holm)" if pairs > 1 else ""
    how = {
        "paired rows": f"Errors are of differences row by row, over the same {count(found.rows, 'row')}{counted}: what other rows would "
        "change. What another seed would change is not in them.",
        "rows": f"The runs were measured on different rows, so differences are not paired{counted}, and small ones are not seen.",
        "paired seeds": f"Errors are of differences seed by seed, with one spread for all configurations{counted}: what another seed, and "
        "the other rows that come with it, would change.",
        "seeds": f"Errors are between seeds, with one spread for all configurations{counted}: what another seed would change, and not "
        "what other rows would.",
    }
    between = len(found.sides[0].runs) - 1
    degrees = (len(found.sides) - 1) * between if found.spread == "paired seeds" else sum(len(side.runs) - 1 for side in found.sides)
    few = ["So few seeds show large differences only: train more of them."] if "seeds" in found.spread and degrees < FEW else []
    rows = "" if found.spread == "paired rows" else ", each on rows of its own"
    luck = f"The runs differ in their seed alone: their mean is {found.over_seeds} nats, with the error between seeds{rows}."
    return [how[found.spread], *few, *([] if found.over_seeds is None else [luck])]


def _settled(found: Comparison) -> list[str]:
    loose, top = found.unsettled, found.sides[found.best]
    if not loose:
        return []
    risen = listing(f"{side.name} by {side.rise:.2f}" for side in loose)
    return [
        f"Estimates of log p(x) still rise with their samples: the last doubling lifted {top.name} by {top.rise:.2f} nats, {risen}. "
        "That is not in the error bars: take more samples."
    ]
