"""Real data with many outliers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent

from .. import distributions
from ..distributions import to_scale
from ..errors import ArgumentError
from ._likelihood import Likelihood, as_event_shape
from ._location_scale import LocationScale

MIN_DOF = 2.0  # degrees of freedom: below there is no variance
INITIAL_EXCESS_DOF = (
    8.0  # above that, to begin with: outliers are met, and clean data are not yet paid for
)


class StudentT(Likelihood):
    """``p(x|z) = t(x; dof, loc(z), scale)`` per element: an outlier costs its logarithm, where a ``Normal`` takes its square.

    ``scale`` as in ``likelihoods.Normal``, but for ``"optimal"``. ``dof`` are the degrees of freedom: ``"shared"``, learned, one number
    for all elements, ``"per_element"``, one for each, both between 2.02 and 3200 and 10 to begin with, or a number above 2. Lange,
    Little and Taylor, Robust statistical modeling using the t distribution (1989). Raises ``ArgumentError`` for other values.

    >>> StudentT(nn.Identity(), (3,), scale=1.0, dof=4.0)(torch.zeros(5, 2)).variance[0].round(decimals=4)
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
    if isinstance(dof, str) and dof not in ("shared", "per_element"):
        raise ArgumentError(f"`dof` is {dof!r}; give shared, per_element or a number above 2.")
    if not isinstance(dof, str) and not dof > MIN_DOF:
        raise ArgumentError(
            f"`dof` is {dof}, and such a density has no variance; give a number above 2."
        )
