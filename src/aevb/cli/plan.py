"""What decides a run, and the file in its folder that says so."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import config as configuration
from .options import Common, Data, Model, Training

if TYPE_CHECKING:
    from ..data import Spec


@dataclass(frozen=True)
class Plan:
    """All that decides a run."""

    source: str
    data: Data = field(default_factory=Data)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    common: Common = field(default_factory=Common)

    @property
    def settings(self) -> dict[str, Any]:
        """What ``config.toml`` holds: what the result depends on, and not the machine or the screen."""
        parts = (self.data, self.model, self.training)
        together = {name: value for part in parts for name, value in dataclasses.asdict(part).items()}
        return {"source": self.source, "seed": self.common.seed} | {name: value for name, value in together.items() if value is not None}

    def with_latent(self, spec: Spec) -> Plan:
        """The same with a number of latent variables: the preset's own where none was asked for, and at most half the width of the data,
        so that there is something to learn.
        """
        from ..presets import find

        if self.model.latent is not None:
            return self
        latent = max(1, min(find(self.model.preset).latent, math.prod(spec.event_shape) // 2))
        return replace(self, model=replace(self.model, latent=latent))


def write_settings(run: Path, settings: dict[str, Any], spec: Spec) -> Path:
    """Write ``config.toml`` beside the model of a run, with what was chosen from the data as comments."""
    from ..files import read_json, write_atomically

    chosen = {"likelihood": spec.likelihood, "network": spec.network, "epochs": read_json(run / "model.json")["training"]["epochs"]}
    asked = {name: value for name, value in chosen.items() if name not in settings}
    write_atomically(run / configuration.NAME, configuration.render(settings, asked).encode())
    return run / configuration.NAME
