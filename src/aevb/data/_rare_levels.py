"""Texts and categories that few rows have."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ._schema import Schema
from ._tables import to_narwhals


def without_rare_levels(frame: Any, least: int) -> Any:
    """A frame whose texts and categories of few rows are missing cells.

    Columns whose dtype lists the categories are left as they are, and so are texts that hold
    numbers or dates.

    Args:
        frame: A data frame.
        least: Fewest rows of a level that is kept.

    Example:
        >>> import polars
        >>> without_rare_levels(polars.DataFrame({"x": ["a", "a", "b"]}), 2)["x"].to_list()
        ['a', 'a', None]
    """
    import narwhals

    table, changed = to_narwhals(frame, "frame"), []
    columns = Schema.of(frame).columns if len(table) else ()
    for column in columns:
        name = column.name
        if not column.levels or str(table[name].dtype) not in ("String", "Object"):
            continue
        counts = Counter(table[name].to_list())
        kept = [level for level, count in counts.items() if level is None or count >= least]
        if len(kept) < len(counts):
            cell = narwhals.col(name)
            known = [level for level in kept if level is not None]
            changed.append(narwhals.when(cell.is_in(known)).then(cell).alias(name))
    return table.with_columns(*changed).to_native() if changed else frame
