"""Models of one architecture as one: their weights stacked along a new first axis, each operation done for all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam

from ..objectives.schedules import Annealed
from ..random import seeded
from ..recipe import Recipe
from ..types import Batch
from .step import Differentiated, differentiate, learned_buffers
from .traced import Untraceable, trace

CLOSE = 1e-3  # relative difference from a model's own step above which a stack is not trusted; rounding stays far below


class Trio(nn.Module):
    """Model, objective and gradient as one module, whose tensors can then be given from outside in one call."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.objective, self.gradient = recipe.model, recipe.objective, recipe.gradient

    def state(self) -> dict[str, Tensor]:
        """All tensors by name, parameters first."""
        return dict(self.named_parameters()) | dict(self.named_buffers())

    def annealed(self) -> tuple[tuple[str, Annealed], ...]:
        """The parts with settings that follow schedules, by name."""
        return ("objective", self.objective), ("gradient", self.gradient)

    def forward(self, function: Callable[[Trio, Batch], Sequence[Tensor]], batch: Batch) -> Sequence[Tensor]:
        return function(self, batch)


class Parallel:
    """``function(trio, batch) -> tensors`` for all models at once, each with its own tensors, data and random numbers.

    ``states`` are the stacked tensors of ``trio.state()``, ``like`` is a batch ``[M, B, *event]``. Raises ``Untraceable``.
    """

    def __init__(self, function: Callable[[Trio, Batch], Sequence[Tensor]], trio: Trio, states: Sequence[Tensor], like: Batch) -> None:
        names, learned = list(trio.state()), {name for name, _ in trio.named_parameters()}

        def alone(*inputs: Tensor) -> Sequence[Tensor]:
            held = {name: tensor.detach().requires_grad_(name in learned) for name, tensor in zip(names, inputs, strict=False)}
            return functional_call(trio, held, (function, batch_of(like, inputs[len(names) :])))

        inputs = [*states, *fields(like)]
        traced = trace(alone, [tensor[0] for tensor in inputs])
        self.graph = traced.stacked(inputs)
        self.draws = traced.draws
        self.numbers = [torch.zeros(len(like.x), *draw.shape, dtype=draw.dtype, device=like.x.device) for draw in self.draws]
        self.rows = [list(numbers.unbind()) for numbers in self.numbers]

    def draw(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """The random numbers of one call ``[M, *shape]``, each model's from its own generator as it alone would have drawn them."""
        for draw, rows in zip(self.draws, self.rows, strict=True):
            for row, generator in zip(rows, generators, strict=True):
                draw.into(row, generator)
        return self.numbers

    def __call__(self, states: Sequence[Tensor], batch: Batch, drawn: Sequence[Tensor]) -> Sequence[Tensor]:
        return self.graph(*states, *fields(batch), *drawn)


class Stack:
    """The steps of several runs taken together; each model has its own moments, rate and refusals.

    Raises ``Untraceable`` where the models cannot be written as one, or where together they do not do what each of them does alone.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        optimizers: Sequence[Adam],
        first: Batch,
        clip: float | None,
        compile: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
    ) -> None:
        self.trios = [Trio(recipe) for recipe in recipes]
        states = [trio.state() for trio in self.trios]
        self.states = [torch.stack([state[name].detach() for state in states]) for name in states[0]]
        learned = {id(buffer) for buffer in learned_buffers(self.trios[0])}
        self.buffers = [own for own, tensor in zip(self.states, states[0].values(), strict=True) if id(tensor) in learned]
        self.annealed = {
            f"{role}.{name}": self.named()[f"{role}.{name}"] for role, part in self.trios[0].annealed() for name in part.schedules
        }
        alone, _ = _alone(self.trios[0], first, clip)
        used = [i for i, gradient in enumerate(alone.gradients) if gradient is not None]
        self.parallel = Parallel(_stepping(used, clip), self.trios[0], self.states, first)
        self._verify(first, clip, used)
        self.adam = StackedAdam(optimizers[0], [self.states[i] for i in used])
        zero = torch.zeros(len(recipes), device=first.x.device)
        self.skipped, self.streak = zero.clone(), zero.clone()
        self.take = compile(self._take)

    def __call__(self, batch: Batch, rates: Tensor, active: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """A step of every model that is ``active`` ``[M]``, at learning rates ``[M]``; statistics ``[M, 5]``, zeros where refused."""
        return self.take(self.states, batch.x, batch.context, batch.index, batch.total, self.parallel.draw(generators), rates, active)

    def _take(
        self,
        states: list[Tensor],
        x: Tensor,
        context: Tensor | None,
        index: Tensor | None,
        total: int | None,
        drawn: list[Tensor],
        rates: Tensor,
        active: Tensor,
    ) -> Tensor:
        held = [buffer.clone() for buffer in self.buffers]
        statistics, refused, *gradients = self.parallel(states, Batch(x, context, index, total), drawn)
        still = refused | ~active
        self.adam(gradients, rates, still)
        for buffer, before in zip(self.buffers, held, strict=True):
            buffer.copy_(torch.where(over(still, buffer), before, buffer))
        refused = refused & active
        self.skipped += refused
        self.streak += 1
        self.streak *= refused
        return statistics

    def anneal(self, step: int) -> None:
        """Set what every objective and every gradient anneals to its value at this step."""
        for m, trio in enumerate(self.trios):
            for role, part in trio.annealed():
                part.at(step)
                for name, schedule in part.schedules.items():
                    if schedule.settled is None or step <= schedule.settled > 0:
                        self.annealed[f"{role}.{name}"][m].copy_(part.get_buffer(name))

    def named(self) -> dict[str, Tensor]:
        """The stacked tensors by the names that each model has for its own."""
        return dict(zip(self.trios[0].state(), self.states, strict=True))

    def _verify(self, first: Batch, clip: float | None, used: Sequence[int]) -> None:
        """Compare the first gradients with those of each model alone, for the same random numbers."""
        before = [buffer.clone() for buffer in self.buffers]
        drawn = self.parallel.draw([torch.Generator(first.x.device).manual_seed(0) for _ in self.trios])
        statistics, _, *gradients = self.parallel(self.states, first, drawn)
        moved = [buffer.clone() for buffer in self.buffers]
        for buffer, held in zip(self.buffers, before, strict=True):
            buffer.copy_(held)
        for m, trio in enumerate(self.trios):
            alone, buffers = _alone(trio, first, clip, m)
            pairs: list[tuple[Tensor, Tensor | None]] = [(statistics[m], alone.statistics)]
            pairs += [(stacked[m], one) for stacked, one in zip(moved, buffers, strict=True)]
            pairs += [(stacked[m], alone.gradients[i]) for i, stacked in zip(used, gradients, strict=True)]
            if any(one is None or not _close(both, one) for both, one in pairs):
                raise Untraceable("together they do not take the steps that each takes alone")


class StackedAdam:
    """Adam with one learning rate, one count of steps and one refusal per model; Kingma and Ba (2015), as the fused kernel computes it."""

    def __init__(self, like: Adam, parameters: Sequence[Tensor]) -> None:
        group = like.param_groups[0]
        (self.beta1, self.beta2), self.eps, self.decay = group["betas"], group["eps"], group["weight_decay"]
        self.sign = -1.0 if group["maximize"] else 1.0
        self.parameters = list(parameters)
        self.first = [torch.zeros_like(parameter) for parameter in parameters]
        self.second = [torch.zeros_like(parameter) for parameter in parameters]
        self.count = torch.zeros(len(parameters[0]), dtype=torch.float64, device=parameters[0].device)

    def __call__(self, gradients: Sequence[Tensor], rates: Tensor, still: Tensor) -> None:
        """Move every model but those that stay ``still`` ``[M]``, whose moments and count stay too."""
        self.count += ~still
        rate = (rates / (1 - self.beta1**self.count)).float()
        root = (1 - self.beta2**self.count).sqrt().float()
        for parameter, gradient, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            same = over(still, parameter)
            gradient = self.sign * gradient + self.decay * parameter if self.decay or self.sign < 0 else gradient
            first.copy_(torch.where(same, first, torch.lerp(first, gradient, 1 - self.beta1)))
            second.copy_(torch.where(same, second, self.beta2 * second + (1 - self.beta2) * gradient * gradient))
            moved = over(rate, parameter) * first / (second.sqrt() / over(root, parameter) + self.eps)
            parameter.copy_(torch.where(same, parameter, parameter - moved))


def _stepping(used: Sequence[int], clip: float | None) -> Callable[[Trio, Batch], Sequence[Tensor]]:
    def step(trio: Trio, batch: Batch) -> Sequence[Any]:
        made = differentiate(trio.model, trio.objective, trio.gradient, list(trio.parameters()), batch, clip)
        return (made.statistics, made.refused, *(made.gradients[i] for i in used))

    return step


def _alone(trio: Trio, first: Batch, clip: float | None, model: int = 0) -> tuple[Differentiated, list[Tensor]]:
    """What a model of the stack does by itself, and its buffers after that; it is left as it was."""
    buffers = learned_buffers(trio)
    before = [buffer.clone() for buffer in buffers]
    batch = batch_of(first, [field[model] for field in fields(first)])
    with seeded(0, first.x.device):
        made = differentiate(trio.model, trio.objective, trio.gradient, list(trio.parameters()), batch, clip)
    after = [buffer.clone() for buffer in buffers]
    for buffer, held in zip(buffers, before, strict=True):
        buffer.copy_(held)
    return made, after


def fields(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that are there."""
    return [field for field in (batch.x, batch.context, batch.index) if field is not None]


def batch_of(like: Batch, fields: Sequence[Tensor]) -> Batch:
    """The batch whose tensors are these, in the order of ``fields``."""
    left = iter(fields)
    x, context, index = (None if field is None else next(left) for field in (like.x, like.context, like.index))
    assert x is not None
    return Batch(x, context, index, like.total)


def over(each: Tensor, like: Tensor) -> Tensor:
    """``[M]`` shaped to meet ``[M, *shape]``."""
    return each.reshape(-1, *[1] * (like.dim() - 1))


def _close(one: Tensor, other: Tensor) -> bool:
    one, other = one.double(), other.double()
    scale = torch.maximum(one.norm(), other.norm())
    return bool((one - other).norm() <= CLOSE * scale + 1e-6) or not bool(scale.isfinite())
