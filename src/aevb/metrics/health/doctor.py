"""The examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...data import Dataset
from ...errors import IncompatibleError
from ...models import VAE
from ..sweep import rows_of
from . import data_checks, model_checks, training_checks
from .diagnosis import Diagnosis, Examined
from .patient import ROWS, Epoch, Patient, some

# Causes come before what follows from them: a rate that kills units also collapses the posterior.
EXAMINATIONS: tuple[Callable[[Patient], Examined | None], ...] = (
    data_checks.duplicates,
    training_checks.rate,
    training_checks.weight,
    model_checks.scale,
    training_checks.length,
    data_checks.drift,
    data_checks.order,
    training_checks.gradients,
    model_checks.units,
    model_checks.codebook,
    training_checks.overfitting,
    model_checks.weights,
    model_checks.outputs,
    model_checks.aggregate,
)


def doctor(model: VAE, data: Any, *, train: Any = None, history: Sequence[Epoch] = (), seed: int = 0) -> Diagnosis:
    """Examine a model: what is wrong, what it means, and which setting to change in which direction.

    ``data`` are held-out rows ``[N, *event]``, or a ``Dataset``, whose test rows they are and whose training rows are ``train``. ``train``
    are the rows it was trained on: without them nobody can tell copies, drift or overfitting. ``history`` are the epochs of its training
    (``FitResult.history``): without them nobody can tell what the learning rate did. Of either set at most 2,000 rows are looked at,
    evenly spread (copies are looked for among all).

    Raises ``DataError`` for rows that the model cannot take, ``IncompatibleError`` for a posterior that holds parameters for its training
    rows alone.

    >>> import aevb
    >>> data = aevb.data.load("digits")
    >>> result = aevb.fit(aevb.presets.vae(data.spec, latent=2, hidden=[16]), data, epochs=2, progress=False)
    >>> doctor(result.model, data, history=result.history).rows
    180
    """
    if model.posterior.rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` knows its training rows alone, and the doctor asks about others: examine "
            "`inference.refine(model, x).model`."
        )
    if isinstance(data, Dataset):
        data, train = data.test, data.train if train is None else train
    rows = rows_of(model, data)
    trained = None if train is None else rows_of(model, train)
    patient = Patient(model, some(rows, ROWS), None if trained is None else some(trained, ROWS), history, (rows, trained), seed)
    return Diagnosis(tuple(found for examine in EXAMINATIONS if (found := examine(patient)) is not None), len(patient.rows))
