"""The examination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...data import Dataset, Rows
from ...errors import ArgumentError, IncompatibleError
from ...models import VAE
from .._blocks import as_model_rows
from . import _data_checks as data_checks
from . import _model_checks as model_checks
from . import _training_checks as training_checks
from ._context import MAX_DOCTOR_ROWS, DiagnosticContext, EpochLike, evenly_spaced_rows
from ._diagnosis import CheckResult, Diagnosis

DATA_FINDINGS = (
    "Drift",
    "Rows in order of time",
)  # of the data: rows from elsewhere say nothing of the model
UNFINISHED_RUN_FINDINGS = ("The schedules did not end", "The run was too short")
FAILED_TRAINING_FINDINGS = (
    "The learning rate is too high",
    "The divergence weighs too much",
    "The decoder's scale is too large",
)


@dataclass(frozen=True)
class Check:
    """One thing to look at, and the names of the findings that would explain what is seen there."""

    run: Callable[[DiagnosticContext], CheckResult | None]
    explained_by: tuple[str, ...] = ()


# Causes come before what follows from them: a rate that kills units also collapses the posterior.
CHECKS = (
    Check(data_checks.duplicate_rows),
    Check(training_checks.unfinished_schedules),
    Check(training_checks.learning_rate),
    Check(training_checks.kl_weight, UNFINISHED_RUN_FINDINGS[:1]),
    Check(model_checks.decoder_scale, FAILED_TRAINING_FINDINGS[:2]),
    Check(training_checks.run_length, (*UNFINISHED_RUN_FINDINGS[:1], *FAILED_TRAINING_FINDINGS)),
    Check(data_checks.distribution_drift),
    Check(data_checks.row_order),
    Check(
        model_checks.independent_columns_baseline,
        (*DATA_FINDINGS[:1], *FAILED_TRAINING_FINDINGS, *UNFINISHED_RUN_FINDINGS),
    ),
    Check(training_checks.gradient_flow, FAILED_TRAINING_FINDINGS[:1]),
    Check(model_checks.active_latents, (*FAILED_TRAINING_FINDINGS, *UNFINISHED_RUN_FINDINGS)),
    Check(model_checks.codebook_use, (*FAILED_TRAINING_FINDINGS[:1], *UNFINISHED_RUN_FINDINGS)),
    Check(training_checks.overfitting, DATA_FINDINGS[:1]),
    Check(
        model_checks.bound_tightness,
        (
            *DATA_FINDINGS[:1],
            *FAILED_TRAINING_FINDINGS,
            *UNFINISHED_RUN_FINDINGS,
            "Training rows are known by heart",
        ),
    ),
    Check(
        model_checks.saturated_outputs,
        (*DATA_FINDINGS[:1], *FAILED_TRAINING_FINDINGS[:1], "Training rows are known by heart"),
    ),
    Check(
        model_checks.aggregate_posterior,
        (*DATA_FINDINGS[:1], *FAILED_TRAINING_FINDINGS, *UNFINISHED_RUN_FINDINGS),
    ),
)


def doctor(
    model: VAE,
    data: Any,
    *,
    train: Any = None,
    history: Sequence[EpochLike] | None = None,
    reference: Any = None,
    seed: int = 0,
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
    >>> result = aevb.fit(
    ...     aevb.presets.vae(data.spec, latent=2, hidden=[16]), data, epochs=2, progress=False
    ... )
    >>> doctor(result.model, data, history=result.history).rows
    180
    """
    _check_arguments(model, history)
    spec = data.spec if isinstance(data, Dataset) else None
    if isinstance(data, Dataset):
        reference = data.validation if reference is None and len(data.validation) else reference
        data, train = data.test, data.train if train is None else train
    if unsound := model_checks.finite_weights(model):
        return Diagnosis((unsound,), len(Rows.from_array(data)))
    rows, trained, others = (
        None if part is None else as_model_rows(model, _training_rows(part))
        for part in (data, train, reference)
    )
    assert rows is not None
    patient = DiagnosticContext(
        model,
        evenly_spaced_rows(rows, MAX_DOCTOR_ROWS),
        None if trained is None else evenly_spaced_rows(trained, MAX_DOCTOR_ROWS),
        None if others is None else evenly_spaced_rows(others, MAX_DOCTOR_ROWS),
        () if history is None else history,
        (rows, trained),
        spec,
        seed,
    )
    return Diagnosis(tuple(_run_checks(patient)), len(patient.rows))


def _run_checks(diagnostics: DiagnosticContext) -> list[CheckResult]:
    """All that is seen; what an earlier finding explains is noted as that."""
    seen: list[CheckResult] = []
    for examination in CHECKS:
        if (found := examination.run(diagnostics)) is None:
            continue
        names = [one.finding.name for one in seen if one.finding is not None]
        cause = next((name for name in names if name in examination.explained_by), None)
        seen.append(
            replace(found, finding=None, explained_by=cause)
            if found.finding is not None and cause is not None
            else found
        )
    return seen


def _check_arguments(model: Any, history: Any) -> None:
    if not isinstance(model, VAE):
        raise ArgumentError(
            f"`model` is {type(model).__name__}; give the model itself, as `result.model`."
        )
    if history is not None and not isinstance(history, Sequence):
        raise ArgumentError(
            f"`history` is {type(history).__name__}; give the epochs, as `history=result.history`."
        )
    if model.posterior.n_rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` knows its training rows alone, and the doctor asks about others: examine "
            "`inference.refine(model, x).model`."
        )


def _training_rows(data: Any) -> Any:
    return data.train if isinstance(data, Dataset) else data
