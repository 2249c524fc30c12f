"""Counts, lists, shapes and near misses as text for notes and errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from ..errors import DataError
from ..notes import Argument, Text, message


def format_count(number: int, noun: str = "", plural: str | None = None) -> str:
    """A number with a thousands separator, and its noun.

    >>> format_count(1437, "row"), format_count(1, "row"), format_count(2, "class", "classes")
    ('1,437 rows', '1 row', '2 classes')
    """
    word = noun if number == 1 else plural or f"{noun}s"
    return f"{number:,} {word}" if noun else f"{number:,}"


def format_list(names: Iterable[object], limit: int = 12) -> str:
    """The names with commas between them, cut after ``limit`` names.

    >>> format_list(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def format_shape(shape: Sequence[int]) -> str:
    """A shape with multiplication signs.

    >>> format_shape((28, 20))
    '28 x 20'
    """
    return " x ".join(str(side) for side in shape)


def suggest_nearest(
    word: str, names: Iterable[str], argument: str | None = None
) -> tuple[Text, ...]:
    """The question whether one of the nearest names was meant; nothing where no name is near.

    Args:
        word: The unknown name.
        names: The known names.
        argument: The argument that takes the name; ``None`` for a name inside the data.

    >>> [str(text) for text in suggest_nearest("minst", ["mnist", "digits"], "source")]
    ['Did you mean source="mnist"?']
    """
    near = difflib.get_close_matches(word, list(names), n=2, cutoff=0.6)
    if not near:
        return ()
    fields = {f"name_{place}": name for place, name in enumerate(near)}
    template = " or ".join(f"{{{field}}}" for field in fields)
    return (
        message(
            f"Did you mean {template}?",
            **{
                field: f'"{name}"' if argument is None else Argument(argument, name)
                for field, name in fields.items()
            },
        ),
    )


def source_error(reason: Text, *suggestions: Text, argument: str = "source") -> DataError:
    """The error for data that cannot be read or used."""
    return DataError(reason, argument=argument, suggestions=suggestions)
