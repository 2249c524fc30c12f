"""Penalties on the aggregate posterior ``q(z) = E_data[q(z|x)]``: dependence, moments, distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Independent

from .._registry import register
from ..distributions import covariance, marginals
from ..errors import ArgumentError, DataError, IncompatibleError, check_choice
from ..models import VAE
from ..notes import Part, message
from ..types import Terms
from ._penalised import Penalty, PenaltyRegistration, PenaltyTerm, check_non_negative
from ._schedules import Schedule, as_schedule

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # as in Tolstikhin et al. (2018)


@register(
    PenaltyRegistration(
        paper="Chen et al. 2018",
        objective="ELBO()",
        use_when="independent latent variables at a small loss of likelihood",
        cost="grows with the square of the batch size",
        avoid_when="batches are below 128 rows",
    )
)
class TotalCorrelation(Penalty):
    """The three parts of the mean KL divergence, each with its own weight.

    ``E KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))``.
    With ``ELBO()``, the target weighs the mutual information by ``alpha``, the total correlation by
    ``beta`` and the divergence of each variable by ``gamma``: each part is penalised by its weight
    minus the 1 that is in the ELBO. The parts are logged in nats.

    ``q(z)`` is estimated from the draws of one batch of ``M`` out of ``N`` rows, at a cost that
    grows as ``M^2``. Where the posteriors of the data are far apart, the total correlation is
    underestimated, even below 0.

    Args:
        beta: Weight of the total correlation, a number or a schedule.
        alpha: Weight of the mutual information.
        gamma: Weight of the divergence of each variable from the prior.
        estimator: ``"stratified"`` is unbiased for ``q(z)``, so that its logarithm is too small in
            the mean, and the mutual information at most ``log N``. ``"weighted"`` is
            ``1/M sum_j q(z|x_j)`` with the draw's own row: its logarithm is right where the
            posteriors overlap and ``log N - log M`` too large where they are apart, and the mutual
            information is at most ``log M``. The paper divides by ``N``, too, which changes no
            gradient, and shifts the total correlation by ``(D - 1) log N`` for ``D`` variables.
        rows: Number of training rows, N, for ``"stratified"``; by default the number that comes
            with the batch.

    Raises:
        ArgumentError: A weight is negative, ``estimator`` is unknown, or ``rows`` is below 1.
        IncompatibleError: The densities of the single variables are not known: use
            ``posteriors.Normal`` or another posterior that factorises.
        DataError: ``N`` is needed and not known.

    Example:
        >>> TotalCorrelation(beta=6.0).metric_names
        ('mutual_information', 'total_correlation', 'dimension_kl')

    References:
        Chen et al., Isolating sources of disentanglement in VAEs (2018).
    """

    def __init__(
        self,
        beta: float | Schedule = 6.0,
        alpha: float | Schedule = 1.0,
        gamma: float | Schedule = 1.0,
        estimator: Literal["stratified", "weighted"] = "stratified",
        rows: int | None = None,
    ) -> None:
        check_non_negative(alpha=alpha, beta=beta, gamma=gamma)
        super().__init__(
            mutual_information=_minus_one(alpha),
            total_correlation=_minus_one(beta),
            dimension_kl=_minus_one(gamma),
        )
        check_choice("estimator", estimator, ("stratified", "weighted"))
        if rows is not None and rows < 1:
            raise ArgumentError(
                "give the number of rows of the training data", argument="rows", value=rows
            )
        self.estimator, self.rows = estimator, rows

    def check(self, model: VAE) -> None:
        _, q = model.probe()
        if marginals(q) is None or not q.has_rsample:
            raise IncompatibleError(
                "`objectives.TotalCorrelation` needs a density of each latent variable that can be "
                f"differentiated in the draw, and `{type(q).__name__}` has none",
                suggestions=(
                    message(
                        "Use {normal}, or `objectives.FactorCritic`",
                        normal=Part("posteriors.Normal"),
                    ),
                ),
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        log_weight = self._log_row_weights(terms)
        marginal, joint = _pairwise_log_densities(terms)
        log_q = torch.logsumexp(joint + log_weight, -1)  # [K, B]
        log_product = torch.logsumexp(marginal + log_weight[..., None], -2).sum(-1)
        information = terms.log_posterior - log_q
        return PenaltyTerm(
            (
                information.mean(),
                (log_q - log_product).mean(),
                (log_product - terms.log_prior).mean(),
            )
        )

    def _log_row_weights(self, terms: Terms) -> Tensor:
        """Log-weights ``[B, B]`` of each row of the batch in the mixture at each row."""
        batch, rows = len(terms.batch.x), self.rows or terms.batch.dataset_size
        if self.estimator == "weighted":
            return terms.z.new_full((batch, batch), -math.log(batch))
        if rows is None:
            raise DataError(
                "the number of training rows is not known of an iterable",
                argument="rows",
                suggestions=("Write `objectives.TotalCorrelation(rows=N)`",),
            )
        if rows < batch:
            raise DataError(
                f"a batch has {batch} rows, more than all data",
                argument="rows",
                value=rows,
                suggestions=("Write `objectives.TotalCorrelation(rows=N)`",),
            )
        return _stratified_sampling(batch, rows, terms.z).log()


def _pairwise_log_densities(terms: Terms) -> tuple[Tensor, Tensor]:
    """Return ``log q(z_ij|x_l)`` ``[K, B, B, V]`` and ``log q(z_i|x_l)`` ``[K, B, B]``."""
    z, variables = terms.z.unsqueeze(2), marginals(terms.q)
    assert variables is not None  # by `TotalCorrelation.check`
    marginal = variables.log_prob(z).flatten(3)
    return marginal, marginal.sum(-1) if isinstance(terms.q, Independent) else terms.q.log_prob(z)


def _stratified_sampling(batch: int, rows: int, like: Tensor) -> Tensor:
    """Row weights: one other row stands for all rows that are not in the batch."""
    identity = torch.eye(batch, dtype=like.dtype, device=like.device)
    if batch == 1:
        return identity / rows
    others = batch - 1
    stand_in = identity.roll(1, 1)
    return (
        identity / rows
        + stand_in * (rows - others) / (rows * others)
        + (1 - identity - stand_in) / others
    )


@dataclass(frozen=True)
class _MinusOne(Schedule):
    """Another schedule minus the weight of 1 that the ELBO has without the penalty."""

    inner: Schedule

    def __call__(self, step: int) -> float:
        return self.inner(step) - 1.0

    @property
    def final_schedule_step(self) -> int | None:
        return self.inner.final_schedule_step

    def planned(self, run_steps: int | None, shorten: bool = False) -> _MinusOne:
        return _MinusOne(self.inner.planned(run_steps, shorten))


def _minus_one(weight: float | Schedule) -> Schedule:
    return _MinusOne(as_schedule(weight))


@register(
    PenaltyRegistration(
        paper="Kumar et al. 2018",
        objective="ELBO()",
        use_when="uncorrelated latent variables are enough",
        cost="small",
    )
)
class DIP(Penalty):
    """Distance of the covariance of the encodings from the identity.

    ``off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2``, where ``C`` is a covariance
    over the batch, divided by the number of rows: a single row has covariance 0.

    Args:
        off_diagonal: Weight of the squared covariances, a number or a schedule.
        diagonal: Weight of the squared distance of the variances from 1. In the paper ten times
            ``off_diagonal`` for kind I, and equal to it for kind II.
        kind: ``"I"`` uses the covariance of the posterior means, ``"II"`` that of the aggregate
            posterior, which adds the mean covariance of ``q(z|x)``.

    Raises:
        ArgumentError: A weight is negative, or ``kind`` is unknown.
        IncompatibleError: The covariance of the posterior has no closed form.

    Example:
        >>> DIP(off_diagonal=5.0, diagonal=50.0, kind="I").metric_names
        ('off_diagonal', 'diagonal')

    References:
        Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts
        from unlabeled observations (2018).
    """

    takes_weights = True

    def __init__(
        self,
        off_diagonal: float | Schedule = 10.0,
        diagonal: float | Schedule = 10.0,
        kind: Literal["I", "II"] = "II",
    ) -> None:
        check_non_negative(off_diagonal=off_diagonal, diagonal=diagonal)
        super().__init__(off_diagonal=off_diagonal, diagonal=diagonal)
        check_choice("kind", kind, ("I", "II"))
        self.kind = kind

    def check(self, model: VAE) -> None:
        _, q = model.probe()
        if covariance(q) is None:
            raise IncompatibleError(
                "`objectives.DIP` needs the covariance of the posterior, and "
                f"`{type(q).__name__}` has no formula for it",
                suggestions=(message("Use {normal}", normal=Part("posteriors.Normal")),),
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        mean = terms.q.mean.flatten(1)
        row_mean, weight = terms.batch.row_mean, terms.batch.weight
        centred = mean - row_mean(mean, 0)
        if weight is None:
            matrix = centred.T @ centred / len(mean)
        else:
            matrix = row_mean(centred[:, :, None] * centred[:, None], 0)
        if self.kind == "II":
            posterior_covariance = covariance(terms.q)
            assert posterior_covariance is not None  # by `check`
            matrix = matrix + row_mean(posterior_covariance, 0)
        variances = matrix.diagonal()
        return PenaltyTerm(
            (matrix.square().sum() - variances.square().sum(), (variances - 1).square().sum())
        )


@register(
    PenaltyRegistration(
        paper="Tolstikhin et al. 2018",
        objective="Reconstruction()",
        use_when="encodings of all data together should be distributed as the prior",
        cost="grows with the square of the batch size",
    )
)
class MMD(Penalty):
    """The squared maximum mean discrepancy between encodings and draws from the prior.

    ``E k(z, z') + E k(p, p') - 2 E k(z, p)``, with kernels of ``u = |a - b|^2 / (2 D s)`` summed
    over the ``scales`` ``s``. ``2 D`` is the mean squared distance of two draws from a standard
    normal prior of ``D`` variables. Each of the ``K`` draws per row is compared with as many prior
    draws as there are rows. A single row has no pairs: only the cross term is left.

    Args:
        weight: Weight of the discrepancy, a number or a schedule.
        kernel: ``"imq"`` (inverse multiquadric, ``1 / (1 + u)``) or ``"rbf"`` (``exp(-u)``).
        scales: Scales of the kernels; for another prior, choose scales that fit its size.
        unbiased: Leave out the pair of a draw with itself; the value may then be negative.
            Otherwise the value is at least 0 and about ``(k(0) - E k) 2 / B`` too large.

    Raises:
        ArgumentError: ``weight`` is negative, ``kernel`` is unknown, or a scale is not positive.

    Example:
        >>> MMD(weight=10.0, kernel="rbf", scales=[1.0]).metric_names
        ('mmd',)

    References:
        Tolstikhin et al., Wasserstein auto-encoders (2018), with ``Reconstruction()``; Zhao, Song
        and Ermon, InfoVAE (2019), with ``ELBO(beta=...)``.
    """

    takes_weights = True

    matches_prior = True

    def __init__(
        self,
        weight: float | Schedule = 10.0,
        kernel: Literal["imq", "rbf"] = "imq",
        scales: Sequence[float] = MMD_SCALES,
        unbiased: bool = True,
    ) -> None:
        check_non_negative(weight=weight)
        super().__init__(mmd=weight)
        check_choice("kernel", kernel, tuple(_KERNELS))
        if not scales or not all(scale > 0 and math.isfinite(scale) for scale in scales):
            raise ArgumentError(
                "give at least one positive number", argument="scales", value=scales
            )
        self.kernel, self.scales, self.unbiased = kernel, tuple(scales), unbiased

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        z, prior = terms.z.flatten(2), prior_draws(terms, model).flatten(2)
        weight = terms.batch.weight
        if weight is not None:
            pairs = weight.to(z.dtype)[:, None] * weight.to(z.dtype)
            return PenaltyTerm((self._weighted_discrepancy(z, prior, pairs),))
        within = self._mean_within_kernel(z) + self._mean_within_kernel(prior)
        return PenaltyTerm((within - 2 * self._kernel(z, prior).mean(),))

    def _weighted_discrepancy(self, z: Tensor, prior: Tensor, pairs: Tensor) -> Tensor:
        """The discrepancy where a row and its prior draw share a weight; ``pairs`` ``[B, B]``."""
        within = pairs - pairs.diagonal().diag() if self.unbiased else pairs

        def mean(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
            total = weight.sum().clamp(min=torch.finfo(weight.dtype).tiny)
            return ((self._kernel(a, b) * weight).sum((1, 2)) / total).mean()

        return mean(z, z, within) + mean(prior, prior, within) - 2 * mean(z, prior, pairs)

    def _mean_within_kernel(self, z: Tensor) -> Tensor:
        """Mean of ``k(z, z')`` over pairs of rows and over draws."""
        values = self._kernel(z, z)
        if not self.unbiased:
            return values.mean()
        others = values.sum((1, 2)) - values.diagonal(dim1=1, dim2=2).sum(1)
        rows = z.shape[1]
        return (others / max(rows * (rows - 1), 1)).mean()

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """Kernel values ``[K, B, B]`` of two sets ``[K, B, D]``."""
        distance = (a.unsqueeze(2) - b.unsqueeze(1)).square().sum(-1)
        return sum(
            (_KERNELS[self.kernel](distance / (2 * a.shape[-1] * scale)) for scale in self.scales),
            start=torch.zeros_like(distance),
        )


_KERNELS = {"imq": lambda u: 1 / (1 + u), "rbf": lambda u: torch.exp(-u)}


def prior_draws(terms: Terms, model: VAE) -> Tensor:
    """Return a prior draw for each encoding, ``[K, B, *latent]``, reparameterised if possible."""
    p = model.prior(None, terms.batch.context)
    shape = terms.z.shape[: 1 if p.batch_shape else 2]
    return p.rsample(shape) if p.has_rsample else p.sample(shape)
