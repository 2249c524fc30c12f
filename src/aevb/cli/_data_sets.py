"""``aevb data``: the named data sets."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._options import CommonOptions, Json


def list_sets(*, json: Json = False, common: CommonOptions = CommonOptions()) -> None:
    """The named data sets, and where they are: in $AEVB_DATA, in the cache, or to be downloaded."""
    from ..data import list_datasets

    console = ConsoleOutput(common.quiet, json)
    sets = list_datasets()
    if json:
        console.print_json(
            {
                "data_sets": [
                    {
                        "name": each.name,
                        "description": each.description,
                        "n_rows": each.n_rows,
                        "event_shape": each.event_shape,
                        "licence": each.licence,
                        "path": None if each.folder is None else str(each.folder),
                    }
                    for each in sets
                ]
            }
        )
        return
    rows = [
        (
            each.name,
            f"{each.n_rows:,}",
            " x ".join(map(str, each.event_shape)),
            "here" if each.folder else "-",
            each.description,
        )
        for each in sets
    ]
    console.print_table(rows, ("name", "rows", "shape", "", "description"), right_aligned=(1,))
    console.print_paragraph("", "To download one: aevb data get NAME")


def download_set(
    name: Annotated[str, Parameter(help="The name of a data set.")],
    /,
    *,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Download a data set from its publisher into the cache, with its SHA-256 checked.

    Nothing happens where it exists already.
    """
    from ..data import download_dataset

    console = ConsoleOutput(common.quiet)
    with console.download_bar() as progress:
        folder = download_dataset(name, progress)
    console.print_paragraph("Folder", f"{name} is in {folder}.")
