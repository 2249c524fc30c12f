"""One variable after another, each given those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Bernoulli, Distribution, Independent, OneHotCategorical, constraints

from .._random import seed_scope
from ._discrete import Discrete, as_discrete

AUTOREGRESSIVE_MOMENT_SAMPLES = 64  # over which moments are averaged


@dataclass(frozen=True)
class VariableSpec:
    """One variable: what a network's numbers say of it, and how its value is shown to the network."""

    n_parameters: int  # numbers that say its distribution
    to_distribution: Callable[
        [Tensor], Distribution
    ]  # from [*batch, parameters], any real numbers, to batch shape [*batch]
    encode: Callable[[Tensor], Tensor]  # from a value [*batch, *shape] to [*batch, size]
    shape: tuple[int, ...] = ()  # of its value
    encoded_size: int = 1  # numbers that show it


def bernoulli_variable() -> VariableSpec:
    """0 or 1, by its logit; shown as -1 or 1, so that a 0 is seen, too."""
    return VariableSpec(
        1,
        lambda raw: Bernoulli(logits=raw.squeeze(-1), validate_args=False),
        lambda value: 2 * value.unsqueeze(-1) - 1,
    )


def categorical_variable(categories: int) -> VariableSpec:
    """A one-hot code, by a logit for each category."""
    return VariableSpec(
        categories,
        lambda raw: OneHotCategorical(logits=raw, validate_args=False),
        lambda value: value,
        (categories,),
        categories,
    )


def level_variable(
    levels: int, n_parameters: int, to_distribution: Callable[[Tensor], Distribution]
) -> VariableSpec:
    """One of 0 ... levels-1, shown as a number from -1 to 1."""
    return VariableSpec(
        n_parameters, to_distribution, lambda value: (2 * value / (levels - 1) - 1).unsqueeze(-1)
    )


