"""``aevb data``: the sets with names."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from .options import Common, Json
from .screen import Screen


def list_sets(*, json: Json = False, common: Common = Common()) -> None:
    """The sets with names, and where they are: in $AEVB_DATA, in the cache, or yet to be fetched."""
    import aevb

    screen = Screen(common.quiet, json)
    sets = aevb.data.list_sets()
    if json:
        found = [{"name": s.name, "about": s.about, "rows": s.rows, "event_shape": s.event_shape, "licence": s.licence} for s in sets]
        screen.object([line | {"found": None if s.found is None else str(s.found)} for line, s in zip(found, sets, strict=True)])
        return
    shapes = [" x ".join(str(side) for side in s.event_shape) for s in sets]
    lines = [(s.name, f"{s.rows:,}", shape, "here" if s.found else "-", s.about) for s, shape in zip(sets, shapes, strict=True)]
    screen.table(lines, ("name", "rows", "shape", "", "about"), right=(1,))
    screen.tell("", "Those that are not here: aevb data get NAME")


def get(name: Annotated[str, Parameter(help="The name of a set.")], /, *, common: Common = Common()) -> None:
    """Download a set from its publisher into the cache, checked by its SHA-256; nothing happens where it is here already."""
    import aevb

    screen = Screen(common.quiet)
    with screen.download() as progress:
        folder = aevb.data.get(name, progress)
    screen.tell("Here", f"{name} is in {folder}.")
