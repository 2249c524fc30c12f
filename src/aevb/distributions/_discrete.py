"""Independent discrete variables: their states, and their continuous relaxations.

A draw is the argmax of logits plus noise. The softmax at a temperature instead is a differentiable
draw (Maddison et al., The concrete distribution, 2017; Jang et al., Categorical reparameterization
with Gumbel-softmax, 2017).
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical


def open_uniform(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform draws in the open interval (0, 1): ``log u`` and ``log(1 - u)`` are finite."""
    uniform = torch.rand(shape, dtype=like.dtype, device=like.device)
    return uniform.clamp(min=torch.finfo(like.dtype).tiny, max=1 - torch.finfo(like.dtype).eps / 2)


class Discrete(ABC):
    """A factorised discrete distribution with logits ``[*batch, *event]``.

    ``y`` are perturbed logits ``[*sample, *batch, *event]``, from which both the hard and the soft
    draw follow.
    """

    def __init__(self, logits: Tensor, event_dim: int) -> None:
        self.logits = logits
        self.event_dim = event_dim

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.logits.shape[self.logits.dim() - self.event_dim :])

    @property
    @abstractmethod
    def n_states(self) -> int:
        """Number of values of the event."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """Mean ``[*batch, *event]``; the gradient of ``log p(z)`` in the logits is ``z - mean``."""

    @abstractmethod
    def enumerate_states(self) -> Tensor:
        """All values of the event, ``[states, *event]``."""

    @abstractmethod
    def sample_perturbed(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        """``y``: logits plus noise; its argmax is a draw."""

    @abstractmethod
    def sample_perturbed_given(self, hard: Tensor) -> Tensor:
        """``y`` conditioned on the hard draw (Tucker et al., REBAR, 2017)."""

    @abstractmethod
    def hard_sample(self, y: Tensor) -> Tensor:
        """The draw itself, bits or one-hot values; without a gradient."""

    @abstractmethod
    def soft_sample(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        """The relaxed draw; it converges to the hard draw as the temperature goes to 0."""

    @abstractmethod
    def _log_prob(self, z: Tensor) -> Tensor: ...

    @abstractmethod
    def _relaxed_log_prob(self, y: Tensor, temperature: Tensor | float) -> Tensor: ...

    def log_prob(self, z: Tensor) -> Tensor:
        """``log p(z)``, extended linearly between the states: differentiable in ``z``."""
        return self._sum_event(self._log_prob(z))

    def relaxed_log_prob(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        """Log-density of ``y / temperature``; its Jacobian cancels within a family."""
        return self._sum_event(self._relaxed_log_prob(y, temperature))

    def _sum_event(self, each: Tensor) -> Tensor:
        return each.flatten(each.dim() - self.event_dim).sum(-1)

    def _uniform(self, shape: tuple[int, ...]) -> Tensor:
        return open_uniform(shape, self.logits)


class Bits(Discrete):
    """Independent bits.

    Example:
        >>> Bits(torch.zeros(2), 1).enumerate_states().tolist()
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    """

    @property
    def n_states(self) -> int:
        return 2 ** math.prod(self.event_shape)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(self.logits)

    def enumerate_states(self) -> Tensor:
        count = math.prod(self.event_shape)
        powers = 2 ** torch.arange(count - 1, -1, -1, device=self.logits.device)
        bits = torch.arange(self.n_states, device=self.logits.device)[:, None] // powers % 2
        return bits.to(self.logits.dtype).reshape(-1, *self.event_shape)

    def sample_perturbed(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.logits + torch.logit(self._uniform((*sample_shape, *self.logits.shape)))

    def sample_perturbed_given(self, hard: Tensor) -> Tensor:
        noise = torch.logit(self._uniform(tuple(hard.shape)))
        return torch.where(
            hard > 0.5,
            F.softplus(noise + F.softplus(self.logits)),
            -F.softplus(noise + F.softplus(-self.logits)),
        )

    def hard_sample(self, y: Tensor) -> Tensor:
        return (y > 0).to(y.dtype)

    def soft_sample(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        return torch.sigmoid(y / temperature)

    def _log_prob(self, z: Tensor) -> Tensor:
        return z * self.logits - F.softplus(self.logits)

    def _relaxed_log_prob(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        away = self.logits - y
        return (
            away
            - 2 * F.softplus(away)
            + torch.as_tensor(temperature, dtype=y.dtype, device=y.device).log()
        )


class OneHotCodes(Discrete):
    """Independent one-hot variables; the categories are on the last axis.

    Example:
        >>> OneHotCodes(torch.zeros(1, 3), 2).enumerate_states().shape
        torch.Size([3, 1, 3])
    """

    @property
    def n_states(self) -> int:
        *variables, categories = self.event_shape
        return categories ** math.prod(variables)

    @property
    def mean(self) -> Tensor:
        return torch.softmax(self.logits, -1)

    def enumerate_states(self) -> Tensor:
        *variables, categories = self.event_shape
        chosen = torch.tensor(
            list(itertools.product(range(categories), repeat=math.prod(variables))),
            device=self.logits.device,
        )
        return F.one_hot(chosen, categories).to(self.logits.dtype).reshape(-1, *self.event_shape)

    def sample_perturbed(self, sample_shape: tuple[int, ...] = ()) -> Tensor:
        return self.logits - self._log_exponential((*sample_shape, *self.logits.shape))

    def sample_perturbed_given(self, hard: Tensor) -> Tensor:
        # exponential waiting times at rates that sum to 1: the others start when the first ends
        log_waits = self._log_exponential(tuple(hard.shape))
        first = (log_waits * hard).sum(-1, keepdim=True)
        return -torch.where(hard > 0.5, first, torch.logaddexp(log_waits - self._log_probs, first))

    def hard_sample(self, y: Tensor) -> Tensor:
        return F.one_hot(y.argmax(-1), y.shape[-1]).to(y.dtype)

    def soft_sample(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        return torch.softmax(y / temperature, -1)

    def _log_prob(self, z: Tensor) -> Tensor:
        return (z * self._log_probs).sum(-1, keepdim=True)

    def _relaxed_log_prob(self, y: Tensor, temperature: Tensor | float) -> Tensor:
        away = torch.log_softmax(self._log_probs - y, -1).sum(-1, keepdim=True)
        scale = torch.as_tensor(temperature, dtype=y.dtype, device=y.device).log()
        return away + math.lgamma(y.shape[-1]) + (y.shape[-1] - 1) * scale

    @property
    def _log_probs(self) -> Tensor:
        return torch.log_softmax(self.logits, -1)

    def _log_exponential(self, shape: tuple[int, ...]) -> Tensor:
        """Logarithms of exponential draws of rate 1: negative Gumbel noise."""
        return (-self._uniform(shape).log()).log()


def as_discrete(distribution: Distribution) -> Discrete | None:
    """The distribution as independent discrete variables, or ``None`` for another family.

    Example:
        >>> bits = as_discrete(Independent(Bernoulli(logits=torch.zeros(5, 3)), 1))
        >>> bits.n_states, bits.sample_perturbed((4,)).shape
        (8, torch.Size([4, 5, 3]))
    """
    base = distribution.base_dist if isinstance(distribution, Independent) else distribution
    if not isinstance(base, Bernoulli | OneHotCategorical):
        return None
    family = Bits if isinstance(base, Bernoulli) else OneHotCodes
    return family(base.logits, len(distribution.event_shape))
