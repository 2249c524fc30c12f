"""The register of posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from .._conditional import Conditional
from .._registry import FamilyRegistration
from ..priors._registration import LatentSupport


@dataclass(frozen=True, kw_only=True)
class PosteriorRegistration(FamilyRegistration):
    """Description of a posterior.

    Args:
        support: Where the latent lies.
        prior: Name of the prior to use with the posterior where the caller chooses none.
        reparameterised: Whether gradients pass through its draws; the others need a gradient
            estimator such as ``gradients.LeaveOneOut``.
    """

    role: ClassVar[str] = "posterior"
    argument: ClassVar[str] = "posterior"
    package: ClassVar[str] = "posteriors"
    supplied: ClassVar[tuple[str, ...]] = ("network", "latent")
    support: LatentSupport = "real"
    prior: str = "normal"
    reparameterised: bool = True


def build_posterior(
    name: str, network: nn.Module, latent: int | Sequence[int], **options: Any
) -> Conditional:
    """Build a posterior by name.

    Args:
        name: A registered name, such as ``"normal"`` or ``"iaf"``.
        network: Maps data to features.
        latent: Number of latent variables, or ``(variables, categories)``.
        **options: Arguments of the class, such as ``transforms``.

    Returns:
        The posterior.

    Raises:
        ArgumentError: The name is not registered, or an option is unknown or has a wrong value.
        IncompatibleError: The posterior needs more than one network, such as a codebook.

    Example:
        >>> import torch
        >>> posterior = build_posterior("planar", nn.Identity(), 2, steps=4)
        >>> posterior(torch.zeros(5, 3)).rsample().shape
        torch.Size([5, 2])
    """
    entry = PosteriorRegistration.find(name)
    return entry.build({"network": network, "latent": latent}, options)
