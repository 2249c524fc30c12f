"""What was read and what was chosen: the record that data, presets, persistence and the report share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Support = Literal["binary", "levels", "unit", "real"]


@dataclass(frozen=True)
class Spec:
    """What the data are, and what model suits them.

    ``support`` is ``binary`` (0 or 1), ``levels`` (integers 0 ... levels-1), ``unit`` (the interval [0, 1]) or ``real``.
    ``shift`` and ``scale`` (one number, or one per element of the event in row-major order) bring the data to mean 0 and deviation 1, or
    to [0, 1]: the model divides by ``scale`` at its door and adds the log-Jacobian, so that log-densities stay in the units of the data.
    """

    name: str
    event_shape: tuple[int, ...]
    support: Support
    likelihood: str
    network: Literal["mlp", "conv"]
    levels: int | None = None
    shift: tuple[float, ...] = (0.0,)
    scale: tuple[float, ...] = (1.0,)
    binarisation: Literal["dynamic", "fixed"] | None = None
    columns: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    said: tuple[str, ...] = ()

    @property
    def discrete(self) -> bool:
        """Whether the data are counted in steps, so that a probability (and bits per dimension) makes sense."""
        return self.support in ("binary", "levels")

    @property
    def image(self) -> bool:
        """Whether the event is an image: ``(H, W)`` or ``(C, H, W)``."""
        return len(self.event_shape) in (2, 3)
