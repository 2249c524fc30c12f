"""Posteriors that follow the slope of the model's own density."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .. import distributions
from .._conditional import Conditional, Unconditional, capture_parameters
from ..distributions import from_scale, soft_clip, to_scale
from ..distributions._tempered_leapfrog import TemperedLeapfrogFlow
from ..errors import ArgumentError, IncompatibleError
from ..likelihoods._likelihood import Likelihood
from ..networks import Heads

MAX_STEP_SIZE = 0.5  # step in a variable whose prior has the scale 1; longer ones leave every valley, and at 2 even the prior's
STEP_SIZE_LOGIT_BOUND = 8.0  # of the logits of step sizes: none becomes 0
HAMILTONIAN_MOMENT_SAMPLES = 32  # that the mean of a code is estimated from: each takes a slope of the decoder for every step


class Hamiltonian(Conditional):
    """``q(z, r|x)``: a diagonal Gaussian whose draws, with momenta ``r``, follow Hamilton's equations on ``log p(x, z)``.

    ``z_0 ~ N(mu(x), sigma(x)^2)``, ``r_0 ~ N(0, T^2)``; then ``steps`` leapfrog steps, after each of which the momentum is cooled by the
    factor ``T_k / T_{k-1}``, with ``T_k = T + (1 - T) (k / K)^2`` from ``T`` down to 1. Without tempering energy is kept, and the bound is
    hardly better than the Gaussian's: what cools is what is gained.

    Momenta are part of the code: it has ``2 * latent`` numbers, codes first, and its density is exact. The model's prior is one of codes
    and momenta, ``priors.Normal(2 * latent)`` or ``priors.Product([p(z), priors.Normal(latent)])``, and its likelihood sees the codes
    alone, by ``networks.Part``; both are given here and shared. The ``step`` sizes, one per variable, and ``tempering``, which is ``T``,
    are what they begin with; they learn with all the rest, but for a ``tempering`` of 1, which is none. Mean and variance are estimated.

    Caterini, Doucet and Sejdinovic, Hamiltonian variational auto-encoder (2018), with the quadratic schedule of its section 3.3. Raises
    ``ArgumentError`` for no step, a step size outside [0.001, 0.5) or a tempering below 1, and ``IncompatibleError`` for a prior over
    another number of variables.

    >>> from aevb import likelihoods, networks, priors
    >>> prior = priors.Normal(4)
    >>> likelihood = likelihoods.Bernoulli(networks.Part(networks.MLP(2, [8]), 2), (9,))
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
        for argument, value, enough in (
            ("steps", steps, steps >= 1),
            ("step", step_size, 1e-3 <= step_size < MAX_STEP_SIZE),
            ("tempering", tempering, tempering >= 1),
        ):
            if not enough:
                least = (
                    f"at least 0.001 and less than {MAX_STEP_SIZE}"
                    if argument == "step"
                    else "at least 1"
                )
                raise ArgumentError(f"`{argument}` is {value}; give {least}.")
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
        """The spread of momenta before the first step and after each, down to 1; ``[]`` each."""
        more = (
            self.raw_step_size.new_zeros(())
            if self.raw_tempering is None
            else to_scale(self.raw_tempering)
        )
        return [1 + more * (1 - (k / self.steps) ** 2) for k in range(self.steps + 1)]

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
    """``log p(x, z)`` ``[*samples, B]`` at momenta of 0, of codes ``[*samples, B, latent]``."""

    def __init__(self, prior: Unconditional, likelihood: Likelihood, latent: int) -> None:
        super().__init__()
        self.prior, self.likelihood = prior, likelihood
        found = tuple(prior().event_shape) if not prior.needs_context else (2 * latent,)
        if found != (2 * latent,):
            raise IncompatibleError(
                f"`prior` is one over {found}; for latent={latent} with as many momenta, write "
                f"priors.Normal({2 * latent}), or priors.Product([..., priors.Normal({latent})])."
            )

    def forward(self, z: Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        whole = torch.cat([z, torch.zeros_like(z)], -1)
        return self.likelihood(whole, context).log_prob(x) + self.prior(None, context).log_prob(
            whole
        )
