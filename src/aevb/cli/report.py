"""``aevb report``: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .evaluate import Samples
from .measure import write_report
from .options import Common, Reading
from .runs import open_run, own_data, rows_of
from .screen import Screen
from .weighing import SAMPLES, Effort


def report(
    run: Annotated[Path, Parameter(help="The run folder.")],
    source: Annotated[str | None, Parameter(help="Other data of the same kind; the test rows of the run's own data by default.")] = None,
    /,
    *,
    samples: Samples = SAMPLES,
    reading: Reading = Reading(),
    common: Common = Common(),
) -> None:
    """Write the report of a run, one HTML file with everything in it, into the run folder; an earlier one is replaced."""
    from ..data import Dataset

    screen = Screen(common.quiet)
    opened = open_run(run, common)
    if source is None:
        data = own_data(opened, screen)
    else:
        rows = rows_of(opened, source, reading, screen)
        data = Dataset(rows, rows, rows, opened.spec)
    path = write_report(run, data, screen, common, Effort(len(data.test), samples))
    if common.quiet:
        screen.result(str(path))
