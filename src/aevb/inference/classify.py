"""Which class a datum is of, by a model that infers it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions import Choice
from ..errors import IncompatibleError
from ..models import VAE
from ..types import Batch
from .blocks import Sliced, through


@dataclass(frozen=True)
class Classified:
    """``q(y|x)`` of each datum ``[N, C]``, and the names of the classes."""

    probabilities: Tensor
    categories: tuple[str, ...]

    @property
    def numbers(self) -> Tensor:
        """The most probable class of each datum, int64 ``[N]``."""
        return self.probabilities.argmax(1)

    @property
    def names(self) -> list[str]:
        """The same by name."""
        return [self.categories[number] for number in self.numbers.tolist()]


def classify(model: VAE, x: Sliced, *, block: int | None = None) -> Classified:
    """``q(y|x)`` of data ``[N, *event]``, which may be a tensor, an array, or rows of a data set; on the CPU.

    Raises ``IncompatibleError`` for a model that infers no class, ``DataError`` for no rows.

    >>> from aevb import data, presets
    >>> digits = data.few_labels(data.load("digits"))
    >>> model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model
    >>> classify(model, digits.test).probabilities.shape
    torch.Size([180, 10])
    """
    condition = model.condition
    if condition is None or condition.labels is None or not condition.optional:
        raise IncompatibleError("`classify` needs a model that infers a class, with `posteriors.Labelled`: preset=semi_supervised_vae.")
    probabilities = through(model, lambda x, context: _probabilities(model, x), x, None, block)
    return Classified(probabilities, condition.labels.classes)


@torch.no_grad()
def _probabilities(model: VAE, x: Tensor) -> Tensor:
    q = model.infer(Batch(model.checked(x)))
    assert isinstance(q, Choice)
    return q.classified.exp()
