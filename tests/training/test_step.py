"""A training step against sums that are written out, with a model that is one weight vector."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from aevb.training._step import (
    TrainingStep,
    batch_statistics,
    clip_and_check,
    match_memory_layout,
    persistent_buffers,
)
from aevb.types import Batch, GradientEstimate, ObjectiveValue, Terms

pytestmark = pytest.mark.usefixtures("float64")


def estimate_of(**fields) -> GradientEstimate:
    """An estimate with K = 3 draws of B = 2 rows, whose fields may be replaced."""
    terms = {
        "log_likelihood": torch.tensor([[-1.0, -7.0], [-2.0, 0.5], [-4.0, 3.0]]),
        "log_prior": torch.tensor([[-3.0, 1.0], [0.25, -2.0], [5.0, -0.5]]),
        "log_posterior": torch.tensor([[0.5, -1.0], [2.0, 3.0], [-0.75, 1.5]]),
        "log_measure": torch.tensor([[0.2, 0.5], [0.7, 0.1], [0.1, 0.4]]).log(),
        "kl": None,
        "z": torch.zeros(3, 2, 1),
        "layer_kl": None,
    }
    value = {
        "bound": torch.tensor([4.0, -6.5]),
        "target": torch.tensor([1.0, 8.0]),
        "penalty": torch.tensor(0.375),
        "metric_values": (),
    }
    unknown = dict.fromkeys(("q", "p", "reconstruction")) | {"batch": Batch(torch.zeros(2, 1))}
    terms |= {name: fields[name] for name in terms if name in fields}
    value |= {name: fields[name] for name in value if name in fields}
    zero = torch.zeros(())
    loss = fields.get("loss", zero)
    return GradientEstimate(
        ObjectiveValue(**value), loss, Terms(**terms, **unknown, weight_kl=zero, penalty=zero)
    )


class TestStatistics:
    weight = np.array([[0.2, 0.5], [0.7, 0.1], [0.1, 0.4]])

    def test_means_over_the_batch_of_weighted_sums_over_draws(self):
        estimate = estimate_of(metric_values=(torch.tensor(2.5), torch.tensor(-1.5)))
        terms = estimate.terms
        ratio = (terms.log_posterior - terms.log_prior).numpy()
        likelihood = (self.weight * terms.log_likelihood.numpy()).sum(0).mean()
        rate = (self.weight * ratio).sum(0).mean()
        expected = [-1.25, likelihood, rate, 4.5, 0.375, 2.5, -1.5]
        found = batch_statistics(estimate)
        assert found.dtype == torch.float32
        assert found.tolist() == pytest.approx(expected, rel=1e-6)  # one rounding to float32

    def test_an_exact_divergence_replaces_the_sampled_one(self):
        found = batch_statistics(estimate_of(kl=torch.tensor([3.0, 0.5])))
        assert found[2].item() == 1.75

    def test_each_layer_of_a_hierarchy_has_its_divergence(self):
        layers = np.arange(12.0).reshape(2, 3, 2) ** 2
        found = batch_statistics(estimate_of(layer_kl=torch.from_numpy(layers)))
        expected = (self.weight * layers).sum(1).mean(1)
        assert found[5:].tolist() == pytest.approx(expected.tolist(), rel=1e-6)


class TestClipping:
    gradients = (torch.tensor([3.0, 0.0]).double(), None, torch.tensor([[4.0]]).double())  # norm 5

    @pytest.mark.parametrize("limit", [None, 2.5, 5.0, 20.0])
    def test_the_norm_of_all_gradients_together_is_bounded(self, limit):
        skip, clipped = clip_and_check(torch.tensor(1.0), self.gradients, limit)
        factor = 1.0 if limit is None else min(1.0, limit / (5 + 1e-6))
        assert not skip and clipped[1] is None
        assert clipped[0].tolist() == pytest.approx([3 * factor, 0.0], rel=1e-12)
        assert clipped[2].item() == pytest.approx(4 * factor, rel=1e-12)

    @pytest.mark.parametrize("limit", [None, 1.0])
    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_loss_or_a_gradient_that_is_not_finite_skips_the_step(self, bad, limit):
        fine, lost = torch.tensor(1.0), torch.tensor(bad)
        assert clip_and_check(lost, self.gradients, limit)[0]
        assert clip_and_check(fine, (torch.tensor([2.0, bad]), None), limit)[0]
        assert not clip_and_check(fine, (torch.tensor([2.0, 1.0]), None), limit)[0]


def test_gradients_take_the_memory_layout_of_their_parameters():
    transposed, plain = torch.arange(6.0).view(3, 2).t(), torch.zeros(2, 3)
    assert match_memory_layout(transposed, transposed) is transposed
    moved = match_memory_layout(transposed, plain)
    assert moved.stride() == plain.stride() == (3, 1)
    assert torch.equal(moved, transposed)


class Squares(nn.Module):
    """Loss and target of ``w``: half the squared distance to the rows, times their context.

    A saved buffer counts the calls, another that is not saved does too.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight, self.fields = weight, {}
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("scratch", torch.zeros(()), persistent=False)
        self.batches: list[Batch] = []

    def forward(self, model, objective, batch: Batch) -> GradientEstimate:
        self.batches.append(batch)
        self.calls += 1
        self.scratch += 1
        scale = 1.0 if batch.context is None else batch.context[:, 0]
        rows = 0.5 * (self.weight - batch.x).square().sum(1) * scale
        fields = {"bound": -rows, "target": -rows, "penalty": rows.mean() * 0}
        return estimate_of(loss=rows.mean(), **fields | self.fields)


