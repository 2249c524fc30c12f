"""Conditions: labels and covariates of a row, encoded as one context vector."""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError, IncompatibleError, one_of
from ..notes import Argument, Part, message
from ..types import Configurable
from ._registration import NetworkRegistration

_LABELS = Part("networks.Labels")
MAX_LISTED_CLASSES = 12  # in a message


class ContextVariable(Configurable, ABC):
    """Base class of context variables: one stored number per row, encoded as ``width`` numbers."""

    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of context values that encode the variable."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes; ``None`` for a variable without classes."""
        return None

    @property
    @abstractmethod
    def example(self) -> str:
        """A possible value."""

    @property
    @abstractmethod
    def description(self) -> str:
        """A description of the possible values."""

    @abstractmethod
    def to_number(self, value: Any) -> float:
        """Convert a value of the data to the stored number.

        Args:
            value: A value as a user writes it.

        Raises:
            ArgumentError: The value is not possible.
        """

    @abstractmethod
    def to_context(self, numbers: Tensor) -> Tensor:
        """Encode stored numbers.

        Args:
            numbers: Stored numbers ``[N]``.

        Returns:
            Context ``[N, width]``.
        """


@dataclass(frozen=True)
class Labels(ContextVariable):
    """A class label: stored as the index of the class, encoded one-hot, NaN where it is unknown.

    Args:
        name: Name of the variable.
        categories: Names of the classes.
        labelled_fraction: Fraction of the training rows with a known class; below 1 the label is
            optional, for models that infer it.

    Raises:
        ArgumentError: There is no class, a class is repeated, or the fraction is not in (0, 1].

    Example:
        >>> labels = Labels("species", ["cat", "dog"])
        >>> labels.to_number("dog"), labels.to_context(torch.tensor([1.0]))
        (1.0, tensor([[0., 1.]]))
    """

    name: str
    categories: Sequence[str]
    labelled_fraction: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "categories", tuple(class_name(value) for value in self.categories)
        )
        if not self.categories or len(set(self.categories)) < len(self.categories):
            raise ArgumentError(
                message("give {labels} at least one class, and each class once", labels=_LABELS),
                argument="categories",
                value=list(self.categories),
            )
        if not 0 < self.labelled_fraction <= 1:
            raise ArgumentError(
                "give the fraction of rows with a known class, above 0 and at most 1",
                argument="labelled_fraction",
                value=self.labelled_fraction,
            )

    @property
    def width(self) -> int:
        return len(self.categories)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.categories)

    @property
    def example(self) -> str:
        return self.categories[0]

    @property
    def description(self) -> str:
        more = (
            f" and {self.width - MAX_LISTED_CLASSES:,} more"
            if self.width > MAX_LISTED_CLASSES
            else ""
        )
        return ", ".join(self.categories[:MAX_LISTED_CLASSES]) + more

    def to_number(self, value: Any) -> float:
        name = class_name(value)
        if name not in self.categories:
            near = get_close_matches(name, self.categories, 1, cutoff=0.7)
            raise ArgumentError(
                f"the classes of {self.name} in the training data are {self.description}",
                argument="label",
                value=name,
                suggestions=(one_of("label", near),) if near else (),
            )
        return float(self.categories.index(name))

    def to_context(self, numbers: Tensor) -> Tensor:
        classes = torch.arange(self.width, dtype=numbers.dtype, device=numbers.device)
        one_hot = (numbers[:, None] == classes).to(numbers.dtype)
        return one_hot.masked_fill(numbers.isnan()[:, None], math.nan)


