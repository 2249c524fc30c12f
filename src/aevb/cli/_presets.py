"""``aevb presets``: the published models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ._console import ConsoleOutput
from ._options import CommonOptions, Json

if TYPE_CHECKING:
    from ..presets import PresetRegistration

BOUND_KIND_PHRASES = {
    "lower bound": "a lower bound",
    "upper bound": "an upper bound",
    "neither": "no bound",
    "reconstruction": "the reconstruction",
}


def presets(
    name: Annotated[
        str | None, Parameter(help="A preset, to see its options; all by default.")
    ] = None,
    /,
    *,
    json: Json = False,
    common: CommonOptions = CommonOptions(),
) -> None:
    """The published models: parts, the number that training reports, and when to use each."""
    from ..presets import PresetRegistration, find_preset

    console = ConsoleOutput(common.quiet, json)
    found = list(PresetRegistration.all().values()) if name is None else [find_preset(name)]
    if json:
        records = [preset_record(preset) for preset in found]
        console.print_json({"presets": records} if name is None else records[0])
        return
    for preset in found:
        rows = [
            (preset.name.ljust(21), f"{preset.paper}; reports {BOUND_KIND_PHRASES[preset.kind]}"),
            ("", preset.components),
            ("use it when", preset.use_when),
        ]
        if name is not None:
            rows += [("cost", preset.cost), ("avoid when", preset.avoid_when)]
            options = (f"{option}={value}" for option, value in _option_defaults(preset).items())
            rows.append(("options", ", ".join(options)))
        console.print_table(rows)
    if name is None:
        console.print_paragraph(
            "",
            "Options of a preset: aevb presets NAME. To train it: aevb fit SOURCE --preset NAME "
            "--set KEY=VALUE",
        )


def preset_record(preset: PresetRegistration) -> dict[str, Any]:
    """A preset for JSON."""
    return {
        "name": preset.name,
        "paper": preset.paper,
        "components": preset.components,
        "bound_kind": preset.kind,
        "use_when": preset.use_when,
        "cost": preset.cost,
        "avoid_when": preset.avoid_when,
        "options": {
            name: None if default is None else str(default)
            for name, default in _option_defaults(preset).items()
        },
    }


def _option_defaults(preset: PresetRegistration) -> dict[str, Any]:
    return {
        name: "..." if parameter.default is parameter.empty else parameter.default
        for name, parameter in preset.parameters.items()
    }
