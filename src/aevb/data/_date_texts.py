"""Dates in text: the format of a column, and its dates as seconds since 1970."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable

ISO = "iso"
_DAY, _MINUTE = r"\d{4}-\d\d-\d\d", r"\d\d:\d\d"
_ISO_FORMATS = {
    "%Y-%m-%d": re.compile(_DAY),
    "%Y-%m-%d %H:%M:%S": re.compile(rf"{_DAY} {_MINUTE}:\d\d"),
    "%Y-%m-%dT%H:%M:%S": re.compile(rf"{_DAY}T{_MINUTE}:\d\d"),
    "%Y-%m-%d %H:%M": re.compile(rf"{_DAY} {_MINUTE}"),
    ISO: re.compile(rf"{_DAY}([T ]{_MINUTE}.*)?"),
}
_OTHER_FORMATS = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d %b %Y",
    "%b %d %Y",
    "%b %d, %Y",
)
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
    for form in (*_ISO_FORMATS, *_OTHER_FORMATS):
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
        form: Its format, ``"iso"`` or one of ``strptime``.

    Raises:
        ValueError: The text is something else.

    >>> parse_date("2/1/1970", "%d/%m/%Y")
    86400.0
    """
    text = text.strip()
    if form not in _ISO_FORMATS:
        value = dt.datetime.strptime(text, form)
    elif _ISO_FORMATS[form].fullmatch(text):
        value = dt.datetime.fromisoformat(text)
    else:
        raise ValueError(text)
    if value.tzinfo is None:
        value = value.replace(tzinfo=dt.UTC)
    return (value - _EPOCH).total_seconds()


def format_date(seconds: float, form: str) -> str:
    """The text of a date.

    Args:
        seconds: Seconds since 1970.
        form: The format of its column.

    >>> format_date(86400.0, "%d/%m/%Y"), format_date(90061.0, "iso")
    ('02/01/1970', '1970-01-02 01:01:01')
    """
    value = _EPOCH + dt.timedelta(seconds=round(seconds))
    return value.strftime("%Y-%m-%d %H:%M:%S" if form == ISO else form)
