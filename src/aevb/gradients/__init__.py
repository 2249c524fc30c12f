"""Gradient estimators: how the target of an objective becomes a loss to differentiate."""

from ._doubly_reparameterised import DoublyReparameterised
from ._enumerate import Enumerate
from ._enumerate_labels import EnumerateLabels
from ._gradient import Gradient, GradientRegistration
from ._monte_carlo_em import MonteCarloEM
from ._pathwise import Pathwise
from ._rebar import REBAR
from ._relaxed import Relaxed, StraightThrough
from ._score_function import LeaveOneOut, ScoreFunction
from ._wake_sleep import ReweightedWakeSleep, WakeSleep

__all__ = [
    "REBAR",
    "DoublyReparameterised",
    "Enumerate",
    "EnumerateLabels",
    "Gradient",
    "GradientRegistration",
    "LeaveOneOut",
    "MonteCarloEM",
    "Pathwise",
    "Relaxed",
    "ReweightedWakeSleep",
    "ScoreFunction",
    "StraightThrough",
    "WakeSleep",
]
