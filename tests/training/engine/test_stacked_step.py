"""Stacked steps against the steps of each model alone, in double precision."""

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam

from aevb import VAE, Recipe, gradients, likelihoods, networks, objectives, posteriors, priors
from aevb._random import seed_scope, use_generator
from aevb.objectives import Linear
from aevb.training._engine._stacked_step import (
    STACK_TOLERANCE,
    RecipeModule,
    StackedAdam,
    StackedStep,
    _is_close,
    batch_from_tensors,
    batch_tensors,
    broadcast_over_models,
)
from aevb.training._engine._tracing import UntraceableError
from aevb.training._step import TrainingStep
from aevb.types import Batch

pytestmark = pytest.mark.usefixtures("float64")

RATES = (0.3, 0.02, 0.1)


@pytest.mark.parametrize("decay, maximize", [(0.0, False), (0.4, False), (0.0, True), (0.4, True)])
def test_adam_of_a_stack_is_adam_of_each_model(decay, maximize):
    """Unequal rates, skipped steps and a large epsilon; rates are rounded to float32."""
    settings = {"betas": (0.7, 0.9), "eps": 0.2, "weight_decay": decay, "maximize": maximize}
    start = [torch.randn(3, 2), torch.randn(3, 1, 4)]
    stacked = [tensor.clone() for tensor in start]
    single = [[nn.Parameter(t[m].clone()) for t in start] for m in range(3)]
    optimizers = [Adam(own, lr=1.0, **settings) for own in single]
    adam = StackedAdam(optimizers[0], stacked)
    skipped = torch.tensor([[0, 0, 1], [0, 1, 1], [0, 0, 0], [1, 0, 1], [0, 0, 0]]).bool()
    for step, skip in enumerate(skipped):
        raw = [torch.randn_like(tensor) for tensor in start]
        rates = torch.tensor(RATES) / (1 + step)
        adam([g / ~broadcast_over_models(skip, g) for g in raw], rates, skip)
        for m, optimizer in enumerate(optimizers):
            if not skip[m]:
                optimizer.param_groups[0]["lr"] = rates[m].item()
                for parameter, gradient in zip(single[m], raw, strict=True):
                    parameter.grad = gradient[m]
                optimizer.step()
            for own, all_models in zip(single[m], stacked, strict=True):
                torch.testing.assert_close(all_models[m], own.detach(), rtol=1e-6, atol=1e-7)
    assert adam.step_counts.tolist() == (~skipped).sum(0).tolist() == [4, 4, 2]


def recipe(seed: int, steps: int | None = 2) -> Recipe:
    """A model with a saved buffer that steps change, and a scheduled weight of the KL."""
    with seed_scope(seed):
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(3, [4]), 2),
            likelihoods.Normal(networks.MLP(2, [4]), [3], "optimal"),
        )
    beta = 0.5 if steps is None else Linear(0.1, 3.0, steps=steps)
    return Recipe(model, objectives.ELBO(beta=beta, samples=2), gradients.Pathwise())


def pick(batch: Batch, model: int) -> Batch:
    return batch_from_tensors(batch, [tensor[model] for tensor in batch_tensors(batch)])


@pytest.mark.parametrize("limit", [None, 0.7])
def test_a_stack_takes_the_steps_of_each_model(limit):
    """Schedules that end at 1, 3 and 5 steps, a model that is idle, and a step that is skipped."""
    settings = {"lr": 1.0, "eps": 0.1, "weight_decay": 0.05}
    ends, seeds = (1, 3, 5), (4, 9, 2)
    ours = [recipe(m, ends[m]) for m in range(3)]
    alone = [recipe(m, ends[m]) for m in range(3)]
    data = torch.randn(6, 3, 5, 3)
    stack = StackedStep(
        ours, [Adam(r.model.parameters(), **settings) for r in ours], Batch(data[0]), limit
    )
    optimizers = [Adam(r.model.parameters(), **settings) for r in alone]
    steps = [
        TrainingStep(*(r.model, r.objective, r.gradient), optimizer, limit)
        for r, optimizer in zip(alone, optimizers, strict=True)
    ]
    streams, own_streams = (
        [torch.Generator().manual_seed(seed) for seed in seeds] for _ in range(2)
    )
    idle = {1: (2,), 4: (0, 1)}
    data[3, 1, 2] = torch.inf  # also a draw of a step that is skipped
    counts = []
    for step in range(6):
        active = torch.tensor([m not in idle.get(step, ()) for m in range(3)])
        rates = torch.tensor(RATES) / (step + 1)
        stack.set_step(step)
        statistics = stack(Batch(data[step]), rates, active, streams)
        counts.append((stack.skipped_steps.tolist(), stack.skip_streak.tolist()))
        for m in range(3):
            alone[m].objective.set_step(step)
            optimizers[m].param_groups[0]["lr"] = rates[m].item()
            with use_generator(own_streams[m]):
                if active[m]:
                    expected = steps[m](Batch(data[step, m]))
                    torch.testing.assert_close(statistics[m], expected, rtol=1e-5, atol=1e-6)
                else:  # whose numbers are drawn all the same
                    torch.randn(2, 5, 2)
            found = {name: tensor[m] for name, tensor in stack.named_tensors().items()}
            for name, tensor in RecipeModule(alone[m]).named_tensors().items():
                torch.testing.assert_close(found[name], tensor.detach(), rtol=1e-5, atol=1e-6)
    still, after = ([0, 0, 0], [0, 0, 0]), ([0, 1, 0], [0, 0, 0])
    assert counts == [still, still, still, ([0, 1, 0], [0, 1, 0]), after, after]


