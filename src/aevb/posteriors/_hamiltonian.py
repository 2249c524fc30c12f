"""Posterior that follows the gradient of the model's own density."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from .._registry import register
from ..distributions import from_scale, soft_clip, to_scale
from ..distributions._tempered_leapfrog import TemperedLeapfrogFlow
from ..errors import ArgumentError, IncompatibleError, check_counts
from ..likelihoods._likelihood import Likelihood
from ..networks import Heads
from ..notes import Argument, Part, message
from ._registration import PosteriorRegistration

# step in a variable whose prior has the scale 1; longer steps overshoot, and at 2 even in the prior
MAX_STEP_SIZE = 0.5
STEP_SIZE_LOGIT_BOUND = 8.0  # of the logits of step sizes: none becomes 0
HAMILTONIAN_MOMENT_SAMPLES = 32  # for the estimated mean; each needs a decoder gradient per step


@register(
    PosteriorRegistration(
        title="Hamiltonian flow",
        paper="Caterini et al. 2018",
        needs="the prior and the likelihood of the model",
        instead=message("Use {preset}", preset=Argument("preset", "hamiltonian_vae")),
        use_when="the posterior should follow the model",
        cost="gradients of the decoder at every step",
        avoid_when="the decoder is expensive",
    )
)
class Hamiltonian(Conditional):
    """``q(z, r|x)``: a Gaussian whose draws follow Hamilton's equations on ``log p(x, z)``.

    ``z_0 ~ N(mu(x), sigma(x)^2)`` and ``r_0 ~ N(0, T^2)``; then ``steps`` leapfrog steps, after
    each of which the momentum is cooled by the factor ``T_k / T_{k-1}`` with
    ``T_k = T + (1 - T) (k / K)^2`` from ``T`` down to 1. Without tempering the energy is constant
    and the bound is hardly better than that of the Gaussian.

    The momenta are part of the latent: it has ``2 * latent`` numbers, positions first, and its
    density is exact. The prior of the model is over positions and momenta, and its likelihood uses
    the positions alone, by ``networks.LeadingLatents``; both are shared with the posterior. Step
    sizes and tempering are learned. Mean and variance are estimated.

    Caterini, Doucet and Sejdinovic, Hamiltonian variational auto-encoder (2018), with the quadratic
    schedule of section 3.3.

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of positions.
        prior: The prior of the model: ``priors.Normal(2 * latent)`` or
            ``priors.Product([p(z), priors.Normal(latent)])``.
        likelihood: The likelihood of the model.
        steps: Number of leapfrog steps.
        step_size: Initial step size, at least 0.001 and below 0.5.
        tempering: Initial ``T``, at least 1; a value of 1 is not learned and tempers nothing.

    Raises:
        ArgumentError: ``steps``, ``step_size`` or ``tempering`` is out of range.
        IncompatibleError: ``prior`` is over another number of variables.

    Example:
        >>> from aevb import likelihoods, networks, priors
        >>> prior = priors.Normal(4)
        >>> likelihood = likelihoods.Bernoulli(
        ...     networks.LeadingLatents(networks.MLP(2, [8]), 2), (9,)
        ... )
        >>> posterior = Hamiltonian(networks.MLP(9, [8]), 2, prior, likelihood)
        >>> posterior(torch.zeros(5, 9)).rsample((3,)).shape
        torch.Size([3, 5, 4])
    """

    lazy_networks = True

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        prior: Unconditional,
        likelihood: Likelihood,
        steps: int = 3,
        step_size: float = 0.05,
        tempering: float = 1.5,
    ) -> None:
        super().__init__()
        check_counts(steps=steps)
        if not 1e-3 <= step_size < MAX_STEP_SIZE:
            raise ArgumentError(
                f"give at least 0.001 and less than {MAX_STEP_SIZE}",
                argument="step_size",
                value=step_size,
            )
        if not tempering >= 1:
            raise ArgumentError("give at least 1", argument="tempering", value=tempering)
        self.latent, self.steps = latent, steps
        self.joint = _JointDensity(prior, likelihood, latent)
        self.heads = Heads(network, (latent,), (latent,))
        self.raw_step_size = nn.Parameter(
            STEP_SIZE_LOGIT_BOUND
            * torch.atanh(
                torch.logit(torch.full((latent,), step_size / MAX_STEP_SIZE))
                / STEP_SIZE_LOGIT_BOUND
            )
        )
        self.raw_tempering = (
            nn.Parameter(from_scale(torch.tensor(tempering - 1.0))) if tempering > 1 else None
        )

    @property
    def step_size(self) -> Tensor:
        """Step sizes ``[latent]``, between 0.0002 and 0.5."""
        return MAX_STEP_SIZE * torch.sigmoid(soft_clip(self.raw_step_size, STEP_SIZE_LOGIT_BOUND))

    @property
    def momentum_scales(self) -> list[Tensor]:
        """Scale of the momenta before the first step and after each step, ``[]`` each."""
        excess = (
            self.raw_step_size.new_zeros(())
            if self.raw_tempering is None
            else to_scale(self.raw_tempering)
        )
        return [1 + excess * (1 - (k / self.steps) ** 2) for k in range(self.steps + 1)]

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Flow:
        joint = capture_parameters(self.joint)
        loc, raw = self.heads(input, context)
        trajectory = TemperedLeapfrogFlow(
            lambda z: joint(z, input, context),
            loc,
            to_scale(raw),
            self.step_size,
            self.momentum_scales,
        )
        plain = torch.zeros_like(torch.cat([loc, loc], -1))
        return distributions.Flow(plain, plain + 1, trajectory, HAMILTONIAN_MOMENT_SAMPLES)


class _JointDensity(nn.Module):
    """``log p(x, z)`` ``[*samples, B]`` of positions ``[*samples, B, latent]`` at momenta of 0."""

    def __init__(self, prior: Unconditional, likelihood: Likelihood, latent: int) -> None:
        super().__init__()
        self.prior, self.likelihood = prior, likelihood
        shape = tuple(prior().event_shape) if not prior.needs_context else (2 * latent,)
        if shape != (2 * latent,):
            raise IncompatibleError(
                f"the prior has shape {shape}, and {latent} positions with as many momenta have "
                f"shape ({2 * latent},)",
                argument="prior",
                suggestions=(
                    message(
                        "Use {normal}, or {product} of a prior and {momenta}",
                        normal=Part("priors.Normal", {"latent": 2 * latent}),
                        product=Part("priors.Product"),
                        momenta=Part("priors.Normal", {"latent": latent}),
                    ),
                ),
            )

    def forward(self, z: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        whole = torch.cat([z, torch.zeros_like(z)], -1)
        return self.likelihood(whole, context).log_prob(x) + self.prior(None, context).log_prob(
            whole
        )
