"""What must be the same of two models for their numbers to be of one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..data import Spec
from ..data._formatting import format_list
from ..errors import IncompatibleError
from ..models import VAE


@dataclass(frozen=True)
class ComparabilityKey:
    """What must be the same of two models for their numbers to be of one thing."""

    has_elbo: bool  # whether there is an ELBO
    discrete: bool  # probabilities, or densities
    event_shape: tuple[int, ...]
    condition_names: tuple[str, ...] = ()  # what p(x) is conditional on
    data_name: str | None = field(
        default=None, compare=False
    )  # a name for what ``rows`` tells apart
    binarisation: str | None = None
    columns: tuple[str, ...] | None = None
    rows_fingerprint: str | None = (
        None  # ``data.keys.fingerprint`` of all rows; None where all are measured on rows from elsewhere
    )

    @staticmethod
    def from_model(
        model: VAE, spec: Spec | None = None, rows_fingerprint: str | None = None
    ) -> ComparabilityKey:
        """That of a model and of what it was trained on."""
        told = (
            ()
            if model.condition is None or model.condition.is_optional
            else tuple(factor.name for factor in model.condition.variables)
        )
        own = ComparabilityKey(
            model.posterior.has_density,
            model.likelihood.discrete,
            tuple(model.event_shape),
            told,
            rows_fingerprint=rows_fingerprint,
        )
        return (
            own
            if spec is None
            else replace(
                own, data_name=spec.name, binarisation=spec.binarisation, columns=spec.columns
            )
        )

    def reason_incomparable(self, other: ComparabilityKey) -> str | None:
        """Why the numbers of ``other`` say nothing beside these, as what follows its name; None where they do.

        >>> pixels = Kind(True, True, (8, 8))
        >>> pixels.obstacle(Kind(True, False, (8, 8)))
        'gives densities, and the others probabilities'
        """
        if other.event_shape != self.event_shape:
            return (
                f"is of events of shape {other.event_shape}, and the others of {self.event_shape}"
            )
        if other.columns != self.columns:
            return (
                f"is about other columns ({_column_list(other)}; the others: {_column_list(self)})"
            )
        if other.binarisation != self.binarisation:
            return f"has another binarisation ({other.binarisation or 'none'}; the others: {self.binarisation or 'none'})"
        if other.rows_fingerprint != self.rows_fingerprint:
            named = (
                f"{other.data_name}; the others: {self.data_name}"
                if other.data_name != self.data_name
                else f"{self.data_name}, and its rows are others"
            )
            return f"is about other data ({named})"
        if other.has_elbo != self.has_elbo:
            return (
                "is an autoencoder, which has no likelihood"
                if self.has_elbo
                else "has a likelihood, and the others are autoencoders"
            )
        if other.discrete != self.discrete:
            return f"gives {_kind_of_density(other.discrete)}, and the others {_kind_of_density(self.discrete)}"
        if other.condition_names != self.condition_names:
            return f"is of p(x){_given_clause(other.condition_names)}, and the others of p(x){_given_clause(self.condition_names)}"
        return None


def check_comparable(keys: Mapping[str, ComparabilityKey]) -> None:
    """Raise ``IncompatibleError`` where numbers are not of one thing."""
    first, *others = keys.items()
    for name, kind in others:
        if why := first[1].reason_incomparable(kind):
            raise IncompatibleError(
                f"`{name}` cannot be compared with `{first[0]}`: it {why}. Leave one of them out."
            )


def _column_list(key: ComparabilityKey) -> str:
    return format_list(key.columns) if key.columns else "none named"


def _kind_of_density(discrete: bool) -> str:
    return "probabilities" if discrete else "densities"


def _given_clause(names: Sequence[str]) -> str:
    return f" given {format_list(names)}" if names else ""
