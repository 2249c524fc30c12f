"""The examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...data import Dataset, Rows
from ...errors import ArgumentError, IncompatibleError
from ...models import VAE
from ..sweep import rows_of
from . import data_checks, model_checks, training_checks
from .diagnosis import Diagnosis, Examined
from .patient import ROWS, Epoch, Patient, some

FORMER = ("Drift", "Rows in order of time")  # of the data: rows from elsewhere say nothing of the model
UNFINISHED = ("The schedules did not end", "The run was too short")
BROKEN = ("The learning rate is too high", "The divergence weighs too much", "The decoder's scale is too large")


@dataclass(frozen=True)
class Examination:
    """One thing to look at, and the names of the findings that would explain what is seen there."""

    look: Callable[[Patient], Examined | None]
    explained_by: tuple[str, ...] = ()


# Causes come before what follows from them: a rate that kills units also collapses the posterior.
EXAMINATIONS = (
    Examination(data_checks.duplicates),
    Examination(training_checks.schedules),
    Examination(training_checks.rate),
    Examination(training_checks.weight, UNFINISHED[:1]),
    Examination(model_checks.scale, BROKEN[:2]),
    Examination(training_checks.length, (*UNFINISHED[:1], *BROKEN)),
    Examination(data_checks.drift),
    Examination(data_checks.order),
    Examination(model_checks.alone, (*FORMER[:1], *BROKEN, *UNFINISHED)),
    Examination(training_checks.gradients, BROKEN[:1]),
    Examination(model_checks.units, (*BROKEN, *UNFINISHED)),
    Examination(model_checks.codebook, (*BROKEN[:1], *UNFINISHED)),
    Examination(training_checks.overfitting, FORMER[:1]),
    Examination(model_checks.weights, (*FORMER[:1], *BROKEN, *UNFINISHED, "Training rows are known by heart")),
    Examination(model_checks.outputs, (*FORMER[:1], *BROKEN[:1], "Training rows are known by heart")),
    Examination(model_checks.aggregate, (*FORMER[:1], *BROKEN, *UNFINISHED)),
)


def doctor(
    model: VAE, data: Any, *, train: Any = None, history: Sequence[Epoch] | None = None, reference: Any = None, seed: int = 0
) -> Diagnosis:
    """Examine a model: what is wrong, what it means, and which setting to change in which direction.

    ``data`` are held-out rows ``[N, *event]``, or a ``Dataset``, whose test rows they are, whose training rows are ``train`` and whose
    validation rows are ``reference``. ``train`` are the rows it was trained on: without them nobody can tell copies, drift or overfitting.
    ``reference`` are other held-out rows of the same origin as those: the ELBO of training rows is better than that of any others, so that
    drift in it is seen against these alone. ``history`` are the epochs of its training (``FitResult.history``): without them nobody can
    tell what the learning rate did. Of either set at most 2,000 rows are looked at, evenly spread (copies are looked for among all). What
    a finding explains is named as following from it, and is no finding of its own.

    Raises ``DataError`` for rows that the model cannot take, ``IncompatibleError`` for a posterior that holds parameters for its training
    rows alone, ``ArgumentError`` for what is no model or no history.

    >>> import aevb
    >>> data = aevb.data.load("digits")
    >>> result = aevb.fit(aevb.presets.vae(data.spec, latent=2, hidden=[16]), data, epochs=2, progress=False)
    >>> doctor(result.model, data, history=result.history).rows
    180
    """
    _check(model, history)
    spec = data.spec if isinstance(data, Dataset) else None
    if isinstance(data, Dataset):
        reference = data.validation if reference is None and len(data.validation) else reference
        data, train = data.test, data.train if train is None else train
    if unsound := model_checks.sound(model):
        return Diagnosis((unsound,), len(Rows.of(data)))
    rows, trained, others = (None if part is None else rows_of(model, _part(part)) for part in (data, train, reference))
    assert rows is not None
    patient = Patient(
        model,
        some(rows, ROWS),
        None if trained is None else some(trained, ROWS),
        None if others is None else some(others, ROWS),
        () if history is None else history,
        (rows, trained),
        spec,
        seed,
    )
    return Diagnosis(tuple(_examined(patient)), len(patient.rows))


def _examined(patient: Patient) -> list[Examined]:
    """All that is seen; what an earlier finding explains is noted as that."""
    seen: list[Examined] = []
    for examination in EXAMINATIONS:
        if (found := examination.look(patient)) is None:
            continue
        names = [one.finding.name for one in seen if one.finding is not None]
        cause = next((name for name in names if name in examination.explained_by), None)
        seen.append(replace(found, finding=None, follows=cause) if found.finding is not None and cause is not None else found)
    return seen


def _check(model: Any, history: Any) -> None:
    if not isinstance(model, VAE):
        raise ArgumentError(f"`model` is {type(model).__name__}; give the model itself, as `result.model`.")
    if history is not None and not isinstance(history, Sequence):
        raise ArgumentError(f"`history` is {type(history).__name__}; give the epochs, as `history=result.history`.")
    if model.posterior.rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` knows its training rows alone, and the doctor asks about others: examine "
            "`inference.refine(model, x).model`."
        )


def _part(given: Any) -> Any:
    return given.train if isinstance(given, Dataset) else given
