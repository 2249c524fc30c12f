"""Models of one architecture as one: their weights stacked along a new first axis, each operation done for all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam

from .._random import seed_scope
from .._recipe import Recipe
from ..objectives._schedules import ScheduledModule
from ..types import Batch
from ._step import StepGradients, differentiate, persistent_buffers
from ._tracing import UntraceableError, trace

STACK_TOLERANCE = 1e-3  # relative difference from a model's own step above which a stack is not trusted; rounding stays far below


class RecipeModule(nn.Module):
    """Model, objective and gradient as one module, whose tensors can then be given from outside in one call."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.objective, self.gradient = recipe.model, recipe.objective, recipe.gradient

    def named_tensors(self) -> dict[str, Tensor]:
        """All tensors by name, parameters first."""
        return dict(self.named_parameters()) | dict(self.named_buffers())

    def scheduled_parts(self) -> tuple[tuple[str, ScheduledModule], ...]:
        """The parts with settings that follow schedules, by name."""
        return ("objective", self.objective), ("gradient", self.gradient)

    def forward(
        self, function: Callable[[RecipeModule, Batch], Sequence[Tensor]], batch: Batch
    ) -> Sequence[Tensor]:
        return function(self, batch)


class StackedFunction:
    """``function(trio, batch) -> tensors`` for all models at once, each with its own tensors, data and random numbers.

    ``states`` are the stacked tensors of ``trio.state()``, ``like`` is a batch ``[M, B, *event]``. Raises ``UntraceableError``.
    """

    def __init__(
        self,
        function: Callable[[RecipeModule, Batch], Sequence[Tensor]],
        recipe_module: RecipeModule,
        tensors: Sequence[Tensor],
        like: Batch,
    ) -> None:
        names, learned = (
            list(recipe_module.named_tensors()),
            {name for name, _ in recipe_module.named_parameters()},
        )

        def alone(*inputs: Tensor) -> Sequence[Tensor]:
            held = {
                name: tensor.detach().requires_grad_(name in learned)
                for name, tensor in zip(names, inputs, strict=False)
            }
            return functional_call(
                recipe_module, held, (function, batch_from_tensors(like, inputs[len(names) :]))
            )

        inputs = [*tensors, *batch_tensors(like)]
        traced = trace(alone, [tensor[0] for tensor in inputs])
        self.graph = traced.vectorise(inputs)
        self.random_draws = traced.random_draws
        self.random_numbers = [
            torch.zeros(len(like.x), *draw.shape, dtype=draw.dtype, device=like.x.device)
            for draw in self.random_draws
        ]
        self.numbers_per_model = [list(numbers.unbind()) for numbers in self.random_numbers]

    def draw_random_numbers(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """The random numbers of one call ``[M, *shape]``, each model's from its own generator as it alone would have drawn them."""
        for draw, rows in zip(self.random_draws, self.numbers_per_model, strict=True):
            for row, generator in zip(rows, generators, strict=True):
                draw.fill_into(row, generator)
        return self.random_numbers

    def __call__(
        self, tensors: Sequence[Tensor], batch: Batch, random_numbers: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        return self.graph(*tensors, *batch_tensors(batch), *random_numbers)


class StackedStep:
    """The steps of several runs taken together; each model has its own moments, rate and refusals.

    Raises ``UntraceableError`` where the models cannot be written as one, or where together they do not do what each of them does alone.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        optimizers: Sequence[Adam],
        first: Batch,
        clip_norm: float | None,
        compile: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
    ) -> None:
        self.recipe_modules = [RecipeModule(recipe) for recipe in recipes]
        states = [trio.named_tensors() for trio in self.recipe_modules]
        self.tensors = [
            torch.stack([state[name].detach() for state in states]) for name in states[0]
        ]
        learned = {id(buffer) for buffer in persistent_buffers(self.recipe_modules[0])}
        self.buffers = [
            own
            for own, tensor in zip(self.tensors, states[0].values(), strict=True)
            if id(tensor) in learned
        ]
        self.scheduled_tensors = {
            f"{role}.{name}": self.named_tensors()[f"{role}.{name}"]
            for role, part in self.recipe_modules[0].scheduled_parts()
            for name in part.schedules
        }
        alone, _ = _step_separately(self.recipe_modules[0], first, clip_norm)
        used = [i for i, gradient in enumerate(alone.gradients) if gradient is not None]
        self.stacked_function = StackedFunction(
            _make_step_function(used, clip_norm), self.recipe_modules[0], self.tensors, first
        )
        self._verify(first, clip_norm, used)
        self.adam = StackedAdam(optimizers[0], [self.tensors[i] for i in used])
        zero = torch.zeros(len(recipes), device=first.x.device)
        self.skipped_steps, self.skip_streak = zero.clone(), zero.clone()
        self.compiled_step = compile(self._step)

    def __call__(
        self,
        batch: Batch,
        learning_rates: Tensor,
        active: Tensor,
        generators: Sequence[torch.Generator],
    ) -> Tensor:
        """A step of every model that is ``active`` ``[M]``, at learning rates ``[M]``; statistics ``[M, 5]``, zeros where refused."""
        return self.compiled_step(
            self.tensors,
            batch.x,
            batch.context,
            batch.index,
            batch.dataset_size,
            self.stacked_function.draw_random_numbers(generators),
            learning_rates,
            active,
        )

    def _step(
        self,
        tensors: list[Tensor],
        x: Tensor,
        context: Tensor | None,
        index: Tensor | None,
        total: int | None,
        random_numbers: list[Tensor],
        learning_rates: Tensor,
        active: Tensor,
    ) -> Tensor:
        held = [buffer.clone() for buffer in self.buffers]
        statistics, refused, *gradients = self.stacked_function(
            tensors, Batch(x, context, index, total), random_numbers
        )
        still = refused | ~active
        self.adam(gradients, learning_rates, still)
        for buffer, before in zip(self.buffers, held, strict=True):
            buffer.copy_(torch.where(broadcast_over_models(still, buffer), before, buffer))
        refused = refused & active
        self.skipped_steps += refused
        self.skip_streak += 1
        self.skip_streak *= refused
        return statistics

    def set_step(self, step: int) -> None:
        """Set what every objective and every gradient anneals to its value at this step."""
        for m, trio in enumerate(self.recipe_modules):
            for role, part in trio.scheduled_parts():
                part.set_step(step)
                for name, schedule in part.schedules.items():
                    if (
                        schedule.final_schedule_step is None
                        or step <= schedule.final_schedule_step > 0
                    ):
                        self.scheduled_tensors[f"{role}.{name}"][m].copy_(part.get_buffer(name))

    def named_tensors(self) -> dict[str, Tensor]:
        """The stacked tensors by the names that each model has for its own."""
        return dict(zip(self.recipe_modules[0].named_tensors(), self.tensors, strict=True))

    def _verify(self, first: Batch, clip_norm: float | None, used: Sequence[int]) -> None:
        """Compare the first gradients with those of each model alone, for the same random numbers."""
        before = [buffer.clone() for buffer in self.buffers]
        drawn = self.stacked_function.draw_random_numbers(
            [torch.Generator(first.x.device).manual_seed(0) for _ in self.recipe_modules]
        )
        statistics, _, *gradients = self.stacked_function(self.tensors, first, drawn)
        moved = [buffer.clone() for buffer in self.buffers]
        for buffer, held in zip(self.buffers, before, strict=True):
            buffer.copy_(held)
        for m, trio in enumerate(self.recipe_modules):
            alone, buffers = _step_separately(trio, first, clip_norm, m)
            pairs: list[tuple[Tensor, Tensor | None]] = [(statistics[m], alone.statistics)]
            pairs += [(stacked[m], one) for stacked, one in zip(moved, buffers, strict=True)]
            pairs += [
                (stacked[m], alone.gradients[i]) for i, stacked in zip(used, gradients, strict=True)
            ]
            if any(one is None or not _is_close(both, one) for both, one in pairs):
                raise UntraceableError("together they do not take the steps that each takes alone")


class StackedAdam:
    """Adam with one learning rate, one count of steps and one refusal per model; Kingma and Ba (2015), as the fused kernel computes it."""

    def __init__(self, like: Adam, parameters: Sequence[Tensor]) -> None:
        group = like.param_groups[0]
        (self.beta1, self.beta2), self.eps, self.weight_decay = (
            group["betas"],
            group["eps"],
            group["weight_decay"],
        )
        self.sign = -1.0 if group["maximize"] else 1.0
        self.parameters = list(parameters)
        self.exp_avgs = [torch.zeros_like(parameter) for parameter in parameters]
        self.exp_avg_sqs = [torch.zeros_like(parameter) for parameter in parameters]
        self.step_counts = torch.zeros(
            len(parameters[0]), dtype=torch.float64, device=parameters[0].device
        )

    def __call__(self, gradients: Sequence[Tensor], learning_rates: Tensor, skip: Tensor) -> None:
        """Move every model but those that stay ``skip`` ``[M]``, whose moments and count stay too."""
        self.step_counts += ~skip
        rate = (learning_rates / (1 - self.beta1**self.step_counts)).float()
        root = (1 - self.beta2**self.step_counts).sqrt().float()
        for parameter, gradient, first, second in zip(
            self.parameters, gradients, self.exp_avgs, self.exp_avg_sqs, strict=True
        ):
            same = broadcast_over_models(skip, parameter)
            gradient = (
                self.sign * gradient + self.weight_decay * parameter
                if self.weight_decay or self.sign < 0
                else gradient
            )
            first.copy_(torch.where(same, first, torch.lerp(first, gradient, 1 - self.beta1)))
            second.copy_(
                torch.where(
                    same, second, self.beta2 * second + (1 - self.beta2) * gradient * gradient
                )
            )
            moved = (
                broadcast_over_models(rate, parameter)
                * first
                / (second.sqrt() / broadcast_over_models(root, parameter) + self.eps)
            )
            parameter.copy_(torch.where(same, parameter, parameter - moved))


def _make_step_function(
    used: Sequence[int], clip_norm: float | None
) -> Callable[[RecipeModule, Batch], Sequence[Tensor]]:
    def step(trio: RecipeModule, batch: Batch) -> Sequence[Any]:
        made = differentiate(
            trio.model, trio.objective, trio.gradient, list(trio.parameters()), batch, clip_norm
        )
        return (made.statistics, made.skip, *(made.gradients[i] for i in used))

    return step


def _step_separately(
    recipe_module: RecipeModule, first: Batch, clip_norm: float | None, model: int = 0
) -> tuple[StepGradients, list[Tensor]]:
    """What a model of the stack does by itself, and its buffers after that; it is left as it was."""
    buffers = persistent_buffers(recipe_module)
    before = [buffer.clone() for buffer in buffers]
    batch = batch_from_tensors(first, [field[model] for field in batch_tensors(first)])
    with seed_scope(0, first.x.device):
        made = differentiate(
            recipe_module.model,
            recipe_module.objective,
            recipe_module.gradient,
            list(recipe_module.parameters()),
            batch,
            clip_norm,
        )
    after = [buffer.clone() for buffer in buffers]
    for buffer, held in zip(buffers, before, strict=True):
        buffer.copy_(held)
    return made, after


def batch_tensors(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that are there."""
    return [field for field in (batch.x, batch.context, batch.index) if field is not None]


def batch_from_tensors(like: Batch, tensors: Sequence[Tensor]) -> Batch:
    """The batch whose tensors are these, in the order of ``fields``."""
    left = iter(tensors)
    x, context, index = (
        None if field is None else next(left) for field in (like.x, like.context, like.index)
    )
    assert x is not None
    return Batch(x, context, index, like.dataset_size)


def broadcast_over_models(values: Tensor, like: Tensor) -> Tensor:
    """``[M]`` shaped to meet ``[M, *shape]``."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _is_close(first: Tensor, second: Tensor) -> bool:
    first, second = first.double(), second.double()
    scale = torch.maximum(first.norm(), second.norm())
    return bool((first - second).norm() <= STACK_TOLERANCE * scale + 1e-6) or not bool(
        scale.isfinite()
    )
