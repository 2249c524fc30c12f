"""``aevb presets``: the published models, each of them three arguments."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .options import Common, Json
from .screen import Screen

if TYPE_CHECKING:
    from ..presets import Preset


def presets(
    name: Annotated[str | None, Parameter(help="One of them, with what it can be given; all by default.")] = None,
    /,
    *,
    json: Json = False,
    common: Common = Common(),
) -> None:
    """The published models: model, objective and gradient, what training reports, and when to take it."""
    import aevb

    screen = Screen(common.quiet, json)
    found = list(aevb.presets.PRESETS.values()) if name is None else [aevb.presets.find(name)]
    if json:
        screen.object([record(preset) for preset in found] if name is None else record(found[0]))
        return
    for preset in found:
        screen.table(_lines(preset, [("options", _options(preset))] if name else []))
    if name is None:
        screen.tell("", "What one can be given: aevb presets NAME. To train it: aevb fit SOURCE --preset NAME --set KEY=VALUE")


def record(preset: Preset) -> dict[str, Any]:
    """All that is known of a preset."""
    return {
        "name": preset.name,
        "paper": preset.paper,
        "arguments": preset.arguments,
        "kind": preset.kind,
        "when": preset.when,
        "options": {name: None if default is None else str(default) for name, default in _defaults(preset).items()},
    }


def _lines(preset: Preset, more: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        (preset.name.ljust(21), f"{preset.paper}; reports {_KINDS[preset.kind]}"),
        ("", preset.arguments),
        ("", f"When: {preset.when}."),
        *more,
    ]


def _options(preset: Preset) -> str:
    return ", ".join(f"{name}={default}" for name, default in _defaults(preset).items())


def _defaults(preset: Preset) -> dict[str, Any]:
    parameters = list(inspect.signature(preset.build).parameters.values())[1:]
    return {each.name: "..." if each.default is inspect.Parameter.empty else each.default for each in parameters}


_KINDS = {
    "lower bound": "a lower bound",
    "upper bound": "an upper bound",
    "neither": "no bound",
    "reconstruction": "the reconstruction",
}
