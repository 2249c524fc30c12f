"""The register of likelihoods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from torch import nn

from .._registry import FamilyRegistration
from ..networks._column import Measure
from ..networks._condition import Condition
from ._likelihood import Likelihood

DataKind = Literal[
    "angle",
    "binary",
    "bounded",
    "categorical",
    "continuous",
    "count",
    "deep_level",
    "level",
    "ordinal",
    "positive",
    "proportion",
]
Scaling = Literal["none", "levels", "mean", "size", "standardise", "unit_interval"]


@dataclass(frozen=True)
class ValueRange:
    """The values that a kind of data may have.

    Args:
        description: The values in words.
        contains: Whether data with this minimum, this maximum and only whole numbers (or not) fit.
    """

    description: str
    contains: Callable[[float, float, bool], bool]


_BYTES: Final = ValueRange(
    "whole numbers from 0 to 255", lambda low, high, whole: whole and low >= 0 and high <= 255
)
VALUE_RANGES: Final[dict[DataKind, ValueRange]] = {
    "angle": ValueRange(
        "angles in radians from -pi to pi",
        lambda low, high, whole: low >= -3.1416 and high <= 3.1416,
    ),
    "binary": ValueRange("0 or 1", lambda low, high, whole: whole and low >= 0 and high <= 1),
    "bounded": ValueRange("in [0, 1]", lambda low, high, whole: low >= 0 and high <= 1),
    "categorical": _BYTES,
    "continuous": ValueRange("any real numbers", lambda low, high, whole: True),
    "count": ValueRange("whole numbers from 0", lambda low, high, whole: whole and low >= 0),
    "deep_level": ValueRange(
        "up to 65535 (16 bits)", lambda low, high, whole: whole and low >= 0 and high <= 65535
    ),
    "level": _BYTES,
    "ordinal": _BYTES,
    "positive": ValueRange("above 0", lambda low, high, whole: low > 0),
    "proportion": ValueRange("above 0 and below 1", lambda low, high, whole: low > 0 and high < 1),
}


@dataclass(frozen=True, kw_only=True)
class LikelihoodRegistration(FamilyRegistration):
    """Description of a likelihood.

    Args:
        kinds: Kinds of data that the likelihood fits, the closest first.
        scaling: How the data are scaled: ``"standardise"`` to mean 0 and deviation 1, ``"size"`` to
            mean 1 without a shift, ``"unit_interval"`` to [0, 1], each inside
            ``likelihoods.Scaled``; ``"mean"`` not at all, with the mean of the data as ``unit``;
            ``"levels"`` for the networks alone; ``"none"`` not at all.

    Example:
        >>> from torch import nn
        >>> entry = LikelihoodRegistration.find("negative-binomial")
        >>> entry.title, entry.kinds, entry.scaling, entry.measure
        ('negative binomial', ('count',), 'mean', 'probability')
        >>> entry.from_network(nn.Identity(), (3,), unit=7.0, concentration="shared").event_shape
        (3,)
    """

    role: ClassVar[str] = "likelihood"
    argument: ClassVar[str] = "likelihood"
    package: ClassVar[str] = "likelihoods"
    supplied: ClassVar[tuple[str, ...]] = (
        "network",
        "event_shape",
        "levels",
        "categories",
        "unit",
        "latent_rank",
        "condition",
    )
    kinds: tuple[DataKind, ...] = ()
    scaling: Scaling = "none"

    @property
    def measure(self) -> Measure:
        """Whether rows have a density, a probability, or both."""
        return self.target.measure

    @property
    def has_levels(self) -> bool:
        """Whether the likelihood has a fixed number of values."""
        return bool({"levels", "categories"} & set(self.parameters))

    @property
    def rescales(self) -> bool:
        """Whether scaled data are scored inside ``likelihoods.Scaled``."""
        return self.scaling in ("standardise", "size", "unit_interval")

    @property
    def values(self) -> str:
        """The values that the likelihood is for, in words."""
        return ", or ".join(dict.fromkeys(VALUE_RANGES[kind].description for kind in self.kinds))

    def accepts(self, low: float, high: float, whole: bool) -> bool:
        """Whether data fit the likelihood.

        Args:
            low: The smallest value.
            high: The largest value.
            whole: Whether all values are whole numbers.
        """
        return any(VALUE_RANGES[kind].contains(low, high, whole) for kind in self.kinds)

    def from_network(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        *,
        levels: int | None = None,
        unit: float = 1.0,
        latent_rank: int = 1,
        condition: Condition | None = None,
        **options: Any,
    ) -> Likelihood:
        """Build the likelihood on the features of a decoder network.

        Args:
            network: Maps latents to features.
            event_shape: Shape of a row of data.
            levels: Number of values of data with levels, 256 by default.
            unit: Mean of the data, for likelihoods with ``scaling="mean"``.
            latent_rank: Number of axes of a latent.
            condition: A condition with a library size, for counts.
            **options: Arguments of the class, such as ``scale`` or ``concentration``.

        Raises:
            IncompatibleError: The likelihood wraps another one and is not built by name.
            ArgumentError: The likelihood has no such option, or an option has a wrong value.
        """
        count = 256 if levels is None else levels
        supplied = {
            "network": network,
            "event_shape": list(event_shape),
            "levels": count,
            "categories": count,
            "unit": unit,
            "latent_rank": latent_rank,
            "condition": condition,
        }
        return self.build(supplied, options)
