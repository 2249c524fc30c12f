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
from . import config as configuration
from .fit import duration
from .grid import Job, Sweep
from .measure import draws
from .options import ORDERED, Common, Data, Flag, Grid, Json, SweptModel, SweptTraining
from .parts import aim, published
from .plan import write_settings
from .runs import load_data, next_run
from .screen import Screen, finite
from .tally import Ended, Tally

if TYPE_CHECKING:
    from ..data import Dataset
    from ..training import FitResult

RESULTS, PICTURE, PAGE = "sweep.json", "rate_distortion.svg", "report.html"
EARLY = {
    "patience": "without improvement for longer than --patience",
    "not finite": "at the last finite weights: a lower --lr, or --clip 100, may help",
    "interrupted": "by Ctrl-C",
}


@dataclass(frozen=True)
class Trained:
    """The runs of a sweep with their data."""

    folder: Path
    data: Dataset
    jobs: Sequence[Job]
    results: Sequence[FitResult]


def sweep(
    source: Annotated[
        str | None, Parameter(help="A file (.csv, .parquet, .npy, .npz, IDX), a folder of images, or the name of a set.")
    ] = None,
    /,
    *,
    grid: Grid = Grid(),
    out: Annotated[
        Path | None, Parameter(help="The folder of the sweep; runs/DATA-sweep-1 (or -2 ...) by default.", group=ORDERED["Run"])
    ] = None,
    config: Annotated[
        Path | None, Parameter(help="A config.toml of an earlier sweep; what is typed wins over it.", group=ORDERED["Run"])
    ] = None,
    resume: Annotated[
        bool, Flag, Parameter(help="Go on with the sweep in --out: what is finished is not done again.", group=ORDERED["Run"])
    ] = False,
    data: Data = Data(),
    model: SweptModel = SweptModel(),
    training: SweptTraining = SweptTraining(),
    json: Json = False,
    common: Common = Common(),
) -> int:
    """Train every combination of --latent, --beta and --lr with several seeds, and compare them on the validation rows.

    Every run is a folder as `aevb fit` writes it. With --resume the grid may be wider than before.
    """
    if source is None:
        raise ArgumentError(
            "SOURCE is missing: give a file, a folder of images or the name of a set, as in `aevb sweep digits --beta 1,4`."
        )
    screen = Screen(common.quiet, json)
    asked = Sweep(source, grid, data, model, training, common)
    asked.check()
    if out is not None:
        _check_folder(out, asked, resume)
    done = train(asked, screen, out, resume)
    if any(result.stopped == "interrupted" for result in done.results):
        screen.tell("Resume", f"aevb sweep --resume --out {done.folder}")
        return 130
    _conclude(done, asked, screen)
    return 0


def train(asked: Sweep, screen: Screen, out: Path | None = None, resume: bool = False) -> Trained:
    """Read the data, say what was chosen, and train all runs."""
    import aevb

    from ..data.words import count
    from ..training import adam
    from ..training.door import pick_device

    device = pick_device(asked.common.device)
    data = load_data(asked.settings)
    screen.tell("Data", *data.spec.said)
    jobs = [Job.of(plan, data.spec) for plan in asked.plans()]
    folder = out or next_run(f"{data.spec.name}-sweep")
    screen.tell("Model", f"{published(asked.model)}.", aim(jobs[0].recipe))
    screen.tell("Sweep", f"{asked.said}: {count(len(jobs), 'run')}.")
    screen.tell("Folder", f"{folder}, on {device}.")
    options = dataclasses.asdict(asked.training)
    del options["lr"], options["minutes"]
    began = time.monotonic()
    with _settings_there(folder, asked):
        results = aevb.fit_many(
            [job.recipe for job in jobs],
            data,
            **options,
            names=[job.name for job in jobs],
            optimizer=[adam(job.plan.training.lr) for job in jobs],
            seed=[job.plan.common.seed for job in jobs],
            device=device,
            out=folder,
            resume=resume,
            progress=False if screen.quiet else None,
            settings=[{"config": job.plan.settings} for job in jobs],
        )
    for job in jobs:
        if (folder / job.name / "model.json").exists():
            write_settings(folder / job.name, job.plan.settings, data.spec)
    screen.tell("Done", f"{count(len(jobs), 'run')} in {duration(time.monotonic() - began)}.", *_early(results))
    screen.tell("Noted", *_noted(results))
    return Trained(folder, data, jobs, results)


