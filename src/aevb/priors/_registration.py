"""The register of priors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from .._conditional import Conditional, Unconditional
from .._registry import FamilyRegistration

LatentSupport = Literal[
    "ball", "discrete", "positive", "real", "simplex", "sphere", "unit_interval"
]
SUPPORTS_AROUND: Final[dict[LatentSupport, tuple[LatentSupport, ...]]] = {
    "positive": ("positive", "real"),
    "unit_interval": ("unit_interval", "positive", "real"),
}


def is_support_within(inner: LatentSupport, outer: LatentSupport) -> bool:
    """Whether a posterior with support ``inner`` fits a prior with support ``outer``.

    Example:
        >>> is_support_within("positive", "real"), is_support_within("real", "positive")
        (True, False)
    """
    return outer in SUPPORTS_AROUND.get(inner, (inner,))


@dataclass(frozen=True, kw_only=True)
class PriorRegistration(FamilyRegistration):
    """Description of a prior.

    Args:
        support: Where the latent lies.
        posterior: Name of the posterior to use with the prior where the caller chooses none.
    """

    role: ClassVar[str] = "prior"
    argument: ClassVar[str] = "prior"
    package: ClassVar[str] = "priors"
    supplied: ClassVar[tuple[str, ...]] = ("latent", "posterior", "event_shape", "low", "high")
    support: LatentSupport = "real"
    posterior: str = "normal"


def build_prior(
    name: str,
    latent: int | Sequence[int],
    *,
    posterior: Conditional | None = None,
    event_shape: Sequence[int] | None = None,
    value_range: tuple[float | None, float | None] = (None, None),
    **options: Any,
) -> Unconditional:
    """Build a prior by name.

    Args:
        name: A registered name, such as ``"mixture"`` or ``"vamp"``.
        latent: Number of latent variables, or ``(variables, categories)``.
        posterior: The posterior of the model, for priors that share it (``vamp``).
        event_shape: Shape of a row of data, for priors with pseudo-data (``vamp``).
        value_range: Smallest and largest value of the data, ``None`` where there is no bound.
        **options: Arguments of the class, such as ``components``.

    Returns:
        The prior.

    Raises:
        ArgumentError: The name is not registered, or an option is unknown or has a wrong value.
        IncompatibleError: The prior needs more than a latent vector, such as a codebook.

    Example:
        >>> import torch
        >>> build_prior("mixture", 2, components=3)().log_prob(torch.zeros(5, 2)).shape
        torch.Size([5])
    """
    low, high = value_range
    supplied = {
        "latent": latent,
        "posterior": posterior,
        "event_shape": None if event_shape is None else list(event_shape),
        "low": low,
        "high": high,
    }
    return PriorRegistration.find(name).build(supplied, options)
