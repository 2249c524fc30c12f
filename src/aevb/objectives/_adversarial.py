"""Penalties that are a critic's opinion: the objective owns the critic, and one loss trains both.

What is added is ``weight * value(model; critic stopped) + own(critic; codes stopped)``. One optimiser takes both: the critic's parameters
are a group of their own, with their own rate and betas.
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
from .._shapes import as_shape
from ..errors import ArgumentError, IncompatibleError
from ..models import VAE
from ..types import ParameterGroup, Terms
from ._aggregate_posterior import prior_draws
from ._penalised import Penalty, PenaltyTerm, check_non_negative
from ._schedules import Schedule

CRITIC_BETAS = (
    0.5,
    0.9,
)  # those of FactorVAE: a critic follows what changes, and long momentum makes both circle


class Critic(nn.Module):
    """A network and a linear map of its features to the logit that an input ``[N, *shape]`` is of the first kind and not of the second.

    Raises ``IncompatibleError`` where the network does not take inputs of this shape.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        super().__init__()
        self.network, self.shape = network, tuple(shape)
        self.head = nn.Linear(self._count_features(), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``[N]`` and the features ``[N, F]`` that they come from."""
        features = self.network(x).flatten(1)
        return self.head(features).squeeze(1), features

    @torch.no_grad()
    def _count_features(self) -> int:
        """How many features there are; looking moves no running mean and draws nothing."""
        training, like = self.network.training, next(self.network.parameters(), torch.zeros(()))
        self.network.eval()
        try:
            features = self.network(
                torch.zeros(2, *self.shape, dtype=like.dtype, device=like.device)
            )
        except Exception as error:  # a network of one's own may raise anything
            raise self._incompatible_error(
                str(error).splitlines()[0] if str(error) else type(error).__name__
            ) from error
        finally:
            self.network.train(training)
        if features.dim() < 2 or len(features) != 2:
            raise self._incompatible_error(
                f"two inputs gave features of shape {tuple(features.shape)}"
            )
        return features[0].numel()

    def _incompatible_error(self, reason: str) -> IncompatibleError:
        return IncompatibleError(
            f"the critic's network does not take inputs of shape {self.shape} ({reason}); "
            f"build it for them, as networks.MLP({math.prod(self.shape)}, [200, 200])."
        )


class Adversary(Penalty, ABC):
    """A penalty with a critic of codes (``latent``) or of data (``event_shape``), which learns at ``rate`` times the model's rate."""

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
                f"`rate` is {lr_scale}; give the critic's learning rate as a multiple of the model's, above 0."
            )
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ArgumentError(
                f"`betas` is {betas}; give two numbers from 0 to below 1, as (0.5, 0.9)."
            )
        self.metric_names = (*self.metric_names, "critic")
        self.critic = Critic(network, as_shape(self.shape_argument, shape))
        self.lr_scale, self.betas = lr_scale, (betas[0], betas[1])

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        return (ParameterGroup(tuple(self.critic.parameters()), self.lr_scale, self.betas),)

    def check(self, model: VAE) -> None:
        judged = {"latent": model.latent_shape, "event_shape": model.event_shape}[
            self.shape_argument
        ]
        if self.critic.shape != judged:
            raise IncompatibleError(
                f"the critic of `objectives.{type(self).__name__}` takes inputs of shape {self.critic.shape}, and those of this model have "
                f"{judged}; build it with {self.shape_argument}={judged}."
            )
        like = next(model.parameters(), torch.zeros(()))
        self.critic.to(like.device, like.dtype)

    def logits_for_critic(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features that carry a gradient to the critic, and none to whatever made ``x``."""
        return self.critic(x.detach())

    def logits_for_model(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and features that carry a gradient to whatever made ``x``, and none to the critic."""
        return detach_parameters(self.critic)(x)  # pyright: ignore[reportReturnType]


def critic_cross_entropy(first: Tensor, second: Tensor) -> Tensor:
    """Nats by which a critic with these logits misses which is which; ``ln 2`` where it cannot tell."""
    return (F.softplus(-first).mean() + F.softplus(second).mean()) / 2


class FactorCritic(Adversary):
    """The total correlation ``KL(q(z) || prod_j q(z_j))`` by density ratio: ``weight * E_q[log D(z) / (1 - D(z))]``.

    The critic tells codes from codes in which each variable was shuffled over the rows by itself; at its optimum its logit is the log
    ratio of the two densities. All rows are used for both. Logged are the total correlation it reports, in nats, and its cross-entropy.

    ``network`` takes codes ``[N, *latent]``. Kim and Mnih, Disentangling by factorising (2018), on an ``ELBO()``. Raises
    ``ArgumentError`` for a weight below 0, and ``IncompatibleError`` where network, ``latent`` and model do not fit together.

    >>> from aevb import networks
    >>> FactorCritic(networks.MLP(2, [100, 100]), latent=2, weight=10.0).measures
    ('total_correlation', 'critic')
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


class PriorCritic(Adversary):
    """Codes that a critic cannot tell from draws from the prior: ``weight * E_q[-log D(z)]`` with ``D`` the probability of the prior.

    At the optimum of both, ``q(z) = p(z)`` and each side is at ``ln 2``. Logged are what the codes pay and the critic's cross-entropy: far
    below ``ln 2``, the critic is so sure that codes learn little from it; lower its ``rate``.

    ``network`` takes codes ``[N, *latent]``. Makhzani et al., Adversarial autoencoders (2015), on ``Reconstruction()`` with a
    ``posteriors.Dirac`` or ``posteriors.Normal``. Raises what ``FactorCritic`` raises.

    >>> from aevb import networks
    >>> PriorCritic(networks.MLP(2, [100, 100]), latent=2).measures
    ('adversarial', 'critic')
    """

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


class DataCritic(Adversary):
    """A critic on data, whose features measure the reconstruction and whose verdict the decoder is to change.

    - ``features``: ``1/2 sum (f(x) - f(x_hat))^2``, the negative log-likelihood ``-log N(f(x); f(x_hat), I)`` of the critic's features
      without its constant, for encoder and decoder; ``x_hat = E[x|z]``;
    - ``adversarial``: ``-log D``, for the decoder alone, of what it makes of the codes and of draws from the prior, half each.

    The critic learns to tell the data from both. On ``Rate()``, whose reconstruction this takes the place of. Features are what
    ``network`` puts out for ``[N, *event_shape]``, in the units of the data: put ``networks.Standardise`` around it where these are not
    about 1. Data that are 0 or 1 betray themselves beside means in between: use grey or real data.

    Larsen et al., Autoencoding beyond pixels using a learned similarity metric (2016), whose ``gamma`` is ``features / adversarial`` for
    the decoder; ``-log D`` in place of ``log(1 - D)``, which has no gradient where the critic is sure. Raises what ``FactorCritic`` raises.

    >>> from aevb import networks
    >>> DataCritic(networks.ConvEncoder((28, 28)), event_shape=(28, 28)).measures
    ('features', 'adversarial', 'critic')
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
        real, wanted = self.logits_for_critic(terms.batch.x)
        _, features = self.logits_for_model(terms.reconstruction.mean.flatten(0, 1))
        apart = features.reshape(-1, *wanted.shape) - wanted.detach()
        codes = torch.cat(
            [terms.z.detach(), prior_draws(terms, model).detach()]
        )  # the encoder is not to hide what the critic sees
        made = model.likelihood(codes, terms.batch.context).mean.flatten(0, 1)
        values = (
            apart.square().sum(-1).mean() / 2,
            F.softplus(-self.logits_for_model(made)[0]).mean(),
        )
        return PenaltyTerm(values, (critic_cross_entropy(real, self.logits_for_critic(made)[0]),))


def _variable_rank(terms: Terms) -> int:
    """How many axes one latent variable has: a choice among categories has one, a number none."""
    return len(terms.q.base_dist.event_shape) if isinstance(terms.q, Independent) else 0


def _permute_dimensions(z: Tensor, axes: int) -> Tensor:
    """Codes ``[N, *latent]`` with each variable in an order of its own over the rows."""
    each = (
        z.flatten(1, z.dim() - 1 - axes) if z.dim() - axes > 1 else z.unsqueeze(1)
    )  # [N, variables, *of a variable]
    order = torch.rand(each.shape[:2], device=z.device).argsort(0)
    index = order.reshape(*order.shape, *[1] * axes).expand_as(each)
    return each.gather(0, index).reshape(z.shape)
