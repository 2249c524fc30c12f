"""Objectives and gradients by the names of their classes, written small: one rule in place of a table."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .setting import Settings, arguments_of
from .wording import dashed

if TYPE_CHECKING:
    from ..data import Spec
    from ..models import VAE
    from ..recipe import Recipe
    from .options import Model

KINDS = {"lower bound": ", a lower bound", "upper bound": ", an upper bound", "neither": ", which is no bound", "reconstruction": ""}


def recipe_of(model: Model, spec: Spec, rows: int | None = None) -> Recipe:
    """The preset, with its objective or its gradient replaced or changed where that was asked for.

    ``rows`` is the number of training rows, for presets that hold something for each of them.
    """
    import aevb

    settings = Settings(model.set)
    objective, gradient = _named("objectives", model.objective, settings, _tuned(model)), _named("gradients", model.gradient, settings, {})
    entry = aevb.presets.find(model.preset)
    shape = {"latent": model.latent} | ({"hidden": model.hidden} if model.hidden is not None else {})
    shape |= {"rows": rows} if rows is not None and "rows" in entry.options else {}
    own = settings.take("preset", f"preset `{entry.name}`", entry.build)
    if entry.labels == "few":
        settings.labels()  # which the data have followed already
    recipe = aevb.presets.preset(model.preset, spec, **(shape | ({} if model.objective else _tuned(model)) | own))
    made = aevb.Recipe(
        recipe.model,
        objective or _changed("objective", recipe.objective, settings),
        gradient or _changed("gradient", recipe.gradient, settings),
    )
    settings.finish()
    return made


def check(model: Model) -> None:
    """Raise ``ArgumentError``, before any data are read, for names that are not there and for options that they do not take."""
    import aevb

    shape = ["latent"] + (["hidden"] if model.hidden is not None else [])
    aevb.presets.find(model.preset).check([*shape, *({} if model.objective else _tuned(model))])
    settings = Settings(model.set)
    _named("objectives", model.objective, settings, _tuned(model))
    _named("gradients", model.gradient, settings, {})


def _tuned(model: Model) -> dict[str, Any]:
    """What the objective is asked to be."""
    tuned = {"samples": model.samples, "beta": model.beta, "free_bits": model.free_bits}
    return {name: value for name, value in tuned.items() if value is not None}


def _named(role: str, name: str | None, settings: Settings, options: dict[str, Any]) -> Any:
    """The objective or gradient that was asked for in place of the preset's, if one was."""
    if name is None:
        return None
    found = find(role, name)
    return _built(found, role, options | settings.take(role[:-1], f"{role[:-1]} `{found.__name__}`", found))


def _changed(role: str, own: Any, settings: Settings) -> Any:
    """The preset's own part, built again with the arguments that it is to have."""
    asked = settings.take(role, f"{role} `{type(own).__name__}`", type(own))
    return type(own)(**own.arguments | asked) if asked else own


def find(role: str, name: str) -> type:
    """The class of an objective or gradient by its name, or by the beginning of it. Raises ``ArgumentError`` where there is none."""
    known, name = names(role), name.lower().replace("_", "-")
    found = [full for full in known if full.startswith(name)]
    if name not in known and len(found) != 1:
        raise ArgumentError(f"{role[:-1]}={name!r} is not known: use one of {', '.join(known)}.")
    return known[name if name in known else found[0]]


def names(role: str) -> dict[str, type]:
    """The classes of a role by name: ``leave-one-out`` is ``gradients.LeaveOneOut``.

    >>> names("gradients")["leave-one-out"].__name__
    'LeaveOneOut'
    """
    from ..gradients import Gradient
    from ..objectives import Objective
    from ..persistence import CLASSES

    found = {full.partition(".")[2]: cls for full, cls in CLASSES.items() if full.startswith(f"{role}.")}
    usable = {name: cls for name, cls in found.items() if issubclass(cls, Objective | Gradient) and not inspect.isabstract(cls)}
    return {dashed(name): cls for name, cls in sorted(usable.items()) if not _made_of_parts(cls)}


def _made_of_parts(cls: type) -> bool:
    """Whether it takes other parts, which have no place on a command line: a preset puts them together."""
    return any(parameter.default is inspect.Parameter.empty for parameter in arguments_of(cls).values())


def _built(cls: type, role: str, options: dict[str, Any]) -> Any:
    takes = arguments_of(cls)
    unknown = [name for name in options if name not in takes]
    if unknown:
        raise ArgumentError(
            f"{role[:-1]} `{cls.__name__}` takes no {unknown[0]}={options[unknown[0]]!r}; it takes {', '.join(takes) or 'nothing'}."
        )
    return cls(**options)


def title(model: Model, recipe: Recipe) -> list[str]:
    """The model, and what it is trained for, a sentence each."""
    from ..persistence import size_of

    latent = latents(recipe.model)
    return [f"{published(model)} with {latent} and {size_of(recipe.model):,} weights.", aim(recipe)]


def latents(model: VAE) -> str:
    """How many latent variables a model has, or how many codes of a codebook."""
    from ..data.words import count
    from ..distributions import Quantised

    q = model.probe()[1]
    if isinstance(q, Quantised):
        return f"{count(q.book.codes, 'code')} of {q.book.size:,} entries"
    return count(math.prod(model.latent_shape), "latent variable")


def published(model: Model) -> str:
    """The preset with its paper."""
    import aevb

    known = aevb.presets.find(model.preset)
    return f"{known.name} ({known.paper})"


def aim(recipe: Recipe) -> str:
    """What a model is trained for, how, and what the number is that training reports."""
    kind = KINDS[recipe.gradient.kind_of(recipe.objective)]
    return f"Objective: {recipe.objective.summary}{kind}; gradient: {type(recipe.gradient).__name__}."
