"""Penalties on the aggregate posterior ``q(z) = E_data[q(z|x)]``: on its dependence, its moments, its distance from the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import Independent

from ..distributions import covariance, marginals
from ..errors import ArgumentError, DataError, IncompatibleError
from ..models import VAE
from ..types import Terms
from ._penalised import Penalty, PenaltyTerm, check_non_negative
from ._schedules import Schedule, as_schedule

MMD_SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # those of the Wasserstein autoencoder's kernels


class TotalCorrelation(Penalty):
    """The three parts of the mean divergence, weighed apart:
    ``E KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))``.

    With ``ELBO()`` inside, what is climbed weighs the mutual information by ``alpha``, the total correlation by ``beta`` and the
    divergence of each variable by ``gamma``: each part is penalised by its weight minus the 1 that the ELBO already gives it.

    ``q(z)`` is estimated from the codes of one batch of ``M`` out of ``N`` rows: ``"stratified"`` is unbiased for ``q(z)``, ``"weighted"``
    takes ``1/(N M) sum_j q(z|x_j)``, which makes each logarithm about ``log N - log M`` too small. ``N`` comes with the batch, or is given
    as ``rows`` where the data are an iterable. The cost grows as ``M^2``. Parts are logged in nats; where codes are far apart a batch says
    too little of ``q(z)``, the logarithm of its estimate is too small, and the total correlation comes out too small, even below 0.

    Chen et al., Isolating sources of disentanglement in VAEs (2018). Needs a posterior with a density whose variables' own densities are
    known: ``posteriors.Normal`` in all its forms, or any that factorises. Raises ``ArgumentError`` for a weight below 0 and
    ``DataError`` where nobody says ``N``.

    >>> TotalCorrelation(beta=6.0).measures
    ('mutual_information', 'total_correlation', 'dimension_kl')
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
        if estimator not in _ROW_WEIGHTINGS:
            raise ArgumentError(
                f"`estimator` is {estimator!r}; use one of {', '.join(_ROW_WEIGHTINGS)}."
            )
        if rows is not None and rows < 1:
            raise ArgumentError(f"`rows` is {rows}; give the number of rows of the training data.")
        self.estimator, self.rows = estimator, rows

    def check(self, model: VAE) -> None:
        _, q = model.probe()
        if marginals(q) is None or not q.has_rsample:
            raise IncompatibleError(
                f"`objectives.TotalCorrelation` needs a density of each latent variable that can be differentiated in the draw, and "
                f"`{type(q).__name__}` has none. Use `posteriors.Normal(...)`, or `objectives.FactorCritic`, which needs draws alone."
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        log_weight = self._log_row_weights(terms)
        each, joint = _pairwise_log_densities(terms)
        log_q = torch.logsumexp(joint + log_weight, -1)  # [K, B]
        log_product = torch.logsumexp(each + log_weight[..., None], -2).sum(-1)
        information = terms.log_posterior - log_q
        return PenaltyTerm(
            (
                information.mean(),
                (log_q - log_product).mean(),
                (log_product - terms.log_prior).mean(),
            )
        )

    def _log_row_weights(self, terms: Terms) -> Tensor:
        """Logarithms of what each row of the batch counts ``[B, B]``, seen from each of them."""
        batch, rows = len(terms.batch.x), self.rows or terms.batch.dataset_size
        if rows is None:
            raise DataError(
                "an iterable does not say how many rows the data have; give objectives.TotalCorrelation(rows=N)."
            )
        if rows < batch:
            raise DataError(
                f"a batch has {batch} rows, and the data are said to have {rows}; give objectives.TotalCorrelation(rows=N)."
            )
        return _ROW_WEIGHTINGS[self.estimator](batch, rows, terms.z).log()


def _pairwise_log_densities(terms: Terms) -> tuple[Tensor, Tensor]:
    """``log q(z_ij | x_l)`` of each variable ``[K, B, B, V]`` and ``log q(z_i | x_l)`` ``[K, B, B]``, for every pair of rows i, l."""
    z, own = terms.z.unsqueeze(2), marginals(terms.q)
    assert own is not None  # refused at the door
    each = own.log_prob(z).flatten(3)
    return each, each.sum(-1) if isinstance(terms.q, Independent) else terms.q.log_prob(z)


def _weighted_sampling(batch: int, rows: int, like: Tensor) -> Tensor:
    return torch.full((batch, batch), 1 / (rows * batch), dtype=like.dtype, device=like.device)


def _stratified_sampling(batch: int, rows: int, like: Tensor) -> Tensor:
    """The row itself is one of ``N``, one other row stands for the ``N - M`` that are in no batch, and the rest for themselves."""
    itself = torch.eye(batch, dtype=like.dtype, device=like.device)
    if batch == 1:
        return itself / rows
    others = batch - 1
    stand_in = itself.roll(1, 1)
    return (
        itself / rows
        + stand_in * (rows - others) / (rows * others)
        + (1 - itself - stand_in) / others
    )


_ROW_WEIGHTINGS = {"stratified": _stratified_sampling, "weighted": _weighted_sampling}


@dataclass(frozen=True)
class _MinusOne(Schedule):
    """Another schedule, less the 1 that is there without it."""

    inner: Schedule

    def __call__(self, step: int) -> float:
        return self.inner(step) - 1.0

    @property
    def final_schedule_step(self) -> int | None:
        return self.inner.final_schedule_step


def _minus_one(weight: float | Schedule) -> Schedule:
    return _MinusOne(as_schedule(weight))


class DIP(Penalty):
    """Codes whose covariance is the identity: ``off_diagonal sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2``.

    ``C`` is the covariance over the batch of the posterior's mean (``kind="I"``), or that of the aggregate posterior, which adds the mean
    covariance of ``q(z|x)`` (``"II"``). Divided by the number of rows, as in the paper: a single row has covariance 0.

    Kumar, Sattigeri and Balakrishnan, Variational inference of disentangled latent concepts from unlabeled observations (2018); there
    ``diagonal`` is ten times ``off_diagonal`` for I, and equal to it for II. Raises ``ArgumentError`` for a weight below 0.

    >>> DIP(off_diagonal=5.0, diagonal=50.0, kind="I").measures
    ('off_diagonal', 'diagonal')
    """

    def __init__(
        self,
        off_diagonal: float | Schedule = 10.0,
        diagonal: float | Schedule = 10.0,
        kind: Literal["I", "II"] = "II",
    ) -> None:
        check_non_negative(off_diagonal=off_diagonal, diagonal=diagonal)
        super().__init__(off_diagonal=off_diagonal, diagonal=diagonal)
        if kind not in ("I", "II"):
            raise ArgumentError(
                f'`kind` is {kind!r}; use "I" (means) or "II" (aggregate posterior).'
            )
        self.kind = kind

    def check(self, model: VAE) -> None:
        _, q = model.probe()
        if covariance(q) is None:
            raise IncompatibleError(
                f"`objectives.DIP` needs the covariance of the posterior, and `{type(q).__name__}` has no formula for it. "
                "Use `posteriors.Normal(...)`."
            )

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        mean = terms.q.mean.flatten(1)
        centred = mean - mean.mean(0)
        matrix = centred.T @ centred / len(mean)
        if self.kind == "II":
            spread = covariance(terms.q)
            assert spread is not None  # refused at the door
            matrix = matrix + spread.mean(0)
        variances = matrix.diagonal()
        return PenaltyTerm(
            (matrix.square().sum() - variances.square().sum(), (variances - 1).square().sum())
        )


class MMD(Penalty):
    """The squared maximum mean discrepancy between codes and draws from the prior: ``E k(z, z') + E k(p, p') - 2 E k(z, p)``.

    Kernels of ``u = |a - b|^2 / (2 D s)``, summed over the ``scales`` ``s``: ``"imq"`` (inverse multiquadric) ``1 / (1 + u)``, ``"rbf"``
    ``exp(-u)``. ``2 D`` is the mean squared distance of two draws from a standard normal prior of ``D`` variables: with another prior,
    give scales that fit its size. Each of the ``K`` codes per row meets as many prior draws as there are rows. ``unbiased`` leaves out
    the pair of a code with itself, and may be negative; without it the value is at least 0, and about ``(k(0) - E k) 2 / B`` too large.
    A single row has no pairs: only the cross term is left.

    Tolstikhin et al., Wasserstein auto-encoders (2018), on ``Reconstruction()``; Zhao, Song and Ermon, InfoVAE (2019), on an
    ``ELBO(beta=...)``. Raises ``ArgumentError`` for a weight below 0 or scales that are not positive.

    >>> MMD(weight=10.0, kernel="rbf", scales=[1.0]).measures
    ('mmd',)
    """

    def __init__(
        self,
        weight: float | Schedule = 10.0,
        kernel: Literal["imq", "rbf"] = "imq",
        scales: Sequence[float] = MMD_SCALES,
        unbiased: bool = True,
    ) -> None:
        check_non_negative(weight=weight)
        super().__init__(mmd=weight)
        if kernel not in _KERNELS:
            raise ArgumentError(f"`kernel` is {kernel!r}; use one of {', '.join(_KERNELS)}.")
        if not scales or not all(scale > 0 and math.isfinite(scale) for scale in scales):
            raise ArgumentError(f"`scales` is {scales}; give at least one positive number.")
        self.kernel, self.scales, self.unbiased = kernel, tuple(scales), unbiased

    def forward(self, terms: Terms, model: VAE) -> PenaltyTerm:
        codes, prior = terms.z.flatten(2), prior_draws(terms, model).flatten(2)
        within = self._mean_within_kernel(codes) + self._mean_within_kernel(prior)
        return PenaltyTerm((within - 2 * self._kernel(codes, prior).mean(),))

    def _mean_within_kernel(self, z: Tensor) -> Tensor:
        """``E k(z, z')`` over pairs of rows, averaged over draws."""
        values = self._kernel(z, z)
        if not self.unbiased:
            return values.mean()
        others = values.sum((1, 2)) - values.diagonal(dim1=1, dim2=2).sum(1)
        rows = z.shape[1]
        return (others / max(rows * (rows - 1), 1)).mean()

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        """``[K, B, D]`` twice to ``[K, B, B]``."""
        apart = (a.unsqueeze(2) - b.unsqueeze(1)).square().sum(-1)
        return sum(
            (_KERNELS[self.kernel](apart / (2 * a.shape[-1] * scale)) for scale in self.scales),
            start=torch.zeros_like(apart),
        )


_KERNELS = {"imq": lambda u: 1 / (1 + u), "rbf": lambda u: torch.exp(-u)}


def prior_draws(terms: Terms, model: VAE) -> Tensor:
    """As many draws from the prior as there are codes ``[K, B, *latent]``; a prior that can be reparameterised learns through them."""
    p = model.prior(None, terms.batch.context)
    shape = terms.z.shape[: 1 if p.batch_shape else 2]
    return p.rsample(shape) if p.has_rsample else p.sample(shape)
