"""Likelihoods with random weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.func import functional_call

from .._random import seed_scope
from .._registry import register
from ..distributions import EqualWeightMixture, analytic_kl, from_scale, to_scale
from ..distributions._output_maps import LOG_SCALE_BOUND
from ..errors import ArgumentError, check_counts
from ..notes import Argument, message
from ._likelihood import Likelihood
from ._registration import LikelihoodRegistration


@register(
    LikelihoodRegistration(
        title="random weights",
        paper="Kingma and Welling 2014, Blundell et al. 2015",
        needs="another likelihood, whose weights become random",
        instead=message("Use {preset}", preset=Argument("preset", "bayesian_vae")),
        use_when="data are few and the uncertainty of the decoder matters",
        cost="twice the parameters; evaluation averages over 8 draws of the weights",
        avoid_when="data are plenty",
    )
)
class Bayesian(Likelihood):
    """``p(x|z, theta)`` with ``q(theta) = prod N(mu, sigma^2)`` and ``p(theta) = prod N(0, s^2)``.

    Full variational Bayes: the weights of ``likelihood`` become the means ``mu``. In training all
    draws of a step share one draw of the weights, made by ``resample_weights``, and
    ``KL(q(theta) || p(theta)) / N`` is subtracted from every bound. (With separate weights for each
    of K samples an importance-weighted bound would not be below the evidence.) In evaluation the
    likelihood is the predictive one, averaged over ``draws`` fixed draws of the weights: repeated
    evaluations agree, and new data do not pay for the weights again.

    Kingma and Welling, Auto-encoding variational Bayes (2014), appendix F; Blundell et al., Weight
    uncertainty in neural networks (2015).

    Args:
        likelihood: The likelihood whose weights become random.
        weights: Prefixes of the names of the random weights, ``None`` for all weights.
        scale: Initial ``sigma``.
        prior_scale: The ``s`` of the prior for all weights, or ``"learned"``, one per tensor.
        draws: Number of draws of the weights that evaluation averages over.

    Raises:
        ArgumentError: A scale is out of range, ``draws`` is less than 1, or no weight has one of
            the names in ``weights`` (at the first call).

    Example:
        >>> from aevb import likelihoods, networks
        >>> likelihood = Bayesian(likelihoods.Bernoulli(networks.MLP(2, [8]), (6,)), draws=4)
        >>> likelihood.eval()(torch.zeros(5, 2)).mean.shape, bool(likelihood.weight_kl() > 0)
        (torch.Size([5, 6]), True)
    """

    factorises = False  # in an average over weights one cell is informative about the others

    def __init__(
        self,
        likelihood: Likelihood,
        weights: Sequence[str] | None = None,
        scale: float = 0.01,
        prior_scale: float | Literal["learned"] = 1.0,
        draws: int = 8,
    ) -> None:
        super().__init__()
        _check_scale("scale", scale)
        if prior_scale != "learned":
            _check_scale("prior_scale", prior_scale, Argument("prior_scale", "learned"))
        check_counts(draws=draws)
        self._describe_data_as(likelihood)
        self.allows_missing = likelihood.allows_missing
        self.likelihood: Likelihood = likelihood
        self.weights, self.initial_scale, self.prior_scale, self.draws = (
            weights,
            scale,
            prior_scale,
            draws,
        )
        self.random_weights = nn.ModuleDict()

    def forward(self, input: Tensor, context: Tensor | None = None) -> Distribution:
        if not self.random_weights:
            self._initialise_random_weights(input, context)
        if self.training:
            return self._likelihood_with(
                {
                    name: part.reparameterise(mean, part.noise)
                    for name, mean, part in self._iter_random_weights()
                },
                input,
                context,
            )
        return EqualWeightMixture(
            [
                self._likelihood_with(weights, input, context)
                for weights in self._iter_fixed_weights()
            ]
        )

    def resample_weights(self) -> None:
        """Draw the noise of the weights for the next training pass."""
        for _, _, part in self._iter_random_weights():
            part.noise.normal_()

    def weight_kl(self) -> Tensor | None:
        """``KL(q(theta) || p(theta))``, ``[]`` nats."""
        parts = [part.kl_to_prior(mean) for _, mean, part in self._iter_random_weights()]
        return torch.stack(parts).sum() if parts else None

    def update_state(
        self, distribution: Distribution, value: Tensor, weight: Tensor | None = None
    ) -> None:
        self.likelihood.update_state(distribution, value, weight)

    def _likelihood_with(
        self, weights: dict[str, Tensor], input: Tensor, context: Tensor | None
    ) -> Distribution:
        return functional_call(self.likelihood, weights, (input, context))

    def _iter_fixed_weights(self) -> Iterator[dict[str, Tensor]]:
        for number in range(self.draws):
            yield {
                name: part.reparameterise(mean, part.fixed_noise[number])
                for name, mean, part in self._iter_random_weights()
            }

    def _iter_random_weights(self) -> Iterator[tuple[str, Tensor, _RandomWeight]]:
        """Name, mean and spread of each random weight."""
        for key, part in self.random_weights.items():
            name = key.replace("/", ".")
            yield name, attrgetter(name)(self.likelihood), part  # pyright: ignore[reportReturnType]

    def _initialise_random_weights(self, input: Tensor, context: Tensor | None) -> None:
        """Replace weights at the first call, when the heads exist and all weights are known."""
        with torch.no_grad():
            self.likelihood(input, context)
        named = dict(self.likelihood.named_parameters())
        for prefix in self.weights or ():
            if not any(name.startswith(prefix) for name in named):
                raise ArgumentError(
                    f"no weight has a name that begins with {prefix!r}; the names are "
                    + ", ".join(named),
                    argument="weights",
                    value=self.weights,
                )
        with seed_scope(0):  # the same draws in every process, and no other random stream moves
            for name, weight in named.items():
                if self.weights is None or name.startswith(tuple(self.weights)):
                    self.random_weights[name.replace(".", "/")] = _RandomWeight(
                        weight, self.initial_scale, self.prior_scale, self.draws
                    )


def _check_scale(argument: str, scale: float | str, alternative: Argument | None = None) -> None:
    least, most = math.exp(-LOG_SCALE_BOUND), math.exp(LOG_SCALE_BOUND)
    if isinstance(scale, str) or not least < scale < most:
        raise ArgumentError(
            f"give a number between {least:.4f} and {most:.0f}",
            argument=argument,
            value=scale,
            suggestions=(message("Or write {it}", it=alternative),) if alternative else (),
        )


class _RandomWeight(nn.Module):
    """Scale of the posterior, scale of the prior and noise of a tensor of random weights."""

    noise: Tensor
    fixed_noise: Tensor
    prior_raw: Tensor

    def __init__(self, weight: Tensor, scale: float, prior_scale: float | str, draws: int) -> None:
        super().__init__()
        self.raw = nn.Parameter(from_scale(torch.full_like(weight, scale)))
        # start at the size of the weights, for biases of 0 somewhat above the posterior's scale
        if prior_scale == "learned":
            self.prior_raw = nn.Parameter(
                from_scale(weight.detach().square().mean().sqrt().clamp(min=2 * scale))
            )
        else:
            self.register_buffer(
                "prior_raw", from_scale(weight.new_tensor(float(prior_scale))), persistent=False
            )
        self.register_buffer("noise", torch.zeros_like(weight), persistent=False)
        self.register_buffer(
            "fixed_noise", torch.randn(draws, *weight.shape).to(weight), persistent=False
        )

    def reparameterise(self, mean: Tensor, noise: Tensor) -> Tensor:
        return mean + to_scale(self.raw) * noise

    def kl_to_prior(self, mean: Tensor) -> Tensor:
        q = Normal(mean, to_scale(self.raw), validate_args=False)
        p = Normal(torch.zeros_like(mean), to_scale(self.prior_raw), validate_args=False)
        return analytic_kl(q, p).sum()