def test_an_idle_model_has_no_skipped_steps_and_streaks_add_up():
    models = [recipe(m, None) for m in range(2)]
    data = torch.randn(2, 4, 3)
    stack = StackedStep(
        models, [Adam(r.model.parameters(), lr=0.1) for r in models], Batch(data), None
    )
    data[:, 0] = torch.nan
    for active in ([True, True], [True, False], [True, True]):
        stack(Batch(data), torch.ones(2), torch.tensor(active), [torch.Generator()] * 2)
    assert stack.skipped_steps.tolist() == [3, 2] and stack.skip_streak.tolist() == [3, 1]


def test_the_check_before_training_leaves_models_and_stack_as_they_were():
    models = [recipe(m) for m in range(2)]
    before = [{k: v.clone() for k, v in RecipeModule(r).named_tensors().items()} for r in models]
    state = torch.get_rng_state()
    stack = StackedStep(
        models,
        [Adam(r.model.parameters()) for r in models],
        Batch(torch.randn(2, 5, 3, generator=torch.Generator())),
        1.0,
    )
    assert torch.equal(state, torch.get_rng_state())
    for m, expected in enumerate(before):
        own, stacked = RecipeModule(models[m]).named_tensors(), stack.named_tensors()
        for name, tensor in expected.items():
            assert torch.equal(own[name], tensor) and torch.equal(stacked[name][m], tensor)


class Scale(nn.Module):
    """A layer with a constant that no stack can see."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.linear, self.factor = nn.Linear(3, 4), factor

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.factor


@pytest.mark.parametrize("other, refused", [(1.0, False), (1.0001, False), (1.01, True)])
def test_models_whose_steps_differ_from_those_of_the_stack_are_refused(other, refused):
    models = []
    for factor in (1.0, other):
        part = recipe(3, None)
        model = VAE(part.model.prior, posteriors.Normal(Scale(factor), 2), part.model.likelihood)
        models.append(Recipe(model, part.objective, part.gradient))
    arguments = models, [Adam(r.model.parameters()) for r in models], Batch(torch.randn(2, 5, 3))
    if refused:
        with pytest.raises(UntraceableError):
            StackedStep(*arguments, None)
    else:
        StackedStep(*arguments, None)


def test_two_tensors_are_close_by_the_norm_of_their_difference():
    base = torch.tensor([3.0, 4.0, 0.0])  # of norm 5
    allowed = STACK_TOLERANCE * 5 + 1e-6
    for share, close in ((0.5, True), (0.99, True), (1.01, False), (3.0, False)):
        shifted = base + torch.tensor([0.0, 0.0, share * allowed])
        assert _is_close(base, shifted) is _is_close(shifted, base) is close
    # the scale is that of the larger tensor, and tensors near 0 are all alike
    assert _is_close(torch.zeros(2), torch.full((2,), 5e-7))
    assert not _is_close(torch.zeros(2), torch.full((2,), 1e-5))
    lost = torch.tensor([torch.nan, 1.0, 0.0])
    assert _is_close(lost, base) and _is_close(base, lost)  # nothing to compare


@pytest.mark.parametrize("context", [None, torch.zeros(3, 1)])
@pytest.mark.parametrize("index", [None, torch.arange(3)])
def test_a_batch_is_taken_apart_and_put_together(context, index):
    batch = Batch(torch.ones(3, 2), context, index, 17)
    tensors = batch_tensors(batch)
    assert len(tensors) == 1 + (context is not None) + (index is not None)
    again = batch_from_tensors(batch, tensors)
    assert again.x is batch.x and again.context is context and again.index is index
    assert again.dataset_size == 17


def test_one_value_per_model_broadcasts():
    values = torch.tensor([1.0, 2.0])
    shapes = [broadcast_over_models(values, torch.zeros(2, *rest)).shape for rest in ((), (3, 4))]
    assert shapes == [(2,), (2, 1, 1)]


def test_scheduled_settings_of_every_model_follow_their_own_schedules():
    """Also those of the gradient; a constant never changes, and an ended schedule keeps its end."""
    models = [recipe(0, 2), recipe(1, 4)]
    stack = StackedStep(
        models, [Adam(r.model.parameters()) for r in models], Batch(torch.randn(2, 5, 3)), None
    )
    found = []
    for step in (0, 1, 2, 3, 4, 9):
        stack.set_step(step)
        found.append(stack.scheduled_tensors["objective.beta"].tolist())
    expected = [[Linear(0.1, 3.0, n)(step) for n in (2, 4)] for step in (0, 1, 2, 3, 4, 9)]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected))
    assert set(stack.scheduled_tensors) == {"objective.beta"}
    stack.scheduled_tensors["objective.beta"].zero_()
    stack.set_step(5)  # beyond all ends: nothing is copied
    assert stack.scheduled_tensors["objective.beta"].tolist() == [0.0, 0.0]
