"""``aevb fit``: read, say what was chosen, train, say what came out."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import ArgumentError
from ._console import ConsoleOutput
from ._doctor import diagnose_run, diagnosis_lines
from ._evaluation import quick_evaluation, write_run_report
from ._options import (
    OPTION_GROUPS,
    CommonOptions,
    DataOptions,
    Flag,
    Json,
    ModelOptions,
    TrainingOptions,
)
from ._predict import label_accuracy
from ._recipe import build_recipe, model_sentences
from ._run_folder import load_run_data, next_run_folder
from ._run_settings import RunSettings, write_config

if TYPE_CHECKING:
    from ..data import Dataset, Spec
    from ..metrics import Diagnosis
    from ..models import VAE
    from ..training import FitResult

STOP_REASON_PHRASES = {
    "epochs": "",
    "minutes": " (the time is up)",
    "patience": " (no improvement for longer than --patience)",
    "interrupted": " (Ctrl-C)",
}


@dataclass(frozen=True)
class TrainedRun:
    """A finished run with its data."""

    folder: Path
    data: Dataset
    result: FitResult


def fit(
    source: Annotated[
        str | None,
        Parameter(
            help="A file (.csv, .parquet, .npy, .npz, IDX), a folder of images, or the name of a set."
        ),
    ] = None,
    /,
    *,
    out: Annotated[
        Path | None,
        Parameter(
            help="The run folder; runs/DATA-1 (or -2 ...) by default.", group=OPTION_GROUPS["Run"]
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(
            help="A config.toml of an earlier run; what is typed wins over it.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = None,
    resume: Annotated[
        bool,
        Flag,
        Parameter(help="Go on with the interrupted run in --out.", group=OPTION_GROUPS["Run"]),
    ] = False,
    force: Annotated[
        bool, Flag, Parameter(help="Replace the run in --out.", group=OPTION_GROUPS["Run"])
    ] = False,
    report: Annotated[
        bool,
        Parameter(
            help="Write report.html at the end.", negative="--no-report", group=OPTION_GROUPS["Run"]
        ),
    ] = True,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    training: TrainingOptions = TrainingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Train a model on a file, a folder of images, or a set with a name.

    What suits the data (likelihood, scaling, network) is chosen from them and said. Ctrl-C keeps the best weights so far.
    """
    if source is None:
        raise ArgumentError(
            "SOURCE is missing: give a file, a folder of images or the name of a set, as in `aevb fit digits`."
        )
    screen = ConsoleOutput(common.quiet, json)
    done = train_run(
        RunSettings(source, data, model, training, common), screen, out, resume=resume, force=force
    )
    screen.print_paragraph("Done", completion_sentence(done.result))
    if done.result.stop_reason == "interrupted":
        screen.print_paragraph("Resume", f"aevb fit --resume --out {done.folder}")
        return 130
    _report_results(done, screen, common, report)
    return 0


