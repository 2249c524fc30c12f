"""How data are put into sentences: counts, lists and near misses, phrased in one way for notes and errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def format_count(number: int, noun: str = "", plural: str | None = None) -> str:
    """A number with thousands marked, and its noun.

    >>> count(1437, "row"), count(1, "row"), count(2, "class", "classes")
    ('1,437 rows', '1 row', '2 classes')
    """
    word = noun if number == 1 else plural or f"{noun}s"
    return f"{number:,} {word}" if noun else f"{number:,}"


def format_list(names: Iterable[object], limit: int = 12) -> str:
    """The names with commas between them, cut after ``limit``.

    >>> listing(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    names = [str(name) for name in names]
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def format_shape(shape: Sequence[int]) -> str:
    """A shape as people say it.

    >>> sides((28, 20))
    '28 x 20'
    """
    return " x ".join(str(side) for side in shape)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A question that names the nearest options, with a space in front; empty when none is near.

    >>> nearest("minst", ["mnist", "digits"])
    ' Did you mean "mnist"?'
    """
    found = difflib.get_close_matches(word, list(options), n=2, cutoff=0.6)
    quoted = " or ".join(f'"{name}"' for name in found)
    return f" Did you mean {quoted}?" if found else ""
