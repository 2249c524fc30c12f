"""Prior that is the posterior of learned pseudo-data."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from .._conditional import Conditional, Unconditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import NormalMixture
from ..errors import IncompatibleError, check_counts
from ..notes import Argument, Part, message
from ._registration import PriorRegistration


@register(
    PriorRegistration(
        title="VampPrior",
        paper="Tomczak and Welling 2018",
        use_when="the best likelihood for a Gaussian posterior",
        cost="one encoder pass per pseudo-row and step",
        avoid_when="the model has a context, or the encoder is expensive",
    )
)
class Vamp(Unconditional):
    """``p(z) = 1/C sum_c q(z | u_c)`` with learned pseudo-data ``u_c``.

    ``fit`` starts the pseudo-data as rows of the data; before that they are noise.

    Tomczak and Welling, VAE with a VampPrior (2018).

    Args:
        posterior: The posterior of the model, which the prior shares, or for a model with another
            family a diagonal Gaussian with heads of its own over the same network.
        event_shape: Shape of a row of data.
        components: Number of pseudo-rows.
        low: Smallest value of pseudo-data, ``None`` for no bound.
        high: Largest value of pseudo-data, ``None`` for no bound.

    Raises:
        ArgumentError: ``components`` is less than 1.
        IncompatibleError: The posterior is not a diagonal Gaussian over a vector, or the model has
            a context (at the first call).

    Example:
        >>> from aevb import networks, posteriors
        >>> Vamp(posteriors.Normal(networks.MLP(9, [8]), 2), (3, 3), 5)().sample((4,)).shape
        torch.Size([4, 2])
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
        check_counts(components=components)
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
        """Start the pseudo-data as rows of the data, pulled towards the middle of their range.

        A value at a bound could cross it by rounding, and would then have no gradient.
        """
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
                message(
                    "{vamp} is the posterior of pseudo-data, which have no context",
                    vamp=Part("priors.Vamp"),
                ),
                argument="prior",
                suggestions=(
                    message(
                        "Use {normal} or {conditional}, as {preset} does",
                        normal=Part("priors.Normal"),
                        conditional=Part("priors.ConditionalPrior"),
                        preset=Argument("preset", "cvae"),
                    ),
                ),
            )
        q = self.posterior(
            self.pseudo_inputs.clamp(self.low, self.high)
            if self.low is not None or self.high is not None
            else self.pseudo_inputs
        )
        base = q.base_dist if isinstance(q, Independent) else q
        if not isinstance(base, Normal) or base.loc.dim() != 2:
            raise IncompatibleError(
                message(
                    "{vamp} needs a diagonal Gaussian over a vector; the posterior is a {family}",
                    vamp=Part("priors.Vamp"),
                    family=type(base).__name__,
                ),
                argument="posterior",
                suggestions=(message("Use {normal}", normal=Part("posteriors.Normal")),),
            )
        return NormalMixture(base.loc.new_zeros(len(base.loc)), base.loc, base.scale)
