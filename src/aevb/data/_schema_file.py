"""Schemas as records and as TOML files, checked field by field."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

from .._files import read_regular_file, write_atomically
from ..errors import AevbError, DataError
from ..networks._column import Column
from ._column_kinds import KINDS, RULES
from ._formatting import format_list, suggest_nearest

HEADER = "# The columns of a table. Edit a kind, and give the file as `kinds`.\n"
_LIKELIHOODS = {rule.kind: rule.likelihoods or ("",) for rule in RULES}
_FIELDS = tuple(each.name for each in fields(Column))
_NEED_LEVELS = ("bernoulli", "categorical", "ordinal")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_number, value))


def _is_levels(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(
        isinstance(level, str | bool) or _is_number(level) for level in value
    )


def _is_ascending(value: Any) -> bool:
    return _is_numbers(value) and all(a < b for a, b in pairwise(value))


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "dtype": (lambda value: isinstance(value, str), "a text"),
    "missing": (lambda value: _is_number(value) and 0 <= value <= 1, "a share from 0 to 1"),
    "levels": (
        lambda value: value is None or (_is_levels(value) and len(set(value)) == len(value)),
        "a list of different values",
    ),
    "shift": (_is_number, "a number"),
    "scale": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "low": (lambda value: value is None or _is_number(value), "a number"),
    "high": (lambda value: value is None or _is_number(value), "a number"),
    "step": (lambda value: _is_number(value) and value >= 0, "a number, at least 0"),
    "atoms": (_is_ascending, "a list of ascending numbers"),
    "edges": (_is_ascending, "a list of ascending numbers"),
    "pooled": (_is_levels, "a list of values"),
    "pooled_counts": (
        lambda value: _is_numbers(value) and all(count >= 0 for count in value),
        "a list of counts",
    ),
    "unit": (lambda value: value in ("", "day", "second"), '"day", "second" or ""'),
    "format": (lambda value: isinstance(value, str), "a text"),
    "reason": (lambda value: isinstance(value, str), "a text"),
    "source": (lambda value: isinstance(value, str), "a text"),
    "source_levels": (
        lambda value: _is_levels(value) and len(set(value)) == len(value),
        "a list of different values",
    ),
    "codes": (
        lambda value: isinstance(value, list | tuple) and all(type(code) is int for code in value),
        "a list of whole numbers",
    ),
}


def read_columns(records: Any) -> tuple[Column, ...]:
    """The columns of a record of a schema.

    Args:
        records: The fields of each column by name.

    Raises:
        DataError: A field is missing, unknown or nonsense; the sentence names column and field.
    """
    if not isinstance(records, Sequence) or isinstance(records, str):
        raise _error("`columns` must be a list")
    columns = tuple(_read_column(record, place) for place, record in enumerate(records))
    names = [column.name for column in columns]
    for name in names:
        if names.count(name) > 1:
            raise _error(f'column "{name}" occurs twice')
    for column in columns:
        if column.kind == "derived":
            _check_source(column, {each.name: each for each in columns})
    return columns


def _check_source(column: Column, columns: Mapping[str, Column]) -> None:
    """Refuse a derived column without a source, and values that this does not have."""
    source = columns.get(column.source)
    if source is None or not source.modelled:
        raise _error(
            f'`source` of column "{column.name}" is {_show(column.source)}; give a column with a '
            "likelihood"
        )
    if source.levels is None:
        fits = _is_ascending(column.source_levels)
    else:
        fits = set(column.source_levels) <= set(source.all_levels)
    if not fits or (column.levels is not None and not column.source_levels):
        raise _error(f'`source_levels` of column "{column.name}" are no values of {source.name}')


def _error(reason: str, *suggestions: Any) -> DataError:
    """The error for a record of a schema."""
    return DataError(f"the schema is not valid: {reason}", suggestions=suggestions)


def _read_column(record: Any, place: int) -> Column:
    """A column with checked fields."""
    name = _named(record, place)
    for field in record:
        if field not in _FIELDS:
            raise _error(
                f'column "{name}" has a field "{field}", which is not known',
                *suggest_nearest(field, _FIELDS),
            )
    _check_kind(name, record)
    for field, value in record.items():
        check, expected = _CHECKS.get(field, (lambda value: True, ""))
        if not check(value):
            raise _error(f'`{field}` of column "{name}" is {_show(value)}; give {expected}')
    column = Column(**record)
    _check_consistency(column)
    return column


def _named(record: Any, place: int) -> str:
    """The name in the record of a column."""
    if not isinstance(record, Mapping) or not isinstance(record.get("name"), str):
        raise _error(f"column {place + 1:,} has no name")
    return record["name"]


def _show(value: Any) -> str:
    """A value of a sentence, cut if it is long."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_kind(name: str, record: Mapping[str, Any]) -> None:
    """Refuse unknown kinds, and likelihoods that a kind does not have."""
    kind = record.get("kind")
    if kind not in KINDS:
        raise _error(
            f'`kind` of column "{name}" is {_show(kind)}; give one of '
            f"{format_list(KINDS, len(KINDS))}"
        )
    likelihood = record.get("likelihood", "")
    if likelihood not in _LIKELIHOODS[kind]:
        known = " or ".join(f'"{each}"' for each in _LIKELIHOODS[kind])
        raise _error(
            f'`likelihood` of column "{name}" is {_show(likelihood)}; with the kind "{kind}" it '
            f"must be {known}"
        )


