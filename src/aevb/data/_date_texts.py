"""Dates in text: the format of a column, and its dates as seconds since 1970."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

ISO = "iso"
FORMATS = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%m.%d.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d %b %Y",
    "%b %d %Y",
    "%b %d, %Y",
)
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
_LIKELY = re.compile(r".*\d[/. -].*\d")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def find_date_format(texts: Iterable[str]) -> str:
    """The format in which all texts are dates; empty where there is none.

    Where day and month could be exchanged, the day is first.

    >>> find_date_format(["2004-03-10", "2004-03-10 18:30"]), find_date_format(["03/28/2004"])
    ('iso', '%m/%d/%Y')
    """
    texts = list(texts)
    if not texts or _LIKELY.match(texts[0]) is None:
        return ""
    for form in (ISO, *FORMATS):
        try:
            for text in texts:
                parse_date(text, form)
        except ValueError:
            continue
        return form
    return ""


def parse_date(text: str, form: str) -> float:
    """Seconds since 1970; a date without a time zone counts as UTC.

    Args:
        text: The text.
        form: Its format.

    Raises:
        ValueError: The text is something else.

    >>> parse_date("2/1/1970", "%d/%m/%Y")
    86400.0
    """
    if form != ISO:
        value = dt.datetime.strptime(text.strip(), form)
    elif _ISO.fullmatch(text.strip()):
        value = dt.datetime.fromisoformat(text.strip())
    else:
        raise ValueError(text)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return (value - _EPOCH).total_seconds()