def train_run(
    run_settings: RunSettings,
    console: ConsoleOutput,
    out: Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> TrainedRun:
    """Read the data, say what was chosen, and train."""
    import aevb

    from .._hardware import resolve_device
    from .._random import seed_scope
    from ..training import adam
    from ..training._compatibility import check_positive

    check_positive(lr=run_settings.training.lr)
    device = resolve_device(run_settings.common.device)
    data = load_run_data(run_settings.config)
    console.print_paragraph("Data", *data.spec.notes)
    run_settings = run_settings.with_default_latent(data.spec)
    with seed_scope(run_settings.common.seed):
        recipe = build_recipe(run_settings.model, data.spec, len(data.train))
    run = out or next_run_folder(data.spec.name)
    console.print_paragraph("Model", *model_sentences(run_settings.model, recipe))
    console.print_paragraph(
        "Run", f"{run}, on {device}, seed {run_settings.common.seed}. Ctrl-C keeps the best so far."
    )
    options = dataclasses.asdict(run_settings.training)
    optimizer = adam(options.pop("lr"))
    with _config_writer(run, run_settings.config, data.spec) as keep:
        result = aevb.fit(
            recipe,
            data,
            **options,
            optimizer=optimizer,
            seed=run_settings.common.seed,
            device=device,
            out=run,
            resume=resume,
            overwrite=force,
            callbacks=[keep],
            progress=False if console.quiet else None,
            metadata={"config": run_settings.config},
        )
    console.print_paragraph("Noted", *result.notes)
    return TrainedRun(run, data, result)


def completion_sentence(result: FitResult) -> str:
    """How long it took, and which weights were kept."""
    last = result.history[-1] if result.history else None
    if last is None:
        return f"stopped before the first epoch had ended{STOP_REASON_PHRASES.get(result.stop_reason, '')}."
    best = (
        "the last weights"
        if result.best_epoch is None
        else f"the weights of epoch {result.best_epoch:,}, the best on the validation rows,"
    )
    epochs = f"{last.epoch:,} epoch{'' if last.epoch == 1 else 's'}"
    return f"{epochs} in {format_duration(last.seconds)}{STOP_REASON_PHRASES.get(result.stop_reason, '')}; {best} are kept."


def format_duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(0.42), duration(12.3), duration(100), duration(7300)
    ('0.4 s', '12 s', '1 min 40 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60} s"
        if whole < 3600
        else f"{whole // 3600} h {whole % 3600 // 60} min"
    )


def _report_results(
    trained_run: TrainedRun, console: ConsoleOutput, common: CommonOptions, report: bool
) -> None:
    """What came out, where it is, and what to do with it."""
    measured = quick_evaluation(trained_run.result.model, trained_run.data, common.seed)
    right = label_accuracy(trained_run.result.model, trained_run.data.test, trained_run.data)
    console.print_paragraph(
        "Held out", measured.sentence, *([] if right is None else [right.sentence])
    )
    found = (
        run_doctor(trained_run, console, common.seed)
        if report or console.json or not console.quiet
        else None
    )
    if report:
        write_run_report(trained_run.folder, trained_run.data, console, common, diagnosis=found)
    console.print_paragraph(
        "Next",
        f"aevb evaluate {trained_run.folder}",
        f"aevb sample {trained_run.folder} -n 64{_context_options(trained_run.result.model)} --out samples{'.png' if trained_run.data.spec.image else '.csv'}",
    )
    more = measured.record | ({} if right is None else right.record)
    if console.json:
        record = {
            "run": str(trained_run.folder),
            "best_epoch": trained_run.result.best_epoch,
            "stopped": trained_run.result.stop_reason,
            **more,
        }
        console.print_json(
            record | {"doctor": None if found is None else found.to_dict()["findings"]}
        )
    elif console.quiet:
        console.print_result(str(trained_run.folder))


def run_doctor(trained_run: TrainedRun, console: ConsoleOutput, seed: int) -> Diagnosis | None:
    """What the doctor finds, the first of it said aloud; ``None`` where the model knows its training rows alone."""
    with console.progress_bar("doctor", 1) as advance:
        found = diagnose_run(trained_run.result, trained_run.data, seed)
        advance(1)
    console.print_paragraph("Doctor", *diagnosis_lines(found, trained_run.folder))
    return found


def _context_options(model: VAE) -> str:
    """What a conditional model must be told to draw from it, as it is typed."""
    condition = model.condition
    if condition is None or condition.is_optional:
        return ""
    if len(condition.variables) == 1:
        return f" --label {shlex.quote(condition.variables[0].example)}"
    return "".join(
        f" --label {shlex.quote(f'{factor.name}={factor.example}')}"
        for factor in condition.variables
    )


@contextmanager
def _config_writer(
    folder: Path, config: dict[str, Any], spec: Spec
) -> Iterator[Callable[[Any, Any], None]]:
    """Gives the callback that writes the settings beside the model; they are there also where the run ends before its first epoch."""
    there = (folder / "model.json").exists()
    written: list[Path] = []

    def write(*_: Any) -> None:
        if not written and (folder / "model.json").exists():
            written.append(write_config(folder, config, spec))

    try:
        yield write
    except BaseException:
        if not there:
            write()
        raise
    write()
