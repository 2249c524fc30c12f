"""How much is weighed, and how, as the options of a command say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..inference import Annealing
    from ..models import VAE

SAMPLES = 100  # importance samples where nobody says how many
FEW = 10  # at least so many for a report that nobody asked for, and so many
PAIRS = {"mlp": 1_000_000, "conv": 50_000}  # (sample, row) pairs in it: half a minute


@dataclass(frozen=True)
class Weighing:
    """How log p(x) is found: by which method, with how many samples or chains per row, and with how many made-up rows in a bracket."""

    method: Literal["importance", "ais", "exact"] = "importance"
    samples: int | None = None
    temperatures: int | None = None
    defensive: float = 0.0
    bracket: int = 0
    start: Literal["posterior", "prior"] | None = None

    def __post_init__(self) -> None:
        if self.bracket < 0:
            raise ArgumentError(f"bracket={self.bracket}: give the number of rows that the model is to make up.")
        for name, value in (("temperatures", self.temperatures), ("start", self.start)):
            if value is not None and self.method != "ais" and not self.bracket:
                raise ArgumentError(f"{name}={value} with method={self.method}: it belongs to method=ais, or beside bracket=32.")

    def check(self) -> None:
        """Refuse what would change nothing, before anything is computed. Raises ``ArgumentError``."""
        from ..inference import Annealing
        from ..metrics.likelihood import check_asked

        check_asked(self.method, self.samples, self.annealing if self.method == "ais" else Annealing(), self.defensive)

    @property
    def asked(self) -> bool:
        """Whether somebody wants log p(x) found in a way of their own."""
        return self != Weighing()

    @property
    def count(self) -> int:
        """Samples or chains per row."""
        from ..metrics.likelihood import SAMPLES

        return SAMPLES[self.method] if self.samples is None else self.samples

    @property
    def chains(self) -> int:
        """Of the bracket."""
        from ..inference.ais import CHAINS

        return self.count if self.method == "ais" else CHAINS

    @property
    def annealing(self) -> Annealing:
        from ..inference import Annealing

        given: dict[str, Any] = {"temperatures": self.temperatures, "start": self.start}
        return Annealing(**{name: value for name, value in given.items() if value is not None})

    def path(self, model: VAE) -> Annealing | None:
        """Of the bracket; ``None`` where nobody says anything of it. Its start is the model's own unless that is said."""
        from ..metrics.likelihood import beginning

        if self.start is not None:
            return self.annealing
        return None if self.temperatures is None else replace(self.annealing, start=beginning(model))

    def work(self, rows: int) -> int:
        """The total of what is told on the way."""
        own = self.annealing.work(rows, self.count) if self.method == "ais" else rows * self.count
        return own + (self.annealing.work(self.bracket, self.chains, both=True) if self.bracket else 0)


@dataclass(frozen=True)
class Effort:
    """How much is weighed: so many rows, so many importance samples for each."""

    rows: int
    samples: int

    @classmethod
    def short(cls, rows: int, network: str) -> Effort:
        """At most half a minute's work.

        >>> Effort.short(180, "mlp"), Effort.short(10_000, "conv")
        (Effort(rows=180, samples=100), Effort(rows=5000, samples=10))
        """
        samples = min(max(PAIRS[network] // rows, FEW), SAMPLES)
        return cls(min(rows, PAIRS[network] // samples), samples)
