"""The register of presets, and how a preset is found and built by its name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeVar, cast

from .._random import use_generator
from .._recipe import Recipe, TrainingDefaults
from .._registry import Registration, register
from ..data._spec import Spec
from ..errors import ArgumentError
from ..notes import Argument, message
from ..objectives import BoundKind
from ._assemble import replace_families
from ._builders import is_whitened, replace_likelihood
from ._defaults import TableDefaults

LabelRequirement = Literal["", "each", "few"]
TrainingRule = Callable[[Spec], TrainingDefaults]
PresetFunction = TypeVar("PresetFunction", bound=Callable[..., Recipe])
COMMON_ARGUMENTS = {
    "spec": "Description of the data, as ``Dataset.spec``.",
    "latent": "Number of latent variables; by default at most half the numbers of a row.",
    "hidden": "Widths of the encoder's layers, (400, 400) by default, or channels of its\n"
    "        convolutions, (32, 64) by default; mirrored in the decoder.",
    "dropout": "Dropout probability of the networks of encoder and decoder, while training.",
    "scale": "Scale of a normal, Laplace or Student t likelihood, in standardised units; by\n"
    "        default learned for each element.",
    "samples": "Number of draws per datum.",
    "beta": "Weight of the KL divergence, a number or a schedule.",
    "free_bits": "Nats per latent variable that are not penalised.",
    "warmup": "Number of steps in which the weight of the KL divergence rises to 1, or the share\n"
    "        of the run, below 1; 0 for none.",
    "lr_scale": "Learning rate of the critic, as a multiple of the learning rate of the model.",
}
"""Arguments that most presets have; their descriptions are added to the docstrings."""


@dataclass(frozen=True, kw_only=True)
class PresetRegistration(Registration):
    """What is known of a published model.

    Args:
        components: The model, the objective and the gradient, in a few words.
        kind: The kind of bound that training reports.
        label_requirement: Whether the preset needs the label of each row, of a few, or of none.
        data_likelihood: The likelihood that numbers are read for which would otherwise have a
            density.
        table_likelihood: The likelihood of all columns that a table of mixed columns is read for.
        takes_columns: Whether the preset can have a likelihood for each column of a table.
        min_rows: Training rows below which it overfits.
        training_rule: How it is trained on data; ``None``: as of ``TrainingDefaults``.
    """

    role: ClassVar[str] = "preset"
    argument: ClassVar[str] = "preset"
    package: ClassVar[str] = "presets"
    components: str = ""
    kind: BoundKind = "lower bound"
    label_requirement: LabelRequirement = ""
    data_likelihood: str | None = None
    table_likelihood: str | None = None
    takes_columns: bool = True
    min_rows: int = 0
    training_rule: TrainingRule | None = None

    @property
    def build(self) -> Callable[..., Recipe]:
        """The function that builds the recipe from a spec and options."""
        return self.target

    @property
    def options(self) -> tuple[str, ...]:
        """The names of its options."""
        return tuple(self.parameters)

    def latent_for(self, spec: Spec) -> int:
        """Return the default number of latent variables for data.

        Args:
            spec: Description of the data.

        Returns:
            The number that the preset has without ``latent``.
        """
        return default_latent_for(spec, self.parameters["latent"].default)

    def training_for(self, spec: Spec) -> TrainingDefaults:
        """Return how the preset is trained on data, where nothing else is set.

        Args:
            spec: Description of the data.
        """
        return TrainingDefaults() if self.training_rule is None else self.training_rule(spec)

    def check_columns(self, spec: Spec) -> None:
        """Check that the preset takes a table of mixed columns, where the data are one.

        Args:
            spec: Description of the data.

        Raises:
            ArgumentError: The preset has one likelihood for all columns, or is for other data.
        """
        single = self.data_likelihood or self.table_likelihood
        if spec.schema is None or (self.takes_columns and not single):
            return
        other = message("Use {preset}", preset=Argument("preset", "table_vae"))
        read = message("Read the data with {fixed}", fixed=Argument("likelihood", single))
        raise ArgumentError(
            "it has one likelihood for all columns, and the data have one for each"
            if single
            else "it does not take tables with columns of several kinds",
            argument="preset",
            value=self.name,
            suggestions=(read, other) if single else (other,),
        )

    def check(self, options: Iterable[str]) -> None:
        """Check that the preset has these options.

        Args:
            options: Names of options.

        Raises:
            ArgumentError: The preset does not have one of them.
        """
        for option in options:
            if option not in self.options:
                raise ArgumentError(
                    message(
                        f"{{preset}} takes no {{option}}; it takes {', '.join(self.options)}",
                        preset=Argument("preset", self.name),
                        option=Argument(option),
                    ),
                    argument=option,
                )


def register_preset(
    *,
    paper: str,
    components: str,
    use_when: str,
    cost: str,
    avoid_when: str,
    kind: BoundKind = "lower bound",
    label_requirement: LabelRequirement = "",
    data_likelihood: str | None = None,
    table_likelihood: str | None = None,
    takes_columns: bool = True,
    min_rows: int = 0,
    training_rule: TrainingRule | None = None,
) -> Callable[[PresetFunction], PresetFunction]:
    """Register the decorated preset and complete its docstring with the common arguments.

    Args:
        paper: Author and year of the publication.
        components: The model, the objective and the gradient, in a few words.
        use_when: When to use the preset: one line without a full stop.
        cost: Cost compared with `vae`.
        avoid_when: When another preset is better.
        kind: The kind of bound that training reports.
        label_requirement: Whether it needs the label of each row, of a few, or of none.
        data_likelihood: The likelihood that numbers are read for which would otherwise have a
            density.
        table_likelihood: The likelihood of all columns that a table of mixed columns is read for.
        takes_columns: Whether the preset can have a likelihood for each column of a table.
        min_rows: Training rows below which it overfits.
        training_rule: How it is trained on data; ``None``: as of ``TrainingDefaults``.
    """

    def decorate(build: PresetFunction) -> PresetFunction:
        build.__doc__ = _complete_docstring(build)
        build = _with_default_latent(build)
        build = use_generator(None)(build)  # initial weights do not come from another thread's run
        entry = PresetRegistration(
            paper=paper,
            components=components,
            use_when=use_when,
            cost=cost,
            avoid_when=avoid_when,
            kind=kind,
            label_requirement=label_requirement,
            data_likelihood=data_likelihood,
            table_likelihood=table_likelihood,
            takes_columns=takes_columns,
            min_rows=min_rows,
            training_rule=training_rule,
        )
        return register(entry)(build)

    return decorate


def default_latent_for(spec: Spec, largest: int | None) -> int:
    """The default number of latent variables: at most half the numbers of a row.

    With as many as a row has numbers there would be nothing to learn. The cells of a table of mixed
    columns may be categories, so that there it is at most the number of columns.

    Args:
        spec: Description of the data.
        largest: The default for wide data; ``None`` for the rule of tables, ``TableDefaults``.
    """
    if largest is None:
        return TableDefaults.for_spec(spec).latent
    width = spec.dimensions // (2 if spec.schema is None else 1)
    return max(1, min(largest, width))


def _with_default_latent(build: PresetFunction) -> PresetFunction:
    """The preset with ``default_latent_for`` where ``latent`` is not given."""
    largest = inspect.signature(build).parameters["latent"].default

    @functools.wraps(build)
    def complete(spec: Spec, **options: Any) -> Recipe:
        if options.get("latent") is None:
            options["latent"] = default_latent_for(spec, largest)
        return build(spec, **options)

    return cast(PresetFunction, complete)


def _complete_docstring(build: Callable[..., Recipe]) -> str:
    """The docstring with the common arguments before its own, and what is returned."""
    summary, _, own = inspect.cleandoc(build.__doc__ or "").partition("\n\nArgs:\n")
    documented = [
        f"    {name}: {COMMON_ARGUMENTS[name]}"
        for name in inspect.signature(build).parameters
        if name in COMMON_ARGUMENTS and f"    {name}:" not in own
    ]
    returned = "Returns:\n    The recipe: model, objective and gradient."
    own, _, further = own.partition("\n\n")
    arguments = "\n".join(["Args:", *documented, *([own] if own else [])])
    return "\n\n".join([summary, arguments, returned, *([further] if further else [])])


def find_preset(name: str) -> PresetRegistration:
    """Find a preset by its name.

    Args:
        name: The name, with ``_`` or ``-`` between the words.

    Returns:
        The description of the preset.

    Raises:
        ArgumentError: There is none of this name; the suggestion is the nearest name.

    Example:
        >>> find_preset("beta-vae").paper
        'Higgins et al. 2017'
    """
    return PresetRegistration.find(name)


def default_preset(spec: Spec) -> str:
    """The name of the preset that suits data, where none is chosen.

    ``table_vae`` for tables of real numbers, of mixed columns and of 0 and 1, where the
    importance-weighted bound with small networks is ahead of mixtures, of a Gaussian and of a
    Chow-Liu tree (``benchmarks/tables/density.py`` and ``binary.py``); ``vae`` otherwise.

    Args:
        spec: Description of the data.

    Returns:
        The name.

    Example:
        >>> import aevb
        >>> default_preset(aevb.data.load("digits").spec)
        'vae'
    """
    is_binary_table = spec.support == "binary" and spec.kind == "table"
    is_table = spec.schema is not None or is_binary_table or is_whitened(spec)
    return "table_vae" if is_table else "vae"


def preset(
    name: str,
    spec: Spec,
    *,
    prior: str | None = None,
    posterior: str | None = None,
    likelihood: str | None = None,
    prior_options: Mapping[str, Any] | None = None,
    posterior_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Recipe:
    """Build the recipe of a preset.

    Args:
        name: The name of the preset.
        spec: Description of the data, as ``Dataset.spec``.
        prior: Name of a prior that replaces the standard normal prior of the preset.
        posterior: Name of a posterior that replaces the diagonal normal posterior of the preset.
        likelihood: Name of the likelihood; by default that of the spec.
        prior_options: Arguments of that prior.
        posterior_options: Arguments of that posterior.
        **options: Arguments of the preset.

    Returns:
        The recipe: model, objective and gradient.

    Raises:
        ArgumentError: A name or an option is not known, or the data are conditioned on columns that
            the preset cannot use.
        IncompatibleError: The parts do not fit together, or the preset needs its own prior or
            posterior.

    Example:
        >>> import aevb
        >>> digits = aevb.data.load("digits")
        >>> recipe = preset("iwae", digits.spec, samples=10, prior="mixture")
        >>> recipe.objective.name, type(recipe.model.prior).__name__
        ('IWAE-10', 'Mixture')
    """
    entry = find_preset(name)
    families = {
        "prior": prior,
        "posterior": posterior,
        "prior_options": prior_options,
        "posterior_options": posterior_options,
    }
    families = {name: value for name, value in families.items() if value is not None}
    own = {name: families.pop(name) for name in list(families) if name in entry.options}
    entry.check(options)
    spec = spec if likelihood is None else replace_likelihood(spec, likelihood)
    entry.check_columns(spec)
    recipe = entry.build(spec, **options, **own)
    if spec.condition is not None and recipe.model.condition is None:
        raise ArgumentError(
            message(
                "{preset} cannot use what the data are conditioned on",
                preset=Argument("preset", entry.name),
            ),
            argument="condition",
            suggestions=(
                message("Leave {condition} out", condition=Argument("condition")),
                message("Use {cvae}", cvae=Argument("preset", "cvae")),
            ),
        )
    if not families:
        return recipe
    return replace(recipe, model=replace_families(recipe.model, spec, **families))
