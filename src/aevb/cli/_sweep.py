"""``aevb sweep``: every combination of a few settings side by side, and what each trades for what."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..errors import ArgumentError, MissingExtraError, RunError
from . import _config_file as configuration
from ._console import ConsoleOutput, replace_non_finite
from ._evaluation import elbo_samples
from ._fit import format_duration
from ._options import (
    OPTION_GROUPS,
    CommonOptions,
    DataOptions,
    Flag,
    GridOptions,
    Json,
    SweepModelOptions,
    SweepTrainingOptions,
)
from ._recipe import objective_sentence, preset_citation
from ._run_folder import load_run_data, next_run_folder
from ._run_settings import write_config
from ._sweep_result import SweepResult, SweepRun
from ._sweep_settings import SweepJob, SweepSettings

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import FitResult

SWEEP_RESULTS_FILE, SWEEP_FIGURE_FILE, SWEEP_PAGE_FILE = (
    "sweep.json",
    "rate_distortion.svg",
    "report.html",
)
EARLY_STOP_PHRASES = {
    "patience": "without improvement for longer than --patience",
    "not finite": "at the last finite weights: a lower --lr, or --clip 100, may help",
    "interrupted": "by Ctrl-C",
}


@dataclass(frozen=True)
class TrainedSweep:
    """The runs of a sweep with their data."""

    folder: Path
    data: Dataset
    jobs: Sequence[SweepJob]
    results: Sequence[FitResult]


def sweep(
    source: Annotated[
        str | None,
        Parameter(
            help="A file (.csv, .parquet, .npy, .npz, IDX), a folder of images, or the name of a set."
        ),
    ] = None,
    /,
    *,
    grid: GridOptions = GridOptions(),
    out: Annotated[
        Path | None,
        Parameter(
            help="The folder of the sweep; runs/DATA-sweep-1 (or -2 ...) by default.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = None,
    config: Annotated[
        Path | None,
        Parameter(
            help="A config.toml of an earlier sweep; what is typed wins over it.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = None,
    resume: Annotated[
        bool,
        Flag,
        Parameter(
            help="Go on with the sweep in --out: what is finished is not done again.",
            group=OPTION_GROUPS["Run"],
        ),
    ] = False,
    data: DataOptions = DataOptions(),
    model: SweepModelOptions = SweepModelOptions(),
    training: SweepTrainingOptions = SweepTrainingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Train every combination of --latent, --beta and --lr with several seeds, and compare them on the validation rows.

    Every run is a folder as `aevb fit` writes it. With --resume the grid may be wider than before.
    """
    if source is None:
        raise ArgumentError(
            "SOURCE is missing: give a file, a folder of images or the name of a set, as in `aevb sweep digits --beta 1,4`."
        )
    screen = ConsoleOutput(common.quiet, json)
    asked = SweepSettings(source, grid, data, model, training, common)
    asked.check()
    if out is not None:
        _check_folder(out, asked, resume)
    done = train_sweep(asked, screen, out, resume)
    if any(result.stop_reason == "interrupted" for result in done.results):
        screen.print_paragraph("Resume", f"aevb sweep --resume --out {done.folder}")
        return 130
    _report_sweep(done, asked, screen)
    return 0


def train_sweep(
    sweep_settings: SweepSettings,
    console: ConsoleOutput,
    out: Path | None = None,
    resume: bool = False,
) -> TrainedSweep:
    """Read the data, say what was chosen, and train all runs."""
    import aevb

    from .._hardware import resolve_device
    from ..data._formatting import format_count
    from ..training import adam

    device = resolve_device(sweep_settings.common.device)
    data = load_run_data(sweep_settings.config)
    console.print_paragraph("Data", *data.spec.notes)
    jobs = [SweepJob.from_settings(plan, data.spec) for plan in sweep_settings.run_settings()]
    folder = out or next_run_folder(f"{data.spec.name}-sweep")
    console.print_paragraph(
        "Model", f"{preset_citation(sweep_settings.model)}.", objective_sentence(jobs[0].recipe)
    )
    console.print_paragraph(
        "Sweep", f"{sweep_settings.description}: {format_count(len(jobs), 'run')}."
    )
    console.print_paragraph("Folder", f"{folder}, on {device}.")
    options = dataclasses.asdict(sweep_settings.training)
    del options["lr"], options["minutes"]
    began = time.monotonic()
    with _config_in_folder(folder, sweep_settings):
        results = aevb.fit_many(
            [job.recipe for job in jobs],
            data,
            **options,
            names=[job.folder_name for job in jobs],
            optimizer=[adam(job.settings.training.lr) for job in jobs],
            seed=[job.settings.common.seed for job in jobs],
            device=device,
            out=folder,
            resume=resume,
            progress=False if console.quiet else None,
            metadata=[{"config": job.settings.config} for job in jobs],
        )
    for job in jobs:
        if (folder / job.folder_name / "model.json").exists():
            write_config(folder / job.folder_name, job.settings.config, data.spec)
    console.print_paragraph(
        "Done",
        f"{format_count(len(jobs), 'run')} in {format_duration(time.monotonic() - began)}.",
        *_early_stop_notes(results),
    )
    console.print_paragraph("Noted", *_merge_notes(results))
    return TrainedSweep(folder, data, jobs, results)


