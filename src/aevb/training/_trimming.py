"""Training that leaves out the rows of least likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..data import Dataset, Rows
from ..errors import ArgumentError
from ..inference._row_bounds import row_bounds
from ..models import VAE
from ._history import Epoch

MAX_LEVELS = 20  # different values of a column whose frequencies count


class TrimLeastLikely:
    """A callback that gives weight 0 to the least likely rows, anew after each epoch.

    Outliers among the training and validation rows then have no part in the model, nor in the
    choice of its weights (Rousseeuw's least trimmed squares, with the ELBO in place of squares).
    The rows that are left out at first are those far from the medians of their columns.

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
        for rows, weights in self._parts:
            self._leave_out(rows, weights, -distances_from_medians(rows.tensor().flatten(1)))

    def __call__(self, epoch: Epoch, model: VAE) -> None:
        """Set the weights for the next epoch."""
        for rows, weights in self._parts:
            self._leave_out(rows, weights, row_bounds(model, rows))

    def _leave_out(self, rows: Rows, weights: Tensor, scores: Tensor) -> None:
        """Give weight 0 to the rows with the lowest scores, and their own weight to all others."""
        assert rows.weights is not None
        left_out = scores.argsort()[: int(self.share * len(rows))].to(weights.device)
        rows.weights.copy_(weights.index_fill(0, left_out, 0.0))


def distances_from_medians(x: Tensor) -> Tensor:
    """Half the sum of squared distances from the medians of the columns, in robust units.

    A column with few values counts with minus the logarithm of their frequency. Both are minus
    log p of independent columns, up to a constant.

    Args:
        x: Rows ``[N, D]``, NaN in missing cells, which do not count.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [0.1, 1.0], [-0.1, 1.0], [9.0, 1.0]])
        >>> distances_from_medians(x).argmax().item()
        3
    """
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for column in x.double().T:
        values, places, counts = column.unique(return_inverse=True, return_counts=True)
        if len(values) <= MAX_LEVELS < len(x):
            found = -(counts[places] / len(x)).log()
        else:
            centred = (column - column.nanmedian()).abs()
            found = (centred / (1.4826 * centred.nanmedian()).clamp(min=1e-12)).square() / 2
        total += torch.where(column.isnan(), 0.0, found)
    return total


def _with_weights(rows: Rows) -> Rows:
    """The rows with weights of their own."""
    if rows.weights is not None:
        return replace(rows, weights=rows.weights.clone())
    return replace(rows, weights=torch.ones(len(rows), device=rows.index_device))
