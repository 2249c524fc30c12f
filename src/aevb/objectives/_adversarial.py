"""Penalties by critics: the objective owns the critic, and one loss trains both.

The loss contains ``weight * value(model; critic stopped) + loss(critic; model stopped)``. One
optimiser updates both: the parameters of the critic are a group with its own rate and betas.
"""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Independent

from .._conditional import detach_parameters
from .._registry import register
from .._shapes import as_shape
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..models._eval_mode import eval_mode
from ..notes import Argument, message
from ..types import ParameterGroup, Terms
from ._aggregate_posterior import prior_draws
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm, check_non_negative
from ._schedules import Schedule

# as in FactorVAE: a critic follows a moving target, and long momentum makes both oscillate
CRITIC_BETAS = (0.5, 0.9)


class Critic(nn.Module):
    """A network and a linear map of its features to a logit that separates two kinds of input.

    Args:
        network: Features of inputs ``[N, *shape]``.
        shape: Shape of one input.

    Raises:
        IncompatibleError: The network does not take inputs of this shape.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network, self.shape = network, tuple(shape)
        self.head = nn.Linear(self._count_features(), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``[N]`` and the features ``[N, F]`` that they are computed from."""
        features = self.network(x).flatten(1)
        return self.head(features).squeeze(1), features

    @torch.no_grad()
    def _count_features(self) -> int:
        """The number of features; the trial pass moves no running mean and draws nothing."""
        like = next(self.network.parameters(), torch.zeros(()))
        try:
            with eval_mode(self.network):
                features = self.network(
                    torch.zeros(2, *self.shape, dtype=like.dtype, device=like.device)
                )
        except Exception as error:  # a user's network may raise anything
            raise self._incompatible_error(
                str(error).splitlines()[0] if str(error) else type(error).__name__
            ) from error
        if features.dim() < 2 or len(features) != 2:
            raise self._incompatible_error(
                f"two inputs give features of shape {tuple(features.shape)}"
            )
        return features[0].numel()

    def _incompatible_error(self, reason: str) -> IncompatibleError:
        return IncompatibleError(
            f"the critic's network does not take inputs of shape {self.shape} ({reason})",
            argument="network",
            suggestions=(
                f"Build it for them, as `networks.MLP({math.prod(self.shape)}, [200, 200])`",
            ),
        )


