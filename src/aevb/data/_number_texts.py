"""Numbers in text: decimal commas, thousands separators, currencies, percent signs and units."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ._formatting import format_list

DecimalMark = Literal[".", ","]
EMPTY_NUMBER_TEXTS = frozenset(
    {
        "",
        "na",
        "n/a",
        "nan",
        "null",
        "?",
        "none",
        "<na>",
        "#n/a",
        "n.a.",
        "-",
        "--",
        ".",
        "..",
        "\\n",
    }
)
_CODES = "AUD|BRL|CAD|CHF|CNY|DKK|EUR|GBP|INR|JPY|NOK|PLN|SEK|USD"
_CURRENCY = rf"(?:[A-Z]{{0,3}}[$¢£¤¥₠-⃏]|(?:{_CODES}) )"
_UNIT = r"(?:[%‰°$¢£¤¥₠-⃏]|[^\W\d_])[^\s\d,;]{0,11}[²³\d]?"
_DIGITS = r"\d(?:[\d.,'’ \u00a0\u202f]*[\d.,])?|[.,]\d+"
_DECORATED = re.compile(
    rf"(?P<open>\()?(?P<sign>[-+−])?(?P<before>{_CURRENCY})?\s*(?P<inner>[-+−])?"
    rf"(?P<number>(?:{_DIGITS})(?:[eE][-+]?\d+)?)\s*(?P<after>{_UNIT})?(?P<close>\))?"
)
_INFINITY = re.compile(r"[-+]?inf(inity)?", re.IGNORECASE)
_GROUPED = r"(?:\d+|\d{{1,3}}(?P<group>[{0}'’ \u00a0\u202f])(?:\d{{2,3}}(?P=group))*\d{{3}})"
_BY_MARK: dict[DecimalMark, re.Pattern[str]] = {
    ".": re.compile(rf"(?:{_GROUPED.format(',')}(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"),
    ",": re.compile(rf"(?:{_GROUPED.format('.')}(?:,\d*)?|,\d+)(?:[eE][-+]?\d+)?"),
}


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written in the cells of a column.

    Args:
        decimal: The decimal mark.
        units: What stands beside the numbers, such as ``"$"`` or ``"kg"``.
        thousands: The separators of groups of digits.
        ambiguous: Whether the numbers could as well be read with the other decimal mark.
    """

    decimal: DecimalMark
    units: tuple[str, ...] = ()
    thousands: tuple[str, ...] = ()
    ambiguous: bool = False

    def __str__(self) -> str:
        """What is special about the numbers, as text."""
        return format_list(
            [
                *(["decimal comma"] if self.decimal == "," else []),
                *(f'thousands separator "{mark}"' for mark in self.thousands),
                *(f'without "{unit}"' for unit in self.units),
            ]
        )


@dataclass(frozen=True)
class NumberTexts:
    """Texts of a column as numbers.

    Args:
        values: The number of each text that is one; NaN for a text that stands for an empty cell.
        others: The texts that are neither, in order.
        format: How the numbers are written.
    """

    values: dict[str, float]
    others: tuple[str, ...]
    format: NumberFormat


@dataclass(frozen=True)
class _Parts:
    """A text as sign, digits with separators, and unit."""

    negative: bool
    digits: str
    unit: str


