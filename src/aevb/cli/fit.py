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
from .doctor import in_short, of_run
from .labels import judged
from .measure import quick, write_report
from .options import ORDERED, Common, Data, Flag, Json, Model, Training
from .parts import recipe_of, title
from .plan import Plan, write_settings
from .runs import load_data, next_run
from .screen import Screen

if TYPE_CHECKING:
    from ..data import Dataset, Spec
    from ..metrics import Diagnosis
    from ..models import VAE
    from ..training import FitResult

STOPPED = {
    "epochs": "",
    "minutes": " (the time is up)",
    "patience": " (no improvement for longer than --patience)",
    "interrupted": " (Ctrl-C)",
}


@dataclass(frozen=True)
class Trained:
    """A finished run with its data."""

    run: Path
    data: Dataset
    result: FitResult


def fit(
    source: Annotated[
        str | None, Parameter(help="A file (.csv, .parquet, .npy, .npz, IDX), a folder of images, or the name of a set.")
    ] = None,
    /,
    *,
    out: Annotated[Path | None, Parameter(help="The run folder; runs/DATA-1 (or -2 ...) by default.", group=ORDERED["Run"])] = None,
    config: Annotated[
        Path | None, Parameter(help="A config.toml of an earlier run; what is typed wins over it.", group=ORDERED["Run"])
    ] = None,
    resume: Annotated[bool, Flag, Parameter(help="Go on with the interrupted run in --out.", group=ORDERED["Run"])] = False,
    force: Annotated[bool, Flag, Parameter(help="Replace the run in --out.", group=ORDERED["Run"])] = False,
    report: Annotated[bool, Parameter(help="Write report.html at the end.", negative="--no-report", group=ORDERED["Run"])] = True,
    data: Data = Data(),
    model: Model = Model(),
    training: Training = Training(),
    json: Json = False,
    common: Common = Common(),
) -> int:
    """Train a model on a file, a folder of images, or a set with a name.

    What suits the data (likelihood, scaling, network) is chosen from them and said. Ctrl-C keeps the best weights so far.
    """
    if source is None:
        raise ArgumentError("SOURCE is missing: give a file, a folder of images or the name of a set, as in `aevb fit digits`.")
    screen = Screen(common.quiet, json)
    done = train(Plan(source, data, model, training, common), screen, out, resume=resume, force=force)
    screen.tell("Done", finished(done.result))
    if done.result.stopped == "interrupted":
        screen.tell("Resume", f"aevb fit --resume --out {done.run}")
        return 130
    _conclude(done, screen, common, report)
    return 0


def train(plan: Plan, screen: Screen, out: Path | None = None, *, resume: bool = False, force: bool = False) -> Trained:
    """Read the data, say what was chosen, and train."""
    import aevb

    from ..random import seeded
    from ..training import adam
    from ..training.door import check_numbers, pick_device

    check_numbers(lr=plan.training.lr)
    device = pick_device(plan.common.device)
    data = load_data(plan.settings)
    screen.tell("Data", *data.spec.said)
    plan = plan.with_latent(data.spec)
    with seeded(plan.common.seed):
        recipe = recipe_of(plan.model, data.spec, len(data.train))
    run = out or next_run(data.spec.name)
    screen.tell("Model", *title(plan.model, recipe))
    screen.tell("Run", f"{run}, on {device}, seed {plan.common.seed}. Ctrl-C keeps the best so far.")
    options = dataclasses.asdict(plan.training)
    optimizer = adam(options.pop("lr"))
    with _settings_kept(run, plan.settings, data.spec) as keep:
        result = aevb.fit(
            recipe,
            data,
            **options,
            optimizer=optimizer,
            seed=plan.common.seed,
            device=device,
            out=run,
            resume=resume,
            overwrite=force,
            callbacks=[keep],
            progress=False if screen.quiet else None,
            settings={"config": plan.settings},
        )
    screen.tell("Noted", *result.said)
    return Trained(run, data, result)


def finished(result: FitResult) -> str:
    """How long it took, and which weights were kept."""
    last = result.history[-1] if result.history else None
    if last is None:
        return f"stopped before the first epoch had ended{STOPPED.get(result.stopped, '')}."
    best = (
        "the last weights" if result.best_epoch is None else f"the weights of epoch {result.best_epoch:,}, the best on the validation rows,"
    )
    epochs = f"{last.epoch:,} epoch{'' if last.epoch == 1 else 's'}"
    return f"{epochs} in {duration(last.seconds)}{STOPPED.get(result.stopped, '')}; {best} are kept."


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(0.42), duration(12.3), duration(100), duration(7300)
    ('0.4 s', '12 s', '1 min 40 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _conclude(done: Trained, screen: Screen, common: Common, report: bool) -> None:
    """What came out, where it is, and what to do with it."""
    measured = quick(done.result.model, done.data, common.seed)
    right = judged(done.result.model, done.data.test, done.data)
    screen.tell("Held out", measured.sentence, *([] if right is None else [right.sentence]))
    found = examined(done, screen, common.seed) if report or screen.json or not screen.quiet else None
    if report:
        write_report(done.run, done.data, screen, common, diagnosis=found)
    screen.tell(
        "Next",
        f"aevb evaluate {done.run}",
        f"aevb sample {done.run} -n 64{_told(done.result.model)} --out samples{'.png' if done.data.spec.image else '.csv'}",
    )
    more = measured.record | ({} if right is None else right.record)
    if screen.json:
        record = {"run": str(done.run), "best_epoch": done.result.best_epoch, "stopped": done.result.stopped, **more}
        screen.object(record | {"doctor": None if found is None else found.to_dict()["findings"]})
    elif screen.quiet:
        screen.result(str(done.run))


def examined(done: Trained, screen: Screen, seed: int) -> Diagnosis | None:
    """What the doctor finds, the first of it said aloud; ``None`` where the model knows its training rows alone."""
    with screen.progress("doctor", 1) as advance:
        found = of_run(done.result, done.data, seed)
        advance(1)
    screen.tell("Doctor", *in_short(found, done.run))
    return found


def _told(model: VAE) -> str:
    """What a conditional model must be told to draw from it, as it is typed."""
    condition = model.condition
    if condition is None or condition.optional:
        return ""
    if len(condition.factors) == 1:
        return f" --label {shlex.quote(condition.factors[0].example)}"
    return "".join(f" --label {shlex.quote(f'{factor.name}={factor.example}')}" for factor in condition.factors)


@contextmanager
def _settings_kept(run: Path, settings: dict[str, Any], spec: Spec) -> Iterator[Callable[[Any, Any], None]]:
    """Gives the callback that writes the settings beside the model; they are there also where the run ends before its first epoch."""
    there = (run / "model.json").exists()
    written: list[Path] = []

    def write(*_: Any) -> None:
        if not written and (run / "model.json").exists():
            written.append(write_settings(run, settings, spec))

    try:
        yield write
    except BaseException:
        if not there:
            write()
        raise
    write()
