"""Tuning: candidate settings are trained side by side, and held-out rows choose."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import metrics
from .._recipe import Recipe
from ..data import Dataset, Rows
from ..errors import ArgumentError, DataError, NumericalError
from ..metrics._estimate import Estimate
from ..metrics._rows import evenly_spaced_rows
from ..models import VAE
from ..models._ensemble import check_has_likelihood
from ..notes import Argument, message
from ..training import FitResult, fit, fit_many
from ..training._compatibility import check_positive
from ..training._interrupt import Interrupt, catch_interrupt
from ..training._run_folder import RunFolder, check_run_folder
from ..training._trainer import resolve_epochs
from ..training._tuning import TunedCandidate, Tuning
from ._candidates import candidates_for
from ._ensemble import save_result
from ._settings import ModelSettings, RunSettings, TrainingSettings

if TYPE_CHECKING:
    from ._run import Run

DEFAULT_CANDIDATES = 12
RUNGS = ((0.25, 1.0), (1.0, 0.25))
"""Rounds of the search: the share of the full number of steps, and of the candidates."""
MIN_VALIDATION_ROWS = 10
MAX_SCORED_ROWS, SCORE_SAMPLES = 2000, 100
SLOW_SCORE_SAMPLES = 20  # for networks that take long
MIN_STEPS = 100  # of a candidate, where time is limited
PILOT_STEPS = 20
REFIT_SHARE = 0.5  # of the time, at most, for the training of the chosen candidate


def tune(
    source: str | RunSettings,
    *,
    candidates: int = DEFAULT_CANDIDATES,
    minutes: float | None = None,
    out: str | Path | None = None,
    data: Dataset | None = None,
    device: str | torch.device | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Run:
    """Choose settings by held-out rows, and train with the best of them.

    The candidates (``runs.CANDIDATES``) change one or two settings that the user has left open: all
    are trained for a quarter of the steps, those of equal shapes as one stack, and the default and
    the best quarter of them for all steps. Log p(x) of the validation rows decides, with the same
    noise for each candidate. The chosen one is then trained as ``RunSettings.fit`` does, also as an
    ensemble. No candidate has seen the test rows. The result is a function of the seed unless time
    is limited.

    Args:
        source: The path of a file or folder, the name of a data set, or the settings to start from.
        candidates: Number of candidates; there may be fewer for a preset with few options.
        minutes: Time limit of the search and of the training of the chosen candidate together, in
            place of that of the settings.
        out: The run folder to write; none by default.
        data: The data, where they are loaded already.
        device: As for ``aevb.fit``.
        overwrite: Replace the run in ``out``.
        progress: As for ``aevb.fit``.

    Returns:
        The run of the chosen candidate, with the table of candidates as ``tuning``.

    Raises:
        ArgumentError: A number is not possible, or ``minutes`` are too few for one candidate.
        DataError: There are too few validation rows to choose by.
        IncompatibleError: The model has no log p(x) to compare.
        RunError: ``out`` exists, or cannot be written.
    """
    settings = source if isinstance(source, RunSettings) else RunSettings(source)
    if minutes is not None:
        settings = replace(settings, training=replace(settings.training, minutes=minutes))
    check_tuning(settings, candidates, out, overwrite=overwrite)
    data = settings.load_data() if data is None else data
    found = search(settings, data, candidates=candidates, device=device, progress=progress)
    return found.fit(out, device=device, overwrite=overwrite, progress=progress)


def check_tuning(
    settings: RunSettings,
    candidates: int,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Check that settings can be tuned, before data are read.

    Raises:
        ArgumentError: A number is not possible, or one training alone is allowed.
        RunError: ``out`` is in the way.
    """
    if isinstance(candidates, bool) or not isinstance(candidates, int) or candidates < 2:
        raise ArgumentError(
            "give at least 2 candidates, as a whole number", argument="candidates", value=candidates
        )
    check_positive(minutes=settings.training.minutes)
    settings.training.check_single_training("tune", True)
    if out is not None:
        check_run_folder(Path(out), overwrite)


