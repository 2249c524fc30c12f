"""The baselines that suit a model's data, with log-densities in the units of the data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from ..._offset import Offset
from ..._random import seed_scope
from ...data import Rows, Spec
from ...data._formatting import format_list
from ...distributions._gaussian_fits import Gaussians, fit_gaussian, fit_mixture
from ...inference._batches import iter_batches
from ...likelihoods import LikelihoodRegistration
from ...models import VAE
from ...networks import Column, LibrarySize
from .._rows import evenly_spaced_rows
from ._chow_liu import fit_chow_liu
from ._column_numbers import ColumnNumbers
from ._columns import fit_columns
from ._frequencies import fit_frequencies, fit_latent_classes

LogProb = Callable[[Tensor], Tensor]
BaselineName = Literal["independent", "gaussian", "mixture", "tree"]
ROUNDING_VARIANCE = 1 / 12  # of a uniform draw from a step of 1


@dataclass(frozen=True, kw_only=True)
class BaselineLimits:
    """Sizes that keep the fit of the baselines within seconds, and their floor.

    Args:
        min_rows: Below this number of training rows there is no baseline.
        max_cells: Cells, rows times columns, of the training rows in a fit.
        max_gaussian_columns: Columns of a Gaussian with a full covariance.
        max_mixture_work: Rows times squared columns in the fit of a mixture of Gaussians.
        max_mixture_rows: Rows in the fit of a mixture of Gaussians.
        components: Numbers of components that are tried.
        max_class_cells: Rows times columns times levels in the fit of latent classes and trees.
        max_class_values: Columns times levels of latent classes and trees.
        classes: Numbers of latent classes that are tried.
        min_gaussian_levels: Levels from which a Gaussian is tried for discrete values.
        max_repeated_share: Share of the commonest value from which a bounded density of a column
            has no joint baseline: a Gaussian could follow that value without bound.
        scale_floor: Least standard deviation of a Gaussian in any direction, in units of the
            columns' standard deviations: that of the likelihoods, ``exp(-6)``.

    Example:
        >>> BaselineLimits(components=(2, 5)).components
        (2, 5)
    """

    min_rows: int = 20
    max_cells: int = 4_000_000
    max_gaussian_columns: int = 1024
    max_mixture_work: int = 2_000_000
    max_mixture_rows: int = 5_000
    components: tuple[int, ...] = (2, 3, 5, 8, 12)
    max_class_cells: int = 4_000_000
    max_class_values: int = 2048
    classes: tuple[int, ...] = (2, 4, 8, 16, 32)
    min_gaussian_levels: int = 16
    max_repeated_share: float = 0.1
    scale_floor: float = math.exp(-6)


@dataclass(frozen=True)
class Baseline:
    """A classical model of the data.

    Args:
        name: ``"independent"``, ``"gaussian"``, ``"mixture"`` or ``"tree"``.
        title: The model in words, as ``"mixture of 3 Gaussians"``.
        log_prob: Log-density ``[N]``, in the units of the data, of rows ``[N, D]`` in model units.
        details: Its settings, for JSON.
        caveat: What to know about it in a sentence.
    """

    name: BaselineName
    title: str
    log_prob: LogProb
    details: Mapping[str, Any] = field(default_factory=dict)
    caveat: str = ""


@dataclass(frozen=True)
class Baselines:
    """Classical models fitted to the training rows of a model.

    Args:
        members: The baselines; empty where none suits the data.
        n_rows: Number of training rows in the fit.
        joint_reason: Why there is no baseline of all columns together, as a sentence.
        offset: Offset of the model, ``VAE.data_offset``.
        columns: Which cells of a row count, ``[D]``: those that the model does not leave out as
            constant; ``None`` for all.
    """

    members: tuple[Baseline, ...]
    n_rows: int
    joint_reason: str = ""
    offset: Offset | None = None
    columns: Tensor | None = None

    def log_prob(self, rows: Rows) -> dict[BaselineName, Tensor]:
        """Compute log p(x) by each baseline.

        Args:
            rows: The rows.

        Returns:
            Log-densities ``[N]`` in nats, float64, by the name of the baseline. Baselines of all
            columns together are left out where a cell is missing.
        """
        found: dict[BaselineName, list[Tensor]] = {each.name: [] for each in self.members}
        size = max(1, 1_000_000 // math.prod(rows.event_shape))
        with seed_scope(0, rows.stored_values.device):
            for batch in iter_batches(rows.with_offset(self.offset), size, torch.float64):
                x = batch.x.flatten(1).cpu()
                x = x if self.columns is None else x[:, self.columns]
                for member in self.members:
                    found[member.name].append(member.log_prob(x))
        scores: dict[BaselineName, Tensor] = {}
        for name, parts in found.items():
            if not (score := torch.cat(parts)).isnan().any():
                scores[name] = score
        return scores


def fit_baselines(
    model: VAE, train: Any, spec: Spec | None = None, *, limits: BaselineLimits = BaselineLimits()
) -> Baselines:
    """Fit classical models of the data, in the measure of the model's likelihood.

    Densities: independent Gaussian columns, a Gaussian with full covariance and a mixture of such
    Gaussians. Probabilities: the frequencies of the values of independent columns, latent classes,
    a Chow-Liu tree, and a Gaussian for many levels. Columns that are constant add nothing to a
    density. Counts have independent columns only. Tables of mixed columns: independent columns,
    each with the family of its likelihood; and the Gaussians for the numbers without missing cells,
    beside independent other columns. The fit takes seconds: large sets are thinned out.

    Args:
        model: The model; its likelihood decides what kind of numbers the data are.
        train: The training rows ``[N, *event]``.
        spec: Description of the data.
        limits: Sizes of the fit.

    Returns:
        The baselines.

    Example:
        >>> import aevb
        >>> data = aevb.data.load("digits")
        >>> model = aevb.presets.vae(data.spec, latent=2, hidden=[8]).model
        >>> [each.name for each in fit_baselines(model, data.train, data.spec).members]
        ['independent', 'gaussian', 'mixture', 'tree']
    """
    rows = Rows.in_model_units(train, model.data_offset)
    used = evenly_spaced_rows(rows, max(1, limits.max_cells // math.prod(rows.event_shape)))
    if len(used) < limits.min_rows:
        return Baselines((), len(used), "There are too few training rows for a baseline.")
    with seed_scope(0, rows.stored_values.device):
        x = used.model_input(slice(None)).flatten(1).double().cpu()
    columns, names = None, _column_names(spec, x.shape[1])
    if model.constant_cells is not None:
        columns = model.constant_cells.flatten().isnan().cpu()
        x = x[:, columns]
        names = [name for name, varies in zip(names, columns.tolist(), strict=True) if varies]
    if not x.shape[1]:
        return Baselines((), len(used), "Every column is constant.")
    if spec is not None and spec.schema is not None:
        members, reason = _Mixed(spec.schema.modelled, x, limits).fit()
        return Baselines(tuple(members), len(used), reason)
    if model.likelihood.measure == "probability":
        members, reason = _Discrete(x, _levels(model, spec, x), limits).fit()
    else:
        members, reason = _Continuous(x, names, _is_bounded(spec), limits).fit()
    members = tuple(_with_library_caveat(each, model) for each in members)
    return Baselines(members, len(used), reason, model.data_offset, columns)


def _with_library_caveat(baseline: Baseline, model: VAE) -> Baseline:
    """Say that a baseline does not know the library size that a model is given."""
    variables = () if model.condition is None else model.condition.variables
    if not any(isinstance(variable, LibrarySize) for variable in variables):
        return baseline
    text = "It is not given the library size, and the model is: the difference favours the model."
    return replace(baseline, caveat=f"{baseline.caveat} {text}".strip())


class _Continuous:
    """Baselines of densities; constant columns are left out of all of them."""

    def __init__(self, x: Tensor, names: list[str], bounded: bool, limits: BaselineLimits) -> None:
        self.x, self.names, self.bounded, self.limits = x, names, bounded, limits
        observed = ~x.isnan()
        count = observed.sum(0).clamp(min=1)
        self.shift = x.nan_to_num(0.0).sum(0) / count
        deviation = torch.where(observed, x - self.shift, 0.0).square().sum(0).div(count).sqrt()
        low, high = x.nan_to_num(math.inf).amin(0), x.nan_to_num(-math.inf).amax(0)
        self.columns = (low < high) & (deviation > 0)
        self.shift, self.scale = self.shift[self.columns], deviation[self.columns]

    def fit(self) -> tuple[list[Baseline], str]:
        if not self.columns.any():
            return [], "Every column is constant."
        reason, members = self._joint_reason(), [self._independent()]
        if not reason:
            members += [self._gaussian(), *self._mixture()]
        return ([] if self._has_atoms else members), reason

    def _joint_reason(self) -> str:
        limit = self.limits.max_gaussian_columns
        if self._has_atoms:
            return "Values repeat: a baseline could follow them with an unbounded density."
        if self.x.isnan().any():
            return "Cells are missing: there is no baseline of all columns together."
        if int(self.columns.sum()) > limit:
            return f"There are more than {limit:,} columns, too many for a full covariance."
        return ""

    @cached_property
    def _has_atoms(self) -> bool:
        """Whether a density that is bounded itself has data with repeated values."""
        if not self.bounded:
            return False
        mode = self.x.mode(0).values
        return bool(((self.x == mode).double().mean(0) > self.limits.max_repeated_share).any())

    def _standardise(self, x: Tensor) -> Tensor:
        return (x[:, self.columns] - self.shift) / self.scale

    def _rescaled(self, log_prob: LogProb) -> LogProb:
        """The log-density in the units of the data; NaN where a cell is missing."""
        log_scale = self.scale.log().sum()
        return lambda x: log_prob(self._standardise(x)) - log_scale

    def _independent(self) -> Baseline:
        constant = self.scale.log() + 0.5 * math.log(2 * math.pi)

        def log_prob(x: Tensor) -> Tensor:
            return -(0.5 * self._standardise(x).square() + constant).nan_to_num(0.0).sum(1)

        return Baseline("independent", "independent columns", log_prob)

    def _gaussian(self) -> Baseline:
        return self._joint.gaussian()

    def _mixture(self) -> list[Baseline]:
        return self._joint.mixture()

    @cached_property
    def _joint(self) -> _Gaussians:
        places = self.columns.nonzero()[:, 0].tolist()
        names = [self.names[place] for place in places]
        return _Gaussians(self._standardise(self.x), names, self._rescaled, self.limits)


@dataclass(frozen=True, eq=False)
class _Gaussians:
    """Baselines with full covariances.

    Args:
        x: Standardised rows.
        names: The names of the columns.
        rescaled: Makes the log-density of rows in the units of the data from that of ``x``.
        limits: Sizes of the fit.
        rest: What there is to know about further columns.
    """

    x: Tensor
    names: Sequence[str]
    rescaled: Callable[[LogProb], LogProb]
    limits: BaselineLimits
    rest: str = ""

    def gaussian(self) -> Baseline:
        """A Gaussian."""
        found = fit_gaussian(self.x, self.limits.scale_floor)
        return self._baseline("gaussian", "Gaussian", found, {"shrinkage": found.shrinkage})

    def mixture(self) -> list[Baseline]:
        """A mixture of Gaussians, where there are enough rows for one."""
        limits = self.limits
        rows = min(limits.max_mixture_rows, limits.max_mixture_work // self.x.shape[1] ** 2)
        places = torch.linspace(0, len(self.x) - 1, min(rows, len(self.x))).long()
        found = fit_mixture(self.x[places], limits.components, limits.scale_floor)
        if found is None:
            return []
        components = len(found.log_weight)
        title = f"mixture of {components} Gaussians"
        return [self._baseline("mixture", title, found, {"components": components})]

    def _baseline(
        self, name: BaselineName, title: str, found: Gaussians, details: Mapping[str, Any]
    ) -> Baseline:
        """The baseline, and the columns in which it is at its floor."""
        names = [self.names[column] for column in found.floored]
        caveat = (
            f"At its floor of {self.limits.scale_floor:.2g} standard deviations in "
            f"{format_list(names, 3)}, where values repeat or depend on each other: its value "
            "depends on that floor."
            if names
            else ""
        )
        floor = {"scale_floor": self.limits.scale_floor, "columns_at_floor": names}
        log_prob = self.rescaled(found.log_prob)
        caveat = " ".join(filter(None, (self.rest, caveat)))
        return Baseline(name, title, log_prob, {**details, **floor}, caveat)


class _Mixed:
    """Baselines of a table of mixed columns; those of its numbers leave the others independent."""

    def __init__(self, columns: tuple[Column, ...], x: Tensor, limits: BaselineLimits) -> None:
        self.x, self.limits = x, limits
        self.cells = fit_columns(columns, x)
        self.numbers = ColumnNumbers.of(columns, x)

    def fit(self) -> tuple[list[Baseline], str]:
        members = [Baseline("independent", "independent columns", lambda x: self.cells(x).sum(1))]
        count, limit = len(self.numbers.places), self.limits.max_gaussian_columns
        if count < 2:
            return members, "There are no two columns of numbers without missing cells."
        if count > limit:
            return members, f"There are more than {limit:,} columns, too many for a covariance."
        rest = "Of the numbers; the other columns are independent." if self.numbers.others else ""
        x, names = self.numbers.standardise(self.x), self.numbers.names
        joint = _Gaussians(x, names, self._rescaled, self.limits, rest)
        return [*members, joint.gaussian(), *joint.mixture()], ""

    def _rescaled(self, log_prob: LogProb) -> LogProb:
        """The log-density in the units of the data; NaN where a number is missing."""
        others = self.numbers.others
        return lambda x: self.numbers.log_prob(log_prob, x) + self.cells(x)[:, others].sum(1)


class _Discrete:
    """Baselines of probabilities of whole numbers; ``levels`` is None for counts."""

    def __init__(self, x: Tensor, levels: int | None, limits: BaselineLimits) -> None:
        self.x, self.levels, self.limits = x, levels, limits

    def fit(self) -> tuple[list[Baseline], str]:
        frequencies = fit_frequencies(self.x, self.levels)
        details = {"smoothing": frequencies.smoothing}
        members = [Baseline("independent", "independent columns", frequencies.log_prob, details)]
        if self.levels is None:
            return members, "Counts have independent columns as their only baseline."
        if self.x.isnan().any():
            return members, "Cells are missing: there is no baseline of all columns together."
        members += [*self._gaussian(self.levels), *self._classes_and_tree(self.levels)]
        few = "There are too many columns and levels for a baseline of all columns together."
        return members, few if len(members) == 1 else ""

    def _gaussian(self, levels: int) -> list[Baseline]:
        """A Gaussian of ``x + u`` with uniform ``u``: by Jensen, a bound of a probability of x."""
        limits = self.limits
        if levels < limits.min_gaussian_levels or self.x.shape[1] > limits.max_gaussian_columns:
            return []
        noise = torch.rand(self.x.shape, generator=torch.Generator().manual_seed(0)).double() - 0.5
        shift = self.x.mean(0)
        scale = (self.x.var(0, correction=0) + ROUNDING_VARIANCE).sqrt()
        found = fit_gaussian((self.x + noise - shift) / scale, limits.scale_floor)
        precision = found.whitening[0].square().sum(1)
        constant = scale.log().sum() + 0.5 * ROUNDING_VARIANCE * (precision / scale**2).sum()

        def log_prob(x: Tensor) -> Tensor:
            return found.log_prob((x - shift) / scale) - constant

        caveat = "A lower bound of the probability that a Gaussian gives to the step of a value."
        return [Baseline("gaussian", "Gaussian", log_prob, {"shrinkage": found.shrinkage}, caveat)]

    def _classes_and_tree(self, levels: int) -> list[Baseline]:
        limits, values = self.limits, self.x.shape[1] * levels
        if values > limits.max_class_values:
            return []
        rows = min(len(self.x), limits.max_class_cells // values)
        x = self.x[torch.linspace(0, len(self.x) - 1, rows).long()]
        found = fit_latent_classes(x, levels, limits.classes)
        classes = len(found.log_weight)
        title, details = f"{classes} latent classes", {"classes": classes}
        tree = fit_chow_liu(x, levels)
        return [
            Baseline("mixture", title, found.log_prob, details),
            Baseline("tree", "Chow-Liu tree", tree.log_prob, {"smoothing": tree.smoothing}),
        ]


def _levels(model: VAE, spec: Spec | None, x: Tensor) -> int | None:
    """The number of values of a cell; ``None`` for counts."""
    if model.likelihood.unbounded:
        return None
    if spec is not None and spec.support == "levels" and spec.levels is not None:
        return spec.levels
    return max(2, int(x.nan_to_num(0.0).max()) + 1)


def _is_bounded(spec: Spec | None) -> bool:
    """Whether the likelihood is for numbers of an interval, so that its density cannot follow
    repeated values."""
    if spec is None:
        return False
    return bool({"bounded", "proportion"} & set(LikelihoodRegistration.find(spec.likelihood).kinds))


def _column_names(spec: Spec | None, count: int) -> list[str]:
    names = None if spec is None else spec.columns
    return [f"column {place + 1}" for place in range(count)] if names is None else list(names)
