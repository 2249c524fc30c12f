"""Optional dependencies: imported where they are used, left out where they are missing."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import MissingExtraError, missing_extra

T = TypeVar("T")


def import_sklearn(module: str, purpose: str) -> Any:
    """A module of scikit-learn; ``MissingExtraError`` where it is not installed.

    >>> import_sklearn("cluster", "clustering of latents").__name__
    'sklearn.cluster'
    """
    try:
        return importlib.import_module(f"sklearn.{module}")
    except ImportError as error:
        raise missing_extra("sklearn", purpose) from error


def none_if_not_installed(compute: Callable[[], T]) -> T | None:
    """The result, or ``None`` where it needs an extra that is not installed."""
    try:
        return compute()
    except MissingExtraError:
        return None
