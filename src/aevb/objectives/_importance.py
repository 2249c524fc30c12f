"""Bounds that are a function of the log-weights of several draws."""

from __future__ import annotations

import math
from abc import ABC

from ..errors import ArgumentError
from ..models import VAE
from ..types import ObjectiveValue, Terms
from ._bounds import ARITHMETIC_MEAN, IMPORTANCE_WEIGHTED_MEAN, PowerMean
from ._objective import BoundKind, Objective, ValidationCriterion, check_sample_count

ZERO_POWER_TOLERANCE = 1e-4  # a power this close to 0 is 0: in single precision its rounding is larger than what it changes


class LogWeightObjective(Objective, ABC):
    """A mean of ``log w_k = log p(x, z_k) - log q(z_k|x)``: reported, climbed by the model, and by the posterior unless it has its own."""

    uses_log_weights = True
    target_mean: PowerMean
    reported_mean: PowerMean | None = (
        None  # the mean that is logged, where it is not the one that the model climbs
    )

    @property
    def validation_criterion(self) -> ValidationCriterion:
        """The bound that the model climbs: its ELBO falls while the posterior learns to cover, and would choose early weights."""
        if self.kind == "lower bound":
            return ValidationCriterion(self.name, self.target_mean, self.samples)
        return ValidationCriterion(f"IWAE-{self.samples}", IMPORTANCE_WEIGHTED_MEAN, self.samples)

    def forward(self, terms: Terms, model: VAE) -> ObjectiveValue:
        h, measure = terms.log_weight, terms.log_measure
        target = self.target_mean(h, measure) - terms.weight_kl
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


class IWAE(LogWeightObjective):
    """``log 1/K sum_k w_k`` with ``w_k = p(x, z_k) / q(z_k|x)``: a lower bound of ``log p(x)`` that rises with ``samples``.

    Burda, Grosse and Salakhutdinov, Importance weighted autoencoders (2016). What is logged is the bound itself.

    >>> IWAE(samples=5).name
    'IWAE-5'
    """

    target_mean = IMPORTANCE_WEIGHTED_MEAN

    def __init__(self, samples: int = 5) -> None:
        super().__init__(samples)

    @property
    def name(self) -> str:
        return f"IWAE-{self.samples}"


class Renyi(LogWeightObjective):
    """``1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)``: ``alpha = 1`` is the ELBO, ``alpha = 0`` the importance-weighted bound.

    Li and Turner, Renyi divergence variational inference (2016). For ``alpha >= 0`` a lower bound of ``log p(x)`` that rises as ``alpha``
    falls and, below 1, as ``samples`` grow. For ``alpha < 0`` its exact value is an upper bound, which samples underestimate: what is
    reported is then neither. Raises ``ArgumentError`` for an ``alpha`` that is not finite.

    >>> Renyi(alpha=0.5, samples=5).name, Renyi(alpha=-1.0).kind
    ('Renyi(0.5)-5', 'neither')
    """

    def __init__(self, alpha: float = 0.5, samples: int = 5) -> None:
        super().__init__(samples)
        if not math.isfinite(alpha):
            raise ArgumentError(
                f"`alpha` is {alpha}; give a finite number, from 0 to 1 for bounds between IWAE and ELBO."
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


class CUBO(LogWeightObjective):
    """``1/n log 1/K sum_k w_k^n``, the chi upper bound: the posterior descends it, the model climbs the IWAE bound of the same draws.

    Dieng et al., Variational inference via chi upper bound minimization (2017). A posterior that descends it covers all of ``p(z|x)``,
    where the ELBO's settles inside. The exact value is an upper bound of ``log p(x)``; samples underestimate it, so what is reported is
    neither. Raises ``ArgumentError`` for ``n <= 1``.

    >>> CUBO(n=2, samples=5).name, CUBO().kind, CUBO().exact_kind
    ('CUBO(2)-5', 'neither', 'upper bound')
    """

    target_mean = IMPORTANCE_WEIGHTED_MEAN
    kind = "neither"

    def __init__(self, n: float = 2.0, samples: int = 5) -> None:
        super().__init__(samples)
        if not (n > 1 and math.isfinite(n)):
            raise ArgumentError(
                f"`n` is {n}; give a number above 1: at 1 the chi bound is log p(x) itself."
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


class MIWAE(LogWeightObjective):
    """``1/M sum_m log 1/K sum_k w_mk``: the mean of ``groups`` (M) importance-weighted bounds of ``size`` (K) draws each.

    Rainforth et al., Tighter variational bounds are not necessarily better (2018). ``groups=1`` is IWAE, ``size=1`` the ELBO.

    >>> MIWAE(groups=4, size=8).name, MIWAE(4, 8).samples
    ('MIWAE-4x8', 32)
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


class PIWAE(LogWeightObjective):
    """The model climbs the importance-weighted bound of all ``groups * size`` draws, the posterior the mean over groups of ``size``.

    Rainforth et al. (2018): the model gains from the tighter bound, while the posterior's signal does not drown in it. What is reported
    is the model's bound, under its name.

    >>> PIWAE(groups=4, size=8).name
    'IWAE-32'
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


class CIWAE(LogWeightObjective):
    """``beta ELBO + (1 - beta) IWAE-K`` of the same ``samples`` (K) draws: a lower bound between the two.

    Rainforth et al. (2018). Raises ``ArgumentError`` for a ``beta`` outside [0, 1].

    >>> CIWAE(beta=0.05, samples=64).name
    'CIWAE(0.05)-64'
    """

    def __init__(self, beta: float = 0.05, samples: int = 64) -> None:
        super().__init__(samples)
        if not 0 <= beta <= 1:
            raise ArgumentError(f"`beta` is {beta}; give the share of the ELBO, from 0 to 1.")
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
