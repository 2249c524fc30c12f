"""Published models: each a function ``preset(spec, *, latent, hidden, ...) -> Recipe``.

A preset is registered by ``register_preset`` above its function; ``PRESETS``, ``aevb presets`` and
``docs/presets.md`` read the register. ``preset(name, spec)`` builds any of them by name.
"""

# ruff: noqa: F403  (each module lists its presets in `__all__`)

from . import (
    _basic,
    _bounds,
    _conditional,
    _discrete,
    _hierarchical,
    _inference,
    _learned_priors,
    _likelihoods,
    _penalised,
    _posterior_families,
    _tables,
    _two_stage,
)
from ._assemble import build_vae
from ._basic import *
from ._bounds import *
from ._builders import build_encoder_and_likelihood, build_likelihood
from ._conditional import *
from ._defaults import ImputationDefaults, TableDefaults
from ._discrete import *
from ._hierarchical import *
from ._inference import *
from ._learned_priors import *
from ._likelihoods import *
from ._penalised import *
from ._posterior_families import *
from ._registration import PresetRegistration, default_preset, find_preset, preset
from ._tables import *
from ._two_stage import *

PRESETS: dict[str, PresetRegistration] = PresetRegistration.all()
"""All presets by name."""

DEFAULT_PRESET = "vae"
"""The preset of data without a preset of their own; see ``default_preset``."""

__all__ = [
    "PRESETS",
    "ImputationDefaults",
    "PresetRegistration",
    "TableDefaults",
    "build_encoder_and_likelihood",
    "build_likelihood",
    "build_vae",
    "default_preset",
    "find_preset",
    "preset",
]
__all__ += _basic.__all__
__all__ += _bounds.__all__
__all__ += _conditional.__all__
__all__ += _discrete.__all__
__all__ += _hierarchical.__all__
__all__ += _inference.__all__
__all__ += _learned_priors.__all__
__all__ += _likelihoods.__all__
__all__ += _penalised.__all__
__all__ += _posterior_families.__all__
__all__ += _tables.__all__
__all__ += _two_stage.__all__