def measure(done: Trained, seed: int, screen: Screen) -> Tally:
    """Rate and distortion of every run on the same rows, with the same draws."""
    import aevb

    part, rows = ("validation", done.data.validation) if len(done.data.validation) else ("test", done.data.test)
    ended = []
    with screen.progress("rate and distortion", len(done.jobs)) as advance:
        for job, result in zip(done.jobs, done.results, strict=True):
            here = rows.to(result.model.device)
            terms = aevb.metrics.rate_distortion(result.model, here, samples=draws(len(rows)), seed=seed)
            ended.append(Ended(job, done.folder / job.name, result, terms))
            advance(1)
    return Tally.of(ended, part, len(rows), done.data.spec.one)


def _conclude(done: Trained, asked: Sweep, screen: Screen) -> None:
    """What came out, as a table, a picture, a page and JSON, and what to do with it."""
    from ..files import write_json

    tally = measure(done, asked.common.seed, screen)
    record = {"sweep": str(done.folder), "settings": asked.settings} | tally.record
    write_json(done.folder / RESULTS, finite(record))
    if screen.json:
        screen.object(record)
    else:
        screen.tell("", "")
        screen.table(tally.table, tally.head, right=range(len(tally.head) - 1))
        screen.tell("", "")
    screen.tell("Best", tally.verdict)
    _draw(done, asked, tally, screen)
    best = tally.best.best.path
    screen.tell("Next", f"aevb evaluate {best}", f"aevb report {best}")


def _draw(done: Trained, asked: Sweep, tally: Tally, screen: Screen) -> None:
    """The picture, and the page around it; both go missing where their extra is."""
    from .. import plots
    from ..files import write_atomically
    from ..report.grid import Outcome, write_sweep

    if not tally.finite:
        screen.note("no picture was drawn: no run has a rate and a distortion that are finite.")
        return
    try:
        picture = plots.rate_distortion(**tally.points)
    except MissingExtraError as error:
        screen.note(f"no picture was drawn: {error}.")
        return
    write_atomically(done.folder / PICTURE, plots.svg(picture))
    settings = [(name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)) for name, value in asked.settings.items()]
    outcome = Outcome(f"{done.data.spec.name}: {asked.said}", tally.verdict, tally.head, tally.table, tally.lines, settings)
    write_sweep(outcome, picture, done.folder / PAGE)
    screen.tell("Picture", str(done.folder / PICTURE))
    screen.tell("Report", str(done.folder / PAGE))


def _early(results: Sequence[FitResult]) -> list[str]:
    """How many runs ended before their last epoch, and why."""
    counts = Counter(result.stopped for result in results)
    return [f"{number} of them ended {EARLY[why]}." for why, number in counts.items() if why in EARLY]


def _noted(results: Sequence[FitResult]) -> list[str]:
    """What was noticed, each sentence once, with the number of runs where it does not concern all."""
    counts = Counter(sentence for result in results for sentence in dict.fromkeys(result.said))
    return [sentence if number == len(results) else f"{sentence} ({number} of {len(results)} runs)" for sentence, number in counts.items()]


def _check_folder(out: Path, asked: Sweep, resume: bool) -> None:
    """Raise ``RunError`` where a new sweep would meet something, or where that to be resumed is another one."""
    from ..training.checkpoint import check_settings

    if resume:
        if (out / "model.json").exists():
            raise RunError(f"`{out}` is a single run: go on with it by `aevb fit --resume --out {out}`.")
        then, now = (_alike(settings) for settings in (configuration.read(out / configuration.NAME), asked.settings))
        check_settings(out, then, now)
    elif out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RunError(f"`{out}` exists and is never overwritten; choose another --out, or go on with a sweep in it by --resume.")


def _alike(settings: dict[str, Any]) -> dict[str, Any]:
    """What all runs of a sweep have in common: all but the grid."""
    return {name: value for name, value in settings.items() if name not in {field.name for field in dataclasses.fields(Grid)}}


@contextmanager
def _settings_there(folder: Path, asked: Sweep) -> Iterator[None]:
    """The settings are in the folder while the runs are trained, so that these can be resumed; of a sweep that is refused nothing stays."""
    from ..files import write_atomically

    path = folder / configuration.NAME
    made = [each for each in (path.parent, *path.parent.parents) if not each.exists()]
    write_atomically(path, configuration.render(asked.settings, {}, "sweep").encode())
    try:
        yield
    except BaseException:
        if list(folder.iterdir()) == [path]:
            path.unlink()
        for each in made:
            with suppress(OSError):
                each.rmdir()
        raise
