"""Gaussians and mixtures of Gaussians with full covariances, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import one_hot

HELD_OUT_EVERY = 5
"""Every fifth row chooses the shrinkage, the smoothing and the number of components."""

SHRINKAGES = (0.0, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the unit matrix in the covariance of standardised columns."""

MIN_LOADING = 0.1
"""Squared loading from which a column takes part in a direction."""

PRIOR_ROWS = 0.1
"""Rows that the covariance of all rows is worth in each component's: few rows span no volume."""


@dataclass(frozen=True)
class Gaussians:
    """Weighted Gaussians with full covariances.

    Args:
        log_weight: Log-weights ``[K]``.
        mean: Means ``[K, D]``.
        whitening: ``(x - mean) @ whitening`` has the unit covariance, ``[K, D, D]``.
        log_det: Log-determinants of ``whitening``, ``[K]``.
        shrinkage: Weight of the unit matrix in the covariance.
        floored: Columns with a direction whose standard deviation is at its floor.

    Example:
        >>> unit = Gaussians(torch.zeros(1), torch.zeros(1, 2), torch.eye(2)[None], torch.zeros(1))
        >>> unit.log_prob(torch.zeros(1, 2)).mul(100).round()
        tensor([-184.])
    """

    log_weight: Tensor
    mean: Tensor
    whitening: Tensor
    log_det: Tensor
    shrinkage: float = 0.0
    floored: tuple[int, ...] = field(default=())

    @property
    def covariance(self) -> Tensor:
        """Covariances ``[K, D, D]``."""
        return torch.linalg.inv(self.whitening @ self.whitening.mT)

    def log_joint(self, x: Tensor) -> Tensor:
        """Joint log-density ``[N, K]`` of rows ``[N, D]`` and component."""
        z = (x - self.mean[:, None]) @ self.whitening
        constant = self.log_weight + self.log_det - 0.5 * x.shape[1] * math.log(2 * math.pi)
        return (constant[:, None] - 0.5 * z.square().sum(2)).T

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density ``[N]`` of rows ``[N, D]``."""
        return self.log_joint(x).logsumexp(1)


def fit_gaussian(x: Tensor, floor: float) -> Gaussians:
    """Fit a Gaussian with full covariance to rows ``[N, D]`` of about unit size.

    The covariance is shrunk towards the unit matrix by as much as is best for every fifth row. No
    direction has a standard deviation below ``floor``.

    >>> x = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    >>> fit_gaussian(x, floor=0.01).mean.abs().max() < 0.1
    tensor(True)
    """
    held_out = held_out_mask(len(x))
    scores = [
        gaussian.log_prob(x[held_out]).mean().item()
        for gaussian in _shrunk_gaussians(x[~held_out], SHRINKAGES, floor)
    ]
    best = SHRINKAGES[max(range(len(scores)), key=scores.__getitem__)]
    return _shrunk_gaussians(x, (best,), floor)[0]


def _shrunk_gaussians(x: Tensor, shrinkages: Sequence[float], floor: float) -> list[Gaussians]:
    mean = x.mean(0)
    centred = x - mean
    eigenvalues, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    return [
        _gaussians(
            x.new_zeros(1),
            mean[None],
            ((1 - share) * eigenvalues + share)[None],
            vectors[None],
            floor,
            share,
        )
        for share in shrinkages
    ]


def _gaussians(
    log_weight: Tensor,
    mean: Tensor,
    eigenvalues: Tensor,
    vectors: Tensor,
    floor: float,
    shrinkage: float = 0.0,
) -> Gaussians:
    """Gaussians from the eigenvalues ``[K, D]`` and eigenvectors of their covariances."""
    low = eigenvalues < floor**2
    # a column takes part in a direction with the square of its loading
    share = (vectors.square() * low[:, None]).amax((0, 2))
    floored = tuple((share > MIN_LOADING).nonzero()[:, 0].tolist())
    scale = eigenvalues.clamp(min=floor**2).rsqrt()
    return Gaussians(
        log_weight, mean, vectors * scale[:, None], scale.log().sum(1), shrinkage, floored
    )


def fit_mixture(
    x: Tensor,
    candidates: Sequence[int],
    floor: float,
    *,
    steps: int = 50,
    seed: int = 0,
    rows_per_parameter: float = 1.0,
    prior_rows: Sequence[float] = (PRIOR_ROWS,),
    backgrounds: Sequence[float] = (),
    patience: int = 2,
) -> Gaussians | None:
    """Fit a mixture of Gaussians by expectation maximisation to rows ``[N, D]`` of about unit size.

    Every fifth row chooses the number of components. Candidates are tried in order until
    ``patience`` in a row are worse than the best. The start is that of k-means++ (Arthur and
    Vassilvitskii 2007). There must be ``rows_per_parameter``. Every fifth row also chooses how many
    rows the covariance of all rows is worth in each component's, from ``prior_rows`` in order until
    one is worse; and the weight of a further component, the Gaussian of all rows, from
    ``backgrounds``: rows far from narrow components have a density that does not vanish.

    Returns:
        The mixture; ``None`` where no candidate has enough rows for its parameters.
    """
    held_out, size = held_out_mask(len(x)), x.shape[1]
    counts = [k for k in candidates if k * size * (size + 3) / 2 * rows_per_parameter <= len(x)]
    best, best_score = (0, 0.0, 0.0), -math.inf
    for rows in prior_rows:
        before, highest, worse = best_score, -math.inf, 0
        for components in counts:
            if worse == patience:
                break
            mixture = _maximise_expectation(x[~held_out], components, floor, steps, seed, rows)
            score, share = _best_background(mixture, x, held_out, floor, backgrounds)
            worse = 0 if score > highest else worse + 1
            highest = max(score, highest)
            if score > best_score:
                best, best_score = (components, rows, share), score
        if best_score == before:
            break
    components, rows, share = best
    if not components:
        return None
    mixture = _maximise_expectation(x, components, floor, steps, seed, rows)
    return _with_background(mixture, x, floor, share) if share else mixture


def _best_background(
    mixture: Gaussians, x: Tensor, held_out: Tensor, floor: float, shares: Sequence[float]
) -> tuple[float, float]:
    """The highest mean log-density of held-out rows by the share of a background, and the share."""
    best = mixture.log_prob(x[held_out]).mean().item(), 0.0
    for share in shares:
        if len(mixture.log_weight) > 1:
            other = _with_background(mixture, x[~held_out], floor, share)
            best = max(best, (other.log_prob(x[held_out]).mean().item(), share))
    return best


def _with_background(mixture: Gaussians, x: Tensor, floor: float, share: float) -> Gaussians:
    """A mixture with a further component of this weight, the Gaussian of all rows."""
    wide = _shrunk_gaussians(x, (0.0,), floor)[0]
    return Gaussians(
        torch.cat([mixture.log_weight + math.log1p(-share), wide.log_weight + math.log(share)]),
        torch.cat([mixture.mean, wide.mean]),
        torch.cat([mixture.whitening, wide.whitening]),
        torch.cat([mixture.log_det, wide.log_det]),
        floored=mixture.floored,
    )


def _maximise_expectation(
    x: Tensor, components: int, floor: float, steps: int, seed: int, prior_rows: float = PRIOR_ROWS
) -> Gaussians:
    """Expectation maximisation; the gain of a step says little, since a plateau may end."""
    weight = _initial_weights(x, components, torch.Generator().manual_seed(seed))
    # components that share the space have a smaller volume each (Fraley and Raftery 2007)
    size = x.shape[1]
    prior = torch.cov(x.T, correction=0).reshape(size, size) / components ** (2 / size)
    mixture = _weighted_gaussians(x, weight, prior, floor, prior_rows)
    for _ in range(steps):
        joint = mixture.log_joint(x)
        weight = (joint - joint.logsumexp(1, keepdim=True)).exp()
        mixture = _weighted_gaussians(x, weight, prior, floor, prior_rows)
    return mixture


def _initial_weights(x: Tensor, components: int, generator: torch.Generator) -> Tensor:
    """One-hot weights ``[N, K]`` of the nearest of centres that are far from each other."""
    centres = x[torch.randint(len(x), (1,), generator=generator)]
    while len(centres) < components:
        distances = torch.cdist(x, centres).amin(1).square() + 1e-12
        centres = torch.cat([centres, x[torch.multinomial(distances, 1, generator=generator)]])
    for _ in range(5):  # steps of k-means
        weight = _nearest(x, centres)
        centres = weight.T @ x / weight.sum(0).clamp(min=1)[:, None]
    return _nearest(x, centres)


def _nearest(x: Tensor, centres: Tensor) -> Tensor:
    """One-hot weights ``[N, K]`` of the nearest centre."""
    return one_hot(torch.cdist(x, centres).argmin(1), len(centres)).to(x)


def _weighted_gaussians(
    x: Tensor, weight: Tensor, prior: Tensor, floor: float, prior_rows: float = PRIOR_ROWS
) -> Gaussians:
    """Gaussians of rows ``[N, D]`` with weights ``[N, K]``, and a little of a prior covariance."""
    total = weight.sum(0) + 1e-6
    mean = weight.T @ x / total[:, None]
    centred = (x - mean[:, None]) * weight.T[:, :, None].sqrt()
    covariance = centred.mT @ centred + prior_rows * prior
    covariance = covariance / (total + prior_rows)[:, None, None]
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    return _gaussians((total / total.sum()).log(), mean, eigenvalues, vectors, floor)


def held_out_mask(n_rows: int) -> Tensor:
    """Every fifth row."""
    return torch.arange(n_rows) % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
