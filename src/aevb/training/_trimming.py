"""Training that leaves out the rows of least likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..data import Dataset, Rows
from ..data._spec import Spec
from ..errors import ArgumentError
from ..inference._row_bounds import row_bounds
from ..models import VAE
from ._history import Epoch

CONCENTRATION_STEPS = 8
MIN_DEVIATION = 0.03  # of the rows that remain, in deviations of all rows
SHRINKAGE = 0.1  # of correlations


class TrimLeastLikely:
    """A callback that gives weight 0 to the least likely rows, anew after each epoch.

    Outliers among the training and validation rows then have no part in the model, nor in the
    choice of its weights (Rousseeuw's least trimmed squares, with the ELBO in place of squares).
    The rows that are left out at first are the farthest from a robust Gaussian.

    Args:
        data: The data of the training; train on the attribute ``data``, on the same device.
        share: The share of the rows that is left out, from 0 to below 0.5.

    Raises:
        ArgumentError: The share is something else.

    Example:
        >>> import aevb
        >>> from aevb import data, presets
        >>> recipe = presets.vae(data.load("digits").spec, latent=2, hidden=[8])
        >>> trim = TrimLeastLikely(data.load("digits"), 0.1)
        >>> _ = aevb.fit(recipe, trim.data, epochs=1, callbacks=[trim], progress=False)
        >>> int((trim.data.train.weights == 0).sum())
        143
    """

    def __init__(self, data: Dataset, share: float) -> None:
        if not 0 <= share < 0.5:
            raise ArgumentError(
                "give a share of at least 0 and below 0.5", argument="trim", value=share
            )
        self.share = share
        self.data = replace(
            data, train=_with_weights(data.train), validation=_with_weights(data.validation)
        )
        self._parts: Sequence[tuple[Rows, Tensor]] = [
            (rows, rows.weights.clone())
            for rows in (self.data.train, self.data.validation)
            if rows.weights is not None
        ]
        numbers = _number_columns(data.spec)
        for rows, weights in self._parts:
            x = rows.tensor().flatten(1)
            self._leave_out(rows, weights, -robust_distances(x, share, numbers))

    def __call__(self, epoch: Epoch, model: VAE) -> None:
        """Set the weights for the next epoch."""
        for rows, weights in self._parts:
            self._leave_out(rows, weights, row_bounds(model, rows))

    def _leave_out(self, rows: Rows, weights: Tensor, scores: Tensor) -> None:
        """Give weight 0 to the rows with the lowest scores, and their own weight to all others."""
        assert rows.weights is not None
        left_out = scores.argsort()[: int(self.share * len(rows))].to(weights.device)
        rows.weights.copy_(weights.index_fill(0, left_out, 0.0))


def robust_distances(x: Tensor, share: float, numbers: Sequence[int] = ()) -> Tensor:
    """Half the squared Mahalanobis distance of rows from those that remain without the farthest.

    Concentration steps from the medians (Rousseeuw and Van Driessen, A fast algorithm for the
    minimum covariance determinant estimator, 1999), with correlations shrunk by a tenth. A column
    of categories counts with minus the logarithm of their frequency.

    Args:
        x: Rows ``[N, D]``, NaN in missing cells, which do not count.
        share: The share of the rows that has no part in the mean and the covariance.
        numbers: The columns of numbers; all others have categories.

    Returns:
        Distances ``[N]``, float64.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [0.1, 1.1], [-0.1, 0.9], [0.2, 1.2], [0.1, 0.6]])
        >>> robust_distances(x, 0.2, [0, 1]).argmax().item()
        4
    """
    x, kept = x.double(), len(x) - int(share * len(x))
    names = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for place in set(range(x.shape[1])) - {*numbers}:
        names -= _log_frequencies(x[:, place])
    z = x[:, [*numbers]]
    centred = (z - z.nanmedian(0).values).abs()
    spread = centred.square().nanmean(0).sqrt().clamp(min=1e-12)
    deviation = torch.maximum(1.4826 * centred.nanmedian(0).values, MIN_DEVIATION * spread)
    found = names + (centred / deviation).square().nan_to_num(nan=0.0).sum(1) / 2
    for _ in range(CONCENTRATION_STEPS if share else 0):
        mean, precision = _shrunk_gaussian(z[found.argsort()[:kept]], spread)
        residual = (z - mean).nan_to_num(nan=0.0)
        found = names + ((residual @ precision) * residual).sum(1) / 2
    return found


def _log_frequencies(column: Tensor) -> Tensor:
    """The logarithm of the share of each value of a column; 0 for NaN."""
    _, places, counts = column.unique(return_inverse=True, return_counts=True)
    return torch.where(column.isnan(), 0.0, (counts[places].double() / len(column)).log())


def _shrunk_gaussian(rows: Tensor, spread: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and precision of rows; missing cells are at the mean."""
    mean = rows.nanmean(0).nan_to_num(nan=0.0)
    centred = (rows - mean).nan_to_num(nan=0.0)
    deviation = torch.maximum(centred.square().mean(0).sqrt(), MIN_DEVIATION * spread)
    correlation = (1 - SHRINKAGE) * (centred / deviation).T @ (centred / deviation) / len(rows)
    correlation.fill_diagonal_(1.0)
    return mean, torch.linalg.inv(correlation) / deviation / deviation[:, None]


def _number_columns(spec: Spec) -> list[int]:
    """The places of numbers in a row."""
    if spec.schema is None:
        return [*range(spec.dimensions)]
    return [place for place, column in enumerate(spec.schema.modelled) if not column.n_levels]


def _with_weights(rows: Rows) -> Rows:
    """The rows with weights of their own."""
    if rows.weights is not None:
        return replace(rows, weights=rows.weights.clone())
    return replace(rows, weights=torch.ones(len(rows), device=rows.index_device))
