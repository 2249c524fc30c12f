"""How a score becomes a loss whose gradient is the one wanted."""

from .doubly import DoublyReparameterised
from .gradient import Gradient
from .pathwise import Pathwise
from .score import LeaveOneOut, ScoreFunction

__all__ = ["DoublyReparameterised", "Gradient", "LeaveOneOut", "Pathwise", "ScoreFunction"]
