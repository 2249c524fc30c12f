"""Routed matrix products and reordered sums agree with the plain ones to rounding."""

import pytest
import torch
import torch.nn.functional as F

import aevb
from aevb import _matmul as products
from aevb import likelihoods, networks, posteriors, priors
from aevb._row_noise import RowNoise
from aevb.distributions import compiled_softplus_sum, softplus_sum
from aevb.distributions._softplus import grouped_softplus_sum
from aevb.inference import importance_weights
from aevb.training._engine import _onednn_pass as engine_pass
from aevb.training._engine._compiler import StepCompiler
from aevb.types import Batch

HERE = pytest.mark.skipif(
    not products.onednn_is_faster(),
    reason="this processor is served well by the library PyTorch chooses",
)


@HERE
@pytest.mark.parametrize("bias", [True, False])
def test_routed_layers_agree_and_only_large_ones_without_gradient_are_routed(bias):
    torch.manual_seed(0)
    layer = torch.nn.Linear(300, 200, bias=bias)
    x = torch.randn(3, 64, 300)
    plain = layer(x)
    with products.use_onednn_linear(), torch.no_grad():
        assert torch.allclose(
            layer(x), plain, atol=1e-4
        )  # float32 sums of 300 products in another order
        assert torch.equal(
            F.linear(x.double(), layer.weight.double()), x.double() @ layer.weight.double().T
        )
    with products.use_onednn_linear():
        assert layer(x).requires_grad


@HERE
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch itself
def test_a_compiled_graph_routes_its_products_and_agrees(monkeypatch):
    seen = []
    original = engine_pass.route_products

    def watched(graph):
        original(graph)
        seen.extend(node for node in graph.nodes if "aevb.product" in str(node.target))

    monkeypatch.setattr(engine_pass, "route_products", watched)
    torch._dynamo.reset()
    torch.manual_seed(1)
    x, weight, bias = (
        torch.randn(128, 300),
        torch.randn(200, 300, requires_grad=True),
        torch.randn(200, requires_grad=True),
    )

    def function(x):
        loss = F.relu(F.linear(x, weight, bias)).square().mean()
        return loss.detach(), *torch.autograd.grad(loss, (weight, bias))

    compiler = StepCompiler(True, 0)
    with torch._inductor.config.patch(force_disable_caches=True):
        results = compiler(function)(x)
    assert compiler.notes == []
    assert len(seen) == 2  # forward, and the gradient by the weights
    for a, b in zip(function(x), results, strict=True):
        assert torch.allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("size", [1, 111, 112, 113, 784])
def test_softplus_by_products_equals_softplus(size):
    logits = torch.cat(
        [
            torch.linspace(-200, 200, size - 1, dtype=torch.float64),
            torch.tensor([1e4], dtype=torch.float64),
        ]
    )
    # PyTorch's own drops terms of up to exp(-20) = 2e-9, of which there are fewer than 100 here
    assert torch.allclose(grouped_softplus_sum(logits), softplus_sum(logits), rtol=0, atol=1e-7)
    assert torch.isfinite(grouped_softplus_sum(torch.full((size,), -1e4)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_sum_works_for_every_shape():
    for shape in [(8, 200), (8, 200), (3, 200)]:
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        assert torch.allclose(compiled_softplus_sum(logits), softplus_sum(logits), rtol=1e-6)


@pytest.mark.parametrize("long", [False, True])
def test_scoring_many_codes_equals_the_density(long):
    torch.manual_seed(0)
    model = aevb.VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(9, [16]), 2),
        likelihoods.Bernoulli(networks.MLP(2, [16]), (3, 3)),
    ).double()
    x = (torch.rand(5, 3, 3) > 0.5).double()
    z = torch.randn(4, 5, 2, dtype=torch.float64)
    with torch.no_grad():
        score = model.likelihood.log_likelihood_function(x, many_draws=long)(z)
        assert torch.allclose(score, model.likelihood(z).log_prob(x), atol=1e-12)
        q = model.posterior(x)
        with RowNoise.from_rows(x, seed=3).samples(50):
            z = q.sample((50,))
        direct = (
            torch.logsumexp(model.terms(Batch(x), z, q).log_weight, 0)
            - torch.tensor(50.0, dtype=torch.float64).log()
        )
        weights = importance_weights(
            model, Batch(x), 50, max_pairs=10**6, allow_compile=long, seed=3
        )
        assert torch.allclose(weights.log_mean, direct, atol=1e-12)
