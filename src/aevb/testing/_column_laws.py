"""The laws of ``likelihoods.Columns``: densities in the units of the data, cell by cell."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ..distributions import ColumnsDistribution
from ..likelihoods import Columns
from ..likelihoods._spikes import bin_edges
from ..networks import Column
from ._quadrature import QUADRATURE_MAX_COUNT, MassEstimate, half_line_nodes, interval_nodes
from ._subject import Law, Subject, expect, expect_close

FAR_TAIL = 60.0  # deviations, or widths of a bin, at which sums over a grid end
UNIT_FACTOR = 100.0  # from metres to centimetres
EQUAL_PARAMETER = 0.3
Nodes = tuple[Tensor, Tensor]  # data [n, B] and log-weights, which broadcast


def column_masses(likelihood: Columns, p: ColumnsDistribution) -> MassEstimate:
    """The mass of each cell by integrals and sums over data ``x``, ``[*batch, D]``."""
    found = [_column_mass(column, place, p) for place, column in enumerate(likelihood.columns)]
    return MassEstimate(*(torch.stack(values, -1) for values in zip(*found, strict=True)))


def _column_mass(column: Column, place: int, p: ColumnsDistribution) -> Nodes:
    """The mass of a cell and the error of the quadrature, ``[*batch]``; other cells are missing."""
    x, log_weight = _nodes(column, p.expectation[..., place], p.variance[..., place].sqrt())
    rows = torch.full((len(x), *p.batch_shape, *p.event_shape), math.nan, dtype=torch.float64)
    rows[..., place] = _encode(column, x)
    terms = p.cell_log_prob(rows)[..., place] + log_weight
    terms = terms.nan_to_num(nan=-math.inf, posinf=math.inf)
    value = terms.logsumexp(0).exp()
    if column.measure == "density":
        return value, (value - 2 * terms[::2].logsumexp(0).exp()).abs()
    return value, 10 * terms[-1].exp() * (column.likelihood == "negative_binomial")


def _encode(column: Column, x: Tensor) -> Tensor:
    """Encoded numbers of data, as the documentation of ``networks.Column`` defines them."""
    if column.likelihood in ("negative_binomial", "bernoulli", "ordinal", "categorical"):
        return x
    if column.likelihood == "beta":
        low, high = _bounds(column)
        return (x - low) / (high - low)
    if column.likelihood == "log_normal":
        return (x.log() - column.shift) / column.scale
    y = (x - column.shift) / column.scale
    is_atom = torch.isin(x, torch.tensor(column.atoms, dtype=x.dtype))
    return torch.where(is_atom, y.float().to(y), y)  # cells are float32


def _nodes(column: Column, mean: Tensor, spread: Tensor) -> Nodes:
    """Values of the data of a column and log-weights, ``[n, *batch]``."""
    shape = (-1, *[1] * mean.dim())

    def wide(points: Tensor, log_weight: Tensor) -> Nodes:
        return points.reshape(shape).expand(-1, *mean.shape), log_weight.reshape(shape)

    centre, size = column.shift + column.scale * mean, column.scale * spread
    match column.likelihood:
        case "normal" | "student_t":
            points, log_weight = wide(*half_line_nodes())
            both = torch.cat([centre + size * points, centre - size * points])
            return both, torch.cat([log_weight + size.log()] * 2)
        case "log_normal":
            points, log_weight = wide(*half_line_nodes())
            return points * centre.exp(), log_weight + centre
        case "beta":
            low, high = _bounds(column)
            points, log_weight = interval_nodes(low, high)
            return wide(points[points > low], log_weight[points > low])
        case "negative_binomial":
            return wide(*_all_of(range(QUADRATURE_MAX_COUNT + 1)))
        case "discretised_logistic":
            reach = FAR_TAIL * size.max().item()
            low, high = centre.min().item() - reach, centre.max().item() + reach
            return wide(*_all_of(_grid(column, low, high)))
        case "spiky":
            return wide(*_spiky_nodes(column))
        case _:
            return wide(*_all_of(range(column.n_levels)))


def _bounds(column: Column) -> tuple[float, float]:
    assert column.low is not None, "a bounded column has bounds"
    assert column.high is not None, "a bounded column has bounds"
    return column.low, column.high


def _all_of(values: Sequence[float] | np.ndarray | range) -> Nodes:
    points = torch.as_tensor(np.asarray(values, dtype=np.float64))
    return points, torch.zeros_like(points)


def _grid(column: Column, low: float, high: float) -> np.ndarray:
    return column.step * np.arange(math.floor(low / column.step), math.ceil(high / column.step) + 1)


def _spiky_nodes(column: Column) -> Nodes:
    """All values on the grid; or the atoms, the middles of the bins, and nodes of the tails."""
    edges = bin_edges(column)
    width = np.diff(edges)
    if column.step:
        low, high = edges[0] - FAR_TAIL * width[0], edges[-1] + FAR_TAIL * width[-1]
        return _all_of(_grid(column, low, high))
    node, log_weight = half_line_nodes()
    middles = torch.as_tensor((edges[1:-2] + edges[2:-1]) / 2)
    atoms, zeros = _all_of(column.atoms)
    points = [atoms, middles, edges[1] - width[0] * node, edges[-2] + width[-1] * node]
    inner = torch.as_tensor(np.log(width[1:-1]))
    tails = [log_weight + math.log(width[place]) for place in (0, -1)]
    return torch.cat(points), torch.cat([zeros, inner, *tails])


def check_cell_mass(subject: Subject) -> str | None:
    """The cells of every column integrate or sum to 1 over the data in their own units."""
    likelihood = _columns_of(subject)
    mass = column_masses(likelihood, _rows(subject, subject.row_inputs(0)))
    for place, column in enumerate(likelihood.columns):
        value, error = mass.value[..., place], mass.error[..., place].max().item()
        worst = value.flatten()[(value - 1).abs().argmax()].item()
        expect(
            abs(worst - 1) <= 1e-9 + error,
            f"the mass of the column {column.name!r} is {worst:.10g}",
            f"1 to within {1e-9 + error:.1e}",
        )
    return None


def check_missing_cells(subject: Subject) -> str | None:
    """A missing cell adds exactly 0: the density is that of the other cells, with its gradient."""
    p = _rows(subject)
    complete = p.sample(torch.Size((4,)))
    cells = p.cell_log_prob(complete)
    for place in range(complete.shape[-1]):
        x = complete.clone()
        x[..., place] = math.nan
        found = p.cell_log_prob(x)
        others = torch.arange(complete.shape[-1]) != place
        expect_close(found[..., others], cells[..., others], "the other cells", 0.0)
        expect((found[..., place] == 0).all(), "the missing cell is not 0", "exactly 0")
        expect_close(p.log_prob(x), found.sum(-1), "log p and the sum of the cells", 1e-11, 1e-12)
    total = p.log_prob(torch.full_like(complete, math.nan)).sum()
    expect(total == 0, f"the log-density of a row without cells is {total:g}", "0")
    total.backward()
    for name, parameter in subject.parameters:
        expect(
            parameter.grad is None or not parameter.grad.any(),
            f"a row without cells gives {name} a gradient",
            "none",
        )
    return None


def check_units(subject: Subject) -> str | None:
    """Another unit of the data changes log-densities by its logarithm, and no probability."""
    likelihood, p = _columns_of(subject), _rows(subject)
    columns = [_in_other_units(column, UNIT_FACTOR) for column in likelihood.columns]
    x = p.sample(torch.Size((20,)))
    change = _rows(_rebuild(subject, columns)).cell_log_prob(x) - p.cell_log_prob(x)
    expected = torch.zeros_like(change)
    for place, column in enumerate(likelihood.columns):
        scaled = column.measure != "probability"
        atoms = _encode(column, torch.tensor(column.atoms, dtype=x.dtype))
        dense = ~torch.isin(x[..., place], atoms) & scaled
        expected[..., place] = dense.to(x) * -math.log(UNIT_FACTOR)
    expect_close(change, expected, "the change of the cells and its logarithm", 1e-9)
    return None


def check_column_order(subject: Subject) -> str | None:
    """Columns in another order have the same cells, where all parameters are equal."""
    likelihood = _columns_of(subject)
    _equalise_parameters(likelihood)
    p = _rows(subject)
    order = torch.randperm(len(likelihood.columns))
    permuted = _rebuild(subject, [likelihood.columns[place] for place in order])
    _equalise_parameters(_columns_of(permuted))
    q, x = _rows(permuted), p.sample(torch.Size((20,)))
    for name, of_q, of_p in [
        ("cells", q.cell_log_prob(x[..., order]), p.cell_log_prob(x)),
        ("point values", q.mean, p.mean),
        ("variances", q.variance, p.variance),
    ]:
        expect_close(of_q, of_p[..., order], f"the {name} in another order", 1e-11, 1e-11)
    return None


def _columns_of(subject: Subject) -> Columns:
    assert isinstance(subject.family, Columns), "`check_columns` takes `likelihoods.Columns`"
    return subject.family


def _rows(subject: Subject, inputs: tuple[Tensor, ...] = ()) -> ColumnsDistribution:
    p = subject(*inputs)
    assert isinstance(p, ColumnsDistribution)
    return p


def _rebuild(subject: Subject, columns: Sequence[Column]) -> Subject:
    """The same likelihood of other columns, with the same parameters."""
    likelihood = _columns_of(subject)
    arguments = {**likelihood.arguments, "columns": columns}
    other = Columns(**{**arguments, "network": copy.deepcopy(likelihood.heads.network)})
    other = other.double().eval()
    with torch.no_grad():
        other(*subject.inputs)
    other.load_state_dict(likelihood.state_dict())
    return replace(subject, family=other)


@torch.no_grad()
def _equalise_parameters(likelihood: Columns) -> None:
    for part in (likelihood.groups, likelihood.heads.head):
        for parameter in part.parameters() if isinstance(part, nn.Module) else ():
            parameter.fill_(EQUAL_PARAMETER if parameter.dim() == 1 else 0.0)


def _in_other_units(column: Column, factor: float) -> Column:
    """The column of the data times ``factor``; counts and levels have no unit."""
    if column.likelihood in ("negative_binomial", "bernoulli", "ordinal", "categorical"):
        return column
    if column.likelihood == "log_normal":
        return replace(column, shift=column.shift + math.log(factor))
    bounds = (None if each is None else each * factor for each in (column.low, column.high))
    low, high = bounds
    return replace(
        column,
        shift=column.shift * factor,
        scale=column.scale * factor,
        step=column.step * factor,
        low=low,
        high=high,
        atoms=tuple(value * factor for value in column.atoms),
        edges=tuple(value * factor for value in column.edges),
    )


COLUMN_LAWS: Mapping[str, Law] = {
    "cell_mass": check_cell_mass,
    "missing_cells": check_missing_cells,
    "cell_units": check_units,
    "column_order": check_column_order,
}
