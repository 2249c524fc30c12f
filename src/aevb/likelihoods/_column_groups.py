"""The families of ``likelihoods.Columns``: from outputs of the network to the cells of a group."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from ..distributions import (
    LinearTransform,
    NegativeBinomial,
    StudentT,
    from_scale,
    ordinal,
    to_rate,
    to_scale,
)
from ..distributions._columns import (
    BinaryCells,
    CellGroup,
    CodeCells,
    CorrelatedCells,
    GridCells,
    NumberCells,
    SpikyCells,
)
from ..distributions._factors import Factors
from ..distributions._self_masked import SelfMaskedCells
from ..networks import Column
from ..networks._columns import whitened_places
from ..networks._whitening import Whitening
from ._beta import INITIAL_CONCENTRATION, bounded_beta
from ._spikes import SpikeTable
from ._student_t import INITIAL_EXCESS_DOF, MIN_DOF

UNIT_LOGISTIC = math.sqrt(3) / math.pi  # scale of a logistic variable with deviation 1
PADDED_CELLS = 1024  # outputs of a group beyond this are padded to at most four times their number
MAX_SLOPE = 20.0  # of self-masking, per scale of a column: about a threshold; the unit of steps
PRIOR_COUNT = 0.5  # of each level, where a model begins at the marginals


class ColumnGroup(nn.Module, ABC):
    """Columns of one family.

    Args:
        columns: The columns.
        predicted: Whether the network predicts scales and concentrations.

    Attributes:
        outputs: Number of outputs of the network.
        fill: A possible encoded value of each column, ``[n]``.
        has_location: Whether the first outputs are locations in encoded units.
        is_white: Whether these are of whitened numbers.
    """

    has_location: bool = False
    is_white: bool = False

    @property
    def dependent_columns(self) -> list[int]:
        """Columns that are linear functions of others in the training rows."""
        return []

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__()
        self.columns, self.predicted = tuple(columns), predicted
        self.outputs = len(columns)
        self.exact: dict[str, Tensor] = {}
        self.fill = torch.zeros(len(columns))

    @abstractmethod
    def forward(self, outputs: Tensor) -> CellGroup:
        """The distribution of the cells, ``[*batch, n]``, from outputs ``[*batch, outputs]``."""

    def start(self, x: Tensor) -> Tensor:
        """The first outputs at the marginals of encoded cells (NaN: missing).

        ``x`` is float64 ``[N, n]`` on the CPU, and so is the result.
        """
        return x.nanmean(0)

    def linear_values(self, x: Tensor) -> Tensor:
        """The numbers whose locations are the first outputs, from encoded cells ``[N, n]``."""
        return x

    def start_linear(self, factors: Factors) -> Tensor:
        """Begin at locations that are linear in the latent, of columns of this group.

        Returns:
            The bias of all outputs.
        """
        raise NotImplementedError

    def add_constant(self, name: str, values: Sequence[float] | np.ndarray) -> None:
        """Register a constant that keeps its float64 digits where the module becomes float64."""
        self.exact[name] = torch.as_tensor(np.asarray(values, dtype=np.float64))
        dtype = torch.get_default_dtype()
        self.register_buffer(name, self.exact[name].to(dtype), persistent=False)

    def restore_constants(self) -> None:
        """Give constants all digits of their precision, after a conversion."""
        for name, exact in self.exact.items():
            setattr(self, name, exact.to(getattr(self, name)))


class ScaledGroup(ColumnGroup):
    """Columns with a location from the network, and a scale that is learned or predicted."""

    has_location = True

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.outputs = len(columns) * (2 if predicted else 1)
        self.raw = None if predicted else nn.Parameter(torch.zeros(len(columns)))

    @torch.no_grad()
    def start_linear(self, factors: Factors) -> Tensor:
        raw = from_scale(factors.noise.sqrt())
        if self.raw is None:
            return torch.cat([factors.mean, raw])
        self.raw.copy_(raw)
        return factors.mean

    def split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """Location ``[*batch, n]``, and scale ``[*batch, n]`` or ``[n]``."""
        if self.raw is not None:
            return outputs, to_scale(self.raw)
        location, raw = outputs.chunk(2, -1)
        return location, to_scale(raw)


class RealGroup(ScaledGroup, ABC):
    """Real numbers, and logarithms of positive numbers."""

    log_unit: Tensor
    growth: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        positive = [column.likelihood == "log_normal" for column in columns]
        self.has_logarithms = any(positive)
        pairs = list(zip(columns, positive, strict=True))
        self.add_constant(
            "log_unit", [math.log(c.scale) + (c.shift if log else 0.0) for c, log in pairs]
        )
        self.add_constant("growth", [c.scale if log else 0.0 for c, log in pairs])

    def normal_cells(self, outputs: Tensor) -> NumberCells:
        """Independent normal numbers."""
        loc, scale = self.split(outputs)
        growth = self.growth if self.has_logarithms else None
        return NumberCells(Normal(loc, scale, validate_args=False), self.log_unit, growth)


class Normals(RealGroup):
    """Real numbers, and logarithms of positive numbers."""

    def forward(self, outputs: Tensor) -> NumberCells:
        return self.normal_cells(outputs)


class WhitenedNormals(RealGroup):
    """Real numbers, and logarithms of positive numbers, that are whitened together."""

    is_white = True

    @property
    def dependent_columns(self) -> list[int]:
        return self.whitening.floored.nonzero().flatten().tolist()

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.whitening = Whitening([0.0] * len(columns), [1.0] * len(columns))
        self.fill = torch.full((len(columns),), math.nan)  # which the distribution leaves out

    def forward(self, outputs: Tensor) -> CorrelatedCells:
        loc, scale = self.split(outputs)
        base = Independent(Normal(loc, scale.expand_as(loc), validate_args=False), 1)
        w = self.whitening
        rows = LinearTransform(base, w.shift, w.matrix, w.inverse, w.log_det)
        return CorrelatedCells(rows, self.log_unit, self.growth, complete=self.training)

    def linear_values(self, x: Tensor) -> Tensor:
        return self.whitening(x)

    def start(self, x: Tensor) -> Tensor:
        self.whitening.fit(x)
        return x.new_zeros(x.shape[1])


class SelfMaskedNormals(RealGroup):
    """Normal numbers that are missing with a probability that depends on the number itself.

    Args:
        columns: The columns.
        predicted: Whether the network predicts scales.
        masking: Which numbers are missing more often: ``"high"``, ``"low"`` or ``"either"``.
    """

    def __init__(self, columns: Sequence[Column], predicted: bool, masking: str) -> None:
        super().__init__(columns, predicted)
        self.masking = masking
        self.slope_raw = nn.Parameter(torch.zeros(len(columns)))
        self.offset_raw = nn.Parameter(torch.zeros(len(columns)))
        self.fill = torch.full((len(columns),), math.nan)  # a missing cell has a score

    @property
    def slope(self) -> Tensor:
        """What a standard deviation adds to the logit of being missing, ``[n]``."""
        if self.masking == "either":
            return MAX_SLOPE * self.slope_raw.tanh()
        size = nn.functional.softplus(MAX_SLOPE * self.slope_raw).clamp(max=MAX_SLOPE)
        return size if self.masking == "high" else -size

    @property
    def offset(self) -> Tensor:
        """The logit of a number at the location of its column, ``[n]``."""
        return MAX_SLOPE * self.offset_raw

    def forward(self, outputs: Tensor) -> SelfMaskedCells:
        return SelfMaskedCells(self.normal_cells(outputs), self.slope, self.offset)

    @torch.no_grad()
    def start(self, x: Tensor) -> Tensor:
        missing = (x.isnan().sum(0) + PRIOR_COUNT) / (len(x) + 2 * PRIOR_COUNT)
        self.offset_raw.copy_(missing.logit() / MAX_SLOPE)
        return super().start(x)


class StudentTs(ScaledGroup):
    """Real numbers with heavy tails."""

    log_unit: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.dof_raw = nn.Parameter(torch.zeros(len(columns)))
        self.add_constant("log_unit", [math.log(column.scale) for column in columns])

    def forward(self, outputs: Tensor) -> NumberCells:
        dof = MIN_DOF + INITIAL_EXCESS_DOF * to_scale(self.dof_raw)
        return NumberCells(StudentT(*self.split(outputs), dof), self.log_unit)

    def start(self, x: Tensor) -> Tensor:
        return x.nanmedian(0).values


class Betas(ScaledGroup):
    """Numbers between two bounds."""

    has_location = False

    log_unit: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.fill = torch.full((len(columns),), 0.5)
        self.add_constant("log_unit", [math.log(_bound(c.high) - _bound(c.low)) for c in columns])

    def forward(self, outputs: Tensor) -> NumberCells:
        raw, concentration = self.split(outputs)
        cells = bounded_beta(raw, INITIAL_CONCENTRATION * concentration)
        return NumberCells(cells, self.log_unit)

    def start(self, x: Tensor) -> Tensor:
        return torch.logit(x.nanmean(0))


class Counts(ScaledGroup):
    """Counts."""

    has_location = False

    unit: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.add_constant("unit", [column.scale for column in columns])

    def forward(self, outputs: Tensor) -> NumberCells:
        raw, concentration = self.split(outputs)
        return NumberCells(NegativeBinomial(self.unit * to_rate(raw), concentration))

    def start(self, x: Tensor) -> Tensor:
        return (x.nanmean(0) / self.exact["unit"].to(x)).log()


class Grids(ScaledGroup):
    """Whole numbers, and other multiples of a step."""

    step: Tensor
    origin: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.add_constant("step", [column.step / column.scale for column in columns])
        nearest = [round(column.shift / column.step) * column.step for column in columns]
        pairs = zip(nearest, columns, strict=True)
        self.add_constant("origin", [(value - c.shift) / c.scale for value, c in pairs])
        self.fill = self.exact["origin"].to(self.fill)

    def forward(self, outputs: Tensor) -> GridCells:
        loc, scale = self.split(outputs)
        return GridCells(loc, (UNIT_LOGISTIC * scale).expand_as(loc), self.step, self.origin)


class Binaries(ColumnGroup):
    """Columns of two values."""

    def forward(self, outputs: Tensor) -> BinaryCells:
        return BinaryCells(outputs)

    def start(self, x: Tensor) -> Tensor:
        return torch.logit(_level_shares(x, [2] * x.shape[1], 2)[:, 1])


class LevelGroup(ColumnGroup):
    """Columns with several levels, padded to the largest number of them."""

    levels: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.counts = [column.n_levels for column in columns]
        self.add_constant("levels", self.counts)


class Ordinals(LevelGroup):
    """Ordered levels, with cut points of their own in each column."""

    gap_index: Tensor
    first: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.cuts_raw = nn.Parameter(torch.zeros(sum(self.counts) - len(columns)))
        starts = np.cumsum([0, *(count - 1 for count in self.counts[:-1])])
        gaps = [(start + 1, count - 2) for start, count in zip(starts, self.counts, strict=True)]
        index = _pad_index(gaps, len(self.cuts_raw))
        self.register_buffer("gap_index", torch.as_tensor(index), persistent=False)
        self.register_buffer("first", torch.as_tensor(starts), persistent=False)
        self.add_constant("first_cut", [-(count - 2) / 2 for count in self.counts])

    def forward(self, outputs: Tensor) -> CodeCells:
        # gaps of infinite size give the levels beyond the last one a probability of 0
        gaps = torch.cat([to_scale(self.cuts_raw), self.cuts_raw.new_full((1,), math.inf)])
        first = self.get_buffer("first_cut") + self.cuts_raw[self.first]
        cells = ordinal(outputs, first.unsqueeze(-1), gaps[self.gap_index])
        return CodeCells(cells.logits, self.levels)

    def start(self, x: Tensor) -> Tensor:
        """Locations 0; the cut points are set to those of the marginals."""
        shares = _level_shares(x, self.counts, max(self.counts))
        cuts = torch.logit(shares.cumsum(1))
        for place, (start, count) in enumerate(zip(self.first.tolist(), self.counts, strict=True)):
            own = cuts[place, : count - 1]
            first = own[:1] - self.exact["first_cut"][place].to(own)
            values = torch.cat([first, from_scale(own.diff().clamp(min=1e-2))])
            self.cuts_raw.data[start : start + count - 1] = values.to(self.cuts_raw)
        return x.new_zeros(x.shape[1])


class Categories(LevelGroup):
    """Levels without an order."""

    index: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        self.outputs = sum(self.counts)
        starts = np.cumsum([0, *self.counts[:-1]])
        index = _pad_index(list(zip(starts, self.counts, strict=True)), self.outputs)
        self.register_buffer("index", torch.as_tensor(index), persistent=False)

    def forward(self, outputs: Tensor) -> CodeCells:
        return CodeCells(_level_log_probs(outputs, self.index), self.levels)

    def start(self, x: Tensor) -> Tensor:
        shares = _level_shares(x, self.counts, max(self.counts))
        pairs = zip(shares, self.counts, strict=True)
        return torch.cat([own[:count].log() for own, count in pairs])


class Spikes(ColumnGroup):
    """Numbers with atoms, all of them real or all on a grid."""

    index: Tensor
    atoms: Tensor

    def __init__(self, columns: Sequence[Column], predicted: bool) -> None:
        super().__init__(columns, predicted)
        table = SpikeTable.of(columns)
        self.outputs = table.outputs
        self.register_buffer("index", torch.as_tensor(table.index), persistent=False)
        for name, values in table.constants.items():
            self.add_constant(name, values)
        self.has_grid = columns[0].step > 0
        self.fill = torch.as_tensor(table.fill).to(self.fill)

    def forward(self, outputs: Tensor) -> SpikyCells:
        return self._cells(_level_log_probs(outputs, self.index))

    def _cells(self, log_probs: Tensor) -> SpikyCells:
        return SpikyCells(
            log_probs,
            self.atoms,
            self.get_buffer("inner_edges"),
            self.get_buffer("log_volume"),
            self.get_buffer("tails"),
            self.get_buffer("draws"),
            self.get_buffer("moments"),
            self.get_buffer("grid") if self.has_grid else None,
        )

    def start(self, x: Tensor) -> Tensor:
        index = self.index.cpu()
        unused = torch.zeros(index.shape, dtype=self.atoms.dtype, device=self.atoms.device)
        found, _ = self._cells(unused).locate(x.to(self.atoms))
        codes = torch.where(x.isnan(), x, found.to(x))
        shares = _level_shares(codes, [index.shape[1]] * x.shape[1], index.shape[1])
        return shares[index < self.outputs].log()


FAMILIES: dict[str, type[ColumnGroup]] = {
    "whitened_normal": WhitenedNormals,
    "normal": Normals,
    "student_t": StudentTs,
    "beta": Betas,
    "negative_binomial": Counts,
    "discretised_logistic": Grids,
    "bernoulli": Binaries,
    "ordinal": Ordinals,
    "categorical": Categories,
    "spiky": Spikes,
    "spiky_grid": Spikes,
}


def group_columns(
    columns: Sequence[Column], predicted: bool, whiten: bool = False, masking: str | None = None
) -> list[tuple[ColumnGroup, list[int]]]:
    """Group columns by family; each group comes with the places of its columns.

    Args:
        columns: The columns of the encoded cells.
        predicted: Whether the network predicts scales and concentrations.
        whiten: Whether complete real numbers are whitened together.
        masking: Which values of real numbers are missing more often; ``None``: at random.
    """
    places: dict[str, list[int]] = defaultdict(list)
    whitened = whitened_places(columns) if whiten else []
    for place, column in enumerate(columns):
        family = "whitened_normal" if place in whitened else _family(column)
        if masking is not None and can_mask_itself(column):
            family = "self_masked_normal"
        places[family].append(place)
    families: dict[str, Callable[[Sequence[Column], bool], ColumnGroup]] = {**FAMILIES}
    if masking is not None:
        families["self_masked_normal"] = partial(SelfMaskedNormals, masking=masking)
    return [
        (build([columns[place] for place in part], predicted), part)
        for name, build in families.items()
        for part in _size_classes(places[name], columns)
    ]


def can_mask_itself(column: Column) -> bool:
    """Whether self-masking applies to a column: real numbers, of which some are missing."""
    real = column.likelihood in ("normal", "log_normal", "student_t")
    return real and column.missing > 0


def _family(column: Column) -> str:
    if column.likelihood == "spiky":
        return "spiky_grid" if column.step > 0 else "spiky"
    return "normal" if column.likelihood == "log_normal" else column.likelihood


def _size_classes(places: list[int], columns: Sequence[Column]) -> list[list[int]]:
    """The places by number of levels, if one group would be mostly padding."""
    if not places:
        return []
    sizes = [_size(columns[place]) for place in places]
    if max(sizes) * len(places) <= 4 * sum(sizes) + PADDED_CELLS:
        return [places]
    classes: dict[int, list[int]] = defaultdict(list)
    for place, size in zip(places, sizes, strict=True):
        classes[math.ceil(math.log(max(size, 2), 4))].append(place)
    return [classes[size] for size in sorted(classes)]


def _size(column: Column) -> int:
    return max(1, column.n_levels, len(column.atoms) + len(column.edges))


def _pad_index(ranges: Sequence[tuple[int, int]], padding: int) -> np.ndarray:
    """The numbers ``start ... start + count - 1`` of each range in a row, then ``padding``."""
    index = np.full((len(ranges), max(count for _, count in ranges)), padding)
    for row, (start, count) in zip(index, ranges, strict=True):
        row[:count] = range(start, start + count)
    return index


def _level_log_probs(outputs: Tensor, index: Tensor) -> Tensor:
    """Log-probabilities ``[*, n, levels]`` of logits ``[*, m]``; an index ``m`` has ``-inf``."""
    padded = nn.functional.pad(outputs, (0, 1), value=-math.inf)
    flat = index.flatten().expand(*outputs.shape[:-1], -1)
    return padded.gather(-1, flat).unflatten(-1, tuple(index.shape)).log_softmax(-1)


def _level_shares(x: Tensor, counts: Sequence[int], most: int) -> Tensor:
    """The share of each code in the columns of ``[N, n]``, ``[n, most]``; no share is 0."""
    codes = x.nan_to_num(nan=-1.0).long().clamp(-1, most - 1) + 1
    shape = (x.shape[1], most + 1)
    found = torch.zeros(shape, dtype=torch.float64, device=x.device)
    found.scatter_add_(1, codes.T, torch.ones_like(codes.T, dtype=torch.float64))
    limit = torch.tensor(list(counts), device=x.device)[:, None]
    own = torch.arange(most, device=x.device) < limit
    shares = (found[:, 1:] + PRIOR_COUNT) * own
    return shares / shares.sum(1, keepdim=True)


def _bound(value: float | None) -> float:
    assert value is not None, "bounds are checked before"
    return value