@dataclass(frozen=True)
class Covariate(ContextVariable):
    """A number, standardised as ``(value - shift) / scale``.

    Args:
        name: Name of the variable.
        shift: Shift, usually the mean of the training rows.
        scale: Positive scale, usually the standard deviation of the training rows.

    Raises:
        ArgumentError: ``scale`` is not positive, or a number is not finite.

    Example:
        >>> Covariate("age", shift=40.0, scale=10.0).to_number("55")
        1.5
    """

    name: str
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for argument, value, low in (("shift", self.shift, -math.inf), ("scale", self.scale, 0)):
            if not low < value < math.inf:
                raise ArgumentError(
                    message(
                        "give {covariate} a finite shift and a finite, positive scale",
                        covariate=Part("networks.Covariate"),
                    ),
                    argument=argument,
                    value=value,
                )

    @property
    def width(self) -> int:
        return 1

    @property
    def example(self) -> str:
        return f"{self.shift:.4g}"

    @property
    def description(self) -> str:
        return f"a number, {self.shift:.4g} ± {self.scale:.4g} in training"

    def to_number(self, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise ArgumentError(
                f"{self.name} must be {self.description}", argument="label", value=value
            )
        return (number - self.shift) / self.scale

    def to_context(self, numbers: Tensor) -> Tensor:
        return numbers[:, None]


def class_name(value: Any) -> str:
    """The name of a class, from a name or a whole number.

    Example:
        >>> class_name("cat"), class_name(3), class_name(3.0), class_name(np.int64(3))
        ('cat', '3', '3', '3')
    """
    if not isinstance(value, np.bool_ | numbers.Real):
        return str(value)
    number = float(value)
    return str(int(number)) if number.is_integer() else f"{number:g}"


def encode_context(variables: Sequence[ContextVariable], values: Tensor) -> Tensor:
    """Encode stored numbers ``[N, variables]`` as context ``[N, C]``."""
    return torch.cat([variable.to_context(values[:, i]) for i, variable in enumerate(variables)], 1)


class Condition(Configurable, nn.Module):
    """The condition of a model: context variables, concatenated to ``width`` numbers per row.

    Sohn, Lee and Yan, Learning structured output representation using deep conditional generative
    models (2015).

    Args:
        variables: ``Labels`` and ``Covariate``, in the order of the context.

    Raises:
        ArgumentError: There is no variable, or two have the same name.

    Example:
        >>> condition = Condition([Labels("digit", range(10)), Covariate("slant")])
        >>> condition.width, condition.to_context({"digit": 7, "slant": 0.5}, n=2).shape
        (11, torch.Size([2, 11]))
    """

    def __init__(self, variables: Sequence[ContextVariable]) -> None:
        super().__init__()
        self.variables = tuple(variables)
        self.names = [variable.name for variable in self.variables]
        if not self.names or len(set(self.names)) < len(self.names):
            raise ArgumentError(
                "give at least one variable, and each name once",
                argument="variables",
                value=self.names,
            )

    @property
    def width(self) -> int:
        """Number of context values per row."""
        return sum(variable.width for variable in self.variables)

    @property
    def labels(self) -> Labels | None:
        """The first variable with classes."""
        return next((v for v in self.variables if isinstance(v, Labels)), None)

    @property
    def is_optional(self) -> bool:
        """Whether the context may be left out."""
        return all(isinstance(v, Labels) and v.labelled_fraction < 1 for v in self.variables)

    @property
    def example_argument(self) -> Argument:
        """The argument ``label`` with an example of every variable, for messages."""
        examples = {variable.name: variable.example for variable in self.variables}
        single = len(examples) == 1
        return Argument("label", self.variables[0].example if single else examples)

    def to_context(self, label: Any, n: int) -> Tensor:
        """Encode values of the variables.

        Args:
            label: A value for all rows, or a list of ``n`` values; with several variables a dict of
                these by name.
            n: Number of rows.

        Returns:
            Context ``[n, width]``, float64.

        Raises:
            ArgumentError: A class is unknown, a name is missing or unknown, or a list has another
                length.
        """
        return encode_context(self.variables, self.to_numbers(label, n))

    def to_numbers(self, label: Any, n: int) -> Tensor:
        """Convert values of the variables to their stored numbers.

        Args:
            label: Values as for ``to_context``.
            n: Number of rows.

        Returns:
            Stored numbers ``[n, variables]``, float64.

        Raises:
            ArgumentError: A class is unknown, a name is missing or unknown, or a list has another
                length.
        """
        if not isinstance(label, Mapping):
            if len(self.names) > 1:
                raise self._label_error(label, "it must be a dict")
            label = {self.names[0]: label}
        for name in label.keys() ^ set(self.names):
            raise self._label_error(label, f'"{name}" is not in both')
        columns = [self._encode_column(v, label[v.name], n) for v in self.variables]
        return torch.tensor(columns, dtype=torch.float64).T

    def check_context(self, context: Tensor | None, of_rows: bool = False) -> Tensor:
        """Check that a context is present and has the right width.

        Args:
            context: Context ``[..., C]``, or ``None``.
            of_rows: Whether it belongs to rows of data, which are read together with it.

        Returns:
            The context.

        Raises:
            IncompatibleError: The context is missing or has another width.
        """
        names = ", ".join(self.names)
        if context is None:
            raise IncompatibleError(
                f"the model is conditioned on {names}, and the context is missing",
                argument="context",
                suggestions=(
                    message("Load the data with {given}", given=Argument("condition", names))
                    if of_rows
                    else message("Write {given}", given=self.example_argument),
                ),
            )
        if context.shape[-1] != self.width:
            raise IncompatibleError(
                f"`context` has {context.shape[-1]} values per row, and the model takes "
                f"{self.width} ({names})",
                argument="context",
                suggestions=(
                    message(
                        "Write {example}, or use `model.condition.to_context(label, n)`",
                        example=self.example_argument,
                    ),
                ),
            )
        return context

    def _label_error(self, label: Any, reason: str) -> ArgumentError:
        """The error for a label that does not name every variable."""
        return ArgumentError(
            f"the model is conditioned on {', '.join(self.names)}, and {reason}",
            argument="label",
            value=label,
            suggestions=(message("Write {example}", example=self.example_argument),),
        )

    @staticmethod
    def _encode_column(variable: ContextVariable, value: Any, n: int) -> list[float]:
        plain = value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value
        values = [plain] if isinstance(plain, str) or np.ndim(plain) == 0 else list(plain)
        if len(values) not in (1, n):
            raise ArgumentError(
                f"`label` has {len(values)} values of {variable.name} for {n} rows; give one value "
                "for all rows, or one for each",
                argument="label",
            )
        column = [variable.to_number(element) for element in values]
        return column * n if len(column) == 1 else column


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image", "sequence", "set"),
        paper="Sohn et al. (2015)",
        use_when="the model is conditioned on labels or covariates",
        cost="none",
        avoid_when="the model has no condition",
    )
)
class ConditionedNetwork(Configurable, nn.Module):
    """A network with a condition: ``network(x, context)``, with a check of the context.

    A model finds its condition in these modules: it then accepts ``label=`` and is saved with the
    names of the classes.

    Args:
        network: Network that takes ``x`` and a context ``[N, condition.width]``, as ``MLP(...,
            context=condition.width)``.
        condition: The condition, the same for all parts of a model.

    Example:
        >>> from aevb.networks import MLP
        >>> condition = Condition([Labels("digit", range(10))])
        >>> network = ConditionedNetwork(MLP(64, [32], context=condition.width), condition)
        >>> network(torch.zeros(5, 8, 8), condition.to_context("7", n=5).float()).shape
        torch.Size([5, 32])
    """

    def __init__(self, network: nn.Module, condition: Condition) -> None:
        super().__init__()
        self.network = network
        self.condition = condition

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(x, self.condition.check_context(context))


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("vector", "image", "sequence", "set"),
        use_when="a part of a conditional model should ignore the context",
        cost="none",
        avoid_when="the model has no condition",
    )
)
class WithoutContext(Configurable, nn.Module):
    """A network that ignores the context of a conditional model.

    Args:
        network: Network that takes ``x`` alone.

    Example:
        >>> WithoutContext(nn.Identity())(torch.zeros(5, 3), torch.ones(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(x)


def check_context_size(context: Tensor | None, size: int) -> None:
    """Check the width of a context; a missing context has the width 0."""
    width = 0 if context is None else context.shape[-1]
    if width == size:
        return
    wrapper = Part("networks.ConditionedNetwork")
    if size == 0:
        raise ArgumentError(
            f"the network takes no context, and received {width} values",
            argument="context",
            suggestions=(
                message(
                    "Build it with {context} inside {wrapper}",
                    context=Argument("context", width),
                    wrapper=wrapper,
                ),
                message(
                    "Or put it into {without}, if it should ignore the context",
                    without=Part("networks.WithoutContext"),
                ),
            ),
        )
    raise ArgumentError(
        f"the network takes {size} context values, and received {width}",
        argument="context",
        suggestions=(
            message(f"Pass a context [N, {size}], which {{wrapper}} checks", wrapper=wrapper),
        ),
    )