class Adversary(Penalty, ABC):
    """A penalty with a critic of latent variables (``latent``) or of data (``event_shape``).

    Args:
        network: The network of the critic.
        shape: Shape of one input of the critic.
        lr_scale: Learning rate of the critic, as a multiple of the learning rate of the model.
        betas: Betas of the critic's optimiser.
        **weights: Weights of what is measured, by name.

    Raises:
        ArgumentError: A weight, the rate or the betas are out of range.
        IncompatibleError: The network does not take inputs of this shape.
    """

    shape_argument: ClassVar[Literal["latent", "event_shape"]]

    def __init__(
        self,
        network: nn.Module,
        shape: int | Sequence[int],
        lr_scale: float,
        betas: Sequence[float],
        **weights: float | Schedule,
    ) -> None:
        check_non_negative(**weights)
        super().__init__(**weights)
        if not (lr_scale > 0 and math.isfinite(lr_scale)):
            raise ArgumentError(
                "give the critic's learning rate as a multiple of the model's, above 0",
                argument="lr_scale",
                value=lr_scale,
            )
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError(
                "give two numbers from 0 to below 1, as (0.5, 0.9)", argument="betas", value=betas
            )
        self.metric_names = (*self.metric_names, "critic")
        self.critic = Critic(network, as_shape(self.shape_argument, shape))
        self.lr_scale, self.betas = lr_scale, (betas[0], betas[1])

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        return (ParameterGroup(tuple(self.critic.parameters()), self.lr_scale, self.betas),)

    def check(self, model: VAE) -> None:
        shapes = {"latent": model.latent_shape, "event_shape": model.event_shape}
        shape = shapes[self.shape_argument]
        if self.critic.shape != shape:
            raise IncompatibleError(
                f"the critic of `objectives.{type(self).__name__}` takes inputs of another shape "
                f"than this model gives, {shape}",
                argument=self.shape_argument,
                value=self.critic.shape,
                suggestions=(
                    message("Build it with {shape}", shape=Argument(self.shape_argument, shape)),
                ),
            )
        like = next(model.parameters(), torch.zeros(()))
        self.critic.to(like.device, like.dtype)

    def logits_for_critic(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features with a gradient in the critic, and none in ``x``."""
        return self.critic(x.detach())

    def logits_for_model(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features with a gradient in ``x``, and none in the critic."""
        return detach_parameters(self.critic)(x)  # pyright: ignore[reportReturnType]


def critic_cross_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Return the cross-entropy of a critic in nats: ``ln 2`` if it cannot separate the kinds."""
    return (F.softplus(-first).mean() + F.softplus(second).mean()) / 2


@register(
    PenaltyRegistration(
        paper="Kim and Mnih 2018",
        objective="ELBO()",
        use_when="as `TotalCorrelation`, for any posterior and small batches",
        cost="a critic to train",
    )
)
class FactorCritic(Adversary):
    """The total correlation ``KL(q(z) || prod_j q(z_j))`` by a critic's density ratio.

    The critic separates encodings from encodings in which each variable is permuted over the rows;
    at its optimum, its logit is the log ratio of the two densities, and the penalty is
    ``weight * E_q[log D(z) / (1 - D(z))]``. All rows are used for both. The total correlation, in
    nats, and the cross-entropy of the critic are logged.

    Args:
        network: Features of latent variables ``[N, *latent]``.
        latent: Shape of the latent variable.
        weight: Weight of the total correlation, a number or a schedule.
        lr_scale: Learning rate of the critic, as a multiple of the learning rate of the model.
        betas: Betas of the critic's optimiser.

    Raises:
        ArgumentError: ``weight`` is negative, or ``lr_scale`` or ``betas`` is out of range.
        IncompatibleError: Network, ``latent`` and model do not fit together.

    Example:
        >>> from aevb import networks
        >>> FactorCritic(networks.MLP(2, [100, 100]), latent=2, weight=10.0).metric_names
        ('total_correlation', 'critic')

    References:
        Kim and Mnih, Disentangling by factorising (2018), with ``ELBO()``.
    """

    shape_argument = "latent"

    def __init__(
        self,
        network: nn.Module,
        latent: int | Sequence[int],
        weight: float | Schedule = 10.0,
        lr_scale: float = 1.0,
        betas: Sequence[float] = CRITIC_BETAS,
    ) -> None:
        super().__init__(network, latent, lr_scale, betas, total_correlation=weight)

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        z = terms.z.flatten(0, 1)
        shuffled = _permute_dimensions(z, _variable_rank(terms))
        return PenaltyTerm(
            (self.logits_for_model(z)[0].mean(),),
            (
                critic_cross_entropy(
                    self.logits_for_critic(z)[0], self.logits_for_critic(shuffled)[0]
                ),
            ),
        )


@register(
    PenaltyRegistration(
        paper="Makhzani et al. 2015",
        objective="Reconstruction()",
        use_when="encodings should be distributed as a prior that kernels fit badly",
        cost="a critic to train",
        avoid_when="`MMD` works: it has no second side to balance",
    )
)
class PriorCritic(Adversary):
    """Encodings that a critic cannot separate from prior draws: ``weight * E_q[-log D(z)]``.

    ``D`` is the probability that the critic gives to the prior. At the optimum of both, ``q(z) =
    p(z)`` and both logged values, the penalty of the encodings and the cross-entropy of the critic,
    are ``ln 2``. If the cross-entropy is far below, the encodings learn little from a critic that
    is certain: lower ``lr_scale``.

    Args:
        network: Features of latent variables ``[N, *latent]``.
        latent: Shape of the latent variable.
        weight: Weight of the penalty, a number or a schedule.
        lr_scale: Learning rate of the critic, as a multiple of the learning rate of the model.
        betas: Betas of the critic's optimiser.

    Raises:
        ArgumentError: ``weight`` is negative, or ``lr_scale`` or ``betas`` is out of range.
        IncompatibleError: Network, ``latent`` and model do not fit together.

    Example:
        >>> from aevb import networks
        >>> PriorCritic(networks.MLP(2, [100, 100]), latent=2).metric_names
        ('adversarial', 'critic')

    References:
        Makhzani et al., Adversarial autoencoders (2015), with ``Reconstruction()`` and a
        ``posteriors.Dirac`` or ``posteriors.Normal``.
    """

    matches_prior = True

    shape_argument = "latent"

    def __init__(
        self,
        network: nn.Module,
        latent: int | Sequence[int],
        weight: float | Schedule = 10.0,
        lr_scale: float = 0.2,
        betas: Sequence[float] = CRITIC_BETAS,
    ) -> None:
        super().__init__(network, latent, lr_scale, betas, adversarial=weight)

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        z, prior = terms.z.flatten(0, 1), prior_draws(terms, model).flatten(0, 1)
        return PenaltyTerm(
            (F.softplus(-self.logits_for_model(z)[0]).mean(),),
            (critic_cross_entropy(self.logits_for_critic(prior)[0], self.logits_for_critic(z)[0]),),
        )


@register(
    PenaltyRegistration(
        paper="Larsen et al. 2016",
        objective="Rate(likelihood_weight=0.01)",
        use_when="sharp images",
        cost="a critic to train",
        avoid_when="likelihoods are compared",
    )
)
class DataCritic(Adversary):
    """A critic of data: its features measure the reconstruction, and the decoder raises its logit.

    - ``features``: ``1/2 sum (f(x) - f(x_hat))^2``, the negative log-likelihood
      ``-log N(f(x); f(x_hat), I)`` of the critic's features without its constant, for encoder and
      decoder; ``x_hat = E[x|z]``;
    - ``adversarial``: ``-log D``, for the decoder alone, at its means of encodings and of prior
      draws, half each.

    The critic learns to separate the data from both. It is used with ``Rate()``, whose
    reconstruction term it replaces. Data that are 0 or 1 differ trivially from means in between:
    use grey or real data.

    Args:
        network: Features of data ``[N, *event_shape]``, in the units of the data: use
            ``networks.Standardise`` where these are not about 1.
        event_shape: Shape of one datum.
        features: Weight of the distance of features, a number or a schedule.
        adversarial: Weight of the adversarial term. The paper's ``gamma`` is
            ``features / adversarial`` for the decoder.
        lr_scale: Learning rate of the critic, as a multiple of the learning rate of the model.
        betas: Betas of the critic's optimiser.

    Raises:
        ArgumentError: A weight is negative, or ``lr_scale`` or ``betas`` is out of range.
        IncompatibleError: Network, ``event_shape`` and model do not fit together.

    Example:
        >>> from aevb import networks
        >>> DataCritic(networks.ConvEncoder((28, 28)), event_shape=(28, 28)).metric_names
        ('features', 'adversarial', 'critic')

    References:
        Larsen et al., Autoencoding beyond pixels using a learned similarity metric (2016); here
        with ``-log D`` instead of ``log(1 - D)``, which has no gradient where the critic is
        certain.
    """

    shape_argument = "event_shape"

    def __init__(
        self,
        network: nn.Module,
        event_shape: int | Sequence[int],
        features: float | Schedule = 10.0,
        adversarial: float | Schedule = 10.0,
        lr_scale: float = 0.1,
        betas: Sequence[float] = CRITIC_BETAS,
    ) -> None:
        super().__init__(
            network, event_shape, lr_scale, betas, features=features, adversarial=adversarial
        )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        data_logits, target_features = self.logits_for_critic(terms.batch.x)
        _, features = self.logits_for_model(terms.reconstruction.mean.flatten(0, 1))
        difference = features.reshape(-1, *target_features.shape) - target_features.detach()
        # without the encoder's gradient, which would hide from the critic what it sees
        z = torch.cat([terms.z.detach(), prior_draws(terms, model).detach()])
        decoded = model.likelihood(z, terms.batch.context).mean.flatten(0, 1)
        values = (
            difference.square().sum(-1).mean() / 2,
            F.softplus(-self.logits_for_model(decoded)[0]).mean(),
        )
        return PenaltyTerm(
            values, (critic_cross_entropy(data_logits, self.logits_for_critic(decoded)[0]),)
        )


def _variable_rank(terms: Terms) -> int:
    """Return the number of axes of one latent variable: 1 if it is one-hot, 0 for a number."""
    return len(terms.q.base_dist.event_shape) if isinstance(terms.q, Independent) else 0


def _permute_dimensions(z: Tensor, axes: int) -> Tensor:
    """Permute each variable of ``[N, *latent]`` over the rows, in its own order."""
    # [N, variables, *axes of a variable]
    variables = z.flatten(1, z.dim() - 1 - axes) if z.dim() - axes > 1 else z.unsqueeze(1)
    order = torch.rand(variables.shape[:2], device=z.device).argsort(0)
    index = order.reshape(*order.shape, *[1] * axes).expand_as(variables)
    return variables.gather(0, index).reshape(z.shape)
