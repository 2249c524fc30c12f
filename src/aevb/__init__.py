"""Auto-encoding variational Bayes: generative models, and numbers that mean what they say."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from . import (
        data,
        gradients,
        inference,
        likelihoods,
        metrics,
        networks,
        objectives,
        posteriors,
        presets,
        priors,
        runs,
    )
    from ._conditional import Conditional, Unconditional
    from ._persistence import load, save
    from ._recipe import Recipe
    from .errors import AevbError
    from .metrics import evaluate
    from .models import VAE
    from .runs import Run, compare, sweep
    from .training import FitResult, fit, fit_many, fit_prior
    from .types import Batch

# The module of each name, imported on first use: `aevb --help` answers without torch.
_LAZY_IMPORTS = {
    "VAE": "models",
    "AevbError": "errors",
    "Batch": "types",
    "Conditional": "_conditional",
    "FitResult": "training",
    "Recipe": "_recipe",
    "Run": "runs",
    "Unconditional": "_conditional",
    "compare": "runs",
    "evaluate": "metrics",
    "fit": "training",
    "fit_many": "training",
    "fit_prior": "training",
    "load": "_persistence",
    "save": "_persistence",
    "sweep": "runs",
}

__all__ = [
    "VAE",
    "AevbError",
    "Batch",
    "Conditional",
    "FitResult",
    "Recipe",
    "Run",
    "Unconditional",
    "compare",
    "data",
    "evaluate",
    "fit",
    "fit_many",
    "fit_prior",
    "gradients",
    "inference",
    "likelihoods",
    "load",
    "metrics",
    "networks",
    "objectives",
    "posteriors",
    "presets",
    "priors",
    "runs",
    "save",
    "sweep",
]


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, or a module of the package, imported on first use."""
    if name in _LAZY_IMPORTS:
        value = getattr(importlib.import_module(f".{_LAZY_IMPORTS[name]}", __name__), name)
    elif name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        try:
            value = importlib.import_module(f".{name}", __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
