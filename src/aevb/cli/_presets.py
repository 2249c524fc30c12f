"""``aevb presets``: the published models, each of them three arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._options import CommonOptions, Json

if TYPE_CHECKING:
    from ..presets import Preset


def presets(
    name: Annotated[
        str | None, Parameter(help="One of them, with what it can be given; all by default.")
    ] = None,
    /,
    *,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """The published models: model, objective and gradient, what training reports, and when to take it."""
    import aevb

    screen = ConsoleOutput(common.quiet, json)
    found = (
        list(aevb.presets.PRESETS.values()) if name is None else [aevb.presets.find_preset(name)]
    )
    if json:
        screen.print_json(
            [preset_record(preset) for preset in found] if name is None else preset_record(found[0])
        )
        return
    for preset in found:
        screen.print_table(
            _preset_rows(preset, [("options", _format_options(preset))] if name else [])
        )
    if name is None:
        screen.print_paragraph(
            "",
            "What one can be given: aevb presets NAME. To train it: aevb fit SOURCE --preset NAME --set KEY=VALUE",
        )


def preset_record(preset: Preset) -> dict[str, Any]:
    """All that is known of a preset."""
    return {
        "name": preset.name,
        "paper": preset.paper,
        "arguments": preset.composition,
        "kind": preset.kind,
        "when": preset.use_when,
        "options": {
            name: None if default is None else str(default)
            for name, default in _option_defaults(preset).items()
        },
    }


def _preset_rows(preset: Preset, extra_rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (preset.name.ljust(21), f"{preset.paper}; reports {_BOUND_KIND_PHRASES[preset.kind]}"),
        ("", preset.composition),
        ("", f"When: {preset.use_when}."),
        *extra_rows,
    ]


def _format_options(preset: Preset) -> str:
    return ", ".join(f"{name}={default}" for name, default in _option_defaults(preset).items())


def _option_defaults(preset: Preset) -> dict[str, Any]:
    parameters = list(inspect.signature(preset.build).parameters.values())[1:]
    return {
        each.name: "..." if each.default is inspect.Parameter.empty else each.default
        for each in parameters
    }


_BOUND_KIND_PHRASES = {
    "lower bound": "a lower bound",
    "upper bound": "an upper bound",
    "neither": "no bound",
    "reconstruction": "the reconstruction",
}
