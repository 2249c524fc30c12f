"""Which class a datum is of, by a model that infers it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions import ClassConditional
from ..errors import IncompatibleError
from ..models import VAE
from ..types import Batch
from ._blockwise import SliceableRows, map_blocks


@dataclass(frozen=True)
class ClassPrediction:
    """``q(y|x)`` of each datum ``[N, C]``, and the names of the classes."""

    probabilities: Tensor
    class_names: tuple[str, ...]

    @property
    def class_indices(self) -> Tensor:
        """The most probable class of each datum, int64 ``[N]``."""
        return self.probabilities.argmax(1)

    @property
    def predicted_names(self) -> list[str]:
        """The same by name."""
        return [self.class_names[number] for number in self.class_indices.tolist()]


def classify(model: VAE, x: SliceableRows, *, block_size: int | None = None) -> ClassPrediction:
    """``q(y|x)`` of data ``[N, *event]``, which may be a tensor, an array, or rows of a data set; on the CPU.

    Raises ``IncompatibleError`` for a model that infers no class, ``DataError`` for no rows.

    >>> from aevb import data, presets
    >>> digits = data.mask_labels(data.load("digits"))
    >>> model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model
    >>> classify(model, digits.test).probabilities.shape
    torch.Size([180, 10])
    """
    condition = model.condition
    if condition is None or condition.labels is None or not condition.is_optional:
        raise IncompatibleError(
            "`classify` needs a model that infers a class, with `posteriors.Labelled`: preset=semi_supervised_vae."
        )
    probabilities = map_blocks(
        model, lambda x, context: _probabilities(model, x), x, None, block_size
    )
    return ClassPrediction(probabilities, condition.labels.class_names)


@torch.no_grad()
def _probabilities(model: VAE, x: Tensor) -> Tensor:
    q = model.infer(Batch(model.to_model_input(x)))
    assert isinstance(q, ClassConditional)
    return q.class_log_probs.exp()
