"""``aevb fit``: read, report what was chosen, train, report the outcome."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..errors import ArgumentError, IncompatibleError, MissingExtraError
from ..notes import Argument, message
from ..runs import RunSettings
from ._console import ConsoleOutput
from ._evaluate import accuracy_record, accuracy_sentences
from ._options import (
    OPTION_GROUPS,
    RUN_GROUP,
    CommonOptions,
    DataOptions,
    Flag,
    Integer,
    Json,
    ModelOptions,
    TrainingOptions,
)
from ._style import STYLE

if TYPE_CHECKING:
    from ..data import Dataset
    from ..metrics import Diagnosis, Evaluation
    from ..models import VAE
    from ..runs import Run
    from ..runs._tune import Search
    from ..training import FitResult

STOP_REASON_PHRASES = {
    "minutes": " (the time is up)",
    "patience": " (no improvement for longer than --patience)",
}
REPORT_PAIRS = {
    "mlp": 1_000_000,
    "conv": 50_000,
    "gru": 50_000,
}  # (row, sample) pairs: about half a minute
REPORT_SAMPLES, MIN_REPORT_SAMPLES = 100, 10
SourceOption = Annotated[
    str | None,
    Parameter(
        help="A file (a table as .csv, .txt, .xlsx, .parquet ..., an array as .npy, .npz, .mat "
        "..., also compressed), a folder of images, or the name of a data set."
    ),
]
TrainOption = Annotated[
    str | None,
    Parameter(
        help="SOURCE by another name, beside --validation and --test.", group=OPTION_GROUPS["Data"]
    ),
]
ConfigOption = Annotated[
    Path | None,
    Parameter(help="A config.toml of an earlier run; typed options win over it.", group=RUN_GROUP),
]


def fit(
    source: SourceOption = None,
    /,
    *,
    train: TrainOption = None,
    out: Annotated[
        Path | None,
        Parameter(help="The run folder; runs/DATA-1 (or -2 ...) by default.", group=RUN_GROUP),
    ] = None,
    config: ConfigOption = None,
    resume: Annotated[
        bool,
        Flag,
        Parameter(
            help="Continue the run in --out; with more --epochs also a finished one.",
            group=RUN_GROUP,
        ),
    ] = False,
    force: Annotated[
        bool, Flag, Parameter(help="Replace the run in --out.", group=RUN_GROUP)
    ] = False,
    tune: Annotated[
        bool,
        Flag,
        Parameter(
            help="Try several settings, choose by the validation rows, and train with the best; "
            "--minutes then limits the whole.",
            group=RUN_GROUP,
        ),
    ] = False,
    candidates: Annotated[
        Integer | None,
        Parameter(help="Number of settings that --tune tries; 12 by default.", group=RUN_GROUP),
    ] = None,
    report: Annotated[
        bool,
        Parameter(help="Write report.html at the end.", negative="--no-report", group=RUN_GROUP),
    ] = True,
    data: DataOptions = DataOptions(),
    model: ModelOptions = ModelOptions(),
    training: TrainingOptions = TrainingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Train a model on a file, a folder of images, or a named data set.

    Likelihood, scaling and network are chosen from the data and printed. Ctrl-C keeps the best
    weights so far.
    """
    console = ConsoleOutput(common.quiet, json)
    settings = RunSettings(check_source(source, train, "fit"), data, model, training, common.seed)
    count = candidate_count(tune, candidates, resume)
    run = train_run(settings, console, common, out, resume=resume, force=force, candidates=count)
    if run.result is not None and run.result.stop_reason == "interrupted":
        again = f"--config {run.name}/config.toml --force" if settings.members > 1 else "--resume"
        console.print_paragraph("Resume", f"aevb fit {again} --out {run.name}")
        return interrupt_exit_code(run.result)
    _report_results(run, console, common, report)
    return 0


def check_source(source: str | None, train: str | None, command: str) -> str:
    """The source. Raises ``ArgumentError`` where it is missing, or named twice."""
    if source is not None and train is not None:
        raise ArgumentError(
            message("it is {source} by another name", source=Argument("source", source)),
            argument="train",
            value=train,
            suggestions=("Give one of the two",),
        )
    source = source or train
    if source is None:
        raise ArgumentError(
            message("{source} is missing", source=Argument("source")),
            argument="source",
            suggestions=(
                "Give a file, a folder of images or the name of a data set, as in "
                f"`aevb {command} digits`",
            ),
        )
    return source


