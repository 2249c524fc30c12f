"""Runs: train, open, measure, compare and sweep, with the names and numbers of the command line.

Example:
    >>> from aevb.runs import ModelSettings, RunSettings, TrainingSettings
    >>> settings = RunSettings(
    ...     "digits",
    ...     model=ModelSettings(latent=2, hidden=(16,)),
    ...     training=TrainingSettings(epochs=1),
    ... )
    >>> run = settings.fit(progress=False)
    >>> run.title
    'vae, latent 2, data digits'
    >>> run.evaluate(samples=5).n
    180
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._candidates import CANDIDATES, Candidate
    from ._comparison import ComparedRun, RunComparison, compare
    from ._conditions import ConditionalRows
    from ._impute import TableImputation
    from ._run import Run, next_run_folder
    from ._score import TableScores
    from ._settings import (
        DataSettings,
        ModelSettings,
        ReadingSettings,
        RunSettings,
        TrainingSettings,
    )
    from ._sweep import SweepSettings, sweep
    from ._sweep_result import Combination, SweepResult, SweepRun
    from ._tune import tune

# Modules are imported on first use: the command line reads the settings before torch is imported.
_LAZY_IMPORTS = {
    "CANDIDATES": "_candidates",
    "Candidate": "_candidates",
    "Combination": "_sweep_result",
    "ComparedRun": "_comparison",
    "ConditionalRows": "_conditions",
    "DataSettings": "_settings",
    "ModelSettings": "_settings",
    "ReadingSettings": "_settings",
    "Run": "_run",
    "RunComparison": "_comparison",
    "RunSettings": "_settings",
    "SweepResult": "_sweep_result",
    "SweepRun": "_sweep_result",
    "SweepSettings": "_sweep",
    "TableImputation": "_impute",
    "TableScores": "_score",
    "TrainingSettings": "_settings",
    "compare": "_comparison",
    "next_run_folder": "_run",
    "sweep": "_sweep",
    "tune": "_tune",
}

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Combination",
    "ComparedRun",
    "ConditionalRows",
    "DataSettings",
    "ModelSettings",
    "ReadingSettings",
    "Run",
    "RunComparison",
    "RunSettings",
    "SweepResult",
    "SweepRun",
    "SweepSettings",
    "TableImputation",
    "TableScores",
    "TrainingSettings",
    "compare",
    "next_run_folder",
    "sweep",
    "tune",
]


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported on first use."""
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_LAZY_IMPORTS[name]}", __name__), name)
    globals()[name] = value
    return value
