"""Records from JSON: wrong types are refused, and fields of newer versions are left out."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_Record = TypeVar("_Record")
MAX_FLOAT = 1e300  # larger whole numbers of JSON cannot become a float


def record_from_json(record: type[_Record], value: Any) -> _Record:
    """Make a dataclass from an object of JSON.

    Args:
        record: The dataclass.
        value: The object. Names that are not fields are left out.

    Returns:
        The record.

    Raises:
        ValueError: The value is no object, lacks a field, or has a field of another type.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Point:
        ...     x: float
        ...     y: int | None = None
        >>> record_from_json(Point, {"x": 1, "z": 2})
        Point(x=1, y=None)
        >>> record_from_json(Point, {"x": "1"})
        Traceback (most recent call last):
            ...
        ValueError: `x` is '1', which is no float
    """
    assert is_dataclass(record)
    checked = check_fields(record, value)
    for field in fields(record):
        if field.name not in value and field.default is field.default_factory is MISSING:
            raise ValueError(f"it has no `{field.name}`")
    return record(**checked)


def check_fields(record: type, value: Mapping[str, Any]) -> dict[str, Any]:
    """The items of a mapping that are fields of a dataclass.

    Raises:
        ValueError: A field has another type.
    """
    if not isinstance(value, Mapping):
        raise ValueError("it is no object")
    hints, checked = _type_hints(record), {}
    for name in hints.keys() & value.keys():
        if not fits(value[name], hints[name]):
            raise ValueError(f"`{name}` is {value[name]!r:.60}, which is no {_name(hints[name])}")
        checked[name] = value[name]
    return checked


@cache
def _type_hints(record: type) -> dict[str, Any]:
    known = get_type_hints(record)
    return {field.name: known[field.name] for field in fields(record)}


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of JSON has a type; anything fits a type that JSON does not have.

    Example:
        >>> fits([1, 2], tuple[float, ...] | None), fits(True, int), fits("b", Literal["a"])
        (True, False, False)
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner and not isinstance(value, list | dict)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, dict) and all(fits(each, inner[1]) for each in value.values())
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, list | tuple) and all(fits(each, inner[0]) for each in value)
    if hint is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and (isinstance(value, float) or abs(value) < MAX_FLOAT)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint) if hint in (str, bool, types.NoneType) else True


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
