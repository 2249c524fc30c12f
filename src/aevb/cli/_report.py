"""``aevb report``: the page of a run."""

from __future__ import annotations

from ._console import ConsoleOutput, open_run
from ._options import (
    CommonOptions,
    OtherSource,
    ReadingOptions,
    RunArgument,
    SamplesOption,
    TrustSource,
)


def report(
    run: RunArgument,
    source: OtherSource = None,
    /,
    *,
    samples: SamplesOption = 100,
    reading: ReadingOptions = ReadingOptions(),
    trust_source: TrustSource = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Write the report of a run, one HTML file, into the run folder; an earlier one is replaced."""
    console = ConsoleOutput(common.quiet)
    opened = open_run(run, common, console, trust_source)
    rows = opened.rows(source, **reading.reading_arguments)
    for note in opened.data_notes(source, rows):
        console.print_note(note)
    with console.progress_bar("report", len(rows) * samples) as advance:
        path = opened.report(
            None if source is None else rows, samples=samples, seed=common.seed, on_progress=advance
        )
    if common.quiet:
        console.print_result(str(path))
    console.print_paragraph("Report", str(path))
