"""Classification with a model that infers class labels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..distributions import ClassConditional
from ..errors import IncompatibleError
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch
from ._blockwise import SliceableRows, map_blocks


@dataclass(frozen=True)
class ClassPrediction:
    """Predicted classes.

    Args:
        probabilities: ``q(y|x)`` of each row, ``[N, C]``.
        class_names: Names of the classes.
    """

    probabilities: Tensor
    class_names: tuple[str, ...]

    @property
    def class_indices(self) -> Tensor:
        """The most probable class of each row, int64 ``[N]``."""
        return self.probabilities.argmax(1)

    @property
    def predicted_names(self) -> list[str]:
        """The name of the most probable class of each row."""
        return [self.class_names[number] for number in self.class_indices.tolist()]


def classify(model: VAE, x: SliceableRows, *, block_size: int | None = None) -> ClassPrediction:
    """Predict the classes of rows with ``q(y|x)``.

    Args:
        model: A model that infers the class (``posteriors.Labelled``).
        x: Rows ``[N, *event]``: a tensor, an array or rows of a data set.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Class probabilities on the CPU, and the names of the classes.

    Raises:
        IncompatibleError: The model infers no class.
        DataError: There are no rows.

    Example:
        >>> from aevb import data, presets
        >>> digits = data.mask_labels(data.load("digits"))
        >>> model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model
        >>> classify(model, digits.test).probabilities.shape
        torch.Size([180, 10])
    """
    condition = model.condition
    if condition is None or condition.labels is None or not condition.is_optional:
        raise IncompatibleError(
            "the model does not infer a class",
            argument="model",
            suggestions=(
                message(
                    "Use {preset}, or a model with {posterior}",
                    preset=Argument("preset", "semi_supervised_vae"),
                    posterior=Part("posteriors.Labelled"),
                ),
            ),
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
