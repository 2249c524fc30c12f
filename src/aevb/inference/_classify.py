"""Classification with a model that infers class labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from ..distributions import ClassConditional
from ..errors import IncompatibleError
from ..models import VAE
from ..notes import Argument, Part, message
from ..types import Batch
from ._blockwise import map_batches
from ._inputs import TrainedModel, resolve_input, resolve_model


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


def classify(
    model: VAE | TrainedModel, x: Any = None, *, block_size: int | None = None
) -> ClassPrediction:
    """Predict the classes of rows with ``q(y|x)``.

    Args:
        model: A model that infers the class (``posteriors.Labelled``), or a run.
        x: As for ``encode``.
        block_size: Number of rows per pass; ``None``: by their size.

    Returns:
        Class probabilities on the CPU, and the names of the classes.

    Raises:
        IncompatibleError: The model infers no class.
        DataError: As for ``encode``.

    Example:
        >>> from aevb import data, presets
        >>> digits = data.mask_labels(data.load("digits"))
        >>> model = presets.semi_supervised_vae(digits.spec, latent=2, hidden=[8]).model
        >>> classify(model, digits.test).probabilities.shape
        torch.Size([180, 10])
    """
    condition = resolve_model(model).condition
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
    model, rows = resolve_input(model, x)
    rows = replace(rows, context_table=None)  # labels that are known take no part
    probabilities = map_batches(
        model, lambda batch: _probabilities(model, batch), rows, None, block_size
    )
    return ClassPrediction(probabilities, condition.labels.class_names)


def _probabilities(model: VAE, batch: Batch) -> Tensor:
    q = model.infer(batch)
    assert isinstance(q, ClassConditional)
    return q.class_log_probs.exp()
