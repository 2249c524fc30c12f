"""Models of one architecture as one: stacked weights, and each operation for all models at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim import Adam

from ..._random import seed_scope
from ..._recipe import Recipe
from ...objectives._schedules import ScheduledModule
from ...types import Batch
from .._step import StepGradients, differentiate, persistent_buffers
from .._weight_decay import decayed_parameters
from ._tracing import UntraceableError, trace

# Relative difference between the stacked step and a model's own step above which the stack is
# refused; rounding stays far below.
STACK_TOLERANCE = 1e-3


class RecipeModule(nn.Module):
    """Model, objective and gradient as one module, so that one call can replace all tensors.

    Args:
        recipe: The three parts.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.objective, self.gradient = recipe.model, recipe.objective, recipe.gradient

    def named_tensors(self) -> dict[str, Tensor]:
        """All tensors by name, parameters first."""
        return dict(self.named_parameters()) | dict(self.named_buffers())

    def scheduled_parts(self) -> tuple[tuple[str, ScheduledModule], ...]:
        """The parts with scheduled settings, by name."""
        return ("objective", self.objective), ("gradient", self.gradient)

    def forward(
        self, function: Callable[[RecipeModule, Batch], Sequence[Tensor]], batch: Batch
    ) -> Sequence[Tensor]:
        return function(self, batch)