def candidate_count(tune: bool, candidates: int | None, resume: bool) -> int | None:
    """Number of settings to try; None without ``tune``.

    Raises:
        ArgumentError: Options that exclude each other.
    """
    from ..runs._tune import DEFAULT_CANDIDATES

    if not tune and candidates is not None:
        raise ArgumentError(
            message("it belongs to {tune}", tune=Argument("tune", True)),
            argument="candidates",
            value=candidates,
        )
    if tune and resume:
        raise ArgumentError(
            message("a search begins anew, and {resume} continues", resume=Argument("resume")),
            argument="tune",
            value=True,
            suggestions=("Leave it out to train the best candidate so far",),
        )
    return (DEFAULT_CANDIDATES if candidates is None else candidates) if tune else None


def train_run(
    settings: RunSettings,
    console: ConsoleOutput,
    common: CommonOptions,
    out: Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    candidates: int | None = None,
) -> Run:
    """Read the data, report what was chosen, and train; among ``candidates`` if there are some."""
    from .._hardware import resolve_device
    from ..runs import next_run_folder
    from ..runs._recipe import model_sentences
    from ..runs._tune import check_tuning
    from ..training._run_folder import check_resume

    check_resume(resume, force)
    device = resolve_device(common.device)
    settings.training.to_fit_arguments()  # an impossible value is refused before data are read
    if candidates is not None:
        check_tuning(settings, candidates, out, overwrite=force)
    data = settings.load_data()
    console.print_paragraph("Data", *data.spec.notes)
    found = None
    if candidates is not None:
        found = search_candidates(settings, data, candidates, console, common)
        settings = found.settings
    settings = settings.with_defaults_for(data.spec)
    recipe = settings.recipe(data.spec, len(data.train))
    folder = out or next_run_folder(data.spec.name)
    console.print_paragraph("Model", *model_sentences(settings.model, recipe))
    console.print_paragraph(
        "Run", f"{folder}, on {device}, seed {common.seed}. Ctrl-C keeps the best so far."
    )
    progress = False if console.quiet else None
    if found is None:
        run = settings.fit(
            folder,
            data=data,
            recipe=recipe,
            device=device,
            resume=resume,
            overwrite=force,
            progress=progress,
        )
    else:
        run = found.fit(folder, device=device, overwrite=force, progress=progress)
    assert run.result is not None
    console.print_paragraph("Notes", *run.result.notes)
    console.print_paragraph("Done", completion_sentence(run.result))
    return run


def search_candidates(
    settings: RunSettings,
    data: Dataset,
    candidates: int,
    console: ConsoleOutput,
    common: CommonOptions,
) -> Search:
    """Train and score candidate settings, and print their table."""
    from ..runs._tune import search
    from ..training._tuning import TABLE_HEADER

    console.print_paragraph(
        "Tune",
        f"up to {candidates} candidates, chosen by {len(data.validation):,} validation rows. "
        "Ctrl-C keeps the best so far.",
    )
    progress = False if console.quiet else None
    found = search(settings, data, candidates=candidates, device=common.device, progress=progress)
    if not (console.quiet or console.json):
        console.print_paragraph("", "")
        console.print_table(found.tuning.table_rows, TABLE_HEADER, right_aligned=(1, 2, 3, 4))
        console.print_paragraph("", "")
    console.print_paragraph("Chosen", found.tuning.summary, *found.tuning.notes)
    return found


def interrupt_exit_code(result: FitResult) -> int:
    """The exit code of a command whose training was interrupted: 128 and the signal."""
    return 128 + (result.signal or signal.SIGINT)


def signal_name(result: FitResult) -> str:
    """What has interrupted the training."""
    number = result.signal or signal.SIGINT
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def completion_sentence(result: FitResult) -> str:
    """The duration, and which weights were kept."""
    reason = STOP_REASON_PHRASES.get(result.stop_reason, "")
    if result.stop_reason == "interrupted":
        reason = f" ({signal_name(result)})"
    if not result.history:
        return f"stopped before the end of the first epoch{reason}."
    last = result.history[-1]
    best = (
        "the last weights"
        if result.best_epoch is None
        else f"the weights of epoch {result.best_epoch:,}, the best on the validation rows,"
    )
    epochs = f"{last.epoch:,} epoch{'' if last.epoch == 1 else 's'}"
    return f"{epochs} in {format_duration(last.seconds)}{reason}; {best} are kept."


