"""Encoder input for tables with columns of different kinds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError
from ..types import Configurable
from ._column import Column, atom_cells
from ._input_noise import NumericInput
from ._registration import NetworkRegistration
from ._whitening import DataDependentNetwork, Whitening

NUMBER_LIMIT = 10.0  # standardised numbers are clipped here, so that outliers do not rule a batch
ONE_HOT_LEVELS = 40  # above, levels are embedded
EMBEDDING_WIDTH = 16
PERIODS = {"day": (7.0, 365.2425), "second": (86400.0, 7 * 86400.0, 365.2425 * 86400.0)}
_CODES = ("bernoulli", "ordinal", "categorical")


@register(
    NetworkRegistration(
        kind="wrapper",
        use_when="data are tables with columns of different kinds or missing cells",
        cost="one input per number and level",
        avoid_when="all columns are complete real numbers",
    )
)
class Columns(Configurable, NumericInput, DataDependentNetwork):
    """Turn encoded cells ``[N, D]`` into features: the network takes ``[N, Columns.width(...)]``.

    Cells are encoded as ``networks.Column`` describes; missing cells are NaN. The features are, in
    this order: numbers about 0 with a size of about 1 (counts as ``log(1 + x)``, bounded numbers
    about the middle), clipped at 10; one input per level up to 40 levels and per atom of a spiky
    column, 1 where the cell has this value; sine and cosine of the week and the year of a date, and
    of the time of day; one input per column, 1 where the cell is missing; 16 learned inputs per
    column of more than 40 levels. All features of a missing cell but its flag are 0.

    Args:
        network: Network that takes the features.
        columns: The columns of the encoded cells in their order.
        whiten: Whether complete columns of real numbers are whitened together, by a map that is
            learned from the training rows, as in ``networks.Whiten``.
        hide: Share of the cells that are missing for the network in training mode, drawn anew for
            each batch. An encoder learns to infer from fewer cells, and small data are overfitted
            later.

    Raises:
        ArgumentError: There is no column, a column is not modelled, or the share is not possible.

    Example:
        >>> age = Column("age", "continuous", "normal", shift=40.0, scale=10.0)
        >>> sex = Column("sex", "binary", "bernoulli", levels=("f", "m"))
        >>> Columns(nn.Identity(), [age, sex])(torch.tensor([[0.5, 1.0], [torch.nan, 0.0]]))
        tensor([[0.5000, 0.0000, 1.0000, 0.0000, 0.0000],
                [0.0000, 1.0000, 0.0000, 1.0000, 0.0000]])
    """

    def __init__(
        self,
        network: nn.Module,
        columns: Sequence[Column],
        *,
        whiten: bool = False,
        hide: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= hide < 1:
            reason = "give a share of at least 0 and below 1"
            raise ArgumentError(reason, argument="hide", value=hide)
        self.hide = hide
        self.network = network
        self.columns = tuple(columns)
        plan = _Plan(self.columns)
        self.n_counts = len(plan.counts)
        for name, values in plan.tensors().items():
            self.register_buffer(name, values, persistent=False)
        rows = sum(self.columns[place].n_levels for place in plan.embedded)
        self.embedding = nn.Embedding(rows, EMBEDDING_WIDTH) if rows else None
        self.white = whitened_places(self.columns) if whiten else []
        size = len(self.white)
        self.whitening = Whitening([0.0] * size, [1.0] * size) if size else None
        white_inputs = _integers([plan.numbers.index(place) for place in self.white])
        self.register_buffer("white_inputs", white_inputs, persistent=False)

    def initialise_from_data(self, x: Tensor) -> None:
        if self.whitening is not None:
            self.whitening.fit(x[:, self.white])

    @property
    def reads_numbers(self) -> bool:
        return self.get_buffer("number_columns").numel() > 0

    @staticmethod
    def width(columns: Sequence[Column]) -> int:
        """The number of features of these columns.

        Args:
            columns: The columns of the encoded cells.

        Returns:
            The size of an input of the network.

        Raises:
            ArgumentError: There is no column, or a column is not modelled.

        Example:
            >>> Columns.width([Column("sex", "binary", "bernoulli", levels=("f", "m"))])
            3
        """
        return _Plan(columns).width

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        return self.network(self.features(x), *context)

    def features(self, x: Tensor) -> Tensor:
        """The input of the network.

        Args:
            x: Encoded rows ``[N, D]``.

        Returns:
            Features ``[N, Columns.width(columns)]``.
        """
        if self.training and self.hide:
            x = x.masked_fill(torch.rand_like(x) < self.hide, math.nan)
        of = self.get_buffer
        parts = [
            self._numbers(x),
            (x.index_select(-1, of("level_columns")) == of("level_values")).to(x.dtype),
            self._waves(x),
            x.isnan().to(x.dtype),
        ]
        if self.embedding is not None:
            parts.append(self._embed(x, self.embedding))
        return torch.cat(parts, -1)

    def _numbers(self, x: Tensor) -> Tensor:
        numbers = x.index_select(-1, self.get_buffer("number_columns"))
        if self.n_counts:
            start = numbers.shape[-1] - self.n_counts
            counts = numbers[..., start:].clamp(min=0).log1p()
            numbers = torch.cat([numbers[..., :start], counts], -1)
        standardised = (numbers - self.get_buffer("number_shift")) * self.get_buffer("number_rate")
        if self.whitening is not None:
            places = self.get_buffer("white_inputs")
            white = self.whitening(standardised.index_select(-1, places))
            standardised = standardised.index_copy(-1, places, white)
        clipped = standardised.clamp(-NUMBER_LIMIT, NUMBER_LIMIT)
        return self.add_noise(clipped).nan_to_num(nan=0.0)

    def _waves(self, x: Tensor) -> Tensor:
        """Sine and cosine of the place in each period; turns are counted from ``shift``."""
        turns = x.index_select(-1, self.get_buffer("wave_columns")) * self.get_buffer("wave_rate")
        angle = 2 * math.pi * ((turns - turns.floor()) + self.get_buffer("wave_phase"))
        return torch.cat([angle.sin(), angle.cos()], -1).nan_to_num(nan=0.0)

    def _embed(self, x: Tensor, embedding: nn.Embedding) -> Tensor:
        codes = x.index_select(-1, self.get_buffer("embedded_columns"))
        last = self.get_buffer("embedded_last")
        places = codes.nan_to_num(nan=0.0).clamp(min=0).minimum(last.to(codes.dtype))
        vectors = embedding(places.long() + self.get_buffer("embedded_start"))
        return vectors.masked_fill(codes.isnan().unsqueeze(-1), 0.0).flatten(-2)


def whitened_places(columns: Sequence[Column]) -> list[int]:
    """The columns that are whitened together: real numbers and logarithms without gaps."""
    places = [
        place
        for place, column in enumerate(columns)
        if column.likelihood in ("normal", "log_normal") and not column.missing
    ]
    return places if len(places) > 1 else []


def find_number_inputs(network: object, places: Sequence[int] | None) -> list[int] | None:
    """The inputs of the numbers of these columns inside ``Columns``; ``None`` without it."""
    while isinstance(network, nn.Module):
        if isinstance(network, Columns) and places is not None:
            found = network.get_buffer("number_columns").tolist()
            return [found.index(place) for place in places]
        network = getattr(network, "network", None)
    return None


class _Plan:
    """Which columns give which features."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        unmodelled = [column.name for column in columns if not column.modelled]
        if not columns or unmodelled:
            raise ArgumentError(
                "give at least one column, and columns that are modelled",
                argument="columns",
                value=unmodelled,
            )
        self.counts = self._places("negative_binomial")
        self.numbers = self._places(
            "normal", "student_t", "log_normal", "beta", "discretised_logistic", "spiky"
        )
        self.embedded = [
            place for place in self._places(*_CODES) if columns[place].n_levels > ONE_HOT_LEVELS
        ]
        embedded = set(self.embedded)
        self.levels = [
            (place, value)
            for place, column in enumerate(columns)
            if place not in embedded
            for value in _indicated_values(column)
        ]
        self.waves = [
            (place, period)
            for place, column in enumerate(columns)
            for period in PERIODS.get(column.unit, ())
        ]

    @property
    def width(self) -> int:
        """The number of features."""
        return (
            len(self.numbers)
            + len(self.counts)
            + len(self.levels)
            + 2 * len(self.waves)
            + len(self.columns)
            + EMBEDDING_WIDTH * len(self.embedded)
        )

    def tensors(self) -> dict[str, Tensor]:
        """The indices and constants by name."""
        sizes = [self.columns[place].n_levels for place in self.embedded]
        ends = torch.tensor([0, *sizes]).cumsum(0)
        waves = [(self.columns[place], period) for place, period in self.waves]
        bounded = [self.columns[place].likelihood == "beta" for place in self.numbers]
        middles = [0.5 if each else 0.0 for each in bounded]
        means = [math.log1p(self.columns[place].scale) for place in self.counts]
        return {
            "number_columns": _integers([*self.numbers, *self.counts]),
            "number_shift": torch.tensor([*middles, *means]),
            "number_rate": torch.tensor(
                [*(math.sqrt(12) if each else 1.0 for each in bounded), *[1.0] * len(means)]
            ),
            "level_columns": _integers([place for place, _ in self.levels]),
            "level_values": torch.tensor([value for _, value in self.levels]),
            "wave_columns": _integers([place for place, _ in self.waves]),
            "wave_rate": torch.tensor([column.scale / period for column, period in waves]),
            "wave_phase": torch.tensor([column.shift / period % 1.0 for column, period in waves]),
            "embedded_columns": _integers(self.embedded),
            "embedded_start": ends[:-1],
            "embedded_last": _integers([size - 1 for size in sizes]),
        }

    def _places(self, *families: str) -> list[int]:
        return [i for i, column in enumerate(self.columns) if column.likelihood in families]


def _indicated_values(column: Column) -> list[float]:
    """The encoded values that have an input of their own."""
    if column.likelihood in _CODES:
        return [float(code) for code in range(column.n_levels)]
    return atom_cells(column).tolist()


def _integers(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)
