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


class TrimLeastLikely:
    """A callback that gives weight 0 to the least likely rows, anew after each epoch.

    Outliers among the training and validation rows then have no part in the model, nor in the
    choice of its weights (Rousseeuw's least trimmed squares, with the ELBO in place of squares).

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

    def __call__(self, epoch: Epoch, model: VAE) -> None:
        """Set the weights for the next epoch."""
        for rows, weights in self._parts:
            assert rows.weights is not None
            left_out = row_bounds(model, rows).argsort()[: int(self.share * len(rows))]
            rows.weights.copy_(weights.index_fill(0, left_out.to(weights.device), 0.0))


def _with_weights(rows: Rows) -> Rows:
    """The rows with weights of their own."""
    if rows.weights is not None:
        return replace(rows, weights=rows.weights.clone())
    return replace(rows, weights=torch.ones(len(rows), device=rows.index_device))