def format_duration(seconds: float) -> str:
    """A duration.

    Example:
        >>> format_duration(0.42), format_duration(12.3), format_duration(100)
        ('0.4 s', '12 s', '1 min 40 s')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _report_results(run: Run, console: ConsoleOutput, common: CommonOptions, report: bool) -> None:
    """Results, where they are, and what to do next."""
    bound, accuracy = run.evaluate_bound(common.seed), run.accuracy(with_baseline=True)
    sentence = bound_sentence(run, bound)
    test = {"test": "Test", "validation": "Valid.", "train": "Train"}[run.data().evaluation_part]
    console.print_paragraph(
        test, sentence, *baseline_sentences(bound), *accuracy_sentences(accuracy)
    )
    found = diagnose(run, console, common.seed)
    if report:
        write_report(run, console, common.seed, found)
    ending = {"table": ".csv", "series": ".npy"}.get(run.spec.kind, ".png")
    context = _context_options(run.model)
    console.print_paragraph(
        "Next",
        f"aevb evaluate {run.name}",
        f"aevb sample {run.name} -n 64{context} --out samples{ending}",
    )
    if console.json and run.result is not None:
        record = {
            "run": run.name,
            "best_epoch": run.result.best_epoch,
            "stop_reason": run.result.stop_reason,
        }
        if run.tuning is not None:
            record["tuning"] = run.tuning.to_dict()
        findings = {"findings": found.to_dict()["findings"]}
        console.print_json(record | bound.to_dict() | accuracy_record(accuracy) | findings)
    elif console.quiet:
        console.print_result(run.name)


def bound_sentence(run: Run, bound: Evaluation) -> str:
    """The bound on the test rows, and log p(x) where it was estimated."""
    number, estimate = bound.numbers[0], bound.get("log_likelihood")
    rows = f"{bound.n:,} {run.data().evaluation_noun}"
    text = f"{number.label} {number} nats per {run.spec.item_noun}, over {rows}."
    if estimate is None:
        return text
    return f"log p(x) {estimate}, by {estimate.details['samples']} importance samples; {text}"


def baseline_sentences(bound: Evaluation) -> list[str]:
    """Log p(x) of the best classical model, and the difference of the model's number from it."""
    summary, difference = bound.get("baselines"), bound.get("baselines.difference")
    if summary is None or difference is None:
        return []
    best = bound[f"baselines.{summary.details['best']}"]
    title = best.label.removeprefix("baseline: ")
    own = {"ELBO": "the ELBO", "log p(x)": "log p(x) of the model"}[difference.details["of"]]
    return [f"Best baseline ({title}): log p(x) {best}; {own} minus that is {difference}."]


def diagnose(run: Run, console: ConsoleOutput, seed: int) -> Diagnosis:
    """The diagnosis, with its first finding printed."""
    with console.progress_bar("doctor", 1) as advance:
        found = run.diagnose(seed=seed)
        advance(1)
    more = () if found.is_healthy else (f"aevb doctor {run.name}",)
    console.print_paragraph("Doctor", found.summary(STYLE), *more)
    return found


def write_report(run: Run, console: ConsoleOutput, seed: int, diagnosis: Diagnosis) -> Path | None:
    """The report of a run that was just trained: half a minute's work; None without matplotlib."""
    data = run.data()
    total = len(data.evaluation_rows)
    n_rows, samples = report_size(total, run.spec.network)
    try:
        with console.progress_bar("report", n_rows * samples) as advance:
            path = run.report(
                samples=samples,
                seed=seed,
                max_rows=n_rows,
                diagnosis=diagnosis,
                on_progress=advance,
            )
    except (MissingExtraError, IncompatibleError) as error:
        console.print_note(message("no report was written: {reason}", reason=error.reason))
        for suggestion in error.suggestions:
            console.print_note(suggestion)
        return None
    part = (
        f" on {n_rows:,} of {total:,} {data.evaluation_noun}, {samples} samples each; "
        f"`aevb report {run.name}` "
        "uses all"
        if n_rows < total
        else ""
    )
    console.print_paragraph("Report", f"{path}{part}")
    return path


def report_size(n_rows: int, network: str) -> tuple[int, int]:
    """Rows and samples of a report that takes at most half a minute.

    Example:
        >>> report_size(180, "mlp"), report_size(10_000, "conv")
        ((180, 100), (5000, 10))
    """
    samples = min(max(REPORT_PAIRS[network] // n_rows, MIN_REPORT_SAMPLES), REPORT_SAMPLES)
    return min(n_rows, REPORT_PAIRS[network] // samples), samples


def _context_options(model: VAE) -> str:
    """The options with an example of the context that a conditional model needs."""
    condition = model.condition
    if condition is None or condition.is_optional:
        return ""
    single = len(condition.variables) == 1
    values = (
        each.example if single else f"{each.name}={each.example}" for each in condition.variables
    )
    return "".join(f" --label {shlex.quote(value)}" for value in values)
