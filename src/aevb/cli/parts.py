"""Objectives and gradients by the names of their classes, written small: one rule in place of a table."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from .wording import dashed

if TYPE_CHECKING:
    from ..data import Spec
    from ..recipe import Recipe
    from .options import Model


def recipe_of(model: Model, spec: Spec) -> Recipe:
    """The preset, with its objective or its gradient replaced where that was asked for."""
    import aevb

    tuned = {"samples": model.samples, "beta": model.beta, "free_bits": model.free_bits}
    wanted = {name: value for name, value in tuned.items() if value is not None}
    shape = {"latent": model.latent} | ({"hidden": model.hidden} if model.hidden is not None else {})
    recipe = aevb.presets.preset(model.preset, spec, **shape, **({} if model.objective else wanted))
    objective = part("objectives", model.objective, **wanted) if model.objective else recipe.objective
    gradient = part("gradients", model.gradient) if model.gradient else recipe.gradient
    return aevb.Recipe(recipe.model, objective, gradient)


def part(role: str, name: str, **options: Any) -> Any:
    """An objective or gradient by its name, or by the beginning of it. Raises ``ArgumentError`` for a name or an option it has not."""
    known = names(role)
    found = [full for full in known if full.startswith(name.lower().replace("_", "-"))]
    if name.lower() in known or len(found) == 1:
        return _built(known[name.lower() if name.lower() in known else found[0]], role, options)
    raise ArgumentError(f"{role[:-1]}={name!r} is not known: use one of {', '.join(known)}.")


def names(role: str) -> dict[str, type]:
    """The classes of a role by name: ``leave-one-out`` is ``gradients.LeaveOneOut``.

    >>> list(names("gradients"))
    ['doubly-reparameterised', 'leave-one-out', 'pathwise', 'score-function']
    """
    from ..gradients import Gradient
    from ..objectives import Objective
    from ..persistence import CLASSES

    found = {full.partition(".")[2]: cls for full, cls in CLASSES.items() if full.startswith(f"{role}.")}
    usable = {name: cls for name, cls in found.items() if issubclass(cls, Objective | Gradient) and not inspect.isabstract(cls)}
    return {dashed(name): cls for name, cls in sorted(usable.items())}


def _built(cls: type, role: str, options: dict[str, Any]) -> Any:
    takes = list(inspect.signature(cls).parameters)
    unknown = [name for name in options if name not in takes]
    if unknown:
        raise ArgumentError(
            f"{role[:-1]} `{cls.__name__}` takes no {unknown[0]}={options[unknown[0]]!r}; it takes {', '.join(takes) or 'nothing'}."
        )
    return cls(**options)


def title(model: Model, recipe: Recipe) -> list[str]:
    """The model, and what it is trained for, a sentence each."""
    import aevb

    from ..data.words import count
    from ..persistence import size_of

    known = aevb.presets.PRESETS[model.preset.replace("-", "_")]
    latent = count(math.prod(recipe.model.latent_shape), "latent variable")
    return [
        f"{known.name} ({known.paper}) with {latent} and {size_of(recipe.model):,} weights.",
        f"Objective: {recipe.objective.name}, gradient: {type(recipe.gradient).__name__}.",
    ]