@dataclass(frozen=True)
class Search:
    """The outcome of a search: the settings to train with.

    Args:
        tuning: The table of candidates.
        settings: The settings of the chosen candidate.
        data: The data.
        result: The chosen candidate as the search left it, where Ctrl-C has ended the search.
        recipe: Its recipe.
    """

    tuning: Tuning
    settings: RunSettings
    data: Dataset
    result: FitResult
    recipe: Recipe

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C has ended the search."""
        return self.result.stop_reason == "interrupted"

    @property
    def record(self) -> dict[str, Any]:
        """The entry for the record of a run."""
        return {"tuning": self.tuning.to_dict()}

    def fit(
        self,
        out: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        overwrite: bool = False,
        progress: bool | None = None,
    ) -> Run:
        """Train with the chosen settings, or keep the best candidate of an interrupted search.

        Args:
            out: The run folder to write; none by default.
            device: As for ``aevb.fit``.
            overwrite: Replace the run in ``out``.
            progress: As for ``aevb.fit``.

        Returns:
            The run.
        """
        from ._run import Run

        if not self.is_interrupted:
            return self.settings.fit(
                out,
                data=self.data,
                device=device,
                overwrite=overwrite,
                progress=progress,
                record=self.record,
            )
        record = self.settings.to_record() | self.record
        if out is None:
            return Run.from_fit(self.result, self.data, record)
        with RunFolder(Path(out), overwrite=overwrite):
            save_result(Path(out), self.result, self.recipe, self.settings, self.data, record)
        return Run.from_fit(replace(self.result, out=Path(out)), self.data)


@dataclass(eq=False)
class _Entry:
    """A candidate of the search."""

    name: str
    settings: RunSettings
    recipe: Recipe
    order: int
    steps: int = 0
    seconds: float = 0.0
    rung: int = -1
    scores: Tensor | None = None  # of the last rung
    result: FitResult | None = None
    scores_by_rung: tuple[Tensor, ...] = ()

    @property
    def mean(self) -> float:
        """log p(x) of the validation rows; minus infinity where it is not known."""
        mean = -math.inf if self.scores is None else self.scores.mean().item()
        return -math.inf if math.isnan(mean) else mean

    @property
    def rank(self) -> tuple[int, float, int]:
        """The key by which candidates are ordered, the best first."""
        return (-self.rung, -self.mean, self.order)


def search(
    settings: RunSettings,
    data: Dataset,
    *,
    candidates: int = DEFAULT_CANDIDATES,
    device: str | torch.device | None = None,
    progress: bool | None = None,
) -> Search:
    """Train and score the candidates; see ``tune``."""
    began, minutes = time.monotonic(), settings.training.minutes
    single = replace(
        settings,
        model=replace(settings.model, ensemble=None),
        training=replace(settings.training, minutes=None),
    )
    count = len(data.train)
    found = candidates_for(single, data.spec, count, candidates)
    check_has_likelihood(found[0][2].model, "tuning compares log p(x)", "tune")
    rows = _scored_rows(data)
    entries = [_Entry(name, own, recipe, i) for i, (name, own, recipe) in enumerate(found)]
    steps = max(1, count // settings.training.batch_size)
    epochs = int(resolve_epochs(settings.training.epochs, None, steps, found[0][2].training))
    plan = _Plan(tuple(max(1, math.ceil(share * epochs)) for share, _ in RUNGS), len(entries))
    if minutes is not None:
        plan = _plan_time(entries[0], data, plan, steps, minutes, settings.members, device)
        entries = entries[: plan.candidates]
    samples = SCORE_SAMPLES if data.spec.network == "mlp" else SLOW_SCORE_SAMPLES
    rest = list(entries)
    with catch_interrupt() as interrupt:
        for rung, (own_epochs, (_, share)) in enumerate(zip(plan.epochs, RUNGS, strict=False)):
            kept = sorted(rest, key=lambda each: each.rank)[: math.ceil(share * len(entries))]
            rest = [each for each in rest if each in kept or each is entries[0]]
            _train(rest, rung, data, own_epochs, device, progress, interrupt)
            for each in rest:
                _score(each, rung, rows, samples, settings.seed)
            if interrupt.requested:
                break
    tuning, best = _choose(entries, len(rows), samples, time.monotonic() - began)
    assert best.result is not None
    result = best.result
    if interrupt.requested:
        result = replace(result, stop_reason="interrupted", signal=interrupt.signal)
    chosen = replace(
        best.settings, model=replace(best.settings.model, ensemble=settings.model.ensemble)
    )
    if plan.refit_minutes is not None:
        chosen = replace(chosen, training=replace(chosen.training, minutes=plan.refit_minutes))
    return Search(tuning, chosen, data, result, best.recipe)


def _scored_rows(data: Dataset) -> Rows:
    """The validation rows that choose.

    Raises:
        DataError: There are too few.
    """
    if len(data.validation) < MIN_VALIDATION_ROWS:
        raise DataError(
            f"tuning chooses by validation rows, and there are {len(data.validation)}: at least "
            f"{MIN_VALIDATION_ROWS} are needed",
            argument="tune",
            value=True,
            suggestions=(
                message("Give more of them: {split}", split=Argument("split", (0.6, 0.2, 0.2))),
            ),
        )
    return evenly_spaced_rows(data.validation, MAX_SCORED_ROWS)


def _train(
    entries: Sequence[_Entry],
    rung: int,
    data: Dataset,
    epochs: int,
    device: str | torch.device | None,
    progress: bool | None,
    interrupt: Interrupt,
) -> None:
    """Train candidates from the beginning; Ctrl-C keeps what they were before, if anything."""
    groups: dict[str, list[_Entry]] = {}
    for each in entries:
        shared = replace(each.settings.training, lr=1.0, epochs=epochs, minutes=None)
        groups.setdefault(repr(shared), []).append(each)
    for group in groups.values():
        if interrupt.requested:
            return
        began = time.monotonic()
        recipes = [each.recipe for each in group]
        if rung:
            recipes = [each.settings.recipe(data.spec, len(data.train)) for each in group]
        arguments = group[0].settings.training.to_fit_arguments()
        del arguments["optimizer"]
        results = fit_many(
            recipes,
            data,
            **arguments | {"epochs": epochs, "minutes": None},
            optimizer=[each.settings.training.to_fit_arguments()["optimizer"] for each in group],
            seed=group[0].settings.seed,
            device=device,
            progress=progress,
        )
        seconds = (time.monotonic() - began) / len(group)
        for each, recipe, result in zip(group, recipes, results, strict=True):
            is_stopped = result.stop_reason == "interrupted"
            interrupt.signal = result.signal if is_stopped else interrupt.signal
            if is_stopped and (rung or any(note.code == "not_started" for note in result.notes)):
                continue
            each.result, each.recipe, each.rung = result, recipe, rung
            each.seconds += seconds
            each.steps = result.history[-1].step if result.history else 0


def _score(entry: _Entry, rung: int, rows: Rows, samples: int, seed: int) -> None:
    """Estimate log p(x) of the validation rows, with the noise that all candidates share."""
    if entry.rung < rung or entry.result is None:
        return
    try:
        model = entry.result.model
        found = metrics.log_likelihood(model, rows.to(model.device), samples, seed=seed)
        entry.scores = found.per_datum.cpu()
    except NumericalError:
        entry.scores = torch.full((len(rows),), -math.inf, dtype=torch.float64)
    entry.scores_by_rung = (*entry.scores_by_rung[:rung], entry.scores)


def _choose(
    entries: Sequence[_Entry], n_rows: int, samples: int, seconds: float
) -> tuple[Tuning, _Entry]:
    """The table of candidates, the best first, and the best."""
    ranked = sorted(entries, key=lambda each: each.rank)
    best = ranked[0]
    if best.result is None or best.mean == -math.inf:
        raise NumericalError(
            "no candidate has a finite log p(x) on the validation rows",
            argument="tune",
            value=True,
            suggestions=("Train a single model, and ask the doctor",),
        )
    table = tuple(_describe(each, best, entries[0]) for each in ranked if each.result is not None)
    return Tuning(candidates=table, n_rows=n_rows, samples=samples, seconds=seconds), best


def _describe(entry: _Entry, best: _Entry, default: _Entry) -> TunedCandidate:
    """The line of a candidate; it is compared with the best after as many steps."""
    own, bound, apart = entry.scores, None, None
    if own is not None and own.isfinite().all():
        bound = Estimate.from_values(own)
        if entry is not best and entry.rung < len(best.scores_by_rung):
            apart = Estimate.from_values(own - best.scores_by_rung[entry.rung])
    return TunedCandidate(
        name=entry.name,
        changes=_changes(entry.settings, default.settings),
        steps=entry.steps,
        bound=bound and bound.mean,
        standard_error=bound and bound.standard_error,
        difference=apart and apart.mean,
        difference_error=apart and apart.standard_error,
        seconds=entry.seconds,
        chosen=entry is best,
    )


def _changes(settings: RunSettings, default: RunSettings) -> dict[str, Any]:
    """The settings that differ from the default candidate."""
    pairs: tuple[tuple[ModelSettings | TrainingSettings, Any], ...] = (
        (settings.model, default.model),
        (settings.training, default.training),
    )
    return {
        each.name: list(value) if isinstance(value := getattr(own, each.name), tuple) else value
        for own, base in pairs
        for each in fields(own)
        if getattr(own, each.name) != getattr(base, each.name)
    }


# time limits


@dataclass(frozen=True)
class _Plan:
    """The work of a search.

    Args:
        epochs: Epochs of each round.
        candidates: Number of candidates.
        refit_minutes: Time limit of the training of the chosen candidate, if there is one.
    """

    epochs: tuple[int, ...]
    candidates: int
    refit_minutes: float | None = None


def _plan_time(
    default: _Entry,
    data: Dataset,
    plan: _Plan,
    steps: int,
    minutes: float,
    members: int,
    device: str | torch.device | None,
) -> _Plan:
    """A plan that fits into the time, by the measured time of some steps.

    Raises:
        ArgumentError: The time is too short for one candidate.
    """
    began, total = time.monotonic(), 60 * minutes
    step = _seconds_per_step(default, data, device)
    refit = plan.epochs[-1] * steps * step * members
    reserved = min(refit, REFIT_SHARE * total)
    left = total - reserved - (time.monotonic() - began)
    shortest = max(MIN_STEPS, steps) * step
    if left < 2 * shortest:  # one candidate, and another to compare it with
        needed = (2 * shortest + (total - left - reserved)) / REFIT_SHARE / 60
        raise ArgumentError(
            f"it is too short for one candidate: {MIN_STEPS} steps take about {shortest:.1f} s "
            "here, and the search has half of the time",
            argument="minutes",
            value=minutes,
            suggestions=(
                message("Give at least {minutes}", minutes=Argument("minutes", _round_up(needed))),
            ),
        )
    count = plan.candidates
    work = sum(
        epochs * steps * step * min(count, math.ceil(share * count) + 1)  # the default stays
        for epochs, (_, share) in zip(plan.epochs, RUNGS, strict=True)
    )
    refit_minutes = None if refit <= reserved else reserved / 60
    if work > left:
        epochs = tuple(max(1, int(each * left / work)) for each in plan.epochs)
        if epochs[0] * steps >= MIN_STEPS and epochs[0] * steps * step * count <= left:
            return _Plan(epochs, count, refit_minutes)
        shortest_epochs = math.ceil(max(MIN_STEPS, steps) / steps)
        count = min(count, int(left / (shortest_epochs * steps * step)))
        return _Plan((shortest_epochs,), max(2, count), refit_minutes)
    return _Plan(plan.epochs, count, refit_minutes)


def _seconds_per_step(default: _Entry, data: Dataset, device: str | torch.device | None) -> float:
    """The time of a training step of the default candidate, by a few of them."""
    settings = default.settings
    size = settings.training.batch_size
    rows = data.train.subset(slice(PILOT_STEPS * size))
    recipe: Recipe | VAE = settings.recipe(data.spec, len(data.train))
    arguments = settings.training.to_fit_arguments() | {"minutes": None, "epochs": 1}
    fit(recipe, rows, **arguments, seed=settings.seed, device=device, progress=False)
    recipe = settings.recipe(data.spec, len(data.train))
    began = time.monotonic()
    fit(recipe, rows, **arguments, seed=settings.seed, device=device, progress=False)
    return (time.monotonic() - began) / max(1, len(rows) // size)


def _round_up(value: float) -> float:
    """Two digits, rounded up."""
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return round(math.ceil(value / scale) * scale, 10)
