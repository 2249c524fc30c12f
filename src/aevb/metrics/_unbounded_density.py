"""Columns whose density grows as the decoder's scale shrinks, because their values repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Rows, Spec
from ..data._formatting import format_list
from ..distributions import Affine, FixedCells, LinearTransform, PartiallyObserved
from ..inference._batches import iter_batches, model_dtype, seeded_evaluation
from ..likelihoods._location_scale import LocationScale
from ..models import VAE
from ..notes import Note

EXAMINED_ROWS = 500
MAX_COLUMNS = 4096
MIN_REPEATED_SHARE = 0.5
# a narrower normal density is above 1 / gap at its value: more than a probability of 1 would allow
MAX_SHARE_OF_GAP = 1 / math.sqrt(2 * math.pi)
FLOORS = 2.0  # a scale below as many least scales is at its floor


@dataclass(frozen=True)
class UnboundedDensity:
    """The columns whose density depends on the least scale of the decoder.

    Args:
        repeated: Names of columns whose values repeat, with a decoder scale below their distances.
        at_floor: Names of other columns whose decoder scale is at its lower bound.
    """

    repeated: tuple[str, ...] = ()
    at_floor: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.repeated or self.at_floor)


def find_unbounded_density(model: VAE, rows: Rows, spec: Spec | None = None) -> UnboundedDensity:
    """Find columns whose density rests on the least scale of the decoder, on some of the rows."""
    size = math.prod(model.event_shape)
    parts = [each for each in model.likelihood.modules() if isinstance(each, LocationScale)]
    bounds = [part.scale_bound for part in parts if part.kind != "fixed"]
    table = len(model.event_shape) == 1 and size <= MAX_COLUMNS
    if not bounds or not table or model.posterior.n_rows is not None or len(rows) < 2:
        return UnboundedDensity()
    places = torch.linspace(0, len(rows) - 1, min(len(rows), EXAMINED_ROWS)).long()
    with seeded_evaluation(model, seed=0):
        (batch,) = iter_batches(rows.subset(places), len(places), model_dtype(model))
        p = model.likelihood(model.infer(batch).mean, batch.context)
        scale, standard = (
            each.sqrt().flatten(1).double().cpu().median(0).values
            for each in (p.variance, _standardised_variance(p))
        )
    x = batch.x.flatten(1).double().cpu()
    gaps = torch.stack([_gap_of_repeated_values(column) for column in x.T])
    constant = model.constant_cells
    varies = torch.ones(size, dtype=torch.bool)
    varies = varies if constant is None else constant.flatten().isnan().cpu()
    repeated = varies & (scale < MAX_SHARE_OF_GAP * gaps)
    floor = varies & (standard < FLOORS * math.exp(-max(bounds))) & ~repeated
    names = (spec and spec.columns) or [f"element {i}" for i in range(size)]
    chosen = [tuple(names[i] for i in mask.nonzero()[:, 0].tolist()) for mask in (repeated, floor)]
    return UnboundedDensity(*chosen)


def density_notes(model: VAE, rows: Rows, spec: Spec | None = None) -> tuple[Note, ...]:
    """The note that ``log p(x)`` rests on the least scale of the decoder."""
    found = find_unbounded_density(model, rows, spec)
    if not found:
        return ()
    names = (*found.repeated, *found.at_floor)
    text = (
        f"The density of {format_list(names, 8)} grows as the decoder's scale shrinks, down to the "
        "least scale of the model, so that log p(x) and comparisons of it say little."
    )
    columns = {"repeated": list(found.repeated), "at_floor": list(found.at_floor)}
    return (Note("density_unbounded", text, "warning", columns),)


def _standardised_variance(p: torch.distributions.Distribution) -> Tensor:
    """The variance without the scaling of the data."""
    while isinstance(p, (Affine, FixedCells, PartiallyObserved)):
        p = p.base
    if isinstance(p, LinearTransform):
        return p.variance / p.matrix.square().sum(1).reshape(p.event_shape)
    return p.variance


def _gap_of_repeated_values(x: Tensor) -> Tensor:
    """The median distance of repeated values from the nearest other value; 0 where few repeat."""
    values, place, counts = x[~x.isnan()].unique(return_inverse=True, return_counts=True)
    repeated = counts[place] > 1
    if len(values) < 2 or repeated.double().mean() < MIN_REPEATED_SHARE:
        return torch.zeros((), dtype=x.dtype)
    gaps = torch.nn.functional.pad(values.diff(), (1, 1), value=math.inf)
    nearest = torch.minimum(gaps[1:], gaps[:-1])
    return nearest[place][repeated].median()