class Autoregressive(Distribution):
    """``p(z) = prod_d p(z_d | z_1 ... z_(d-1))``: the density of any point in one pass, a draw in as many steps as there are variables.

    ``layers`` are masked weights and biases (``networks.MADE.weights``), the first of which sees the values shown and then a ``context``
    ``[*batch, C]``; between two lies ``activation``. ``offset`` ``[*batch, variables, parameters]`` is added to what they say. An event is
    ``event_shape`` variables, in row-major order, each a ``cell``. Mean and variance are averages of those of the variables over 64 draws
    of what comes before them, always the same ones: at most an eighth of a standard deviation from the truth.

    >>> p = Autoregressive(
    ...     [(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.zeros(2))], torch.relu, bit(), (2,)
    ... )
    >>> p.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).round(decimals=2)
    tensor([-0.6900, -9.6900])
    """

    arg_constraints = {}  # pyright: ignore[reportAssignmentType]

    def __init__(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        activation: Callable[[Tensor], Tensor],
        variable_spec: VariableSpec,
        variable_shape: Sequence[int],
        context: Tensor | None = None,
        offset: Tensor | None = None,
        draws: int = AUTOREGRESSIVE_MOMENT_SAMPLES,
    ) -> None:
        self.layers, self.activation, self.variable_spec, self.draws = (
            list(layers),
            activation,
            variable_spec,
            draws,
        )
        self.variable_shape = Size(variable_shape)
        self.context, self.offset = context, offset
        told = (
            context if context is not None else offset.flatten(-2) if offset is not None else None
        )
        super().__init__(
            Size() if told is None else told.shape[:-1],
            self.variable_shape + Size(variable_spec.shape),
            validate_args=False,
        )

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint | None:
        inside = self.variable_spec.to_distribution(
            torch.zeros(self.variable_spec.n_parameters)
        ).support
        return None if inside is None else constraints.independent(inside, len(self.variable_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        count = self.variable_shape.numel()
        each = value.reshape(
            *value.shape[: value.dim() - len(self.event_shape)], count, *self.variable_spec.shape
        )
        said = self._apply_later_layers(
            self._first_layer_context()
            + F.linear(self.variable_spec.encode(each).flatten(-2), self._first_layer_value_weight)
        )
        raw = said.unflatten(-1, (count, self.variable_spec.n_parameters))
        return (
            self.variable_spec.to_distribution(raw if self.offset is None else raw + self.offset)
            .log_prob(each)
            .sum(-1)
        )

    @torch.no_grad()
    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self._stack_variables([value for value, _ in self._iter_samples(Size(sample_shape))])

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        mean, square = self._moments()
        return square - mean**2

    @torch.no_grad()
    def _moments(self) -> tuple[Tensor, Tensor]:
        """``E[z]`` and ``E[z^2]`` of each variable, as means over what may come before it of what is then expected."""
        with seed_scope(0, self._first_layer_value_weight.device):
            given = [given for _, given in self._iter_samples(Size((self.draws,)))]
        squares = [one.variance + one.mean**2 for one in given]
        return self._stack_variables([one.mean.mean(0) for one in given]), self._stack_variables(
            [square.mean(0) for square in squares]
        )

    def _iter_samples(self, sample_shape: Size) -> Iterator[tuple[Tensor, Distribution]]:
        """Each variable, and the distribution that it was drawn from; what the first layer has seen so far is carried along."""
        seen = self._first_layer_context().expand(*sample_shape, *self.batch_shape, -1)
        for d in range(self.variable_shape.numel()):
            raw = self._apply_later_layers(seen, d)
            given = self.variable_spec.to_distribution(
                raw if self.offset is None else raw + self.offset[..., d, :]
            )
            found = as_discrete(given)
            value = (
                given.sample() if found is None else found.hard_sample(found.sample_perturbed())
            )  # which takes logits that are not finite
            places = slice(
                d * self.variable_spec.encoded_size, (d + 1) * self.variable_spec.encoded_size
            )
            seen = seen + F.linear(
                self.variable_spec.encode(value), self._first_layer_value_weight[:, places]
            )
            yield value, given

    def _first_layer_context(self) -> Tensor:
        """What the first layer puts out before any value is seen, ``[*batch, width]``."""
        weight, bias = self.layers[0]
        return (
            bias
            if self.context is None
            else F.linear(self.context, weight[:, -self.context.shape[-1] :], bias)
        )

    @property
    def _first_layer_value_weight(self) -> Tensor:
        """The part of the first layer that sees values."""
        return self.layers[0][0][:, : self.variable_shape.numel() * self.variable_spec.encoded_size]

    def _apply_later_layers(self, hidden: Tensor, variable: int | None = None) -> Tensor:
        """What the other layers make of what the first one puts out: the parameters of all variables in a row, or those of one."""
        places = (
            slice(None)
            if variable is None
            else slice(
                variable * self.variable_spec.n_parameters,
                (variable + 1) * self.variable_spec.n_parameters,
            )
        )
        if len(self.layers) == 1:
            return hidden[..., places]
        for weight, bias in self.layers[1:-1]:
            hidden = F.linear(self.activation(hidden), weight, bias)
        weight, bias = self.layers[-1]
        return F.linear(self.activation(hidden), weight[places], bias[places])

    def _stack_variables(self, values: Sequence[Tensor]) -> Tensor:
        """One value ``[*batch, *shape]`` per variable as events ``[*batch, *event]``."""
        axis = values[0].dim() - len(self.variable_spec.shape)
        return torch.stack(list(values), axis).reshape(*values[0].shape[:axis], *self.event_shape)


def as_enumerable(distribution: Distribution) -> Discrete | None:
    """Independent variables with the same states, where those can be listed: of autoregressive bits and categories, too.

    >>> p = Autoregressive([(torch.zeros(2, 2), torch.zeros(2))], torch.relu, bit(), (2,))
    >>> listed(p).states
    4
    """
    if not isinstance(distribution, Autoregressive):
        return as_discrete(distribution)
    cell = distribution.variable_spec
    flat = cell.to_distribution(
        torch.zeros(*distribution.variable_shape, cell.n_parameters).to(distribution.layers[0][1])
    )
    return as_discrete(Independent(flat, len(distribution.variable_shape), validate_args=False))