def parse_numbers(
    texts: Iterable[str],
    decimal: DecimalMark | None = None,
    *,
    usual: DecimalMark = ".",
    empty: Iterable[str] = (),
) -> NumberTexts:
    """Read the distinct texts of a column as numbers.

    Where the decimal mark is not given, it is the one that more texts agree with.

    Args:
        texts: Distinct texts without blanks around them.
        decimal: The decimal mark.
        usual: The decimal mark where both agree with as many texts.
        empty: Other texts that stand for empty cells.

    >>> parse_numbers(["1.234,5", "-7"]).values, str(parse_numbers(["$1,200", "$5"]).format)
    ({'1.234,5': 1234.5, '-7': -7.0}, 'thousands separator ",", without "$"')
    """
    markers = EMPTY_NUMBER_TEXTS | {text.lower() for text in empty}
    texts = list(texts)
    blank = {text: math.nan for text in texts if text.lower() in markers}
    infinite = {text: float(text) for text in texts if _INFINITY.fullmatch(text)}
    parts = {text: _split(text) for text in texts if text not in blank and text not in infinite}
    unit = _main_unit([part.unit for part in parts.values() if part is not None])
    found = {
        text: part for text, part in parts.items() if part is not None and part.unit in ("", unit)
    }
    decided = decimal or decide_decimal(part.digits for part in found.values())
    mark = decided or usual
    matches = {text: _BY_MARK[mark].fullmatch(part.digits) for text, part in found.items()}
    groups = {text: match["group"] for text, match in matches.items() if match is not None}
    numbers = {text: _to_number(found[text], group, mark) for text, group in groups.items()}
    form = NumberFormat(
        mark if any(mark in found[text].digits for text in numbers) else ".",
        (unit,) if any(found[text].unit for text in numbers) else (),
        tuple(sorted({group for group in groups.values() if group})),
        decided is None and any({".", ","} & set(found[text].digits) for text in numbers),
    )
    return NumberTexts(
        blank | infinite | numbers, tuple(text for text in parts if text not in numbers), form
    )


def decide_decimal(digits: Iterable[str]) -> DecimalMark | None:
    """The decimal mark that more numbers agree with; ``None`` where both agree with as many.

    >>> decide_decimal(["0,5", "1,234"]), decide_decimal(["1,234"]), decide_decimal(["1,234.5"])
    (',', None, '.')
    """
    digits = list(digits)
    point, comma = (
        sum(_BY_MARK[mark].fullmatch(text) is not None for text in digits) for mark in (".", ",")
    )
    return None if point == comma else "." if point > comma else ","


def decimal_of_column(texts: Iterable[str]) -> DecimalMark | None:
    """The decimal mark of the numbers of a column that holds numbers alone.

    >>> decimal_of_column(["1,5", "2", "NA"]), decimal_of_column(["1.5"]), decimal_of_column(["a"])
    (',', '.', None)
    """
    parts = [_split(text) for text in texts if text.lower() not in EMPTY_NUMBER_TEXTS]
    return decide_decimal(part.digits for part in parts if part) if all(parts) else None


def classify_cell(text: str) -> Literal["empty", "number", "decorated", "text"]:
    """What a cell holds; ``"decorated"`` for a number with a unit.

    >>> [classify_cell(text) for text in ("", "1,5", "12 kg", "$3", "A1", "10/03/2004")]
    ['empty', 'number', 'decorated', 'decorated', 'text', 'text']
    """
    if text.strip().lower() in EMPTY_NUMBER_TEXTS:
        return "empty"
    part = _split(text.strip())
    if part is None or not any(each.fullmatch(part.digits) for each in _BY_MARK.values()):
        return "text"
    return "decorated" if part.unit else "number"


def _split(text: str) -> _Parts | None:
    """The parts of a text that may be a number."""
    match = _DECORATED.fullmatch(text)
    if match is None or (match["open"] is None) != (match["close"] is None):
        return None
    signs = [sign for sign in (match["sign"], match["inner"], match["open"]) if sign]
    if len(signs) > 1 or (match["before"] and match["after"]):
        return None
    unit = (match["before"] or match["after"] or "").strip()
    return _Parts(bool(signs) and signs[0] != "+", match["number"], unit)


def _main_unit(units: list[str]) -> str:
    """The unit of at least half of the numbers; nothing where there is none."""
    unit, count = Counter(units).most_common(1)[0] if units else ("", 0)
    return unit if 2 * count >= len(units) else ""


def _to_number(part: _Parts, group: str | None, mark: DecimalMark) -> float:
    """The number of the parts."""
    digits = part.digits.replace(group, "") if group else part.digits
    value = float(digits.replace(mark, "."))
    return -value if part.negative else value