def evaluate_sweep(trained_sweep: TrainedSweep, seed: int, console: ConsoleOutput) -> SweepResult:
    """Rate and distortion of every run on the same rows, with the same draws."""
    import aevb

    part, rows = (
        ("validation", trained_sweep.data.validation)
        if len(trained_sweep.data.validation)
        else ("test", trained_sweep.data.test)
    )
    ended = []
    with console.progress_bar("rate and distortion", len(trained_sweep.jobs)) as advance:
        for job, result in zip(trained_sweep.jobs, trained_sweep.results, strict=True):
            here = rows.to(result.model.device)
            terms = aevb.metrics.rate_distortion(
                result.model, here, samples=elbo_samples(len(rows)), seed=seed
            )
            ended.append(SweepRun(job, trained_sweep.folder / job.folder_name, result, terms))
            advance(1)
    return SweepResult.from_runs(ended, part, len(rows), trained_sweep.data.spec.item_noun)


def _report_sweep(
    trained_sweep: TrainedSweep, sweep_settings: SweepSettings, console: ConsoleOutput
) -> None:
    """What came out, as a table, a picture, a page and JSON, and what to do with it."""
    from .._files import write_json

    tally = evaluate_sweep(trained_sweep, sweep_settings.common.seed, console)
    record = {"sweep": str(trained_sweep.folder), "settings": sweep_settings.config} | tally.record
    write_json(trained_sweep.folder / SWEEP_RESULTS_FILE, replace_non_finite(record))
    if console.json:
        console.print_json(record)
    else:
        console.print_paragraph("", "")
        console.print_table(
            tally.table_rows, tally.table_header, right_aligned=range(len(tally.table_header) - 1)
        )
        console.print_paragraph("", "")
    console.print_paragraph("Best", tally.best_sentence)
    _write_figure_and_page(trained_sweep, sweep_settings, tally, console)
    best = tally.best_combination.best_run.folder
    console.print_paragraph("Next", f"aevb evaluate {best}", f"aevb report {best}")


def _write_figure_and_page(
    trained_sweep: TrainedSweep,
    sweep_settings: SweepSettings,
    sweep_result: SweepResult,
    console: ConsoleOutput,
) -> None:
    """The picture, and the page around it; both go missing where their extra is."""
    from .. import plots
    from .._files import write_atomically
    from ..report._sweep_page import SweepPage, write_sweep

    if not sweep_result.finite_runs:
        console.print_note(
            "no picture was drawn: no run has a rate and a distortion that are finite."
        )
        return
    try:
        picture = plots.rate_distortion(**sweep_result.figure_arguments)
    except MissingExtraError as error:
        console.print_note(f"no picture was drawn: {error}.")
        return
    write_atomically(trained_sweep.folder / SWEEP_FIGURE_FILE, plots.svg(picture))
    settings = [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in sweep_settings.config.items()
    ]
    outcome = SweepPage(
        f"{trained_sweep.data.spec.name}: {sweep_settings.description}",
        sweep_result.best_sentence,
        sweep_result.table_header,
        sweep_result.table_rows,
        sweep_result.run_rows,
        settings,
    )
    write_sweep(outcome, picture, trained_sweep.folder / SWEEP_PAGE_FILE)
    console.print_paragraph("Picture", str(trained_sweep.folder / SWEEP_FIGURE_FILE))
    console.print_paragraph("Report", str(trained_sweep.folder / SWEEP_PAGE_FILE))


def _early_stop_notes(results: Sequence[FitResult]) -> list[str]:
    """How many runs ended before their last epoch, and why."""
    counts = Counter(result.stop_reason for result in results)
    return [
        f"{number} of them ended {EARLY_STOP_PHRASES[why]}."
        for why, number in counts.items()
        if why in EARLY_STOP_PHRASES
    ]


def _merge_notes(results: Sequence[FitResult]) -> list[str]:
    """What was noticed, each sentence once, with the number of runs where it does not concern all."""
    counts = Counter(sentence for result in results for sentence in dict.fromkeys(result.notes))
    return [
        sentence if number == len(results) else f"{sentence} ({number} of {len(results)} runs)"
        for sentence, number in counts.items()
    ]


def _check_folder(out: Path, sweep_settings: SweepSettings, resume: bool) -> None:
    """Raise ``RunError`` where a new sweep would meet something, or where that to be resumed is another one."""
    from ..training._checkpoint import check_settings

    if resume:
        if (out / "model.json").exists():
            raise RunError(
                f"`{out}` is a single run: go on with it by `aevb fit --resume --out {out}`."
            )
        then, now = (
            _shared_config(settings)
            for settings in (
                configuration.read_config(out / configuration.CONFIG_FILE_NAME),
                sweep_settings.config,
            )
        )
        check_settings(out, then, now)
    elif out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunError(
            f"`{out}` exists and is never overwritten; choose another --out, or go on with a sweep in it by --resume."
        )


def _shared_config(config: dict[str, Any]) -> dict[str, Any]:
    """What all runs of a sweep have in common: all but the grid."""
    return {
        name: value
        for name, value in config.items()
        if name not in {field.name for field in dataclasses.fields(GridOptions)}
    }


@contextmanager
def _config_in_folder(folder: Path, sweep_settings: SweepSettings) -> Iterator[None]:
    """The settings are in the folder while the runs are trained, so that these can be resumed; of a sweep that is refused nothing stays."""
    from .._files import write_atomically

    path = folder / configuration.CONFIG_FILE_NAME
    made = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
    write_atomically(path, configuration.render_config(sweep_settings.config, {}, "sweep").encode())
    try:
        yield
    except BaseException:
        if list(folder.iterdir()) == [path]:
            path.unlink()
        for each in made:
            with suppress(OSError):
                each.rmdir()
        raise
