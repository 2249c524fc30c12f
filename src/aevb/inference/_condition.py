"""Rows drawn given some of their cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._memory import explain_out_of_memory
from .._row_noise import RowNoise
from ..data import CellCondition
from ..data._cell_conditions import ANY_NUMBER, intersect
from ..distributions import ClassAndLatent, given_cells
from ..distributions._discrete import open_uniform
from ..distributions._support import has_mass_outside
from ..errors import ArgumentError, IncompatibleError, NumericalError, check_counts
from ..likelihoods._likelihood import INDEPENDENT_CELLS
from ..models import VAE
from ..notes import Argument, Note, Part, message
from ..types import Batch
from ._batches import seeded_evaluation
from ._importance import (
    DEFAULT_MAX_PAIRS,
    Proposal,
    check_importance_sampling,
    has_stochastic_density,
    log_mean_error,
)
from ._inputs import TrainedModel, as_table, resolve_model
from ._regions import restrict_cell

MIN_EFFECTIVE_SAMPLES = 20  # below, chains move the draws
MIN_PROBABILITY = 1e-9  # of a condition given all others; below, it never occurs
FILL_DRAWS = 256  # of the mean that stands for a missing cell where a model takes none


@dataclass(frozen=True)
class ConditionalSample:
    """Rows drawn from ``p(x | given cells)``.

    Args:
        x: Rows ``[n, *event]``; given cells have their value in every row.
        log_density: Log-density, or log-probability, of what is given.
        log_density_error: Its standard error.
        probability: Probability of the conditions that have one, given the values of cells that
            have a density; 1 without such conditions.
        method: ``"importance"`` or ``"metropolis"``.
        effective_sample_size: That of the importance weights.
        samples: Number of importance samples.
        acceptance: Share of the steps of the chains that were accepted; ``None`` without chains.
        notes: Which method was used, and why.
    """

    x: Tensor
    log_density: float
    log_density_error: float
    probability: float
    method: Literal["importance", "metropolis"]
    effective_sample_size: float
    samples: int
    acceptance: float | None
    notes: tuple[Note, ...]


@torch.no_grad()
def condition(
    model: VAE | TrainedModel,
    given: Any,
    n: int,
    *,
    samples: int = 10_000,
    steps: int = 100,
    context: Tensor | None = None,
    seed: int = 0,
    max_pairs: int = DEFAULT_MAX_PAIRS,
    on_progress: Callable[[int], None] | None = None,
) -> ConditionalSample:
    """Draw whole rows given some of their cells.

    Latents are drawn half from the posterior given the values of cells and half from the prior,
    weighted by ``p(given|z) p(z) / q(z)``, and resampled; the other cells come from ``p(x|z)``. A
    cell that is restricted to a set has the probability of the set as its factor of the weight, and
    is drawn from the set. Where the effective sample size is below 20, each draw then starts a
    Markov chain, which moves the latent by proposals of the encoder, accepted by the rule of
    Metropolis and Hastings, and the open cells by draws given the latent (Metropolis within Gibbs:
    Mattei and Frellsen, Leveraging the exact likelihood of deep latent variable models, 2018).
    Draw ``k`` depends on ``given``, the seed and ``k`` only.

    Args:
        model: A model whose cells are independent or jointly normal given ``z``, or a run.
        given: A row ``[*event]`` with NaN in open cells, or a list of ``data.CellCondition``.
        n: Number of rows.
        samples: Number of importance samples.
        steps: Number of steps of a chain.
        context: Context ``[C]`` of a conditional model.
        seed: Seed of all draws; other random streams are unchanged.
        max_pairs: Maximum number of latents that are decoded together.
        on_progress: Called with the number of latents that are done.

    Returns:
        The rows, the density of what is given, and the method.

    Raises:
        ArgumentError: Conditions contradict each other, one has a probability below 1e-9 given the
            others, or a count is not possible.
        DataError: ``given`` has another shape, or is outside the support.
        IncompatibleError: Cells depend on each other given ``z``, or the posterior has no density.
        NumericalError: No latent explains the given values.

    Example:
        >>> from aevb import VAE, likelihoods, networks, posteriors, priors
        >>> model = VAE(
        ...     priors.Normal(2),
        ...     posteriors.Normal(networks.FillMissing(networks.MLP(6)), 2),
        ...     likelihoods.Missing(likelihoods.Normal(networks.MLP(2), (3,))),
        ... )
        >>> over_one = CellCondition(2, ((1.0, math.inf),))
        >>> rows = condition(model, [CellCondition(0, ((0.5, 0.5),)), over_one], 4).x
        >>> rows[:, 0], bool((rows[:, 2] >= 1).all())
        (tensor([0.5000, 0.5000, 0.5000, 0.5000]), True)
    """
    check_counts(n=n, samples=samples, steps=steps, max_pairs=max_pairs)
    net = resolve_model(model)
    check_importance_sampling(net, "conditioning on cells")
    check_independent_cells(net)
    conditions = _merge(_as_conditions(net, given))
    with seeded_evaluation(net, seed), explain_out_of_memory("conditioning", rows=max_pairs):
        target = _Target(net, conditions, net.resolve_context(1, context), seed)
        weighted = target.weigh(samples, max_pairs, on_progress)
        _check_possible(conditions, target.with_mass, weighted)
        size = weighted.effective_sample_size
        chosen = weighted.resample(n, target.noise.fork(2))
        moves = target.draw_rows(chosen, size < MIN_EFFECTIVE_SAMPLES, steps, max_pairs)
    return ConditionalSample(
        x=net.to_data_units(moves.x),
        log_density=weighted.log_density,
        log_density_error=log_mean_error(torch.tensor(size).double(), samples).item(),
        probability=weighted.probability,
        method="importance" if moves.acceptance is None else "metropolis",
        effective_sample_size=size,
        samples=samples,
        acceptance=moves.acceptance,
        notes=(_method_note(size, samples, steps, moves.acceptance),),
    )


def check_independent_cells(model: VAE) -> None:
    """Check that the distribution of cells given ``z`` and other cells is known.

    Raises:
        IncompatibleError: It is not.
    """
    if not (model.likelihood.factorises or model.likelihood.has_conditionals):
        part = Part(f"likelihoods.{type(model.likelihood).__name__}")
        raise IncompatibleError(
            message("the cells of {part} depend on each other given z", part=part),
            argument="model",
            suggestions=(INDEPENDENT_CELLS,),
        )


def _as_conditions(model: VAE, given: Any) -> list[CellCondition]:
    """What is given as conditions in model units."""
    if isinstance(given, Sequence) and all(isinstance(each, CellCondition) for each in given):
        cells = math.prod(model.event_shape)
        for each in given:
            if not 0 <= each.cell < cells:
                raise ArgumentError(
                    f"the cells are 0 to {cells - 1}", argument="given", value=each.cell
                )
        return [_in_model_units(model, each) for each in given]
    row = model.to_model_input(as_table(given, "given", "inference.condition")[None])
    values = enumerate(row.flatten().tolist())
    return [CellCondition(cell, ((x, x),)) for cell, x in values if not math.isnan(x)]


def _in_model_units(model: VAE, condition: CellCondition) -> CellCondition:
    """The condition without the offset that the model subtracts."""
    if model.data_offset is None:
        return condition

    def convert(end: float) -> float:
        if math.isinf(end):
            return end
        row = torch.full((1, *model.event_shape), end, dtype=torch.float64)
        return model.to_model_input(row).flatten()[condition.cell].item()

    ends = tuple((convert(low), convert(high)) for low, high in condition.intervals)
    return CellCondition(condition.cell, ends, condition.text)


def _merge(conditions: Sequence[CellCondition]) -> tuple[CellCondition, ...]:
    """One condition per cell.

    Raises:
        ArgumentError: Conditions of one cell have no value in common.
    """
    merged: dict[int, CellCondition] = {}
    for each in conditions:
        before = merged.get(each.cell, CellCondition(each.cell, ANY_NUMBER))
        intervals = intersect(before.intervals, each.intervals)
        text = _describe([before, each])
        if not intervals:
            raise ArgumentError(
                f"the conditions {text} contradict each other: their probability is 0",
                argument="given",
            )
        merged[each.cell] = CellCondition(each.cell, intervals, text)
    return tuple(merged[cell] for cell in sorted(merged))


def _describe(conditions: Sequence[CellCondition]) -> str:
    """The conditions as their author wrote them."""
    texts = [
        each.text or f"cell {each.cell} in {each.intervals}"
        for each in conditions
        if each.intervals != ANY_NUMBER
    ]
    return " and ".join(texts)


@dataclass(frozen=True)
class _Moves:
    """Rows at the end of their chains, and the share of accepted steps."""

    x: Tensor
    acceptance: float | None


@dataclass(frozen=True)
class _Latents:
    """Latents ``[n, *latent]`` with the values of the restricted cells ``[n, restricted]``."""

    z: Tensor
    values: Tensor


@dataclass(frozen=True)
class _Weighted:
    """Latents with their weights.

    Args:
        latents: The latents.
        log_weight: Log-weights ``[K]``, float64.
        log_density_weight: Log-weights of the cells with a density alone, ``[K]``.
        log_masses: Log-probabilities of the other conditions, ``[K, conditions]``.
    """

    latents: _Latents
    log_weight: Tensor
    log_density_weight: Tensor
    log_masses: Tensor

    @property
    def log_density(self) -> float:
        """The log of the mean weight."""
        return (self.log_weight.logsumexp(0) - math.log(len(self.log_weight))).item()

    @property
    def probability(self) -> float:
        """The probability of all conditions given the cells with a density."""
        ratio = self.log_weight.logsumexp(0) - self.log_density_weight.logsumexp(0)
        return min(1.0, ratio.exp().item())

    def probability_given_others(self, place: int) -> float:
        """The probability of one condition given all others; 0 where these never occur."""
        others = self.log_masses.clone()
        others[:, place] = 0
        log_others = (self.log_density_weight + others.sum(1)).logsumexp(0)
        return (self.log_weight.logsumexp(0) - log_others).exp().nan_to_num(nan=0.0).item()

    @property
    def effective_sample_size(self) -> float:
        """The effective number of latents."""
        return (1 / self.log_weight.softmax(0).square().sum()).item()

    def resample(self, n: int, noise: RowNoise) -> _Latents:
        """Latents drawn with probabilities in proportion to the weights."""
        below = self.log_weight.softmax(0).cumsum(0)
        with noise.samples(n):
            uniform = open_uniform((n, 1), below)[:, 0]
        place = torch.searchsorted(below, uniform * below[-1]).clamp(max=len(below) - 1)
        return _Latents(self.latents.z[place], self.latents.values[place])


class _Target:
    """The distribution ``p(z, x | given cells)`` of one row.

    Args:
        model: The model.
        conditions: One condition per cell, in model units.
        context: Context ``[1, C]``.
        seed: Seed of all draws.
    """

    def __init__(
        self, model: VAE, conditions: Sequence[CellCondition], context: Tensor | None, seed: int
    ) -> None:
        like = next(model.parameters(), torch.zeros(()))
        self.model, self.context = model, context
        self.x = torch.full((1, *model.event_shape), math.nan).to(like)
        self.restricted = [each for each in conditions if each.value is None]
        for each in conditions:
            if each.value is not None:
                self.x.flatten(1)[0, each.cell] = each.value
        self.observed = ~self.x.isnan()
        self._check_support()
        self.noise = RowNoise.from_batch(Batch(self.x, context), seed, model.constant_cells)
        self.filled = torch.where(self.observed, self.x, self._typical_row())
        is_mass = [
            each.value is None or model.likelihood.has_mass(each.cell, each.value)
            for each in conditions
        ]
        pairs = list(zip(conditions, is_mass, strict=True))
        self.with_density = [each.cell for each, has_mass in pairs if not has_mass]
        self.with_mass = [each for each, has_mass in pairs if has_mass]

    def _check_support(self) -> None:
        z = torch.zeros(1, *self.model.latent_shape).to(self.x)
        support = self.model.likelihood(z, self.model.null_context).support
        if support is None:
            return
        inside = support.check(torch.where(self.observed, self.x, self._inside(z)))
        if not inside.all():
            raise ArgumentError(
                "it has a value that its cell cannot hold",
                argument="given",
                value=self.x[self.observed].tolist(),
            )

    def _inside(self, z: Tensor) -> Tensor:
        """A row inside the support."""
        with RowNoise.from_rows(self.x, seed=0).samples():
            return self.model.likelihood(z, self.model.null_context).sample()

    def _typical_row(self) -> Tensor:
        """What the encoder and the density read in open cells: NaN, or the mean row."""
        if self.model.likelihood.allows_missing or self.model.likelihood.has_conditionals:
            return self.x
        p = self.model.prior(None, self.context)
        with self.noise.fork(1).samples(FILL_DRAWS):
            z = p.sample((FILL_DRAWS,) if p.batch_shape else (FILL_DRAWS, 1))
        return self.model.likelihood(z, self.context).mean.mean(0)

    def weigh(
        self, samples: int, max_pairs: int, on_progress: Callable[[int], None] | None
    ) -> _Weighted:
        """Draw latents and weigh them."""
        p, q = self.model.prior(None, self.context), self.model.infer(self._batch(self.filled))
        draws = p.normalised() if isinstance(p, ClassAndLatent) else p
        from_prior = not has_stochastic_density(self.model) and not has_mass_outside(p, q)
        proposal = Proposal(q, draws, samples // 2 if from_prior else 0, samples)
        regions, parts = self.noise.fork(3), []
        for start, z in proposal.blocks(self.noise, max_pairs):
            likelihood = self.model.likelihood(z, self.context)
            cells = self._observed_cells(z)
            with regions.samples(len(z), start):
                log_mass, values = self._restrict(likelihood)
            outer = (p.log_prob(z) - proposal.log_prob(z)).double()[:, 0]
            densities = outer + cells[:, self.with_density].sum(-1)
            masses = self._masses(cells, log_mass)
            parts.append((z[:, 0], values, densities + masses.sum(1), densities, masses))
            if on_progress is not None:
                on_progress(len(z))
        z, values, *weights = map(torch.cat, zip(*parts, strict=True))
        return _Weighted(_Latents(z, values), *weights)

    def _masses(self, cells: Tensor, log_mass: Tensor) -> Tensor:
        """Log-probabilities of the conditions that have one, ``[K, conditions]``."""
        places = {each.cell: place for place, each in enumerate(self.restricted)}
        found = [
            cells[:, each.cell] if each.value is not None else log_mass[:, places[each.cell]]
            for each in self.with_mass
        ]
        return torch.stack(found, 1) if found else cells[:, :0]

    def _batch(self, x: Tensor) -> Batch:
        context = self.context
        return Batch(x, None if context is None else context.expand(len(x), -1))

    def _observed_cells(self, z: Tensor) -> Tensor:
        """Log-densities of given values, ``[K, cells]`` float64."""
        x = self.filled if self.model.likelihood.factorises else self.x
        cells = self.model.likelihood.cells(z, x, self.context)[:, 0].double()
        return torch.where(self.observed, cells, 0.0).flatten(1)

    def _restrict(self, likelihood: Distribution) -> tuple[Tensor, Tensor]:
        """Log-probability of each set, and draws from it, ``[K, restricted]`` each.

        Cells that depend on each other follow one after another (Geweke, 1991).
        """
        count = likelihood.batch_shape[0]
        empty = torch.zeros(2, count, 0, dtype=torch.float64, device=self.x.device)
        x, found = self.x.expand(count, 1, *self.model.event_shape).clone(), [empty]
        for each in self.restricted:
            cells = restrict_cell(given_cells(likelihood, x), each.cell, each.intervals)
            found.append(torch.stack(cells).reshape(2, count, 1))
            x.flatten(2)[:, 0, each.cell] = found[-1][1, :, 0].nan_to_num().to(x)
        log_mass, values = torch.cat(found, -1)
        return log_mass, values

    def draw_rows(self, latents: _Latents, with_chains: bool, steps: int, max_pairs: int) -> _Moves:
        """Draw the open cells, and move the rows by chains where asked."""
        parts = [
            self._draw_block(start, part, steps if with_chains else 0)
            for start, part in _blocks(latents, max_pairs)
        ]
        accepted = sum(count for _, count in parts)
        share = accepted / (steps * len(latents.z)) if with_chains else None
        return _Moves(torch.cat([x for x, _ in parts]), share)

    def _draw_block(self, start: int, latents: _Latents, steps: int) -> tuple[Tensor, int]:
        """Rows of a block, and the number of accepted steps."""
        z, count, accepted = latents.z, len(latents.z), 0
        context = self._batch(z).context
        with self.noise.fork(4).samples(count, start):
            unknown = torch.full_like(self.x, math.nan).expand(count, *self.x.shape[1:])
            x = self._assemble(unknown, latents.values)
            likelihood = given_cells(self.model.likelihood(z, context), x)
            x = self._assemble(likelihood.sample(), latents.values)
        for step in range(steps):
            with self.noise.fork(5 + step).samples(count, start):
                z, moved = self._propose(z, x, context)
                accepted += moved
                x = self._redraw(z, x)
        return x, accepted

    def _assemble(self, x: Tensor, values: Tensor) -> Tensor:
        """Rows with the given values, and values in the restricted cells."""
        x = torch.where(self.observed, self.x, x)
        for place, each in enumerate(self.restricted):
            x.flatten(1)[:, each.cell] = values[:, place].to(x)
        return x

    def _propose(self, z: Tensor, x: Tensor, context: Tensor | None) -> tuple[Tensor, int]:
        """A step of Metropolis and Hastings with the encoder's proposal for complete rows."""
        q, p = self.model.infer(Batch(x, context)), self.model.prior(None, context)
        proposed = q.sample()

        def log_ratio(at: Tensor) -> Tensor:
            score = self.model.likelihood(at, context).log_prob(x)
            return (score + p.log_prob(at) - q.log_prob(at)).double()

        change = log_ratio(proposed) - log_ratio(z)
        accepted = open_uniform((len(z), 1), change)[:, 0].log() < change
        axes = [1] * (z.dim() - 1)
        return torch.where(accepted.reshape(-1, *axes), proposed, z), int(accepted.sum())

    def _redraw(self, z: Tensor, x: Tensor) -> Tensor:
        """Draw all cells that are not given; a set that was missed keeps its value."""
        # samples of one row: further axes of draws are told from that of the samples
        likelihood = self.model.likelihood(z[:, None], self.context)
        places = [each.cell for each in self.restricted]
        values = x.flatten(1)[:, places].double()
        known = self._assemble(torch.full_like(x, math.nan), values)
        new = self._assemble(given_cells(likelihood, known[:, None]).sample()[:, 0], values)
        for number, each in enumerate(self.restricted):
            others = new.clone()
            others.flatten(1)[:, each.cell] = math.nan
            p = given_cells(likelihood, others[:, None])
            log_mass, drawn = (v[:, 0] for v in restrict_cell(p, each.cell, each.intervals))
            values[:, number] = torch.where(log_mass > -math.inf, drawn, values[:, number])
            new = self._assemble(new, values)
        return new


