"""The one table of presets."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..data.spec import Spec
from ..errors import ArgumentError
from ..recipe import Recipe
from . import basic


@dataclass(frozen=True)
class Preset:
    """A published model."""

    name: str
    build: Callable[..., Recipe]
    paper: str
    arguments: str  # model, objective, gradient
    when: str

    @property
    def options(self) -> tuple[str, ...]:
        """The keywords it takes."""
        return tuple(inspect.signature(self.build).parameters)[1:]


_ALL = (
    Preset(
        "autoencoder",
        basic.autoencoder,
        "Rumelhart et al. 1986",
        "Dirac posterior, Reconstruction(), Pathwise()",
        "a deterministic baseline",
    ),
    Preset("vae", basic.vae, "Kingma and Welling 2014", "Normal posterior, ELBO(), Pathwise()", "the place to start"),
    Preset(
        "beta_vae",
        basic.beta_vae,
        "Higgins et al. 2017",
        "Normal posterior, ELBO(beta=4), Pathwise()",
        "fewer, more independent latent variables",
    ),
    Preset(
        "iwae", basic.iwae, "Burda et al. 2016", "Normal posterior, IWAE(5), DoublyReparameterised()", "the best likelihood for more time"
    ),
)
PRESETS: dict[str, Preset] = {entry.name: entry for entry in _ALL}


def preset(name: str, spec: Spec, **options: Any) -> Recipe:
    """The recipe of that name for data of this kind. Raises ``ArgumentError`` for an unknown name or an option it does not take."""
    name = name.replace("-", "_")
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean `{near[0]}`? " if near else ""
        raise ArgumentError(f"there is no preset `{name}`; {hint}The presets are {', '.join(PRESETS)}.")
    entry = PRESETS[name]
    unknown = [option for option in options if option not in entry.options]
    if unknown:
        raise ArgumentError(f"preset `{name}` takes no `{unknown[0]}`; it takes {', '.join(entry.options)}.")
    return entry.build(spec, **options)
