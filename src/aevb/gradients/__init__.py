"""How a score becomes a loss whose gradient is the one wanted."""

from .doubly import DoublyReparameterised
from .em import MonteCarloEM
from .enumerate import Enumerate
from .gradient import Gradient
from .labels import EnumerateLabels
from .pathwise import Pathwise
from .rebar import REBAR
from .relaxed import Relaxed, StraightThrough
from .score import LeaveOneOut, ScoreFunction
from .wake_sleep import ReweightedWakeSleep, WakeSleep

__all__ = [
    "REBAR",
    "DoublyReparameterised",
    "Enumerate",
    "EnumerateLabels",
    "Gradient",
    "LeaveOneOut",
    "MonteCarloEM",
    "Pathwise",
    "Relaxed",
    "ReweightedWakeSleep",
    "ScoreFunction",
    "StraightThrough",
    "WakeSleep",
]
