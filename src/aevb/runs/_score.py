"""Scores of the rows of a table, with the columns that make a row unlikely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import inference, metrics
from ..data import Rows
from ..data._encode_frame import read_columns
from ..data._frame_libraries import library_of
from ..data._load import is_frame
from ..errors import ArgumentError, DataError, check_counts
from ..inference import Explanation
from ..notes import Note
from ..types import ProgressCallback
from ._impute import check_all_rows, is_table, pairs_at_once, source_table

if TYPE_CHECKING:
    from ..models import VAE
    from ._run import Run

MIN_REFERENCE_ROWS = 100  # of validation rows; with fewer, training rows give the threshold
MAX_REFERENCE_ROWS = 2000


@dataclass(frozen=True)
class TableScores:
    """The score of each row, and the columns that lower it most.

    Args:
        frame: A data frame with one line per row: ``log_p``, ``standard_error``, ``unlikely``
            (whether ``log_p`` is below the threshold), and ``column_1``, ``surprise_1``,
            ``column_2`` ... : the columns with the largest surprise (see ``Explanation.surprise``)
            in nats; empty where a row has fewer cells. A row in which a column contradicts the
            column it is a function of has probability 0: ``log_p`` is ``-inf``, and that column
            stands first, with an infinite surprise.
        threshold: The quantile of the scores of the reference rows.
        quantile: The share of the reference rows below the threshold.
        reference: ``"validation"`` or ``"train"``.
        reference_rows: Number of reference rows.
        log_p: The scores, ``[N]`` float64.
        samples: Importance samples per row.
        explanation: The contributions of all cells, in which those that contradict another one
            count as missing; ``None`` for a likelihood whose cells depend
            on each other, for which no columns are named.
        notes: What needs attention.
    """

    frame: Any
    threshold: float
    quantile: float
    reference: str
    reference_rows: int
    log_p: Tensor
    samples: int
    explanation: Explanation | None
    notes: tuple[Note, ...] = ()

    @property
    def n_unlikely(self) -> int:
        """Number of unlikely rows."""
        return int((self.log_p < self.threshold).sum())

    def least_likely(self, count: int = 5) -> tuple[UnlikelyRow, ...]:
        """The rows with the lowest scores, the lowest first.

        Args:
            count: Number of rows.
        """
        import narwhals

        table = narwhals.from_native(self.frame, eager_only=True)
        places = sum(name.startswith("column_") for name in table.columns)
        order = self.log_p.argsort()[:count].tolist()
        return tuple(
            UnlikelyRow(
                row,
                table["log_p"][row],
                {
                    table[f"column_{place}"][row]: table[f"surprise_{place}"][row]
                    for place in range(1, places + 1)
                    if table[f"column_{place}"][row] is not None
                },
            )
            for row in order
        )

    def to_dict(self) -> dict[str, Any]:
        """Convert the summary to values that JSON can hold."""
        return {
            "rows": len(self.log_p),
            "unlikely": self.n_unlikely,
            "threshold": self.threshold,
            "quantile": self.quantile,
            "reference": self.reference,
            "reference_rows": self.reference_rows,
            "samples": self.samples,
            "least_likely": [asdict(row) for row in self.least_likely()],
            "notes": [note.to_dict() for note in self.notes],
        }


@dataclass(frozen=True)
class UnlikelyRow:
    """A row of a table, and why it is unlikely.

    Args:
        row: Its number, counted from 0.
        log_p: Its score.
        columns: Surprise of the columns that lower the score most, the largest first.
    """

    row: int
    log_p: float
    columns: dict[str, float]


def score_table(
    run: Run,
    source: Any = None,
    *,
    samples: int = 200,
    quantile: float = 0.01,
    columns: int = 3,
    seed: int = 0,
    key: str | None = None,
    on_progress: ProgressCallback | None = None,
    **reading: Any,
) -> TableScores:
    """Score the rows of a table; see ``Run.score``."""
    check_counts(samples=samples, columns=columns)
    if not 0 < quantile < 1:
        raise ArgumentError("give a share between 0 and 1", argument="quantile", value=quantile)
    rows = run.rows(source, key=key, **reading)
    check_all_rows(rows)
    name, reference = _reference_rows(run)
    model = run.model_for(rows, reference)
    log_p, error, explanation = _score_rows(
        model, rows, samples, seed=seed, max_pairs=pairs_at_once(run), on_progress=on_progress
    )
    contradictions = _contradictions(run, source, rows, key, reading)
    for wrong in contradictions.values():
        impossible = torch.from_numpy(wrong).to(log_p.device)
        log_p, error = log_p.masked_fill(impossible, -math.inf), error.masked_fill(impossible, 0.0)
    scores = metrics.log_likelihood(model, reference, samples, seed=seed).per_datum
    threshold = torch.quantile(scores.double().cpu(), quantile).item()
    note = Note(
        "threshold",
        f"Rows count as unlikely below log p = {threshold:.2f}: {quantile:.2%} of the "
        f"{len(reference):,} {'training' if name == 'train' else name} rows are below.",
        data={"threshold": threshold, "quantile": quantile, "reference": name},
    )
    notes = (note,) if explanation is not None else (note, _UNEXPLAINED)
    frame = _frame(log_p.cpu(), error.cpu(), threshold)
    if explanation is not None:
        frame |= _column_frame(run, explanation, columns, contradictions)
    return TableScores(
        frame=_to_library(source, frame),
        threshold=threshold,
        quantile=quantile,
        reference=name,
        reference_rows=len(reference),
        log_p=log_p,
        samples=samples,
        explanation=explanation,
        notes=(*run.evaluation_notes(source, rows), *notes),
    )


_UNEXPLAINED = Note(
    "no_columns", "The cells of a row depend on each other given z, so that no columns are named."
)


def _score_rows(
    model: VAE, rows: Rows, samples: int, **options: Any
) -> tuple[Tensor, Tensor, Explanation | None]:
    """The score of each row and its error, with the contributions of cells where they are known."""
    if model.likelihood.factorises or model.likelihood.has_conditionals:
        found = inference.explain(model, rows, samples, **options)
        return found.log_p, found.log_p_error, found
    scores = metrics.log_likelihood(model, rows, samples, **options)
    return scores.per_datum.double(), scores.per_datum_error, None


def _reference_rows(run: Run) -> tuple[str, Rows]:
    """The rows whose scores give the threshold, and their name."""
    data = run.data()
    use_validation = len(data.validation) >= MIN_REFERENCE_ROWS
    name, rows = ("validation", data.validation) if use_validation else ("train", data.train)
    if not len(rows):
        raise DataError("the run has no rows that give a threshold", argument="source")
    count = min(len(rows), MAX_REFERENCE_ROWS)
    return name, rows.subset([place * len(rows) // count for place in range(count)])


def _frame(log_p: Tensor, error: Tensor, threshold: float) -> dict[str, Any]:
    """The columns of the scores."""
    return {
        "log_p": log_p.tolist(),
        "standard_error": error.tolist(),
        "unlikely": (log_p < threshold).tolist(),
    }


def _contradictions(
    run: Run, source: Any, rows: Rows, key: str | None, reading: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """In which rows a column contradicts the column it is a function of, by its name."""
    schema = run.spec.schema
    if schema is None or not schema.derived or not is_table(source):
        return {}
    table, rules = source_table(run, source, rows, key, reading)
    _, _, derived = read_columns(schema, table.frame.to_native(), rules)
    return {name: each.contradicts for name, each in derived.items() if each.contradicts.any()}


def _column_frame(
    run: Run, found: Explanation, columns: int, contradictions: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """The columns with the names of surprising columns, those that are impossible first."""
    names = column_names(run)
    surprise, top = found.surprise.flatten(1).cpu(), found.top(columns).cpu()
    cells = [each.gather(1, top).tolist() for each in (found.observed.flatten(1).cpu(), surprise)]
    reasons = [
        [
            *((name, math.inf) for name, wrong in contradictions.items() if wrong[row]),
            *((names[cell], value) for cell, there, value in zip(*each, strict=True) if there),
            *[(None, None)] * columns,
        ]
        for row, each in enumerate(zip(top.tolist(), *cells, strict=True))
    ]
    return {
        f"{what}_{place + 1}": [each[place][part] for each in reasons]
        for place in range(top.shape[1])
        for part, what in enumerate(("column", "surprise"))
    }


def _to_library(source: Any, values: dict[str, Any]) -> Any:
    """A data frame of the library of the source, by default polars or pandas."""
    import narwhals

    table = narwhals.from_native(source, eager_only=True) if is_frame(source) else None
    return narwhals.from_dict(values, backend=library_of(table).name).to_native()


def column_names(run: Run) -> list[str]:
    """The names of the cells of a row: those of its columns, or their places."""
    if run.spec.columns is not None and len(run.spec.columns) == run.spec.dimensions:
        return list(run.spec.columns)
    return [
        ", ".join(str(int(each)) for each in torch.unravel_index(torch.tensor(cell), shape))
        for shape in [run.spec.event_shape]
        for cell in range(math.prod(shape))
    ]
