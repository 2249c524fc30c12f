"""Recipes from settings: a preset with other parts, found by the names of their classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArgumentError, one_of
from ._set_values import SetValues

if TYPE_CHECKING:
    from .._recipe import Recipe
    from .._registry import Registration
    from ..data import Spec
    from ..models import VAE
    from ._settings import ModelSettings

BOUND_KIND_PHRASES = {
    "lower bound": ", a lower bound",
    "upper bound": ", an upper bound",
    "neither": ", which is not a bound",
    "reconstruction": "",
}


Role = Literal["objective", "gradient"]


def build_recipe(settings: ModelSettings, spec: Spec, n_rows: int | None = None) -> Recipe:
    """The preset, with other parts and arguments where the settings name them.

    Args:
        settings: The model.
        spec: The description of the data.
        n_rows: The number of training rows, for presets with parameters for each row.

    Raises:
        ArgumentError: An unknown name, or an option that a part does not take.
        IncompatibleError: Parts that do not fit together.
    """
    from .. import presets

    values = SetValues(settings.set)
    objective, gradient = _build_replacements(settings, values)
    entry = presets.find_preset(settings.preset or presets.DEFAULT_PRESET)
    options: dict[str, Any] = {"latent": settings.latent, **_network_options(settings)}
    if settings.objective is None:
        options |= _objective_options(settings)
    options |= values.take_for("preset", f"preset `{entry.name}`", entry.target, entry.options)
    if entry.label_requirement == "few":
        values.take_label_count()  # the data have used it already
    rows = {"rows": n_rows} if n_rows and "rows" in entry.options else {}
    families = _family_options(settings, entry.options, values)
    recipe = presets.preset(entry.name, spec, **families, **rows, **options)
    built = replace(
        recipe,
        objective=objective or _rebuild_with_options("objective", recipe.objective, values),
        gradient=gradient or _rebuild_with_options("gradient", recipe.gradient, values),
    )
    values.check_all_used()
    return built


def check_model_settings(settings: ModelSettings) -> None:
    """Raise ``ArgumentError``, before data are read, for unknown names and options."""
    from .. import presets

    names = ["latent", *_network_options(settings)]
    tuned = [] if settings.objective else _objective_options(settings)
    presets.find_preset(settings.preset or presets.DEFAULT_PRESET).check([*names, *tuned])
    _build_replacements(settings, SetValues(settings.set))


def _family_options(
    settings: ModelSettings, own: Sequence[str], values: SetValues
) -> dict[str, Any]:
    """Prior and posterior that the settings name, with the arguments that are set for them."""
    from ..presets._assemble import check_prior_and_posterior

    names = {"prior": settings.prior, "posterior": settings.posterior}
    options: dict[str, Any] = {role: name for role, name in names.items() if name is not None}
    if not options or ("prior" in own and "prior_options" not in own):  # a choice of the preset
        return options
    for entry in check_prior_and_posterior(settings.prior, settings.posterior):
        title = f"{entry.role} `{entry.name}`"
        taken = values.take_for(entry.role, title, entry.target, entry.options)
        options |= {f"{entry.role}_options": taken} if taken else {}
    return options


def _network_options(settings: ModelSettings) -> dict[str, Any]:
    """The options of the networks that are set."""
    sizes = {"hidden": settings.hidden, "dropout": settings.dropout}
    return {name: value for name, value in sizes.items() if value is not None}


def _objective_options(settings: ModelSettings) -> dict[str, Any]:
    """The options that the objective takes."""
    tuned = {"samples": settings.samples, "beta": settings.beta, "free_bits": settings.free_bits}
    return {name: value for name, value in tuned.items() if value is not None}


def _build_replacements(settings: ModelSettings, values: SetValues) -> tuple[Any, Any]:
    """Objective and gradient estimator that the settings name; None where they name none."""
    return (
        _build_replacement("objective", settings.objective, values, _objective_options(settings)),
        _build_replacement("gradient", settings.gradient, values, {}),
    )


def _build_replacement(
    role: Role, name: str | None, values: SetValues, options: dict[str, Any]
) -> Any:
    if name is None:
        return None
    entry = find_part(role, name)
    title = f"{role} `{entry.title}`"
    for option in options:
        if option not in entry.parameters:
            raise ArgumentError(
                f"{title} does not take it; it takes {', '.join(entry.parameters) or 'nothing'}",
                argument=option,
                value=options[option],
            )
    return entry.target(**options, **values.take_for(role, title, entry.target))


def _rebuild_with_options(role: str, component: Any, values: SetValues) -> Any:
    """A part of the preset, built again with the arguments that are set for it."""
    cls = type(component)
    options = values.take_for(role, f"{role} `{cls.__name__}`", cls)
    return cls(**component.arguments | options) if options else component


def find_part(role: Role, name: str) -> Registration:
    """An objective or gradient estimator by its name, or the beginning of it.

    Raises:
        ArgumentError: There is none, or several begin like this.

    Example:
        >>> find_part("gradient", "doubly").name
        'doubly_reparameterised'
    """
    known, key = buildable_parts(role), name.lower().replace("-", "_")
    found = [full for full in known if full.startswith(key)]
    if key not in known and len(found) != 1:
        listed = [name.replace("_", "-") for name in found or known]
        raise ArgumentError(
            "this is not known", argument=role, value=name, suggestions=(one_of(role, listed),)
        )
    return known[key if key in known else found[0]]


def buildable_parts(role: Role) -> dict[str, Registration]:
    """The objectives or gradient estimators that can be built from options, by name."""
    from ..gradients._gradient import GradientRegistration
    from ..objectives._objective import ObjectiveRegistration

    entries = {"objective": ObjectiveRegistration, "gradient": GradientRegistration}[role].all()
    return {name: entries[name] for name in sorted(entries) if not entries[name].needs_arguments}


def model_sentences(settings: ModelSettings, recipe: Recipe) -> list[str]:
    """The model and its objective, a sentence each."""
    from .._persistence import count_parameters

    latent = latent_phrase(recipe.model)
    return [
        f"{preset_citation(settings)} with {latent} and {count_parameters(recipe.model):,} "
        "weights.",
        objective_sentence(recipe),
    ]


def latent_phrase(model: VAE) -> str:
    """The number of latent variables of a model, or of codes and entries of a codebook."""
    from ..data._formatting import format_count
    from ..distributions import QuantisedDirac

    q = model.probe()[1]
    if isinstance(q, QuantisedDirac):
        return f"{format_count(q.codebook.n_codes, 'code')} of {q.codebook.n_entries:,} entries"
    return format_count(math.prod(model.latent_shape), "latent variable")


def preset_citation(settings: ModelSettings) -> str:
    """The preset with its paper."""
    from ..presets import DEFAULT_PRESET, find_preset

    known = find_preset(settings.preset or DEFAULT_PRESET)
    return f"{known.name} ({known.paper})"


def objective_sentence(recipe: Recipe) -> str:
    """Objective, gradient estimator, and the kind of the bound that training reports."""
    kind = BOUND_KIND_PHRASES[recipe.gradient.bound_kind(recipe.objective)]
    return (
        f"Objective: {recipe.objective.summary}{kind}; gradient: {type(recipe.gradient).__name__}."
    )