def _blocks(latents: _Latents, size: int) -> Iterator[tuple[int, _Latents]]:
    for start in range(0, len(latents.z), size):
        part = slice(start, start + size)
        yield start, _Latents(latents.z[part], latents.values[part])


def _check_possible(
    conditions: Sequence[CellCondition], with_mass: Sequence[CellCondition], weighted: _Weighted
) -> None:
    """Check that the conditions occur under the model.

    Raises:
        ArgumentError: Their probability is too small.
        NumericalError: The given values have likelihood 0 at every draw.
    """
    if not weighted.log_density_weight.isfinite().any():
        raise NumericalError(
            "the given values have likelihood 0 at every draw",
            argument="given",
            suggestions=(message("Increase {samples}", samples=Argument("samples")),),
        )
    for place, each in enumerate(with_mass):
        found = weighted.probability_given_others(place)
        if found < MIN_PROBABILITY:
            given = _describe([other for other in conditions if other is not each])
            size = f"about {found:.0e}" if found else f"0 in {len(weighted.log_weight):,} draws"
            raise ArgumentError(
                f"{_describe([each])} never occurs{given and f' together with {given}'}: its "
                f"probability under the model is {size}",
                argument="given",
                suggestions=("Relax the condition",),
            )


def _method_note(size: float, samples: int, steps: int, acceptance: float | None) -> Note:
    """Which method drew the rows."""
    data = {"effective_sample_size": size, "samples": samples, "acceptance": acceptance}
    found = f"the effective sample size of {samples:,} importance samples is {size:,.0f}"
    if acceptance is None:
        return Note("drawn_by_importance", f"Drawn by importance resampling: {found}.", data=data)
    return Note(
        "drawn_by_chains",
        f"Drawn by Metropolis within Gibbs, chains of {steps:,} steps with {acceptance:.0%} "
        f"accepted: {found}.",
        "info" if acceptance > 0.01 else "warning",
        data,
    )
