"""What must be the same of two models for their numbers to be of one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..data import Spec
from ..data.words import listing
from ..errors import IncompatibleError
from ..models import VAE


@dataclass(frozen=True)
class Kind:
    """What must be the same of two models for their numbers to be of one thing."""

    bounded: bool  # whether there is an ELBO
    discrete: bool  # probabilities, or densities
    event_shape: tuple[int, ...]
    given: tuple[str, ...] = ()  # what p(x) is conditional on
    data: str | None = field(default=None, compare=False)  # a name for what ``rows`` tells apart
    binarisation: str | None = None
    columns: tuple[str, ...] | None = None
    rows: str | None = None  # ``data.keys.fingerprint`` of all rows; None where all are measured on rows from elsewhere

    @staticmethod
    def of(model: VAE, spec: Spec | None = None, rows: str | None = None) -> Kind:
        """That of a model and of what it was trained on."""
        told = () if model.condition is None or model.condition.optional else tuple(factor.name for factor in model.condition.factors)
        own = Kind(model.posterior.density, model.likelihood.discrete, tuple(model.event_shape), told, rows=rows)
        return own if spec is None else replace(own, data=spec.name, binarisation=spec.binarisation, columns=spec.columns)

    def obstacle(self, other: Kind) -> str | None:
        """Why the numbers of ``other`` say nothing beside these, as what follows its name; None where they do.

        >>> pixels = Kind(True, True, (8, 8))
        >>> pixels.obstacle(Kind(True, False, (8, 8)))
        'gives densities, and the others probabilities'
        """
        if other.event_shape != self.event_shape:
            return f"is of events of shape {other.event_shape}, and the others of {self.event_shape}"
        if other.columns != self.columns:
            return f"is about other columns ({_columns(other)}; the others: {_columns(self)})"
        if other.binarisation != self.binarisation:
            return f"has another binarisation ({other.binarisation or 'none'}; the others: {self.binarisation or 'none'})"
        if other.rows != self.rows:
            named = f"{other.data}; the others: {self.data}" if other.data != self.data else f"{self.data}, and its rows are others"
            return f"is about other data ({named})"
        if other.bounded != self.bounded:
            return "is an autoencoder, which has no likelihood" if self.bounded else "has a likelihood, and the others are autoencoders"
        if other.discrete != self.discrete:
            return f"gives {_values(other.discrete)}, and the others {_values(self.discrete)}"
        if other.given != self.given:
            return f"is of p(x){_given(other.given)}, and the others of p(x){_given(self.given)}"
        return None


def check_kinds(kinds: Mapping[str, Kind]) -> None:
    """Raise ``IncompatibleError`` where numbers are not of one thing."""
    first, *others = kinds.items()
    for name, kind in others:
        if why := first[1].obstacle(kind):
            raise IncompatibleError(f"`{name}` cannot be compared with `{first[0]}`: it {why}. Leave one of them out.")


def _columns(kind: Kind) -> str:
    return listing(kind.columns) if kind.columns else "none named"


def _values(discrete: bool) -> str:
    return "probabilities" if discrete else "densities"


def _given(names: Sequence[str]) -> str:
    return f" given {listing(names)}" if names else ""