def _check_consistency(column: Column) -> None:
    """Refuse fields that contradict each other."""
    n_levels = len(column.levels or ())
    faults = {
        "levels": column.likelihood in _NEED_LEVELS
        and (n_levels != 2 if column.likelihood == "bernoulli" else n_levels < 2)
        and f"{n_levels:,} values are no levels of the kind {column.kind}",
        "pooled_counts": len(column.pooled) != len(column.pooled_counts)
        and f"it must have a count for each of {len(column.pooled):,} pooled levels",
        "high": column.low is not None
        and column.high is not None
        and column.low > column.high
        and f"{column.high:g} is less than `low`, {column.low:g}",
        "step": column.likelihood == "discretised_logistic"
        and not column.step
        and "it must be above 0 for a discretised logistic distribution",
        "low": column.likelihood == "beta"
        and (column.low is None or column.high is None or column.low == column.high)
        and "a bounded column has two different bounds",
        "edges": column.likelihood == "spiky"
        and not column.atoms
        and len(column.edges) < 2
        and "a spiky column has atoms, or at least two edges",
        "codes": column.kind == "derived"
        and column.levels is not None
        and (
            len(column.codes) != len(column.source_levels)
            or not all(-1 <= code < n_levels for code in column.codes)
        )
        and "it must have the place of a level, or -1, for each of `source_levels`",
        "shift": column.kind == "derived"
        and column.levels is None
        and column.low is None
        and "a derived column has levels, or is a linear function of numbers with a range",
        "unit": column.kind == "date"
        and not column.unit
        and 'a date has a unit, "day" or "second"',
    }
    for field, fault in faults.items():
        if fault:
            raise _error(f'`{field}` of column "{column.name}": {fault}')


def render_schema(record: Mapping[str, Any]) -> str:
    """The record of a schema as TOML; fields that have their defaults are left out.

    >>> print(render_schema({"rows": 3, "columns": [{"name": "x", "kind": "constant"}]}), end="")
    # The columns of a table. Edit a kind, and give the file as `kinds`.
    rows = 3
    <BLANKLINE>
    [[columns]]
    name = "x"
    kind = "constant"
    """
    defaults = {each.name: each.default for each in fields(Column)}
    lines = [f"{name} = {_toml(value)}" for name, value in record.items() if name != "columns"]
    for column in record["columns"]:
        lines += ["", "[[columns]]"]
        lines += [
            f"{name} = {_toml(value)}"
            for name, value in column.items()
            if value is not None and value != defaults[name]
        ]
    return HEADER + "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value of TOML."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_schema(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write the record of a schema to a TOML file."""
    write_atomically(Path(path), render_schema(record).encode())


def read_toml(path: str | Path, argument: str) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        DataError: There is no such file, or it is not TOML.
    """
    try:
        return tomllib.loads(read_regular_file(Path(path)).decode())
    except (OSError, ValueError, RecursionError, AevbError) as error:
        reason = (
            "there is no such file"
            if not Path(path).exists()
            else (f"it cannot be read as TOML ({str(error).rstrip('.')})")
        )
        raise DataError(reason, argument=argument, value=str(path)) from error


def _requested_kind(column: Mapping[str, Any]) -> Any:
    """The kind of the record of a column, with the source of a derived one."""
    kind, source = column.get("kind"), column.get("source")
    return f"{kind}:{source}" if kind == "derived" and source else kind


def read_kinds(path: str | Path) -> dict[str, str]:
    """The kinds in a TOML file: a table ``[kinds]``, ``name = "kind"`` alone, or a whole schema.

    Raises:
        DataError: The file is something else.
    """
    record = read_toml(path, "kinds")
    if isinstance(record.get("columns"), list):
        try:
            return {
                _named(column, place): _requested_kind(column)
                for place, column in enumerate(record["columns"])
            }
        except DataError as error:
            raise DataError(error.reason, argument="kinds", value=str(path)) from error
    kinds = record["kinds"] if isinstance(record.get("kinds"), dict) else record
    for name, kind in kinds.items():
        if not isinstance(kind, str):
            raise DataError(
                f'the kind of column "{name}" is {_show(kind)}; give a text such as "count"',
                argument="kinds",
                value=str(path),
            )
    return kinds
