"""Checks of the errors that the library raises on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aevb import AevbError


@contextmanager
def refused(
    error: type[AevbError], argument: str | None = None, *mentioned: str
) -> Iterator[pytest.ExceptionInfo[AevbError]]:
    """Expect an error about an argument whose text mentions parts, numbers or names."""
    with pytest.raises(error) as caught:
        yield caught
    assert argument is None or caught.value.argument == argument
    for text in mentioned:
        assert text in str(caught.value)


@contextmanager
def refused_by_name(error: type[AevbError]) -> Iterator[None]:
    """Expect an error that names an argument."""
    with pytest.raises(error) as caught:
        yield
    assert caught.value.argument or re.search(r"`[\w\[\]]+`", str(caught.value))