def stepper(start=(1.0, -2.0), rate=0.5, **options):
    weight, unused = nn.Parameter(torch.tensor(start)), nn.Parameter(torch.ones(3))
    gradient = Squares(weight)
    model = nn.Module()
    model.device = torch.device("cpu")
    step = TrainingStep(model, nn.Module(), gradient, SGD([weight, unused], lr=rate), **options)
    return step, weight, gradient


X = torch.tensor(
    [[0.5, 1.0], [2.0, -3.0], [-1.0, 0.0], [4.0, 1.5], [0.0, 0.0], [1.0, 2.5]]
).double()
CONTEXT = torch.tensor([[1.0], [0.5], [3.0], [0.25], [2.0], [1.5]]).double()
INDEX = torch.tensor([7, 1, 4, 9, 0, 3])


def slope(weight, x, context) -> np.ndarray:
    return ((np.asarray(weight) - x.numpy()) * context.numpy()).mean(0)


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
@pytest.mark.parametrize("limit", [None, 1.5, 100.0])
def test_a_step_follows_the_mean_gradient_however_the_batch_is_split(parts, limit):
    step, weight, gradient = stepper(clip_norm=limit, micro_batches=parts)
    statistics = step(Batch(X, CONTEXT, INDEX, 60))
    expected = slope([1.0, -2.0], X, CONTEXT)
    norm = np.linalg.norm(expected)  # 3.3
    if limit is not None:
        expected = expected * min(1.0, limit / (norm + 1e-6))
    assert weight.tolist() == pytest.approx(([1.0, -2.0] - 0.5 * expected).tolist(), rel=1e-12)
    rows = 0.5 * ((np.array([1.0, -2.0]) - X.numpy()) ** 2).sum(1) * CONTEXT[:, 0].numpy()
    assert statistics[[0, 3]].tolist() == pytest.approx([-rows.mean()] * 2, rel=1e-6)
    assert [len(batch.x) for batch in gradient.batches] == [6 // parts] * parts
    assert torch.cat([batch.index for batch in gradient.batches]).tolist() == INDEX.tolist()
    assert {batch.dataset_size for batch in gradient.batches} == {60}


def test_without_context_and_index_parts_have_none():
    step, weight, gradient = stepper(micro_batches=2)
    step(Batch(X))
    assert all(b.context is None and b.index is None for b in gradient.batches)
    ones = torch.ones(6, 1)
    assert weight.tolist() == pytest.approx(
        ([1.0, -2.0] - 0.5 * slope([1.0, -2.0], X, ones)).tolist(), rel=1e-12
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("limit", [None, 1.5])
@pytest.mark.parametrize("way", ["__call__", "run_uncaptured"])
def test_skipped_steps_change_nothing_and_are_counted(parts, limit, way):
    step, weight, gradient = stepper(clip_norm=limit, micro_batches=parts)
    take = getattr(step, way)
    broken = X.clone()
    broken[4, 1] = torch.inf  # in the last part
    counts = []
    for bad in (False, True, True, False, True):
        before, calls = weight.tolist(), gradient.calls.item()
        statistics = take(Batch(broken if bad else X, CONTEXT))
        assert (weight.tolist() == before) == bad
        assert gradient.calls.item() == calls + (0 if bad else parts)
        assert (statistics == 0).all() == bad
        counts.append((step.skipped_steps.item(), step.skip_streak.item()))
    assert counts == [(0, 0), (1, 1), (2, 2), (2, 0), (3, 1)]
    assert gradient.scratch.item() == 5 * parts  # it belongs to no saved state


def test_a_part_that_is_not_finite_skips_the_step_though_the_mean_may_be_finite():
    step, weight, _ = stepper(micro_batches=2)
    differentiate = step.differentiate

    def doubtful(x, *rest):
        result = differentiate(x, *rest)
        return result._replace(skip=result.skip | (x[0, 0] == X[0, 0]))

    step.differentiate = doubtful
    assert (step(Batch(X)) == 0).all() and step.skipped_steps == 1
    assert weight.tolist() == [1.0, -2.0]


def test_compile_and_capture_replace_the_functions_they_are_for():
    seen = []

    def note(name, function):
        def call(*inputs):
            seen.append(name)
            return function(*inputs)

        return call

    step, _, _ = stepper(
        compile=lambda function: note("differentiate", function),
        capture=lambda function: note("step", function),
        micro_batches=3,
    )
    step(Batch(X))
    assert seen == ["step", *["differentiate"] * 3]
    seen.clear()
    step.run_uncaptured(Batch(X))
    assert seen == ["differentiate"] * 3


ORDER = ("x", "z", "log_likelihood", "log_prior", "log_posterior", "kl", "target", "penalty")


def test_each_tensor_that_is_not_finite_has_its_name_and_the_first_is_reported():
    """From all eight lost down to none, where the gradient is the cause: nine names."""
    lost = torch.tensor([[1.0, torch.nan]] * 3)
    broken = dict.fromkeys(ORDER, lost) | {"kl": lost[0], "target": lost[0], "penalty": lost[0, 1]}

    def name_of(first: int, last: int) -> str:
        step, _, gradient = stepper()
        gradient.fields = {name: broken[name] for name in ORDER[first:last] if name != "x"}
        state = torch.get_rng_state()
        name = step.find_nonfinite(Batch(lost[:, :2] if first == 0 else X))
        assert gradient.calls == 0 and torch.equal(torch.get_rng_state(), state)
        return name

    alone = [name_of(first, first + 1) for first in range(1, 9)]
    assert len(set(alone)) == 8
    assert [name_of(first, 8) for first in range(1, 9)] == alone
    assert name_of(0, 1) == name_of(0, 8) not in alone


def test_only_saved_buffers_are_restored():
    module = nn.Sequential(nn.BatchNorm1d(2), Squares(torch.zeros(2)))
    names = [name for name, _ in module.named_buffers()]
    assert len(names) == 5
    kept = persistent_buffers(module)
    assert len(kept) == 4 and all(buffer is not module[1].scratch for buffer in kept)
