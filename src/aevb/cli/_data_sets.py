"""``aevb data``: the sets with names."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._options import CommonOptions, Json


def list_sets(*, json: Json = False, common: CommonOptions = CommonOptions()) -> None:
    """The sets with names, and where they are: in $AEVB_DATA, in the cache, or yet to be fetched."""
    import aevb

    screen = ConsoleOutput(common.quiet, json)
    sets = aevb.data.list_datasets()
    if json:
        found = [
            {
                "name": s.name,
                "about": s.description,
                "rows": s.n_rows,
                "event_shape": s.event_shape,
                "licence": s.licence,
            }
            for s in sets
        ]
        screen.print_json(
            [
                line | {"found": None if s.folder is None else str(s.folder)}
                for line, s in zip(found, sets, strict=True)
            ]
        )
        return
    shapes = [" x ".join(str(side) for side in s.event_shape) for s in sets]
    lines = [
        (s.name, f"{s.n_rows:,}", shape, "here" if s.folder else "-", s.description)
        for s, shape in zip(sets, shapes, strict=True)
    ]
    screen.print_table(lines, ("name", "rows", "shape", "", "about"), right_aligned=(1,))
    screen.print_paragraph("", "Those that are not here: aevb data get NAME")


def download_set(
    name: Annotated[str, Parameter(help="The name of a set.")],
    /,
    *,
    common: CommonOptions = CommonOptions(),
) -> None:
    """Download a set from its publisher into the cache, checked by its SHA-256; nothing happens where it is here already."""
    import aevb

    screen = ConsoleOutput(common.quiet)
    with screen.download_bar() as progress:
        folder = aevb.data.download_dataset(name, progress)
    screen.print_paragraph("Here", f"{name} is in {folder}.")
