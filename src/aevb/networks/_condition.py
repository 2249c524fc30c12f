"""What a model is told of each datum beside the datum itself: classes and numbers, put side by side as one vector of context."""

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

from ..errors import ArgumentError, IncompatibleError
from ..types import Configurable

MAX_LISTED_CLASSES = 12  # classes that a sentence names


class ContextVariable(Configurable, ABC):
    """One thing that a model is told of each datum; held as one number per datum, given to networks as ``width`` numbers."""

    name: str

    @property
    @abstractmethod
    def width(self) -> int:
        """Numbers of context that it becomes."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """The names of its classes, where it has some."""
        return None

    @property
    @abstractmethod
    def example(self) -> str:
        """A value that it could have."""

    @property
    @abstractmethod
    def description(self) -> str:
        """Its values in a sentence."""

    @abstractmethod
    def to_number(self, value: Any) -> float:
        """The number that a value of the data is held as. Raises ``ArgumentError`` for what it cannot be."""

    @abstractmethod
    def to_context(self, numbers: Tensor) -> Tensor:
        """Numbers ``[N]`` as context ``[N, width]``."""


@dataclass(frozen=True)
class Labels(ContextVariable):
    """One of several classes: held as its place among ``categories``, given to networks one-hot; NaN where nobody knows it.

    ``known`` is the share of the training rows whose class is known: below 1 it may be left out, for models that infer it. Raises
    ``ArgumentError`` for no class, one that is named twice, and a share outside (0, 1].

    >>> labels = Labels("species", ["cat", "dog"])
    >>> labels.number("dog"), labels.coded(torch.tensor([1.0]))
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
                f"`categories` of `Labels` is {list(self.categories)}; give each class once, and at least one."
            )
        if not 0 < self.labelled_fraction <= 1:
            raise ArgumentError(
                f"`known` is {self.labelled_fraction}; give the share of rows whose class is known, above 0 and at most 1."
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
            hint = f' Did you mean "{near[0]}"?' if near else ""
            raise ArgumentError(
                f'{self.name} "{name}" was never seen in training: the model knows {self.description}.{hint}'
            )
        return float(self.categories.index(name))

    def to_context(self, numbers: Tensor) -> Tensor:
        places = torch.arange(self.width, dtype=numbers.dtype, device=numbers.device)
        hot = (numbers[:, None] == places).to(numbers.dtype)
        return hot.masked_fill(numbers.isnan()[:, None], math.nan)


@dataclass(frozen=True)
class Covariate(ContextVariable):
    """A number: held, and given to networks, as ``(value - shift) / scale``. Raises ``ArgumentError`` for a scale that is not positive.

    >>> Covariate("age", shift=40.0, scale=10.0).number("55")
    1.5
    """

    name: str
    shift: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (0 < self.scale < math.inf and math.isfinite(self.shift)):
            raise ArgumentError(
                f"`shift` and `scale` of `Covariate` are {self.shift} and {self.scale}; give finite ones, scale above 0."
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
                f'{self.name} "{value}" is no number, and the model is told {self.description}.'
            )
        return (number - self.shift) / self.scale

    def to_context(self, numbers: Tensor) -> Tensor:
        return numbers[:, None]


def class_name(value: Any) -> str:
    """The name of a class, from a name or a whole number.

    >>> class_name("cat"), class_name(3), class_name(3.0), class_name(np.int64(3))
    ('cat', '3', '3', '3')
    """
    if not isinstance(value, np.bool_ | numbers.Real):
        return str(value)
    number = float(value)
    return str(int(number)) if number.is_integer() else f"{number:g}"


def encode_context(variables: Sequence[ContextVariable], values: Tensor) -> Tensor:
    """Numbers ``[N, factors]`` as context ``[N, C]``."""
    return torch.cat(
        [factor.to_context(values[:, place]) for place, factor in enumerate(variables)], 1
    )


class Condition(Configurable, nn.Module):
    """All that a model is told of each datum, in this order; the ``context`` of a batch is ``width`` numbers.

    Sohn, Lee and Yan, Learning structured output representation using deep conditional generative models (2015). Raises
    ``ArgumentError`` for no factor, or two of one name.

    >>> condition = Condition([Labels("digit", range(10)), Covariate("slant")])
    >>> condition.width, condition.of({"digit": 7, "slant": 0.5}, n=2).shape
    (11, torch.Size([2, 11]))
    """

    def __init__(self, variables: Sequence[ContextVariable]) -> None:
        super().__init__()
        self.variables = tuple(variables)
        self.names = [factor.name for factor in self.variables]
        if not self.names or len(set(self.names)) < len(self.names):
            raise ArgumentError(
                f"`factors` are named {self.names}; give each one once, and at least one."
            )

    @property
    def width(self) -> int:
        """Numbers of context per datum."""
        return sum(factor.width for factor in self.variables)

    @property
    def labels(self) -> Labels | None:
        """The first of the factors that is a class."""
        return next((factor for factor in self.variables if isinstance(factor, Labels)), None)

    @property
    def is_optional(self) -> bool:
        """Whether it may be left out."""
        return all(
            isinstance(factor, Labels) and factor.labelled_fraction < 1 for factor in self.variables
        )

    @property
    def example_argument(self) -> str:
        """An argument that tells a model one of each, as it is written in Python."""
        if len(self.variables) == 1:
            return f'label="{self.variables[0].example}"'
        return f"label={ {factor.name: factor.example for factor in self.variables} }".replace(
            "'", '"'
        )

    def to_context(self, label: Any, n: int) -> Tensor:
        """Context ``[n, width]`` from a value for all or a list of ``n``; from a dict of these by name where there are several factors.

        Raises ``ArgumentError`` for a class that was never seen, a name that is none of the factors', and lists of another length.
        """
        return encode_context(self.variables, self.to_numbers(label, n))

    def to_numbers(self, label: Any, n: int) -> Tensor:
        """The same as the numbers that the factors are held as, float64 ``[n, factors]``."""
        given = label if isinstance(label, Mapping) else {self._single_name(label): label}
        unknown = [
            name for name in (*given, *self.names) if name not in self.names or name not in given
        ]
        if unknown:
            names = ", ".join(self.names)
            raise ArgumentError(
                f'label={label!r}: the model is told {names}, and "{unknown[0]}" is not in both. Write {self.example_argument}.'
            )
        columns = [self._encode_column(factor, given[factor.name], n) for factor in self.variables]
        return torch.tensor(columns, dtype=torch.float64).T

    def check_context(self, context: Tensor | None) -> Tensor:
        """The context, or ``IncompatibleError`` with the line to write where there is none or it is another's."""
        names = ", ".join(self.names)
        if context is None:
            raise IncompatibleError(
                f"the model is told {names} of each datum, and here it was not told: write {self.example_argument}, as in "
                f'`model.sample(64, {self.example_argument})`, or read the data with condition="{",".join(self.names)}".'
            )
        if context.shape[-1] != self.width:
            raise IncompatibleError(
                f"`context` has {context.shape[-1]} numbers for each datum, and the model takes {self.width} ({names}): "
                f"write {self.example_argument}, or `context=model.condition.of(..., n)`."
            )
        return context

    def _single_name(self, label: Any) -> str:
        if len(self.variables) > 1:
            raise ArgumentError(
                f"label={label!r} says one thing, and the model is told {', '.join(self.names)}: write {self.example_argument}."
            )
        return self.names[0]

    @staticmethod
    def _encode_column(variable: ContextVariable, value: Any, n: int) -> list[float]:
        plain = value.tolist() if isinstance(value, Tensor | np.ndarray | np.generic) else value
        values = [plain] if isinstance(plain, str) or np.ndim(plain) == 0 else list(plain)
        if len(values) not in (1, n):
            raise ArgumentError(
                f"label has {len(values)} values of {variable.name} for {n} rows: give one for all, or one for each."
            )
        found = [variable.to_number(each) for each in values]
        return found * n if len(found) == 1 else found


class ConditionedNetwork(Configurable, nn.Module):
    """``network(x, context)`` of a model that is told ``condition`` of each datum; where it is forgotten, the line to write is said.

    ``network`` takes ``x`` and the context ``[N, condition.width]``, as ``MLP(..., context=condition.width)`` does. A model knows by this
    module what it is told: it takes ``label=``, and is saved with the names of the classes.

    >>> from aevb.networks import MLP
    >>> condition = Condition([Labels("digit", range(10))])
    >>> network = ConditionedNetwork(MLP(64, [32], context=condition.width), condition)
    >>> network(torch.zeros(5, 8, 8), condition.of("7", n=5).float()).shape
    torch.Size([5, 32])
    """

    def __init__(self, network: nn.Module, condition: Condition) -> None:
        super().__init__()
        self.network = network
        self.condition = condition

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(x, self.condition.check_context(context))


class WithoutContext(Configurable, nn.Module):
    """``network(x)`` in a model that is told something: this part of it is to know nothing of that.

    >>> WithoutContext(nn.Identity())(torch.zeros(5, 3), torch.ones(5, 2)).shape
    torch.Size([5, 3])
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.network(x)


def check_context_size(context: Tensor | None, size: int) -> None:
    """Refuse a context of another size than a network was built for; none has the size 0."""
    given = 0 if context is None else context.shape[-1]
    if given == size:
        return
    if size == 0:
        raise ArgumentError(
            f"the network takes no context, and was given {given} numbers of it: build it with context={given} inside of "
            "`networks.ConditionedNetwork(...)`, or put it into `networks.WithoutContext(...)` where it is to know nothing of it."
        )
    raise ArgumentError(
        f"the network takes {size} numbers of context, and was given {given}: give a context [N, {size}], as "
        "`networks.ConditionedNetwork(...)` sees to."
    )
