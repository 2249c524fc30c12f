"""Bounds that are functions of the log-weights of several draws."""

from __future__ import annotations

import math
from abc import ABC

from .._registry import register
from ..errors import ArgumentError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN, IMPORTANCE_WEIGHTED_MEAN, PowerMean
from ._objective import (
    BoundKind,
    Objective,
    ObjectiveRegistration,
    ValidationCriterion,
    check_sample_count,
)

# a power this close to 0 is 0: in single precision its rounding is larger than its effect
ZERO_POWER_TOLERANCE = 1e-4


class LogWeightObjective(Objective, ABC):
    """A mean of the log-weights ``log w_k = log p(x, z_k) - log q(z_k|x)``.

    The mean is reported and maximised; ``reported_mean`` and ``posterior_target_mean`` replace it
    in the report and for the posterior."""

    uses_log_weights = True
    reported_mean: PowerMean | None = None

    @property
    def validation_criterion(self) -> ValidationCriterion:
        """The bound that the model maximises: the ELBO would choose early weights."""
        if self.kind == "lower bound":
            return ValidationCriterion(self.name, self._mean, self.samples)
        return ValidationCriterion(f"IWAE-{self.samples}", IMPORTANCE_WEIGHTED_MEAN, self.samples)

    @property
    def _mean(self) -> PowerMean:
        """The mean that the model maximises."""
        return self.target_mean or ARITHMETIC_MEAN

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        h, measure = terms.log_weight, terms.log_measure
        target = self._mean(h, measure) - terms.weight_kl
        return ObjectiveValue(
            bound=target
            if self.reported_mean is None
            else self.reported_mean(h, measure) - terms.weight_kl,
            target=target,
            penalty=terms.penalty,
            posterior_target=None
            if self.posterior_target_mean is None
            else self.posterior_target_mean(h, measure) - terms.weight_kl,
        )


@register(
    ObjectiveRegistration(
        paper="Burda et al. 2016",
        use_when="the best likelihood, where there is time for several samples",
        cost="about one decoder pass per sample",
    )
)
class IWAE(LogWeightObjective):
    """The importance-weighted bound ``log 1/K sum_k w_k`` with ``w_k = p(x, z_k) / q(z_k|x)``.

    A lower bound of ``log p(x)`` that rises with the number of samples.

    Args:
        samples: Number of draws per datum, K.

    Raises:
        ArgumentError: ``samples`` is below 1.

    Example:
        >>> IWAE(samples=5).name
        'IWAE-5'

    References:
        Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016).
    """

    target_mean = IMPORTANCE_WEIGHTED_MEAN

    def __init__(self, samples: int = 5) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return f"IWAE-{self.samples}"


@register(
    ObjectiveRegistration(
        paper="Li and Turner 2016",
        use_when="a posterior that covers more than that of the ELBO, with less noise than IWAE",
        cost="about one decoder pass per sample",
        avoid_when="`alpha` is negative: samples underestimate the upper bound",
    )
)
class Renyi(LogWeightObjective):
    """The variational Renyi bound ``1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)``.

    ``alpha = 1`` is the ELBO, ``alpha = 0`` the importance-weighted bound. For ``alpha >= 0`` it is
    a lower bound of ``log p(x)`` that rises as ``alpha`` falls and, below 1, as ``samples`` grows.
    For ``alpha < 0`` the exact value is an upper bound, which samples underestimate: the reported
    number is then no bound.

    Args:
        alpha: Order of the divergence.
        samples: Number of draws per datum, K.

    Raises:
        ArgumentError: ``alpha`` is not finite, or ``samples`` is below 1.

    Example:
        >>> Renyi(alpha=0.5, samples=5).name, Renyi(alpha=-1.0).kind
        ('Renyi(0.5)-5', 'neither')

    References:
        Li and Turner, Renyi divergence variational inference (2016).
    """

    def __init__(self, alpha: float = 0.5, samples: int = 5) -> None:
        super().__init__(samples)
        if not math.isfinite(alpha):
            raise ArgumentError(
                "give a finite number, from 0 to 1 for bounds between IWAE and ELBO",
                argument="alpha",
                value=alpha,
            )
        self.alpha = alpha
        self.target_mean = (
            ARITHMETIC_MEAN
            if abs(1 - alpha) < ZERO_POWER_TOLERANCE
            else PowerMean(((1.0, 1.0 - alpha),))
        )
        self.kind = "lower bound" if alpha >= 0 else "neither"

    @property
    def name(self) -> str:
        return f"Renyi({self.alpha:g})-{self.samples}"

    @property
    def exact_kind(self) -> BoundKind:
        return "lower bound" if self.alpha >= 0 else "upper bound"


