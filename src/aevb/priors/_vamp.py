"""The prior that is the posterior of made-up data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from .._conditional import Conditional, Unconditional
from .._shapes import as_shape
from ..distributions import NormalMixture
from ..errors import ArgumentError, IncompatibleError


class Vamp(Unconditional):
    """``p(z) = 1/C sum_c q(z | u_c)`` with learned pseudo-data ``u_c``. Tomczak and Welling, VAE with a VampPrior (2018).

    Shares ``posterior`` (a diagonal Gaussian) with the model. The pseudo-data ``[C, *event_shape]`` stay between ``low`` and ``high``
    (``None``: they may go anywhere). ``fit`` makes them begin as rows of the data; before that they are noise.

    Raises ``ArgumentError`` for less than 1 component.
    """

    initialised: Tensor

    def __init__(
        self,
        posterior: Conditional,
        event_shape: int | Sequence[int],
        components: int = 500,
        low: float | None = 0.0,
        high: float | None = 1.0,
    ) -> None:
        super().__init__()
        if components < 1:
            raise ArgumentError(f"`components` is {components}; give at least 1.")
        self.posterior, self.low, self.high = posterior, low, high
        shape = (components, *as_shape("event_shape", event_shape))
        self.register_buffer("initialised", torch.tensor(False))
        self.pseudo_inputs = nn.Parameter(
            torch.randn(shape)
            if low is None or high is None
            else low + (high - low) * torch.rand(shape)
        )

    @torch.no_grad()
    def initialise_from_data(self, x: Tensor, context: Tensor | None = None) -> None:
        """Begin as data, pulled a little towards the middle: what lies on an edge could leave it by rounding and learn no more."""
        if self.initialised:
            return
        self.initialised.fill_(True)
        rows = x[torch.arange(len(self.pseudo_inputs), device=x.device) % len(x)]
        if self.low is not None and self.high is not None:
            middle = (self.low + self.high) / 2
            rows = middle + 0.9 * (rows - middle)
        self.pseudo_inputs.copy_(rows)

    def forward(self, input: Tensor | None = None, context: Tensor | None = None) -> NormalMixture:
        if context is not None:
            raise IncompatibleError(
                "`priors.Vamp` is the posterior of made-up data, and nothing says what a model is told of these. Use `priors.Normal(...)`, "
                "or `priors.Given(...)`, which learns another prior for each thing told; preset=cvae has both."
            )
        q = self.posterior(
            self.pseudo_inputs.clamp(self.low, self.high)
            if self.low is not None or self.high is not None
            else self.pseudo_inputs
        )
        base = q.base_dist if isinstance(q, Independent) else q
        if not isinstance(base, Normal) or base.loc.dim() != 2:
            raise IncompatibleError(
                f"`priors.Vamp` needs a posterior that is a diagonal Gaussian over a vector, got {type(base).__name__}."
            )
        return NormalMixture(base.loc.new_zeros(len(base.loc)), base.loc, base.scale)
