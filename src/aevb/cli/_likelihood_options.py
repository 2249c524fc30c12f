"""How much is weighed, and how, as the options of a command say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..inference import AISOptions
    from ..models import VAE

DEFAULT_IMPORTANCE_SAMPLES = 100  # importance samples where nobody says how many
MIN_REPORT_SAMPLES = 10  # at least so many for a report that nobody asked for, and so many
REPORT_PAIR_BUDGET = {"mlp": 1_000_000, "conv": 50_000}  # (sample, row) pairs in it: half a minute


@dataclass(frozen=True)
class LikelihoodOptions:
    """How log p(x) is found: by which method, with how many samples or chains per row, and with how many made-up rows in a bracket."""

    method: Literal["importance", "ais", "exact"] = "importance"
    samples: int | None = None
    temperatures: int | None = None
    defensive: float = 0.0
    bracket: int = 0
    start: Literal["posterior", "prior"] | None = None

    def __post_init__(self) -> None:
        if self.bracket < 0:
            raise ArgumentError(
                f"bracket={self.bracket}: give the number of rows that the model is to make up."
            )
        for name, value in (("temperatures", self.temperatures), ("start", self.start)):
            if value is not None and self.method != "ais" and not self.bracket:
                raise ArgumentError(
                    f"{name}={value} with method={self.method}: it belongs to method=ais, or beside bracket=32."
                )

    def check(self) -> None:
        """Refuse what would change nothing, before anything is computed. Raises ``ArgumentError``."""
        from ..inference import AISOptions
        from ..metrics._log_likelihood import check_likelihood_arguments

        check_likelihood_arguments(
            self.method,
            self.samples,
            self.annealing if self.method == "ais" else AISOptions(),
            self.defensive,
        )

    @property
    def is_custom(self) -> bool:
        """Whether somebody wants log p(x) found in a way of their own."""
        return self != LikelihoodOptions()

    @property
    def samples_per_row(self) -> int:
        """Samples or chains per row."""
        from ..metrics._log_likelihood import LIKELIHOOD_SAMPLES

        return LIKELIHOOD_SAMPLES[self.method] if self.samples is None else self.samples

    @property
    def bracket_chains(self) -> int:
        """Of the bracket."""
        from ..inference._ais import DEFAULT_CHAINS

        return self.samples_per_row if self.method == "ais" else DEFAULT_CHAINS

    @property
    def annealing(self) -> AISOptions:
        from ..inference import AISOptions

        given: dict[str, Any] = {"temperatures": self.temperatures, "start": self.start}
        return AISOptions(**{name: value for name, value in given.items() if value is not None})

    def bracket_annealing(self, model: VAE) -> AISOptions | None:
        """Of the bracket; ``None`` where nobody says anything of it. Its start is the model's own unless that is said."""
        from ..metrics._log_likelihood import default_chain_start

        if self.start is not None:
            return self.annealing
        return (
            None
            if self.temperatures is None
            else replace(self.annealing, start=default_chain_start(model))
        )

    def total_work(self, n_rows: int) -> int:
        """The total of what is told on the way."""
        own = (
            self.annealing.total_moves(n_rows, self.samples_per_row)
            if self.method == "ais"
            else n_rows * self.samples_per_row
        )
        return own + (
            self.annealing.total_moves(self.bracket, self.bracket_chains, bidirectional=True)
            if self.bracket
            else 0
        )


@dataclass(frozen=True)
class EvaluationBudget:
    """How much is weighed: so many rows, so many importance samples for each."""

    n_rows: int
    samples: int

    @classmethod
    def for_report(cls, n_rows: int, network: str) -> EvaluationBudget:
        """At most half a minute's work.

        >>> EvaluationBudget.short(180, "mlp"), EvaluationBudget.short(10_000, "conv")
        (Effort(rows=180, samples=100), Effort(rows=5000, samples=10))
        """
        samples = min(
            max(REPORT_PAIR_BUDGET[network] // n_rows, MIN_REPORT_SAMPLES),
            DEFAULT_IMPORTANCE_SAMPLES,
        )
        return cls(min(n_rows, REPORT_PAIR_BUDGET[network] // samples), samples)
