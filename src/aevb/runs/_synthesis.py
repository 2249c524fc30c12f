"""Rows of a table in chosen shares, and rows that fulfil constraints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data import Column, Schema
from ..data._conditions import Conditions, rows_that_fulfil, split_conditions
from ..data._constraints import MAX_TRIES, Accept, Collected, ConstrainedFrame, answers
from ..data._formatting import format_list, suggest_nearest
from ..data._tables import to_narwhals
from ..errors import ArgumentError, check_counts
from ..notes import Note

if TYPE_CHECKING:
    from ._run import Run

Balance = str | Mapping[str, Any]

MAX_BALANCED_LEVELS = 100
"""Most levels of a column whose rows are drawn in equal numbers."""


@dataclass(frozen=True)
class ConstrainedTable:
    """A table with constraints, of which a run models a part.

    Args:
        frame: The constraints.
        schema: The schema of the whole table.
    """

    frame: ConstrainedFrame
    schema: Schema

    @classmethod
    def of_run(cls, run: Run) -> ConstrainedTable:
        """The table of a run, without constraints.

        Raises:
            ArgumentError: The run has no columns of several kinds.
        """
        schema = run.schema
        if schema is None:
            raise ArgumentError(
                f"`{run.name}` models no table with a schema, and has no columns with levels",
                argument="balance",
            )
        return cls(ConstrainedFrame((), tuple(each.name for each in schema.columns), {}), schema)


def synthesise(
    run: Run,
    n: int,
    table: ConstrainedTable,
    *,
    where: Conditions | None = None,
    balance: Balance | None = None,
    accept: Accept | None = None,
    max_tries: int = MAX_TRIES,
    seed: int = 0,
) -> tuple[Any, Note]:
    """Draw rows that fulfil constraints and conditions, in chosen shares.

    Conditions on columns that the run models are drawn under; others, constraints that do not hold
    by construction, and ``accept`` are met by drawing again.

    Args:
        run: The run.
        n: The number of rows.
        table: What holds in every row.
        where: As for ``Run.sample``.
        balance: A column whose levels are drawn equally often, or a dict with one column and the
            share of each of its levels.
        accept: A function from a frame to one truth value per row.
        max_tries: Rows that are drawn at most for one that is asked for.
        seed: Seed of every draw.

    Returns:
        A frame, and a note with the share of drawn rows that were kept.

    Raises:
        ArgumentError: A column, level or share cannot be used.
        DataError: Too few of the rows fulfil the constraints.
    """
    check_counts(n=n, max_tries=max_tries)
    conditions = [] if where is None else _texts(table.schema, where)
    parts: list[tuple[int, list[str]]] = [(n, conditions)]
    if balance is not None:
        name, shares = _shares(table.schema, balance)
        counts = _counts(n, np.array([*shares.values()], float))
        pairs = zip(shares, counts, strict=True)
        parts = [
            (count, [*conditions, *_texts(table.schema, {name: level})])
            for level, count in pairs
            if count
        ]
    collected = Collected()
    for place, (count, texts) in enumerate(parts):
        part = _Part(run, table, texts, accept, (seed, place))
        collected = table.frame.collect(collected, count, part.draw, part.accept, max_tries)
    shuffled = np.random.default_rng(seed).permutation(n).tolist() if len(parts) > 1 else None
    return table.frame.finish(collected, shuffled)


class _Part:
    """Rows under some conditions.

    Args:
        run: The run.
        table: The constraints.
        conditions: Conditions on any columns.
        accept: A further condition.
        seed: Numbers that the seeds of the draws depend on.
    """

    def __init__(
        self,
        run: Run,
        table: ConstrainedTable,
        conditions: list[str],
        accept: Accept | None,
        seed: tuple[int, int],
    ) -> None:
        self.run, self.schema, self.seed = run, table.schema, seed
        names = {column.name for column in _schema(run).columns}
        self.modelled, self.others = split_conditions(table.schema, conditions, names)
        self.own_accept = accept
        self.accept = self._accept if self.others or accept is not None else None

    def draw(self, n: int, call: int) -> Any:
        """Rows of the run."""
        seeds = np.random.SeedSequence([self.seed[0], self.seed[1], call])
        seed = int(seeds.generate_state(1, np.uint32)[0])
        return self.run.sample(n, where=self.modelled or None, seed=seed)

    def _accept(self, frame: Any) -> np.ndarray:
        """Which rows fulfil the conditions on the other columns, and that of the caller."""
        fulfil = np.ones(len(frame), bool)
        if self.others:
            fulfil &= rows_that_fulfil(self.schema, self.others, frame)
        if self.own_accept is not None:
            fulfil &= answers(self.own_accept, to_narwhals(frame))
        return fulfil


def _schema(run: Run) -> Schema:
    assert run.schema is not None
    return run.schema


def _texts(schema: Schema, where: Conditions) -> list[str]:
    """Conditions as texts; unknown columns and levels are refused."""
    found, _ = split_conditions(schema, where, [column.name for column in schema.columns])
    return found


def _shares(schema: Schema, balance: Balance) -> tuple[str, dict[Any, float]]:
    """The column, and the share of each of its levels.

    Raises:
        ArgumentError: There is no such column, it has no levels, or the shares are none.
    """
    if isinstance(balance, str):
        column = _column(schema, balance)
        if len(column.levels or ()) > MAX_BALANCED_LEVELS:
            raise ArgumentError(
                f'"{balance}" has more than {MAX_BALANCED_LEVELS} levels',
                argument="balance",
                value=balance,
                suggestions=("Give the shares of some of its levels as a dict",),
            )
        levels = column.levels or ()
        return balance, dict.fromkeys(levels[:-1] if column.pooled else levels, 1 / len(levels))
    if len(balance) != 1 or not isinstance(next(iter(balance.values())), Mapping):
        raise ArgumentError(
            "give one column",
            argument="balance",
            value=balance,
            suggestions=('Write {"sex": {"f": 0.5, "m": 0.5}}',),
        )
    ((name, shares),) = balance.items()
    _column(schema, name)
    numbers = np.array([*shares.values()], float)
    if not len(numbers) or (numbers < 0).any() or not abs(numbers.sum() - 1) < 1e-6:
        raise ArgumentError(
            "shares are at least 0, and their sum is 1", argument="balance", value=balance
        )
    return name, dict(shares)


def _column(schema: Schema, name: str) -> Column:
    """A column with levels."""
    columns = {column.name: column for column in schema.columns}
    if name not in columns:
        raise ArgumentError(
            f'there is no column "{name}"',
            argument="balance",
            value=name,
            suggestions=suggest_nearest(name, columns)
            or (f"The columns: {format_list([*columns])}",),
        )
    if columns[name].levels is None:
        raise ArgumentError(
            f'"{name}" is {columns[name].kind} and has no levels', argument="balance", value=name
        )
    return columns[name]


def _counts(n: int, shares: np.ndarray) -> list[int]:
    """Whole numbers with the sum ``n``, as close to the shares as possible.

    >>> _counts(10, np.array([1.0, 1.0, 1.0]))
    [4, 3, 3]
    """
    exact = n * shares / shares.sum()
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")[: n - counts.sum()]
    counts[largest] += 1
    return counts.tolist()