class StackedFunction:
    """``function(recipe module, batch) -> tensors`` for all models at once.

    Each model has its own tensors, data and random numbers.

    Args:
        function: The function for one model.
        recipe_module: A model of the stack.
        tensors: The stacked ``RecipeModule.named_tensors()``, ``[M, *shape]`` each.
        like: A batch ``[M, B, *event]``.

    Raises:
        UntraceableError: The function cannot run for many models at once.
    """

    def __init__(
        self,
        function: Callable[[RecipeModule, Batch], Sequence[Tensor]],
        recipe_module: RecipeModule,
        tensors: Sequence[Tensor],
        like: Batch,
    ) -> None:
        names = list(recipe_module.named_tensors())
        learned = {name for name, _ in recipe_module.named_parameters()}

        def call_one(*inputs: Tensor) -> Sequence[Tensor]:
            own = {
                name: tensor.detach().requires_grad_(name in learned)
                for name, tensor in zip(names, inputs, strict=False)
            }
            batch = batch_from_tensors(like, inputs[len(names) :])
            return functional_call(recipe_module, own, (function, batch))

        inputs = [*tensors, *batch_tensors(like)]
        traced = trace(call_one, [tensor[0] for tensor in inputs])
        self.graph = traced.vectorise(inputs)
        self.random_draws = traced.random_draws
        self.random_numbers = [
            torch.zeros(len(like.x), *draw.shape, dtype=draw.dtype, device=like.x.device)
            for draw in self.random_draws
        ]
        self.numbers_per_model = [list(numbers.unbind()) for numbers in self.random_numbers]

    def draw_random_numbers(self, generators: Sequence[torch.Generator]) -> list[Tensor]:
        """Draw the random numbers of one call, ``[M, *shape]`` each.

        Each model's numbers are those that it would draw alone from its generator.
        """
        for draw, rows in zip(self.random_draws, self.numbers_per_model, strict=True):
            for row, generator in zip(rows, generators, strict=True):
                draw.fill_into(row, generator)
        return self.random_numbers

    def __call__(
        self, tensors: Sequence[Tensor], batch: Batch, random_numbers: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        """Call the function for all models."""
        return self.graph(*tensors, *batch_tensors(batch), *random_numbers)


class StackedStep:
    """A training step of several models; each has its own moments, learning rate and refusals.

    Args:
        recipes: The models with their objectives and gradients.
        optimizers: Their optimisers.
        first: A batch ``[M, B, *event]``.
        clip_norm: Largest norm of a model's gradient.
        compile: Compiles the step.
        weight_decay: Decoupled decay of the weights, in units of the learning rate.

    Raises:
        UntraceableError: The models cannot be stacked, or the stacked step differs from the steps
            that the models take separately.
    """

    def __init__(
        self,
        recipes: Sequence[Recipe],
        optimizers: Sequence[Adam],
        first: Batch,
        clip_norm: float | None,
        compile: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function,
        weight_decay: float = 0.0,
    ) -> None:
        self.recipe_modules = [RecipeModule(recipe) for recipe in recipes]
        own_tensors = [module.named_tensors() for module in self.recipe_modules]
        self.tensors = [
            torch.stack([tensors[name].detach() for tensors in own_tensors])
            for name in own_tensors[0]
        ]
        saved = {id(buffer) for buffer in persistent_buffers(self.recipe_modules[0])}
        self.buffers = [
            stacked
            for stacked, tensor in zip(self.tensors, own_tensors[0].values(), strict=True)
            if id(tensor) in saved
        ]
        self.scheduled_tensors = {
            f"{role}.{name}": self.named_tensors()[f"{role}.{name}"]
            for role, part in self.recipe_modules[0].scheduled_parts()
            for name in part.schedules
        }
        separate, _ = _step_separately(self.recipe_modules[0], first, clip_norm)
        used = [i for i, gradient in enumerate(separate.gradients) if gradient is not None]
        self.stacked_function = StackedFunction(
            _make_step_function(used, clip_norm), self.recipe_modules[0], self.tensors, first
        )
        self._verify(first, clip_norm, used)
        self.adam = StackedAdam(optimizers[0], [self.tensors[i] for i in used])
        self.used, self.weight_decay = used, weight_decay
        decayed = {id(weight) for weight in decayed_parameters(recipes[0].model)}
        parameters = list(self.recipe_modules[0].parameters())
        self.decayed = [self.tensors[i] for i in used if id(parameters[i]) in decayed]
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
        """Take a step of every active model.

        Args:
            batch: Rows ``[M, B, *event]``.
            learning_rates: ``[M]``.
            active: The models that take the step, bool ``[M]``.
            generators: One per model.

        Returns:
            Statistics ``[M, 5 + metrics]``, zeros where a step was skipped.
        """
        return self.compiled_step(
            self.tensors,
            batch.x,
            batch.context,
            batch.index,
            batch.dataset_size,
            batch.weight,
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
        weight: Tensor | None,
        random_numbers: list[Tensor],
        learning_rates: Tensor,
        active: Tensor,
    ) -> Tensor:
        before = [buffer.clone() for buffer in self.buffers]
        statistics, skipped, *gradients = self.stacked_function(
            tensors, Batch(x, context, index, total, weight), random_numbers
        )
        unchanged = skipped | ~active
        if self.weight_decay:
            kept = 1 - learning_rates * self.weight_decay * ~unchanged
            for weight in self.decayed:
                weight.mul_(broadcast_over_models(kept.to(weight.dtype), weight))
        self.adam(gradients, learning_rates, unchanged)
        for buffer, old in zip(self.buffers, before, strict=True):
            buffer.copy_(torch.where(broadcast_over_models(unchanged, buffer), old, buffer))
        skipped = skipped & active
        self.skipped_steps += skipped
        self.skip_streak += 1
        self.skip_streak *= skipped
        return statistics

    def set_step(self, step: int) -> None:
        """Set the scheduled settings of all objectives and gradients to their values at a step."""
        for m, module in enumerate(self.recipe_modules):
            for role, part in module.scheduled_parts():
                part.set_step(step)
                for name, schedule in part.schedules.items():
                    final = schedule.final_schedule_step
                    if final is None or step <= final > 0:
                        self.scheduled_tensors[f"{role}.{name}"][m].copy_(part.get_buffer(name))

    @torch.no_grad()
    def store(self, model: int, optimizer: Adam) -> None:
        """Copy the tensors of a model out of the stack, and its moments into its own optimiser."""
        own = self.recipe_modules[model].named_tensors().values()
        for tensor, stacked in zip(own, self.tensors, strict=True):
            tensor.copy_(stacked[model])
        for parameter, first, second in self._moments(model):
            optimizer.state[parameter] = {
                "step": self.adam.step_counts[model].float(),
                "exp_avg": first.clone(),
                "exp_avg_sq": second.clone(),
            }

    @torch.no_grad()
    def restore(self, model: int, optimizer: Adam) -> None:
        """Copy the tensors and moments of a model into the stack."""
        own = self.recipe_modules[model].named_tensors().values()
        for tensor, stacked in zip(own, self.tensors, strict=True):
            stacked[model].copy_(tensor)
        for parameter, first, second in self._moments(model):
            state = optimizer.state[parameter]
            self.adam.step_counts[model] = state["step"]
            first.copy_(state["exp_avg"])
            second.copy_(state["exp_avg_sq"])

    def _moments(self, model: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """The learned parameters of a model, and their moments in the stack."""
        parameters = list(self.recipe_modules[model].parameters())
        moments = zip(self.used, self.adam.exp_avgs, self.adam.exp_avg_sqs, strict=True)
        for i, first, second in moments:
            yield parameters[i], first[model], second[model]

    def named_tensors(self) -> dict[str, Tensor]:
        """The stacked tensors by the names in each model."""
        return dict(zip(self.recipe_modules[0].named_tensors(), self.tensors, strict=True))

    def _verify(self, first: Batch, clip_norm: float | None, used: Sequence[int]) -> None:
        """Compare the first gradients with those of each model alone, for equal random numbers."""
        before = [buffer.clone() for buffer in self.buffers]
        numbers = self.stacked_function.draw_random_numbers(
            [torch.Generator(first.x.device).manual_seed(0) for _ in self.recipe_modules]
        )
        statistics, _, *gradients = self.stacked_function(self.tensors, first, numbers)
        after = [buffer.clone() for buffer in self.buffers]
        for buffer, old in zip(self.buffers, before, strict=True):
            buffer.copy_(old)
        for m, module in enumerate(self.recipe_modules):
            separate, buffers = _step_separately(module, first, clip_norm, m)
            pairs: list[tuple[Tensor, Tensor | None]] = [(statistics[m], separate.statistics)]
            pairs += [(stacked[m], own) for stacked, own in zip(after, buffers, strict=True)]
            pairs += [
                (stacked[m], separate.gradients[i])
                for i, stacked in zip(used, gradients, strict=True)
            ]
            if any(own is None or not _is_close(stacked, own) for stacked, own in pairs):
                raise UntraceableError("the stacked step differs from the separate steps")


class StackedAdam:
    """Adam (Kingma and Ba 2015) with a learning rate, a step count and a refusal per model.

    Args:
        like: An optimiser with the other settings.
        parameters: The stacked parameters.
    """

    def __init__(self, like: Adam, parameters: Sequence[Tensor]) -> None:
        group = like.param_groups[0]
        self.beta1, self.beta2 = group["betas"]
        self.eps, self.weight_decay = group["eps"], group["weight_decay"]
        self.sign = -1.0 if group["maximize"] else 1.0
        self.parameters = list(parameters)
        self.exp_avgs = [torch.zeros_like(parameter) for parameter in parameters]
        self.exp_avg_sqs = [torch.zeros_like(parameter) for parameter in parameters]
        self.step_counts = torch.zeros(
            len(parameters[0]), dtype=torch.float64, device=parameters[0].device
        )

    def __call__(self, gradients: Sequence[Tensor], learning_rates: Tensor, skip: Tensor) -> None:
        """Update every model except those in ``skip`` ``[M]``, which change nothing."""
        self.step_counts += ~skip
        rate = (learning_rates / (1 - self.beta1**self.step_counts)).float()
        root = (1 - self.beta2**self.step_counts).sqrt().float()
        for parameter, gradient, first, second in zip(
            self.parameters, gradients, self.exp_avgs, self.exp_avg_sqs, strict=True
        ):
            same = broadcast_over_models(skip, parameter)
            if self.weight_decay or self.sign < 0:
                gradient = self.sign * gradient + self.weight_decay * parameter
            first.copy_(torch.where(same, first, torch.lerp(first, gradient, 1 - self.beta1)))
            squares = self.beta2 * second + (1 - self.beta2) * gradient * gradient
            second.copy_(torch.where(same, second, squares))
            change = (
                broadcast_over_models(rate, parameter)
                * first
                / (second.sqrt() / broadcast_over_models(root, parameter) + self.eps)
            )
            parameter.copy_(torch.where(same, parameter, parameter - change))


def _make_step_function(
    used: Sequence[int], clip_norm: float | None
) -> Callable[[RecipeModule, Batch], Sequence[Tensor]]:
    def step(module: RecipeModule, batch: Batch) -> Sequence[Any]:
        result = differentiate(
            module.model,
            module.objective,
            module.gradient,
            list(module.parameters()),
            batch,
            clip_norm,
        )
        return (result.statistics, result.skip, *(result.gradients[i] for i in used))

    return step


def _step_separately(
    recipe_module: RecipeModule, first: Batch, clip_norm: float | None, model: int = 0
) -> tuple[StepGradients, list[Tensor]]:
    """The gradients of one model and its buffers after the step; the model does not change."""
    buffers = persistent_buffers(recipe_module)
    before = [buffer.clone() for buffer in buffers]
    batch = batch_from_tensors(first, [field[model] for field in batch_tensors(first)])
    with seed_scope(0, first.x.device):
        result = differentiate(
            recipe_module.model,
            recipe_module.objective,
            recipe_module.gradient,
            list(recipe_module.parameters()),
            batch,
            clip_norm,
        )
    after = [buffer.clone() for buffer in buffers]
    for buffer, old in zip(buffers, before, strict=True):
        buffer.copy_(old)
    return result, after


def batch_tensors(batch: Batch) -> list[Tensor]:
    """The tensors of a batch that are not ``None``."""
    fields = (batch.x, batch.context, batch.index, batch.weight)
    return [field for field in fields if field is not None]


def batch_from_tensors(like: Batch, tensors: Sequence[Tensor]) -> Batch:
    """The batch with these tensors, in the order of ``batch_tensors``."""
    left = iter(tensors)
    x, context, index, weight = (
        None if field is None else next(left)
        for field in (like.x, like.context, like.index, like.weight)
    )
    assert x is not None
    return Batch(x, context, index, like.dataset_size, weight)


def broadcast_over_models(values: Tensor, like: Tensor) -> Tensor:
    """Reshape ``[M]`` so that it broadcasts against ``[M, *shape]``."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def _is_close(first: Tensor, second: Tensor) -> bool:
    first, second = first.double(), second.double()
    scale = torch.maximum(first.norm(), second.norm())
    return bool((first - second).norm() <= STACK_TOLERANCE * scale + 1e-6) or not bool(
        scale.isfinite()
    )
