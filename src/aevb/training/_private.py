"""Differentially private training: Poisson batches, clipped gradients of rows, noise.

Batches and noise come from the entropy of the operating system and not from the seed of the run:
whoever knew the numbers could subtract the noise from the weights.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from .._random import seed_scope
from .._recipe import Recipe
from ..errors import ArgumentError, IncompatibleError, missing_extra
from ..gradients._compatibility import check_row_weights
from ..notes import Argument, Note, Part, message
from ..types import Batch
from ._engine._stacked_step import RecipeModule, batch_from_tensors, batch_tensors
from ._engine._tracing import TracedFunction, UntraceableError, trace
from ._source import MemorySource, Source
from ._step import STATISTIC_NAMES, StepGradients, differentiate, persistent_buffers

MAX_GRADIENT_NUMBERS = 2**26  # numbers of gradients that are in memory at once
NOT_COVERED = (
    "the scaling, kinds and levels of columns, which come from the rows",
    "the history, the report and every number of the evaluation, which are exact",
    "the choice of settings after earlier runs on the same rows",
    "other rows of the same person, since each row is protected alone",
    "a random generator that is not cryptographic",
)


@dataclass(frozen=True)
class Private:
    """What a private training may give away about any one training row.

    The trained weights of two data sets that differ in one row are told apart with odds of at most
    ``exp(epsilon)``, except with the probability ``delta`` (Abadi et al., Deep learning with
    differential privacy, 2016). ``epsilon`` below 1 is strong, above 10 it says little. ``delta``
    should be well below one over the number of rows.

    Args:
        epsilon: Logarithm of the largest odds.
        delta: Probability with which the odds may be larger.
        max_norm: Largest norm of the gradient of one row; larger ones are scaled down.

    Raises:
        ArgumentError: A number is out of its range.

    Example:
        >>> Private(epsilon=3.0, delta=1e-5).max_norm
        1.0
    """

    epsilon: float
    delta: float = 1e-5
    max_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("epsilon", "max_norm"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 < float(value) < float("inf")):
                raise ArgumentError("give a positive number", argument=name, value=value)
        if not (isinstance(self.delta, Real) and 0 < float(self.delta) < 1):
            raise ArgumentError("give a number between 0 and 1", argument="delta", value=self.delta)


@dataclass(frozen=True)
class PrivacyPlan:
    """The noise of a private run.

    Args:
        target: What the run may give away.
        sample_rate: Probability of a row to be in a batch.
        noise_multiplier: Standard deviation of the noise, in units of ``target.max_norm``.
    """

    target: Private
    sample_rate: float
    noise_multiplier: float

    @classmethod
    def make(cls, target: Private, source: PoissonSource, steps: float) -> PrivacyPlan:
        """The least noise with which so many steps stay within the target.

        Raises:
            ArgumentError: No noise does, or the number of steps is not known.
            MissingExtraError: The accountant is not installed.
        """
        if not steps < float("inf"):
            raise ArgumentError(
                "a private run needs a known number of steps",
                argument="privacy",
                suggestions=(message("Set {epochs}", epochs=Argument("epochs", 20)),),
            )
        accountants = _accountants()
        try:
            with _quiet():
                noise = accountants.utils.get_noise_multiplier(
                    target_epsilon=target.epsilon,
                    target_delta=target.delta,
                    sample_rate=source.sample_rate,
                    steps=int(steps),
                )
        except ValueError as error:
            raise ArgumentError(
                f"no noise keeps {steps:,.0f} steps within it",
                argument="epsilon",
                value=target.epsilon,
                suggestions=("Allow a larger one, or train on more rows",),
            ) from error
        return cls(target, source.sample_rate, noise)

    def epsilon_spent(self, steps: int) -> float:
        """The epsilon of so many steps, by Rényi differential privacy (Mironov 2017)."""
        accountant = _accountants().RDPAccountant()
        if steps < 1:
            return 0.0
        accountant.history = [(self.noise_multiplier, self.sample_rate, steps)]
        with _quiet():
            return float(accountant.get_epsilon(delta=self.target.delta))

    def note(self, steps: int) -> Note:
        """What the run gave away, and what that does not cover."""
        spent = self.epsilon_spent(steps)
        return Note(
            "privacy",
            f"The weights are ({spent:.3g}, {self.target.delta:.3g})-differentially private for "
            f"each training row, after {steps:,} steps with noise of "
            f"{self.noise_multiplier:.3g}. This does not cover: {'; '.join(NOT_COVERED)}.",
            data=self.to_dict() | {"epsilon": spent, "steps": steps},
        )

    def to_dict(self) -> dict[str, Any]:
        """The plan as values for JSON."""
        return {
            **asdict(self.target),
            "noise_multiplier": self.noise_multiplier,
            "sample_rate": self.sample_rate,
            "not_covered": list(NOT_COVERED),
        }


def _accountants() -> Any:
    try:
        with _quiet():
            from opacus import accountants
    except ImportError as error:
        raise missing_extra("privacy", "private training") from error
    return accountants


def _quiet() -> warnings.catch_warnings[Any]:
    """A block without warnings: the accountant warns of orders that it did not try."""
    return warnings.catch_warnings(action="ignore")


class PoissonSource(MemorySource):
    """Batches that contain each row with the same probability, independently of all others.

    Their size varies around ``batch_size``, and a batch may be empty. No seed gives the batches of
    another process.
    """

    @cached_property
    def secret(self) -> int:
        """The seed of the batches, which is not stored."""
        return secrets.randbits(63)

    @property
    def sample_rate(self) -> float:
        """Probability of a row to be in a batch."""
        return self.batch_size / len(self.rows)

    def iter_epoch(self, epoch: int, skip: int) -> Iterator[Batch]:
        generator = torch.Generator().manual_seed((self.secret * 1_000_003 + epoch) % 2**63)
        for step in range(self.steps):
            inside = torch.rand(len(self.rows), generator=generator) < self.sample_rate
            if step >= skip:
                yield self.batch(inside.nonzero()[:, 0].to(self.rows.index_device))

    def device_order(self, epoch: int) -> None:
        return None


def make_private_source(source: Source) -> PoissonSource:
    """The same rows in Poisson batches.

    Raises:
        ArgumentError: The rows have no numbers, or weights.
    """
    if not isinstance(source, MemorySource):
        raise ArgumentError(
            "private training draws single rows at random, and an iterable or many files are "
            "read in an order of their own",
            argument="privacy",
            suggestions=("Give the rows as an array or a Dataset",),
        )
    if source.rows.weights is not None:
        raise ArgumentError(
            "private training counts each row once, and the rows have weights",
            argument="privacy",
            suggestions=("Leave the weights out",),
        )
    return PoissonSource(source.rows, source.batch_size, source.seed, source.device, source.dtype)


def check_private(recipe: Recipe, batch: Batch) -> None:
    """Check that the loss of a batch is the mean of the losses of its rows.

    Args:
        recipe: Model, objective and gradient estimator; nothing of them changes.
        batch: Some rows.

    Raises:
        IncompatibleError: It is not, or a step keeps something of the rows beside the gradient.
    """
    check_row_weights(recipe.gradient, recipe.objective)
    part = message("{part}", part=Part(f"posteriors.{type(recipe.model.posterior).__name__}"))
    if recipe.model.posterior.n_rows is not None:
        raise IncompatibleError(
            message("{part} has parameters of each training row, which nothing hides", part=part),
            argument="privacy",
        )
    if recipe.objective.penalties:
        raise IncompatibleError(
            "its penalty compares the rows of a batch, and private gradients are of one row each",
            argument="privacy",
            suggestions=("Use an objective without a penalty",),
        )
    module = RecipeModule(recipe)
    buffers = persistent_buffers(module)
    before = [buffer.clone() for buffer in buffers]
    with seed_scope(0, batch.x.device):
        recipe.gradient(recipe.model, recipe.objective, batch)
    changed = any(not old.equal(new) for old, new in zip(before, buffers, strict=True))
    for buffer, old in zip(buffers, before, strict=True):
        buffer.copy_(old)
    if changed:
        raise IncompatibleError(
            "a step of this model keeps statistics of its batch, which nothing hides",
            argument="privacy",
            suggestions=("Use a posterior and a likelihood without running statistics",),
        )


class PrivateGradients:
    """Sums of clipped gradients of rows, with noise.

    Args:
        recipe: Model, objective and gradient estimator.
        parameters: What is learned.
        plan: The noise.
        batch_size: The expected number of rows of a batch.
    """

    def __init__(
        self, recipe: Recipe, parameters: Sequence[Tensor], plan: PrivacyPlan, batch_size: int
    ) -> None:
        self.module = RecipeModule(recipe)
        self.parameters, self.plan, self.batch_size = list(parameters), plan, batch_size
        numbers = sum(parameter.numel() for parameter in parameters)
        self.rows_at_once = max(1, MAX_GRADIENT_NUMBERS // max(numbers, 1))
        self.n_statistics = len(STATISTIC_NAMES) + len(recipe.metric_names)
        self.traced: TracedFunction | None = None
        self.generator: torch.Generator | None = None

    def __call__(
        self,
        x: Tensor,
        context: Tensor | None,
        index: Tensor | None,
        total: int | None,
        weight: Tensor | None,
    ) -> StepGradients:
        batch = Batch(x, context, index, total, weight)
        statistics = x.new_zeros(self.n_statistics, dtype=torch.float32)
        sums = [torch.zeros_like(parameter) for parameter in self.parameters]
        for start in range(0, len(x), self.rows_at_once):
            part = batch_from_tensors(
                batch, [each[start : start + self.rows_at_once] for each in batch_tensors(batch)]
            )
            own_statistics, gradients = self._clipped_gradients(part)
            statistics += own_statistics.sum(0) / len(x)
            for place, own in enumerate(gradients):
                sums[place] += own
        noisy = [(each + self._noise(each)) / self.batch_size for each in sums]
        return StepGradients(
            statistics, torch.zeros((), dtype=torch.bool, device=x.device), (*noisy,)
        )

    def _noise(self, like: Tensor) -> Tensor:
        """Noise for the sum of the gradients of a parameter."""
        if self.generator is None or self.generator.device != like.device:
            self.generator = torch.Generator(like.device).manual_seed(secrets.randbits(63))
        drawn = torch.empty_like(like).normal_(generator=self.generator)
        return self.plan.noise_multiplier * self.plan.target.max_norm * drawn

    def _clipped_gradients(self, batch: Batch) -> tuple[Tensor, list[Tensor]]:
        """Statistics ``[B, 5 + metrics]``, and the sum of the clipped gradients of the rows."""
        tensors = list(self.module.named_tensors().values())
        rows = [each[:, None] for each in batch_tensors(batch)]  # batches of one row
        traced = self._trace(tensors, [each[0] for each in rows], batch)
        drawn = [
            torch.empty(len(batch.x), *draw.shape, dtype=draw.dtype, device=batch.x.device)
            for draw in traced.random_draws
        ]
        for numbers, draw in zip(drawn, traced.random_draws, strict=True):
            getattr(numbers, draw.method)(*draw.arguments)
        inputs = [*(tensor.detach() for tensor in tensors), *rows, *drawn]
        axes = (*[None] * len(tensors), *[0] * (len(rows) + len(drawn)))
        statistics, *gradients = torch.vmap(traced.graph, axes, randomness="error")(*inputs)
        return statistics, clip_rows(gradients, self.plan.target.max_norm)

    def _trace(
        self, tensors: Sequence[Tensor], row: Sequence[Tensor], like: Batch
    ) -> TracedFunction:
        """The statistics and the gradients of one row as a graph."""
        if self.traced is not None:
            return self.traced
        names = {id(tensor): name for name, tensor in self.module.named_tensors().items()}
        learned = [names[id(parameter)] for parameter in self.parameters]

        def call_one(*inputs: Tensor) -> Sequence[Tensor]:
            own = {
                name: tensor.detach().requires_grad_(name in learned)
                for name, tensor in zip(names.values(), inputs, strict=False)
            }

            def step(module: RecipeModule, batch: Batch) -> Sequence[Tensor]:
                wanted = [own[name] for name in learned]
                parts = module.model, module.objective, module.gradient
                found = differentiate(*parts, wanted, batch, None)
                pairs = zip(found.gradients, wanted, strict=True)
                gradients = [torch.zeros_like(like) if g is None else g for g, like in pairs]
                return found.statistics, *gradients

            batch = batch_from_tensors(like, inputs[len(names) :])
            return functional_call(self.module, own, (step, batch))

        try:
            self.traced = trace(call_one, [*tensors, *row])
        except UntraceableError as error:
            raise IncompatibleError(
                f"the gradient of one row is not known for this model: {error}", argument="privacy"
            ) from error
        return self.traced


def clip_rows(gradients: Sequence[Tensor], max_norm: float) -> list[Tensor]:
    """Sum gradients of rows whose norm over all parameters is at most ``max_norm``.

    Args:
        gradients: ``[B, *shape]`` of each parameter; rows that are not finite add 0.
        max_norm: Largest norm.

    Returns:
        ``[*shape]`` of each parameter.
    """
    flat = [each.reshape(len(each), -1) for each in gradients]
    norms = [torch.linalg.vector_norm(each, dim=1) for each in flat]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    finite = norm.isfinite().nonzero()[:, 0]
    if len(finite) < len(norm):
        flat, norm = [each[finite] for each in flat], norm[finite]
    factor = (max_norm / norm.clamp(min=1e-12)).clamp(max=1.0)
    pairs = zip(gradients, flat, strict=True)
    return [(factor @ each).reshape(own.shape[1:]) for own, each in pairs]
