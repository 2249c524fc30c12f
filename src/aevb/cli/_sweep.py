"""``aevb sweep``: every combination of a few settings, and what each trades for what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..runs import RunSettings, SweepSettings
from ._console import ConsoleOutput
from ._fit import (
    ConfigOption,
    SourceOption,
    TrainOption,
    check_source,
    format_duration,
    interrupt_exit_code,
)
from ._options import (
    RUN_GROUP,
    CommonOptions,
    DataOptions,
    Flag,
    GridOptions,
    Json,
    SweepModelOptions,
    SweepTrainingOptions,
)


def sweep(
    source: SourceOption = None,
    /,
    *,
    train: TrainOption = None,
    grid: GridOptions = GridOptions(),
    out: Annotated[
        Path | None,
        Parameter(
            help="The folder of the sweep; runs/DATA-sweep-1 (or -2 ...) by default.",
            group=RUN_GROUP,
        ),
    ] = None,
    config: ConfigOption = None,
    resume: Annotated[
        bool,
        Flag,
        Parameter(
            help="Continue the sweep in --out; finished runs are not trained again.",
            group=RUN_GROUP,
        ),
    ] = False,
    only: Annotated[
        str | None,
        Parameter(
            help="Train a share of the runs, as 3/16: every 16th, from the third on. Jobs with "
            "different shares use one --out; --resume without a share compares all runs.",
            group=RUN_GROUP,
        ),
    ] = None,
    data: DataOptions = DataOptions(),
    model: SweepModelOptions = SweepModelOptions(),
    training: SweepTrainingOptions = SweepTrainingOptions(),
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> int:
    """Train every combination of --latent, --beta and --lr with several seeds, and compare them.

    Every run is a folder as `aevb fit` writes it. With --resume the grid may be wider than before.
    """
    from .._hardware import resolve_device
    from ..data._formatting import format_count
    from ..runs import next_run_folder
    from ..runs._recipe import objective_sentence, preset_citation
    from ..runs._sweep import SweepShare
    from ..runs._sweep_result import FIGURE_FILE, PAGE_FILE

    console = ConsoleOutput(common.quiet, json)
    shared = RunSettings(check_source(source, train, "sweep"), data, model, training, common.seed)
    settings = SweepSettings(shared, grid)
    share = None if only is None else SweepShare.parse(only)
    settings.check(out, resume=resume, share=share)
    device = resolve_device(common.device)
    loaded = shared.load_data()
    console.print_paragraph("Data", *loaded.spec.notes)
    jobs = settings.jobs(loaded)
    folder = out or next_run_folder(f"{loaded.spec.name}-sweep")
    console.print_paragraph(
        "Model", f"{preset_citation(jobs[0].settings.model)}.", objective_sentence(jobs[0].recipe)
    )
    count = format_count(len(jobs), "run")
    console.print_paragraph("Sweep", f"{settings.description}: {count}.")
    if share is not None:
        count = f"{len(share.of(jobs))} of {count}"
    console.print_paragraph("Folder", f"{folder}, on {device}.")
    result = settings.train(
        folder,
        data=loaded,
        jobs=jobs,
        resume=resume,
        share=share,
        device=device,
        progress=False if console.quiet else None,
    )
    console.print_paragraph("Done", f"{count} in {format_duration(result.seconds)}.")
    console.print_paragraph("Notes", *result.notes)
    if result.interrupted_result is not None:
        again = "--resume" if only is None else f"--resume --only {only}"
        console.print_paragraph("Resume", f"aevb sweep {again} --out {folder}")
        return interrupt_exit_code(result.interrupted_result)
    if share is not None:
        console.print_paragraph("Next", f"aevb sweep --resume --out {folder}")
        return 0
    notes = result.write()
    if json:
        console.print_json(result.to_dict())
    else:
        console.print_paragraph("", "")
        header = result.table_header
        console.print_table(result.table_rows, header, right_aligned=range(len(header) - 1))
        console.print_paragraph("", "")
    console.print_paragraph("Result", result.best_sentence)
    for note in notes:
        console.print_note(note)
    if not notes:
        console.print_paragraph("Figure", str(folder / FIGURE_FILE))
        console.print_paragraph("Report", str(folder / PAGE_FILE))
    best = result.best_combination.best_run.folder
    console.print_paragraph("Next", f"aevb evaluate {best}", f"aevb report {best}")
    return 0
