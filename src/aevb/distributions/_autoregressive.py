"""Autoregressive distributions: each variable is conditioned on the variables before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Bernoulli, Distribution, Independent, constraints
from torch.types import _size

from .._random import seed_scope
from .._row_noise import moment_noise
from ._base import BaseDistribution
from ._discrete import Discrete, as_discrete
from ._one_hot import one_hot

AUTOREGRESSIVE_MOMENT_SAMPLES = 64  # draws for mean and variance


@dataclass(frozen=True)
class VariableSpec:
    """Family of one variable: its parameters and its encoding as network input.

    Args:
        n_parameters: Number of parameters.
        to_distribution: Maps unconstrained parameters ``[*batch, n_parameters]`` to a distribution
            with batch shape ``[*batch]``.
        encode: Maps a value ``[*batch, *shape]`` to network input ``[*batch, encoded_size]``.
        shape: Shape of a value.
        encoded_size: Number of input values that encode a value.
    """

    n_parameters: int
    to_distribution: Callable[[Tensor], Distribution]
    encode: Callable[[Tensor], Tensor]
    shape: tuple[int, ...] = ()
    encoded_size: int = 1


def bernoulli_variable() -> VariableSpec:
    """A Bernoulli variable with a logit, encoded as -1 or 1: a 0 changes the output too."""
    return VariableSpec(
        1,
        lambda raw: Bernoulli(logits=raw.squeeze(-1), validate_args=False),
        lambda value: 2 * value.unsqueeze(-1) - 1,
    )


def categorical_variable(categories: int) -> VariableSpec:
    """A one-hot variable with one logit per category, encoded as itself."""
    return VariableSpec(categories, one_hot, lambda value: value, (categories,), categories)


def level_variable(
    levels: int, n_parameters: int, to_distribution: Callable[[Tensor], Distribution]
) -> VariableSpec:
    """A variable with values 0 ... ``levels - 1``, encoded as a number from -1 to 1."""
    return VariableSpec(
        n_parameters, to_distribution, lambda value: (2 * value / (levels - 1) - 1).unsqueeze(-1)
    )


class Autoregressive(BaseDistribution):
    """Autoregressive distribution ``p(z) = prod_d p(z_d | z_1 ... z_(d-1))`` from masked layers.

    The density of any point takes one pass; a draw takes one step per variable. Mean and variance
    average the conditional moments over ``draws`` fixed draws of the preceding variables; with 64
    draws the error of the mean is at most an eighth of a standard deviation.

    Args:
        layers: Masked weights ``[outputs, inputs]`` and biases (``networks.MADE.weights``). The
            first layer takes the encoded values, followed by the context.
        activation: Activation between two layers.
        variable_spec: Family of each variable.
        variable_shape: Shape of the array of variables, in row-major order; the event shape is
            ``variable_shape + variable_spec.shape``.
        context: Context ``[*batch, C]``; ``None``: the layers take none.
        offset: Added to the network's output, ``[*batch, variables, parameters]``.
        draws: Number of draws for mean and variance.

    Example:
        >>> p = Autoregressive(
        ...     [(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), torch.zeros(2))],
        ...     torch.relu,
        ...     bernoulli_variable(),
        ...     (2,),
        ... )
        >>> p.log_prob(torch.tensor([[1.0, 1.0], [1.0, 0.0]])).round(decimals=2)
        tensor([-0.6900, -9.6900])
    """

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
        if context is not None:
            batch_shape = context.shape[:-1]
        else:
            batch_shape = Size() if offset is None else offset.shape[:-2]
        super().__init__(batch_shape, self.variable_shape + Size(variable_spec.shape))

    @property
    def support(self) -> constraints.Constraint | None:
        spec = self.variable_spec
        element = spec.to_distribution(torch.zeros(spec.n_parameters)).support
        return element and constraints.independent(element, len(self.variable_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        count = self.variable_shape.numel()
        each = value.reshape(
            *value.shape[: value.dim() - len(self.event_shape)], count, *self.variable_spec.shape
        )
        output = self._apply_later_layers(
            self._first_layer_context()
            + F.linear(self.variable_spec.encode(each).flatten(-2), self._first_layer_value_weight)
        )
        raw = output.unflatten(-1, (count, self.variable_spec.n_parameters))
        return (
            self.variable_spec.to_distribution(raw if self.offset is None else raw + self.offset)
            .log_prob(each)
            .sum(-1)
        )

    @torch.no_grad()
    def sample(self, sample_shape: _size = Size()) -> Tensor:
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
        """``E[z]`` and ``E[z^2]`` of each variable: averages of the conditional moments."""
        like = self._first_layer_value_weight
        noise = moment_noise(self.batch_shape.numel(), like, self.draws)
        with seed_scope(0, like.device), noise:
            conditionals = [
                conditional for _, conditional in self._iter_samples(Size((self.draws,)))
            ]
        means = [p.mean.mean(0) for p in conditionals]
        squares = [(p.variance + p.mean**2).mean(0) for p in conditionals]
        return self._stack_variables(means), self._stack_variables(squares)

    def _iter_samples(self, sample_shape: Size) -> Iterator[tuple[Tensor, Distribution]]:
        """Yield each variable and its conditional distribution, in order."""
        spec = self.variable_spec
        hidden = self._first_layer_context().expand(*sample_shape, *self.batch_shape, -1)
        for d in range(self.variable_shape.numel()):
            raw = self._apply_later_layers(hidden, d)
            conditional = spec.to_distribution(
                raw if self.offset is None else raw + self.offset[..., d, :]
            )
            discrete = as_discrete(conditional)
            if discrete is None:
                value = conditional.sample()
            else:  # unlike torch's sampler, accepts logits that are not finite
                value = discrete.hard_sample(discrete.sample_perturbed())
            columns = slice(d * spec.encoded_size, (d + 1) * spec.encoded_size)
            hidden = hidden + F.linear(
                spec.encode(value), self._first_layer_value_weight[:, columns]
            )
            yield value, conditional

    def _first_layer_context(self) -> Tensor:
        """Output of the first layer before it sees a value, ``[*batch, width]``."""
        weight, bias = self.layers[0]
        return (
            bias
            if self.context is None
            else F.linear(self.context, weight[:, -self.context.shape[-1] :], bias)
        )

    @property
    def _first_layer_value_weight(self) -> Tensor:
        """The columns of the first layer's weight that multiply values."""
        return self.layers[0][0][:, : self.variable_shape.numel() * self.variable_spec.encoded_size]

    def _apply_later_layers(self, hidden: Tensor, variable: int | None = None) -> Tensor:
        """Apply the layers after the first.

        Returns the parameters of all variables, or of one variable.
        """
        size, rows = self.variable_spec.n_parameters, slice(None)
        if variable is not None:
            rows = slice(variable * size, (variable + 1) * size)
        if len(self.layers) == 1:
            return hidden[..., rows]
        for weight, bias in self.layers[1:-1]:
            hidden = F.linear(self.activation(hidden), weight, bias)
        weight, bias = self.layers[-1]
        return F.linear(self.activation(hidden), weight[rows], bias[rows])

    def _stack_variables(self, values: Sequence[Tensor]) -> Tensor:
        """Stack one value ``[*batch, *shape]`` per variable to events ``[*batch, *event]``."""
        axis = values[0].dim() - len(self.variable_spec.shape)
        return torch.stack(list(values), axis).reshape(*values[0].shape[:axis], *self.event_shape)


def as_enumerable(distribution: Distribution) -> Discrete | None:
    """Independent variables with the same states, where the states can be listed.

    Includes autoregressive families.

    Example:
        >>> p = Autoregressive(
        ...     [(torch.zeros(2, 2), torch.zeros(2))], torch.relu, bernoulli_variable(), (2,)
        ... )
        >>> as_enumerable(p).n_states
        4
    """
    if not isinstance(distribution, Autoregressive):
        return as_discrete(distribution)
    shape, spec = distribution.variable_shape, distribution.variable_spec
    raw = torch.zeros(*shape, spec.n_parameters).to(distribution.layers[0][1])
    return as_discrete(Independent(spec.to_distribution(raw), len(shape), validate_args=False))
