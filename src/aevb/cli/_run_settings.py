"""What decides a run, and the file in its folder that says so."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _config_file as configuration
from ._options import CommonOptions, DataOptions, ModelOptions, TrainingOptions

if TYPE_CHECKING:
    from ..data import Spec


@dataclass(frozen=True)
class RunSettings:
    """All that decides a run."""

    source: str
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    common: CommonOptions = field(default_factory=CommonOptions)

    @property
    def config(self) -> dict[str, Any]:
        """What ``config.toml`` holds: what the result depends on, and not the machine or the screen."""
        parts = (self.data, self.model, self.training)
        together = {
            name: value for part in parts for name, value in dataclasses.asdict(part).items()
        }
        return {"source": self.source, "seed": self.common.seed} | {
            name: value for name, value in together.items() if value is not None
        }

    def with_default_latent(self, spec: Spec) -> RunSettings:
        """The same with a number of latent variables: the preset's own where none was asked for, and at most half the width of the data,
        so that there is something to learn.
        """
        from ..presets import find_preset

        if self.model.latent is not None:
            return self
        latent = max(
            1, min(find_preset(self.model.preset).default_latent, math.prod(spec.event_shape) // 2)
        )
        return replace(self, model=replace(self.model, latent=latent))


def write_config(folder: Path, config: dict[str, Any], spec: Spec) -> Path:
    """Write ``config.toml`` beside the model of a run, with what was chosen from the data as comments."""
    from .._files import read_json, write_atomically

    chosen = {
        "likelihood": spec.likelihood,
        "network": spec.network,
        "epochs": read_json(folder / "model.json")["training"]["epochs"],
    }
    asked = {name: value for name, value in chosen.items() if name not in config}
    write_atomically(
        folder / configuration.CONFIG_FILE_NAME, configuration.render_config(config, asked).encode()
    )
    return folder / configuration.CONFIG_FILE_NAME
