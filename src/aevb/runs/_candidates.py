"""The settings that tuning tries, by kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from .._persistence import to_config
from ..errors import ArgumentError, IncompatibleError
from ._settings import ModelSettings, RunSettings, TrainingSettings

if TYPE_CHECKING:
    from .._recipe import Recipe
    from ..data import Spec


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Changes of the default settings.

    A candidate is left out where it changes what the user has set, where the preset does not take a
    change, and where nothing changes.

    Args:
        name: The changes in a few words.
        model: Values of ``ModelSettings``; those of ``set`` are added.
        training: Values of ``TrainingSettings``.
        latent: Factor of the number of latent variables.
        lr: Factor of the learning rate.
    """

    name: str
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    latent: float = 1.0
    lr: float = 1.0

    def apply(self, settings: RunSettings, base: RunSettings) -> RunSettings | None:
        """Return the changed settings; ``None`` where the candidate is left out.

        Args:
            settings: The settings of the user.
            base: The same with the defaults for the data.
        """
        model, training = dict(self.model), dict(self.training)
        if self.latent != 1:
            assert base.model.latent is not None
            model["latent"] = max(1, round(base.model.latent * self.latent))
        if self.lr != 1:
            assert base.training.lr is not None
            training["lr"] = base.training.lr * self.lr
        if _is_set(settings.model, model) or _is_set(settings.training, training):
            return None
        if "set" in model:
            model["set"] = (*(settings.model.set or ()), *model["set"])
        changed = replace(
            base, model=replace(base.model, **model), training=replace(base.training, **training)
        )
        return None if changed == base and (model or training) else changed


def _is_set(settings: ModelSettings | TrainingSettings, changes: Mapping[str, Any]) -> bool:
    """Whether the user has set something that a candidate changes."""
    defaults = {each.name: each.default for each in fields(settings)}
    names = {text.partition("=")[0] for text in changes.get("set", ())}
    own = {text.partition("=")[0] for text in getattr(settings, "set", None) or ()}
    return bool(own & names) or any(
        getattr(settings, name) != defaults[name] for name in changes if name != "set"
    )


DEFAULT = Candidate(name="default")
_RATES = (Candidate(name="lr x 2", lr=2.0), Candidate(name="lr x 0.5", lr=0.5))
_SIZES = (Candidate(name="latent x 2", latent=2.0), Candidate(name="latent x 0.5", latent=0.5))
_BOUNDS = (
    Candidate(name="20 samples", model={"samples": 20}),
    Candidate(name="1 sample", model={"samples": 1}),
)
CANDIDATES: Mapping[str, tuple[Candidate, ...]] = {
    "table": (
        DEFAULT,
        Candidate(name="scale predicted", model={"set": ("scale=predicted",)}),
        Candidate(name="start gaussian", model={"set": ("start=gaussian",)}),
        _RATES[0],
        Candidate(name="hidden 256, 256", model={"hidden": (256, 256)}),
        Candidate(name="weight decay 0.1", training={"weight_decay": 0.1}),
        Candidate(name="hidden 64, 64", model={"hidden": (64, 64)}),
        _SIZES[0],
        _RATES[1],
        Candidate(name="mixture prior", model={"prior": "mixture"}),
        Candidate(name="dropout 0.1", model={"dropout": 0.1}),
        *_BOUNDS,
        Candidate(name="input noise 0.1", training={"input_noise": 0.1}),
        _SIZES[1],
        Candidate(name="start mixture", model={"set": ("start=mixture",)}),
    ),
    "image": (
        DEFAULT,
        _RATES[0],
        Candidate(name="iwae", model={"preset": "iwae"}),
        Candidate(name="hidden 200", model={"hidden": (200,)}),
        _SIZES[0],
        Candidate(name="dropout 0.2", model={"dropout": 0.2}),
        Candidate(name="hidden 200, 200", model={"hidden": (200, 200)}),
        Candidate(name="weight decay 0.1", training={"weight_decay": 0.1}),
        Candidate(name="vamp_vae", model={"preset": "vamp_vae"}),
        _RATES[1],
        _SIZES[1],
        Candidate(name="mixture prior", model={"prior": "mixture"}),
    ),
    "other": (
        DEFAULT,
        _RATES[0],
        Candidate(name="iwae", model={"preset": "iwae"}),
        _SIZES[0],
        Candidate(name="dropout 0.1", model={"dropout": 0.1}),
        _RATES[1],
        _SIZES[1],
        Candidate(name="weight decay 0.1", training={"weight_decay": 0.1}),
    ),
}
"""The candidates for tables, for images in fully connected networks, and for other data, in the
order in which fewer of them are tried."""


def candidates_for(
    settings: RunSettings, spec: Spec, n_rows: int, count: int
) -> list[tuple[str, RunSettings, Recipe]]:
    """The first ``count`` candidates that the settings leave open: name, settings and recipe.

    Of candidates with the same model and training there is one.

    Args:
        settings: The settings of the user.
        spec: The description of the data.
        n_rows: Number of training rows.
        count: Number of candidates.
    """
    base = settings.with_defaults_for(spec)
    kind = "table" if spec.kind == "table" else "other"
    kind = "image" if spec.image and spec.network == "mlp" else kind
    found: list[tuple[str, RunSettings, Recipe]] = []
    known: set[str] = set()
    for candidate in CANDIDATES[kind]:
        changed = candidate.apply(settings, base) if len(found) < count else None
        if changed is None:
            continue
        try:
            recipe = changed.recipe(spec, n_rows)
        except (ArgumentError, IncompatibleError):  # the preset does not take it
            if candidate is DEFAULT:
                raise
            continue
        parts = (recipe.model, recipe.objective, recipe.gradient)
        key = repr((*map(to_config, parts), changed.training))
        if key not in known:
            known.add(key)
            found.append((candidate.name, changed, recipe))
    return found