@register(
    ObjectiveRegistration(
        paper="Dieng et al. 2017",
        use_when="a posterior that covers all explanations, as a proposal for importance sampling",
        cost="about one decoder pass per sample",
        avoid_when="gradients are noisy already: weights are raised to a power",
    )
)
class CUBO(LogWeightObjective):
    """The chi upper bound ``1/n log 1/K sum_k w_k^n``.

    The posterior minimises it, the model maximises the importance-weighted bound of the same draws.
    A posterior that minimises it covers all of ``p(z|x)``, while the posterior of an ELBO lies
    inside. The exact value is an upper bound of ``log p(x)``; samples underestimate it, so that the
    reported number is no bound.

    Args:
        n: Power of the weights, above 1.
        samples: Number of draws per datum, K.

    Raises:
        ArgumentError: ``n`` is not above 1, or ``samples`` is below 1.

    Example:
        >>> CUBO(n=2, samples=5).name, CUBO().kind, CUBO().exact_kind
        ('CUBO(2)-5', 'neither', 'upper bound')

    References:
        Dieng et al., Variational inference via chi upper bound minimization (2017).
    """

    target_mean = IMPORTANCE_WEIGHTED_MEAN
    kind = "neither"

    def __init__(self, n: float = 2.0, samples: int = 5) -> None:
        super().__init__(samples)
        if not (n > 1 and math.isfinite(n)):
            raise ArgumentError(
                "give a number above 1: at 1 the chi bound is log p(x) itself",
                argument="n",
                value=n,
            )
        self.n = n
        self.reported_mean = PowerMean(((1.0, n),))
        self.posterior_target_mean = PowerMean(((-1.0, n),))

    @property
    def name(self) -> str:
        return f"CUBO({self.n:g})-{self.samples}"

    @property
    def summary(self) -> str:
        return f"{self.name} for the posterior, IWAE-{self.samples} for the model"

    @property
    def exact_kind(self) -> BoundKind:
        return "upper bound"


@register(
    ObjectiveRegistration(
        paper="Rainforth et al. 2018",
        use_when="comparisons with published results",
        cost="about one decoder pass per sample",
        avoid_when="`DoublyReparameterised` fits: it keeps the tighter bound",
    )
)
class MIWAE(LogWeightObjective):
    """The mean of several importance-weighted bounds, ``1/M sum_m log 1/K sum_k w_mk``.

    ``groups=1`` is IWAE, ``size=1`` the ELBO.

    Args:
        groups: Number of bounds, M.
        size: Number of draws of each bound, K.

    Raises:
        ArgumentError: ``groups`` or ``size`` is below 1.

    Example:
        >>> MIWAE(groups=4, size=8).name, MIWAE(4, 8).samples
        ('MIWAE-4x8', 32)

    References:
        Rainforth et al., Tighter variational bounds are not necessarily better (2018).
    """

    def __init__(self, groups: int = 8, size: int = 8) -> None:
        check_sample_count("groups", groups)
        check_sample_count("size", size)
        super().__init__(groups * size)
        self.groups, self.size = groups, size
        self.target_mean = PowerMean(((1.0, 1.0),), groups)

    @property
    def name(self) -> str:
        return f"MIWAE-{self.groups}x{self.size}"


@register(
    ObjectiveRegistration(
        paper="Rainforth et al. 2018",
        use_when="many samples with a pathwise gradient",
        cost="about one decoder pass per sample",
        avoid_when="penalties are added",
    )
)
class PIWAE(LogWeightObjective):
    """The importance-weighted bound for the model, and a mean of looser bounds for the posterior.

    The model maximises the bound of all ``groups * size`` draws, the posterior the mean over groups
    of ``size`` draws: the model gains from the tighter bound, and the gradient of the posterior
    keeps its signal. The reported number is the bound of the model.

    Args:
        groups: Number of groups of draws.
        size: Number of draws in each group.

    Raises:
        ArgumentError: ``groups`` or ``size`` is below 1.

    Example:
        >>> PIWAE(groups=4, size=8).name
        'IWAE-32'

    References:
        Rainforth et al., Tighter variational bounds are not necessarily better (2018).
    """

    target_mean = IMPORTANCE_WEIGHTED_MEAN

    def __init__(self, groups: int = 8, size: int = 8) -> None:
        check_sample_count("groups", groups)
        check_sample_count("size", size)
        super().__init__(groups * size)
        self.groups, self.size = groups, size
        self.posterior_target_mean = PowerMean(((1.0, 1.0),), groups)

    @property
    def name(self) -> str:
        return f"IWAE-{self.samples}"

    @property
    def summary(self) -> str:
        return f"PIWAE-{self.groups}x{self.size}, reported as {self.name}"


@register(
    ObjectiveRegistration(
        paper="Rainforth et al. 2018",
        use_when="many samples with a pathwise gradient and one bound for both parts",
        cost="about one decoder pass per sample",
    )
)
class CIWAE(LogWeightObjective):
    """A combination of two bounds, ``beta ELBO + (1 - beta) IWAE-K``: a lower bound between them.

    Args:
        beta: Share of the ELBO, from 0 to 1.
        samples: Number of draws per datum, K.

    Raises:
        ArgumentError: ``beta`` is outside [0, 1], or ``samples`` is below 1.

    Example:
        >>> CIWAE(beta=0.05, samples=64).name
        'CIWAE(0.05)-64'

    References:
        Rainforth et al., Tighter variational bounds are not necessarily better (2018).
    """

    def __init__(self, beta: float = 0.05, samples: int = 64) -> None:
        super().__init__(samples)
        if not 0 <= beta <= 1:
            raise ArgumentError(
                "give the share of the ELBO, from 0 to 1", argument="beta", value=beta
            )
        self.beta = beta
        self.target_mean = (
            IMPORTANCE_WEIGHTED_MEAN
            if beta == 0
            else ARITHMETIC_MEAN
            if beta == 1
            else PowerMean(((beta, 0.0), (1 - beta, 1.0)))
        )

    @property
    def name(self) -> str:
        return f"CIWAE({self.beta:g})-{self.samples}"
