"""Likelihood of real data with many outliers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from .._registry import register
from ..distributions import to_scale
from ..errors import ArgumentError, one_of
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale
from ._registration import LikelihoodRegistration

MIN_DOF = 2.0  # degrees of freedom: below there is no variance
INITIAL_EXCESS_DOF = 8.0  # robust to outliers at little cost for clean data


@register(
    LikelihoodRegistration(
        title="Student t",
        paper="Lange, Little and Taylor 1989",
        kinds=("continuous",),
        scaling="standardise",
        defaults={"scale": "per_element"},
        use_when="real numbers with many or extreme outliers",
        cost="as normal, and learned degrees of freedom",
        avoid_when="tails are light: normal is simpler",
    )
)
class StudentT(Likelihood):
    """``p(x|z) = t(x; dof, loc(z), scale)`` per element.

    An outlier costs its logarithm, where a ``Normal`` charges its square.

    Lange, Little and Taylor, Robust statistical modeling using the t distribution (1989).

    Args:
        network: Maps latents to features; the parameters are a linear map of the features.
        event_shape: Shape of a row of data.
        scale: As in ``likelihoods.Normal``, without ``"optimal"``.
        dof: Degrees of freedom: ``"shared"`` (learned, one number), ``"per_element"`` (learned, one
            per element), both between 2.02 and 3200 and initially 10, or a number above 2.
        latent_rank: Number of axes of a latent.

    Raises:
        ArgumentError: ``scale`` or ``dof`` has another value.

    Example:
        >>> StudentT(nn.Identity(), (3,), scale=1.0, dof=4.0)(torch.zeros(5, 2)).variance[0].round(
        ...     decimals=4
        ... )
        tensor([2., 2., 2.]...)
    """

    fixed_dof: Tensor

    def __init__(
        self,
        network: nn.Module,
        event_shape: Sequence[int],
        scale: float | str = "shared",
        dof: float | str = "shared",
        latent_rank: int = 1,
    ) -> None:
        super().__init__()
        _check_dof(dof)
        self.event_shape = as_event_shape(event_shape)
        self.noise = LocationScale(network, self.event_shape, scale, latent_rank)
        shapes = {"shared": (), "per_element": self.event_shape}
        self.dof_raw = nn.Parameter(torch.zeros(shapes[dof])) if isinstance(dof, str) else None
        self.register_buffer(
            "fixed_dof", torch.tensor(0.0 if isinstance(dof, str) else float(dof)), persistent=False
        )

    def forward(self, input: Tensor, context: Tensor | None = None) -> Independent:
        loc, scale = self.noise(input, context)
        return Independent(
            distributions.StudentT(loc, scale, self.dof), len(self.event_shape), validate_args=False
        )

    @property
    def dof(self) -> Tensor:
        """The degrees of freedom, ``[]`` or ``[*event]``."""
        return (
            self.fixed_dof
            if self.dof_raw is None
            else MIN_DOF + INITIAL_EXCESS_DOF * to_scale(self.dof_raw)
        )


def _check_dof(dof: float | str) -> None:
    kinds = ("shared", "per_element")
    if dof not in kinds if isinstance(dof, str) else not dof > MIN_DOF:
        raise ArgumentError(
            "give a number above 2, below which the density has no variance, or a word",
            argument="dof",
            value=dof,
            suggestions=(one_of("dof", kinds),),
        )
