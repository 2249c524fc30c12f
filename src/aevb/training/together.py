"""The loop for models of one architecture, all of which take each step together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.optim import Adam

from ..compiling import Compile, Compiler
from ..data import Rows
from ..memory import enough_memory
from ..metrics.sweep import blocks, dtype_of
from ..random import borrowed, seeded
from ..recipe import Recipe
from ..types import Batch
from .average import Average
from .bar import Bar
from .checkpoint import Progress
from .fit import PRIMING
from .interrupt import listening
from .run import LIMIT, closed
from .source import Resident
from .stack import Parallel, Stack, Trio, batch_of, fields, over
from .step import STATISTICS
from .validation import Held, block_for, held_terms, judged, summed_up, validated


@dataclass
class Member:
    """One run among several."""

    name: str
    recipe: Recipe
    source: Resident
    held_out: Rows | None
    optimizer: Adam
    seed: int
    progress: Progress = field(default_factory=Progress)
    stopped: str = "epochs"


@dataclass(frozen=True)
class Plan:
    """What all runs have in common."""

    epochs: int
    rate: Callable[[int, float], float]
    clip: float | None
    average: float | None
    patience: int | None
    compile: Compile
    progress: bool | None


class Together:
    """Runs of one architecture side by side. Raises ``Untraceable`` where they cannot be."""

    def __init__(self, members: Sequence[Member], plan: Plan) -> None:
        self.members, self.plan = members, plan
        self.sources = [member.source for member in members]
        self.steps, self.device = self.sources[0].steps, self.sources[0].device
        self.generators = [torch.Generator(self.device).manual_seed(member.seed) for member in members]
        self.shared = _same_rows([source.rows for source in self.sources]) and not _draws(self.sources[0])
        self.compiler = Compiler(plan.compile, plan.epochs * self.steps, alike=True)
        for member in members:
            with seeded(member.seed, self.device):
                some = member.source.some(PRIMING)
                member.recipe.model.prime(some.x, some.context)
            member.recipe.model.train()
        recipes, optimizers = [member.recipe for member in members], [member.optimizer for member in members]
        first = _stacked([source.first() for source in self.sources])
        self.stack = Stack(recipes, optimizers, first, plan.clip, self.compiler)
        self.model = {name: tensor for name, tensor in self.stack.named().items() if name.startswith("model.")}
        self.best = {name: tensor.clone() for name, tensor in self.model.items()}
        learned = [self.model[f"model.{name}"] for name, _ in recipes[0].model.named_parameters()]
        self.average = Average(learned, plan.average) if plan.average is not None else None
        self.scorers: dict[int, Parallel] = {}
        self.base = torch.tensor([optimizer.param_groups[0]["lr"] for optimizer in optimizers], dtype=torch.float64, device=self.device)
        self.active = torch.ones(len(members), dtype=torch.bool, device=self.device)
        self.totals = torch.zeros(len(members), len(STATISTICS) + len(recipes[0].measures), device=self.device)
        self._scored()  # what cannot be scored together is noticed before a step is taken

    def run(self) -> None:
        """Train all of them; their models have the best weights afterwards."""
        began = time.monotonic()
        label = f"{len(self.members)} models, first: {self.members[0].recipe.objective.name}"
        size, samples = self.sources[0].batch_size, self.members[0].recipe.objective.samples
        fewer = enough_memory(f"in a training step of {len(self.members)} models", batch_size=size, samples=samples)
        with fewer, listening() as interrupt, Bar(self.plan.progress, self.plan.epochs, self.steps, None, label) as bar:
            for epoch in range(self.plan.epochs):
                self.compiler.doubt()
                for position, batch in enumerate(self._batches(epoch), 1):
                    self._step(epoch * self.steps + position - 1, batch)
                    bar.advance(epoch, position, (time.monotonic() - began) / 60)
                    if interrupt.asked:
                        self._end(self.active, "interrupted")
                    if not self.running:
                        break
                else:
                    self._close(time.monotonic() - began)
                    bar.show(self.members[0].progress.history[-1])
                if not self.running:
                    break
        self._finish()

    @property
    def running(self) -> list[Member]:
        """Those that have not been stopped."""
        return [member for member in self.members if member.stopped == "epochs"]

    def _step(self, step: int, batch: Batch) -> None:
        self.stack.anneal(step)
        rates = self.base * self.plan.rate(step, self.steps * self.plan.epochs)
        self.totals += self.stack(batch, rates, self.active, self.generators)
        if self.average is not None:
            self.average.update(step + 1)
        for member in self.running:
            member.progress.step += 1
            member.progress.position += 1
        if self.device.type == "cpu" or step % 50 == 0:  # looking is free on the CPU, and a wait elsewhere
            self._end(self.stack.streak >= LIMIT, "not finite")

    def _close(self, seconds: float) -> None:
        """End the epoch of every model that still runs, score it, and keep its weights where they are its best."""
        skipped, scores = self.stack.skipped.tolist(), self._scored()
        factor = self.plan.rate(self.running[0].progress.step - 1, self.steps * self.plan.epochs)
        rates = (self.base * factor).tolist()
        improved, tired = torch.zeros_like(self.active), torch.zeros_like(self.active)
        for m, member in enumerate(self.members):
            if member.stopped == "epochs":
                state = member.progress
                epoch = closed(state, member.recipe, self.totals[m], int(skipped[m]), seconds, rates[m])
                epoch = validated(epoch, member.recipe.objective.judge, scores[m]) if scores else epoch
                improved[m] = judged(state, epoch, member.recipe.settled)
                tired[m] = self.plan.patience is not None and state.waited >= self.plan.patience
        with self._averaged():
            for name, best in self.best.items():
                best.copy_(torch.where(over(improved, best), self.model[name], best))
        self._end(tired, "patience")
        self.totals.zero_()
        self.stack.skipped.zero_()

    def _scored(self) -> list[Held]:
        """What the held-out rows of every model say of it, as ``score`` alone would; nothing where there are no rows."""
        generators = [torch.Generator(self.device).manual_seed(member.seed) for member in self.members]
        terms = []
        with self._averaged():
            for batch in self._held_out():
                scorer = self._scorer(batch)
                terms += scorer(self.stack.states, batch, scorer.draw(generators))
        found = torch.cat(terms, 2) if terms else []
        return [summed_up(member.recipe.model, each) for member, each in zip(self.members, found, strict=False)]

    def _held_out(self) -> Iterator[Batch]:
        """Held-out rows in blocks ``[M, B, *event]``."""
        held_out = [member.held_out for member in self.members if member.held_out is not None]
        first = self.members[0].recipe
        dtype, size = dtype_of(first.model), block_for(first.objective.judge)
        if held_out and _same_rows(held_out):
            for batch in blocks(held_out[0], size, dtype):
                yield batch_of(batch, [field.expand(len(self.members), *field.shape) for field in fields(batch)])
        elif held_out:
            for batches in zip(*(blocks(rows, size, dtype) for rows in held_out), strict=True):
                yield _stacked(batches)

    def _scorer(self, like: Batch) -> Parallel:
        """One for each size of block: all but the last are equal."""
        size = like.x.shape[1]
        if size not in self.scorers:
            model = self.members[0].recipe.model.eval()
            self.scorers[size] = Parallel(_terms, self.stack.trios[0], self.stack.states, like)
            model.train()
        return self.scorers[size]

    def _end(self, which: Tensor, why: str) -> None:
        """Let these models stay as they are from now on."""
        which = which & self.active
        if which.any():
            self.active &= ~which
            for m in which.nonzero().flatten().tolist():
                self.members[m].stopped = why

    @torch.no_grad()
    def _finish(self) -> None:
        """Put the best weights, or the last ones where nothing told which are best, into the models."""
        with self._averaged():
            for m, member in enumerate(self.members):
                kept = self.model if member.progress.best is None else self.best
                for name, tensor in Trio(member.recipe).state().items():
                    if name in kept:
                        tensor.copy_(kept[name][m])
                member.recipe.model.eval()

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.applied() if self.average is not None else nullcontext()

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, each model's in its own order: ``[M, B, *event]``."""
        order, size = torch.stack([source.order(epoch) for source in self.sources]), self.sources[0].batch_size
        for start in range(0, self.steps * size, size):
            index = order[:, start : start + size]
            yield self._at_once(index) if self.shared else self._one_by_one(index)

    def _at_once(self, index: Tensor) -> Batch:
        batch = self.sources[0].batch(index.reshape(-1))
        return batch_of(batch, [field.unflatten(0, index.shape) for field in fields(batch)])

    def _one_by_one(self, index: Tensor) -> Batch:
        batches = []
        for source, rows, generator in zip(self.sources, index, self.generators, strict=True):
            with borrowed(generator):  # reading may draw, as where images are binarised afresh
                batches.append(source.batch(rows))
        return _stacked(batches)


def _terms(trio: Trio, batch: Batch) -> Sequence[Tensor]:
    with torch.no_grad():
        return (held_terms(trio.model, batch, trio.objective.judge),)


def _stacked(batches: Sequence[Batch]) -> Batch:
    """Batches as one, with an axis in front."""
    return batch_of(batches[0], [torch.stack(each) for each in zip(*(fields(batch) for batch in batches), strict=True)])


def _same_rows(rows: Sequence[Rows]) -> bool:
    first = rows[0]
    return all(each.stored is first.stored and each.decode == first.decode and each.told is first.told for each in rows)


def _draws(source: Resident) -> bool:
    """Whether reading rows draws random numbers."""
    generator = torch.Generator(source.device).manual_seed(0)
    before = generator.get_state()
    with borrowed(generator):
        source.first()
    return not torch.equal(before, generator.get_state())
