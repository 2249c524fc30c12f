"""Random draws of a traced function are those of the function, for one model and for many."""

import pytest
import torch

from aevb.training._engine._tracing import UntraceableError, trace

pytestmark = pytest.mark.usefixtures("float64")

# each draws from the default stream, and uses its input
DRAWS = {
    "randn": lambda x: x + torch.randn(3, 2),
    "randn_like": lambda x: x * torch.randn_like(x),
    "rand": lambda x: x + torch.rand(4, 3, 1),
    "rand_like": lambda x: x - torch.rand_like(x),
    "normal_": lambda x: x + torch.empty(3, 2).normal_(2.0, 0.5),
    "uniform_": lambda x: x + torch.empty(5, 1, 2).uniform_(-3.0, 7.0),
    "exponential_": lambda x: x + torch.empty(3, 2).exponential_(4.0),
    "bernoulli_": lambda x: x + torch.empty(50, 3, 2).bernoulli_(0.3),
    "normal": lambda x: torch.normal(x, x.exp()),
    "single": lambda x: x + torch.randn(3, 2, dtype=torch.float32),
    "several": lambda x: torch.rand(2) + x * torch.randn(3, 1) + torch.empty(2).exponential_(),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_become_inputs_with_the_same_numbers(name):
    function, x = DRAWS[name], torch.randn(3, 2)
    before = torch.get_rng_state()
    traced = trace(function, [x])
    assert torch.equal(torch.get_rng_state(), before)
    assert len(traced.random_draws) == (3 if name == "several" else 1)
    generator = torch.Generator().manual_seed(5)
    numbers = [torch.empty(draw.shape, dtype=draw.dtype) for draw in traced.random_draws]
    for draw, tensor in zip(traced.random_draws, numbers, strict=True):
        draw.fill_into(tensor, generator)
    torch.manual_seed(5)
    expected = function(x)
    torch.testing.assert_close(traced.graph(x, *numbers), expected, rtol=0, atol=1e-15)
    both = [torch.stack([tensor, tensor]) for tensor in (x, *numbers)]
    found = traced.vectorise(both[:1])(*both)
    torch.testing.assert_close(found, torch.stack([expected] * 2), rtol=0, atol=1e-15)


def test_the_graph_has_no_operations_without_use():
    graph = trace(lambda x: (x + 1, x.exp())[0], [torch.zeros(2)]).graph.graph
    assert [node for node in graph.nodes if not node.users and node.op != "output"] == []


def test_many_models_are_each_their_function():
    def loss(weight, x):
        value = ((x @ weight + torch.randn(4, 1)) ** 2).mean()
        gradients = torch.autograd.grad(value, [weight])
        return value, *gradients, torch.nn.utils.get_total_norm(gradients)

    weights, x = torch.randn(3, 2, 1, requires_grad=True), torch.randn(3, 4, 2)
    traced = trace(loss, [weights[0], x[0]])
    kept = [tensor.clone() for tensor in (weights, x)]
    together = traced.vectorise([weights, x])
    assert all(torch.equal(*pair) for pair in zip(kept, (weights, x), strict=True))
    noise = torch.randn(3, 4, 1)
    value, gradient, norm = together(weights, x, noise)
    for m in range(3):
        residual = x[m] @ weights[m] + noise[m]
        exact = 2 * x[m].T @ residual / 4  # of the mean over 4 rows
        torch.testing.assert_close(value[m], residual.square().mean())
        torch.testing.assert_close(gradient[m], exact)
        torch.testing.assert_close(norm[m], exact.norm())


def test_inputs_that_the_function_changes_are_kept():
    x = torch.ones(2)
    traced = trace(lambda x: x.add_(1), [x])
    many = torch.ones(3, 2)
    traced.vectorise([many])
    assert torch.equal(x, torch.ones(2)) and torch.equal(many, torch.ones(3, 2))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: torch.poisson(x.exp()),
        lambda x: torch.randperm(3) + x.sum(),
        lambda x: x if x.sum() > 0 else -x,
    ],
    ids=["bernoulli", "poisson", "randperm", "branch"],
)
def test_draws_and_branches_that_depend_on_parameters_are_refused(function):
    with pytest.raises(UntraceableError) as caught:
        trace(function, [torch.randn(2)])
    assert 0 < len(str(caught.value)) <= 200 and "\n" not in str(caught.value)


def test_operations_for_one_model_only_are_refused():
    traced = trace(torch.nonzero, [torch.rand(5)])
    with pytest.raises(UntraceableError) as caught:
        traced.vectorise([torch.rand(3, 5)])
    assert "\n" not in str(caught.value)
