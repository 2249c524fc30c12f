"""Objectives and gradients by the names of their classes, written small: one rule in place of a table."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError
from ._messages import to_kebab_case
from ._set_option import SetOptions, build_parameters

if TYPE_CHECKING:
    from .._recipe import Recipe
    from ..data import Spec
    from ..models import VAE
    from ._options import ModelOptions

BOUND_KIND_PHRASES = {
    "lower bound": ", a lower bound",
    "upper bound": ", an upper bound",
    "neither": ", which is no bound",
    "reconstruction": "",
}


def build_recipe(model: ModelOptions, spec: Spec, n_rows: int | None = None) -> Recipe:
    """The preset, with its objective or its gradient replaced or changed where that was asked for.

    ``rows`` is the number of training rows, for presets that hold something for each of them.
    """
    import aevb

    settings = SetOptions(model.set)
    objective, gradient = (
        _build_replacement("objectives", model.objective, settings, _objective_options(model)),
        _build_replacement("gradients", model.gradient, settings, {}),
    )
    entry = aevb.presets.find_preset(model.preset)
    shape = {"latent": model.latent} | (
        {"hidden": model.hidden} if model.hidden is not None else {}
    )
    shape |= {"rows": n_rows} if n_rows is not None and "rows" in entry.options else {}
    own = settings.take_for("preset", f"preset `{entry.name}`", entry.build)
    if entry.label_requirement == "few":
        settings.take_label_count()  # which the data have followed already
    recipe = aevb.presets.preset(
        model.preset, spec, **(shape | ({} if model.objective else _objective_options(model)) | own)
    )
    made = aevb.Recipe(
        recipe.model,
        objective or _rebuild_with_options("objective", recipe.objective, settings),
        gradient or _rebuild_with_options("gradient", recipe.gradient, settings),
    )
    settings.check_all_used()
    return made


def check_model_options(model: ModelOptions) -> None:
    """Raise ``ArgumentError``, before any data are read, for names that are not there and for options that they do not take."""
    import aevb

    shape = ["latent"] + (["hidden"] if model.hidden is not None else [])
    aevb.presets.find_preset(model.preset).check(
        [*shape, *({} if model.objective else _objective_options(model))]
    )
    settings = SetOptions(model.set)
    _build_replacement("objectives", model.objective, settings, _objective_options(model))
    _build_replacement("gradients", model.gradient, settings, {})


def _objective_options(model: ModelOptions) -> dict[str, Any]:
    """What the objective is asked to be."""
    tuned = {"samples": model.samples, "beta": model.beta, "free_bits": model.free_bits}
    return {name: value for name, value in tuned.items() if value is not None}


def _build_replacement(
    role: str, name: str | None, settings: SetOptions, options: dict[str, Any]
) -> Any:
    """The objective or gradient that was asked for in place of the preset's, if one was."""
    if name is None:
        return None
    found = find_class(role, name)
    return _build_component(
        found,
        role,
        options | settings.take_for(role[:-1], f"{role[:-1]} `{found.__name__}`", found),
    )


def _rebuild_with_options(role: str, component: Any, settings: SetOptions) -> Any:
    """The preset's own part, built again with the arguments that it is to have."""
    asked = settings.take_for(role, f"{role} `{type(component).__name__}`", type(component))
    return type(component)(**component.arguments | asked) if asked else component


def find_class(role: str, name: str) -> type:
    """The class of an objective or gradient by its name, or by the beginning of it. Raises ``ArgumentError`` where there is none."""
    known, name = classes_by_name(role), name.lower().replace("_", "-")
    found = [full for full in known if full.startswith(name)]
    if name not in known and len(found) != 1:
        raise ArgumentError(f"{role[:-1]}={name!r} is not known: use one of {', '.join(known)}.")
    return known[name if name in known else found[0]]


def classes_by_name(role: str) -> dict[str, type]:
    """The classes of a role by name: ``leave-one-out`` is ``gradients.LeaveOneOut``.

    >>> names("gradients")["leave-one-out"].__name__
    'LeaveOneOut'
    """
    from .._persistence import CLASS_BY_NAME
    from ..gradients import Gradient
    from ..objectives import Objective

    found = {
        full.partition(".")[2]: cls
        for full, cls in CLASS_BY_NAME.items()
        if full.startswith(f"{role}.")
    }
    usable = {
        name: cls
        for name, cls in found.items()
        if issubclass(cls, Objective | Gradient) and not inspect.isabstract(cls)
    }
    return {
        to_kebab_case(name): cls
        for name, cls in sorted(usable.items())
        if not _requires_components(cls)
    }


def _requires_components(cls: type) -> bool:
    """Whether it takes other parts, which have no place on a command line: a preset puts them together."""
    return any(
        parameter.default is inspect.Parameter.empty for parameter in build_parameters(cls).values()
    )


def _build_component(cls: type, role: str, options: dict[str, Any]) -> Any:
    takes = build_parameters(cls)
    unknown = [name for name in options if name not in takes]
    if unknown:
        raise ArgumentError(
            f"{role[:-1]} `{cls.__name__}` takes no {unknown[0]}={options[unknown[0]]!r}; it takes {', '.join(takes) or 'nothing'}."
        )
    return cls(**options)


def model_sentences(model: ModelOptions, recipe: Recipe) -> list[str]:
    """The model, and what it is trained for, a sentence each."""
    from .._persistence import count_parameters

    latent = latent_phrase(recipe.model)
    return [
        f"{preset_citation(model)} with {latent} and {count_parameters(recipe.model):,} weights.",
        objective_sentence(recipe),
    ]


def latent_phrase(model: VAE) -> str:
    """How many latent variables a model has, or how many codes of a codebook."""
    from ..data._formatting import format_count
    from ..distributions import QuantisedDirac

    q = model.probe()[1]
    if isinstance(q, QuantisedDirac):
        return f"{format_count(q.codebook.n_codes, 'code')} of {q.codebook.n_entries:,} entries"
    return format_count(math.prod(model.latent_shape), "latent variable")


def preset_citation(model: ModelOptions) -> str:
    """The preset with its paper."""
    import aevb

    known = aevb.presets.find_preset(model.preset)
    return f"{known.name} ({known.paper})"


def objective_sentence(recipe: Recipe) -> str:
    """What a model is trained for, how, and what the number is that training reports."""
    kind = BOUND_KIND_PHRASES[recipe.gradient.bound_kind(recipe.objective)]
    return (
        f"Objective: {recipe.objective.summary}{kind}; gradient: {type(recipe.gradient).__name__}."
    )
