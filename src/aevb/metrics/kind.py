"""What must be the same of two models for their numbers to be of one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    data: str | None = None
    binarisation: str | None = None

    @staticmethod
    def of(model: VAE, spec: Spec | None = None, data: bool = True) -> Kind:
        """That of a model and of what it was trained on; ``data`` is False where all are measured on rows from elsewhere."""
        told = () if model.condition is None or model.condition.optional else tuple(factor.name for factor in model.condition.factors)
        name, binarised = (None, None) if spec is None else (spec.name if data else None, spec.binarisation)
        return Kind(model.posterior.density, model.likelihood.discrete, tuple(model.event_shape), told, name, binarised)

    def obstacle(self, other: Kind) -> str | None:
        """Why the numbers of ``other`` say nothing beside these, as what follows its name; None where they do.

        >>> pixels = Kind(True, True, (8, 8), data="digits")
        >>> pixels.obstacle(Kind(True, False, (8, 8), data="digits"))
        'gives densities, and the others probabilities'
        """
        if other.event_shape != self.event_shape:
            return f"is of events of shape {other.event_shape}, and the others of {self.event_shape}"
        if other.data != self.data:
            return f"is about other data ({other.data}; the others: {self.data})"
        if other.binarisation != self.binarisation:
            return f"has another binarisation ({other.binarisation or 'none'}; the others: {self.binarisation or 'none'})"
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


def _values(discrete: bool) -> str:
    return "probabilities" if discrete else "densities"


def _given(names: Sequence[str]) -> str:
    return f" given {listing(names)}" if names else ""
