"""``aevb report``: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._evaluate import SamplesOption
from ._evaluation import write_run_report
from ._likelihood_options import DEFAULT_IMPORTANCE_SAMPLES, EvaluationBudget
from ._options import CommonOptions, ReadingOptions
from ._run_folder import load_own_data, load_rows, load_run


def report(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[
        str | None,
        Parameter(
            help="Other data of the same kind; the test rows of the run's own data by default."
        ),
    ] = None,
    /,
    *,
    samples: SamplesOption = DEFAULT_IMPORTANCE_SAMPLES,
    reading: ReadingOptions = ReadingOptions(),
    common: CommonOptions = CommonOptions(),
) -> None:
    """Write the report of a run, one HTML file with everything in it, into the run folder; an earlier one is replaced."""
    from ..data import Dataset

    screen = ConsoleOutput(common.quiet)
    opened = load_run(run, common)
    if source is None:
        data = load_own_data(opened, screen)
    else:
        rows = load_rows(opened, source, reading, screen)
        data = Dataset(rows, rows, rows, opened.spec)
    path = write_run_report(run, data, screen, common, EvaluationBudget(len(data.test), samples))
    if common.quiet:
        screen.print_result(str(path))
