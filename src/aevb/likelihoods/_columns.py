"""Likelihood of the rows of a table with columns of different kinds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._registry import register
from ..distributions import ColumnsDistribution
from ..distributions._factors import Factors
from ..errors import ArgumentError, check_choice
from ..networks import Column, Heads
from ..networks._column import atom_cells, joint_measure
from ..networks._heads import find_linear_inputs
from ..notes import Part, message
from ._column_groups import ColumnGroup, SelfMaskedNormals, group_columns
from ._likelihood import CellKind, Likelihood
from ._linear_cells import LinearCells
from ._registration import LikelihoodRegistration

MASKINGS = ("either", "high", "low")
LINEAR_ROWS = 10_000  # from which the start of a decoder with a skip is computed


@register(
    LikelihoodRegistration(
        title="columns of a table",
        needs="the columns of a table with their kinds",
        instead=message(
            "Build it in Python, by {part}",
            part=Part("likelihoods.Columns", {"columns": "schema.modelled"}),
        ),
        use_when="columns are of different kinds, or cells are missing",
        cost="one output per number, and one per level of a category",
        avoid_when="all columns are complete real numbers; normal is simpler",
    )
)
class Columns(Likelihood):
    """``log p(x|z) = sum_d log p_d(x_d|z)``, each column ``d`` with the family that it names.

    Cells are encoded numbers, as ``networks.Column`` describes them; densities are those of the
    data in their own units, so that the unit of a column appears in its own log-Jacobian and
    nowhere else. Missing cells are NaN and add exactly 0: the remainder is the density of the
    others, which is right where a cell is missing independently of its value. Columns of one
    family are evaluated together.

    The parameters of all columns are one linear map of the features. Scales lie between 0.0025 and
    403 times the scale of the column (0.0014 and 222 times for the logistic of whole numbers), so
    that no density grows without bound. Concentrations and degrees of freedom are those of
    ``Beta``, ``NegativeBinomial`` and ``StudentT``.

    Args:
        network: Maps latents to features.
        columns: The columns of the encoded cells in their order.
        scale: Scales and concentrations: ``"per_element"`` (learned, one per column) or
            ``"predicted"`` by the network.
        whiten: Whether complete columns of real numbers are whitened together, as in
            ``likelihoods.Whitened``; they then depend on each other given ``z``.
        masking: Which values of the columns of real numbers with missing cells are missing more
            often: ``"high"``, ``"low"``, or ``"either"``, which is learned. A missing cell then
            adds ``log p(missing|z)``, and an observed one ``log p(observed|x)``, with a logit that
            is linear in the number (Ipsen, Mattei and Frellsen, not-MIWAE: deep generative
            modelling with missing not at random data, 2021). By default cells are missing at
            random.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: There is no column, a column is not modelled or lacks what its family needs,
            or ``scale`` or ``masking`` is unknown.

    Example:
        >>> age = Column("age", "continuous", "normal", shift=40.0, scale=10.0)
        >>> sex = Column("sex", "binary", "bernoulli", levels=("f", "m"))
        >>> likelihood = Columns(nn.Identity(), [age, sex])
        >>> x = torch.tensor([[0.0, 1.0], [0.0, torch.nan]])
        >>> likelihood(torch.zeros(2, 4)).log_prob(x).round(decimals=4)
        tensor([-3.9147, -3.2215], grad_fn=<RoundBackward1>)
    """

    allows_missing = True
    scales = ("per_element", "predicted")
    order: Tensor
    fill: Tensor

    def __init__(
        self,
        network: nn.Module,
        columns: Sequence[Column],
        *,
        scale: str = "per_element",
        whiten: bool = False,
        masking: str | None = None,
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        check_choice("scale", scale, self.scales)
        if masking is not None:
            check_choice("masking", masking, MASKINGS)
        self.columns = tuple(columns)
        _check_columns(self.columns)
        self.event_shape = (len(self.columns),)
        self.measure = joint_measure(self.columns)
        kinds: list[CellKind] = ["names" if c.n_levels else "numbers" for c in self.columns]
        self.cell_kinds = tuple(kinds)
        self.unbounded = any(not column.n_levels for column in self.columns)
        groups = group_columns(self.columns, scale == "predicted", whiten, masking)
        self.groups = nn.ModuleList(group for group, _ in groups)
        self.has_conditionals = any(group.is_white for group, _ in groups)
        self.factorises = not self.has_conditionals
        self.heads = Heads(
            network, *[(group.outputs,) for group, _ in groups], input_ndim=latent_rank
        )
        order = [place for _, places in groups for place in places]
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.initialisation_rows = LINEAR_ROWS if find_linear_inputs(network) else 1024
        fill = torch.cat([group.fill for group, _ in groups])
        self.register_buffer("fill", fill, persistent=False)

    def forward(self, input: Tensor, context: Tensor | None = None) -> ColumnsDistribution:
        outputs = self.heads(input, context)
        pairs = zip(self._families(), outputs, strict=True)
        return ColumnsDistribution([group(part) for group, part in pairs], self.order, self.fill)

    @property
    def dependent_cells(self) -> tuple[int, ...]:
        """Places of cells that are linear functions of others in the training rows."""
        return tuple(own[i] for group, own in self._places() for i in group.dependent_columns)

    def masked_columns(self) -> dict[str, float]:
        """Names of the columns with self-masking, and the slopes of the logit of being missing.

        A positive slope means that high values are missing more often. The unit is one scale of the
        column.
        """
        pairs = [
            (self.columns[place].name, slope)
            for group, places in self._places()
            if isinstance(group, SelfMaskedNormals)
            for place, slope in zip(places, group.slope.tolist(), strict=True)
        ]
        return dict(pairs)

    def has_mass(self, cell: int, value: float) -> bool:
        column = self.columns[cell]
        if column.measure != "mixed":
            return column.measure == "probability"
        return bool((atom_cells(column) == np.float32(value)).any())

    @torch.no_grad()
    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set the biases of an untrained head so that the model begins at the marginals."""
        head = self.heads.head
        if not isinstance(head, nn.Linear) or head.bias.any():
            return
        groups, rows = self._families(), x.index_select(1, self.order).cpu().double()
        parts = rows.split([len(group.columns) for group in groups], 1)
        widths = [group.outputs for group in groups]
        for group, part, bias in zip(groups, parts, head.bias.split(widths), strict=True):
            start = group.start(part).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            bias[: len(start)] = start.to(bias)

    def linear_cells(self, x: Tensor) -> LinearCells | None:
        """The columns whose locations are linear outputs: numbers and logarithms of numbers."""
        pairs = [(group, own) for group, own in self._places() if group.has_location]
        if not pairs or not self.heads.linear_inputs:
            return None
        values = torch.cat([group.linear_values(x[:, own]) for group, own in pairs], 1)
        cells = LinearCells.from_rows(values, tuple(place for _, own in pairs for place in own))
        return cells.with_white(len(pairs[0][1])) if pairs[0][0].is_white else cells

    @torch.no_grad()
    def start_linear(self, factors: Factors) -> None:
        head = self.heads.head
        assert isinstance(head, nn.Linear)
        groups, weights, biases, done = self._families(), [], [], 0
        marginal = head.bias.split([group.outputs for group in groups])
        for group, bias in zip(groups, marginal, strict=True):
            count = len(group.columns) if group.has_location else 0
            part = slice(done, done + count)
            own = Factors(factors.mean[part], factors.loadings[part], factors.noise[part])
            weights.append(nn.functional.pad(own.loadings, (0, 0, 0, group.outputs - count)))
            biases.append(group.start_linear(own) if count else bias.cpu().double())
            done += count
        self.heads.start_linear(torch.cat(weights), torch.cat(biases))

    def _places(self) -> list[tuple[ColumnGroup, list[int]]]:
        """The groups with the places of their columns."""
        groups = self._families()
        parts = self.order.cpu().split([len(group.columns) for group in groups])
        return [(group, part.tolist()) for group, part in zip(groups, parts, strict=True)]

    def _families(self) -> list[ColumnGroup]:
        return [group for group in self.groups if isinstance(group, ColumnGroup)]

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Columns:
        super()._apply(fn, recurse)
        for group in self._families():
            group.restore_constants()
        return self


def _check_columns(columns: Sequence[Column]) -> None:
    """Raise ``ArgumentError`` for columns that no family fits."""
    if not columns:
        raise ArgumentError("give at least one column", argument="columns")
    for column in columns:
        reason = _fault(column)
        if reason:
            raise ArgumentError(
                f"the column {column.name!r} {reason}", argument="columns", value=column.likelihood
            )


def _fault(column: Column) -> str:
    """What a column lacks for its family."""
    family = column.likelihood
    if not family:
        return "is set aside and has no cells: leave it out"
    if family in ("ordinal", "categorical", "bernoulli") and column.n_levels < 2:
        return f"has {column.n_levels} levels: give at least 2"
    if family == "bernoulli" and column.n_levels > 2:
        return f"has {column.n_levels} levels: give 2"
    if family == "beta" and not (
        column.low is not None and column.high is not None and column.low < column.high
    ):
        return "has no bounds: give `low` below `high`"
    if family == "discretised_logistic" and not column.step > 0:
        return "has no `step`: give a positive number"
    if not 0 < column.scale < float("inf"):
        return "has no scale: give a positive number"
    return ""
