"""The doctor: run every registered check on a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...data import Dataset, Rows
from ...errors import ArgumentError, IncompatibleError
from ...inference._inputs import as_model_rows
from ...models import VAE
from ...notes import Part, message
from .._baselines._fit import Baselines, fit_baselines
from .._rows import evenly_spaced_rows
from ._check import CheckRegistration
from ._context import DiagnosticContext, EpochLike
from ._diagnosis import CheckResult, Diagnosis
from ._model_checks import finite_weights
from ._thresholds import DoctorThresholds


def doctor(
    model: VAE,
    data: Any,
    *,
    train: Any = None,
    history: Sequence[EpochLike] | None = None,
    reference: Any = None,
    baselines: Baselines | None = None,
    seed: int = 0,
    thresholds: DoctorThresholds = DoctorThresholds(),
) -> Diagnosis:
    """Examine a model: what is wrong, what it means, and which setting to change.

    Args:
        model: The model. Its weights are not changed.
        data: Held-out rows ``[N, *event]``, or a ``Dataset``: then its test rows are ``data``, its
            training rows ``train`` and its validation rows ``reference``. Without test rows its
            ``evaluation_rows`` are ``data``.
        train: The rows that the model was trained on. Without them duplicates, drift and
            overfitting cannot be detected.
        history: The epochs of its training (``FitResult.history``). Without them the learning rate
            cannot be judged.
        reference: Other held-out rows of the same origin as the training rows. Drift in the ELBO
            is measured against these: the ELBO of training rows is better than that of any others.
        baselines: Classical models to compare with, as ``fit_baselines`` returns them; by default
            they are fitted to the training rows.
        seed: Seed of every check.
        thresholds: Sizes and thresholds of the checks.

    Returns:
        The result of each check. What a finding explains is marked as its consequence.

    Raises:
        DataError: A row has another shape, or lies outside the likelihood's support.
        IncompatibleError: The posterior has parameters per training row.
        ArgumentError: ``model`` is no model, or ``history`` no sequence of epochs.

    Example:
        >>> import aevb
        >>> data = aevb.data.load("digits")
        >>> result = aevb.fit(
        ...     aevb.presets.vae(data.spec, latent=2, hidden=[16]), data, epochs=2, progress=False
        ... )
        >>> doctor(result.model, data, history=result.history).n_rows
        180
    """
    _check_arguments(model, history)
    spec = data.spec if isinstance(data, Dataset) else None
    if isinstance(data, Dataset):
        part = data.evaluation_part
        if reference is None and part == "test" and len(data.validation):
            reference = data.validation
        known = None if part == "train" else data.train
        data, train = data.evaluation_rows, known if train is None else train
    if broken := finite_weights(model):
        return Diagnosis((broken,), len(Rows.from_array(data)))
    if baselines is None and train is not None:
        baselines = fit_baselines(model, _training_rows(train), spec)
    rows, known, others = (
        None if part is None else as_model_rows(model, _training_rows(part))
        for part in (data, train, reference)
    )
    assert rows is not None
    few, few_known, few_others = (
        None if part is None else evenly_spaced_rows(part, thresholds.max_rows)
        for part in (rows, known, others)
    )
    assert few is not None
    context = DiagnosticContext(
        model,
        few,
        few_known,
        few_others,
        history or (),
        (rows, known),
        spec,
        seed,
        thresholds,
        baselines,
    )
    return Diagnosis(tuple(_run_checks(context)), len(few))


def _run_checks(context: DiagnosticContext) -> list[CheckResult]:
    """The results of all checks; a finding with a known cause becomes its consequence."""
    results: list[CheckResult] = []
    for check in sorted(CheckRegistration.all().values(), key=lambda check: check.order):
        result: CheckResult | None = check.target(context)
        if result is None:
            continue
        if result.finding is not None:
            earlier = [each.finding for each in results if each.finding is not None]
            cause = next((finding for finding in earlier if finding.code in check.causes), None)
            if cause is not None:
                result = replace(result, finding=None, caused_by=cause)
        results.append(result)
    return results


def _check_arguments(model: Any, history: Any) -> None:
    """Refuse what is no model or no history, and models that only know their training rows."""
    if not isinstance(model, VAE):
        raise ArgumentError(
            f"`model` is a {type(model).__name__}",
            argument="model",
            suggestions=("Pass the model itself, as result.model",),
        )
    if history is not None and not isinstance(history, Sequence):
        raise ArgumentError(
            f"`history` is a {type(history).__name__}",
            argument="history",
            suggestions=("Pass the epochs, as result.history",),
        )
    if model.posterior.n_rows is not None:
        raise IncompatibleError(
            f"`posteriors.{type(model.posterior).__name__}` has parameters for its training rows "
            "alone, and the doctor examines others",
            suggestions=(
                message("Examine the model of {refined}", refined=Part("inference.refine")),
            ),
        )


def _training_rows(data: Any) -> Any:
    """The training rows of a data set; rows as they are."""
    return data.train if isinstance(data, Dataset) else data
