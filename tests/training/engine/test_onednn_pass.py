"""Which products of a graph are sent to oneDNN, at the boundaries of each condition."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from aevb._matmul import MIN_ONEDNN_MULTIPLICATIONS
from aevb.training._engine import _onednn_pass as engine_pass

LARGE = (500, 100, 10)  # as many multiplications as needed
SMALL = (499, 100, 10)


def product(a, b):
    return a @ b


def routed(function, *inputs):
    """The graph of a function after the pass, and how many of its products are replaced."""
    engine_pass._register_operator()
    graph = make_fx(function)(*inputs)
    before = sum("mm" in str(node.target) for node in graph.graph.nodes)
    engine_pass.route_products(graph.graph)
    graph.recompile()
    targets = [node.target for node in graph.graph.nodes]
    left = targets.count(torch.ops.aten.mm.default) + targets.count(torch.ops.aten.addmm.default)
    count = targets.count(torch.ops.aevb.product.default)
    assert left + count == before
    return graph, count


def matrices(rows, inner, columns, dtype=torch.float32):
    return torch.randn(rows, inner, dtype=dtype), torch.randn(inner, columns, dtype=dtype)


@pytest.mark.parametrize(
    "sizes, dtype, count",
    [(LARGE, torch.float32, 1), (SMALL, torch.float32, 0), (LARGE, torch.float64, 0)],
)
def test_large_products_of_single_precision_are_replaced(sizes, dtype, count):
    assert torch.Size(LARGE).numel() == MIN_ONEDNN_MULTIPLICATIONS
    a, b = matrices(*sizes, dtype=dtype)
    for function, inputs in (
        (product, (a, b)),
        (torch.addmm, (torch.randn(sizes[2], dtype=dtype), a, b)),
    ):
        graph, found = routed(function, *inputs)
        assert found == count
        # single precision sums of 100 products in another order
        torch.testing.assert_close(graph(*inputs), function(*inputs), rtol=0, atol=1e-4)
        (out,) = (node for node in graph.graph.nodes if node.op == "output")
        assert out.args[0].meta["val"].shape == (sizes[0], sizes[2])


def test_the_weight_is_the_transposed_view():
    a, b = matrices(*LARGE)
    graph, _ = routed(product, a, b)
    (weight,) = (n for n in graph.graph.nodes if n.target is torch.ops.aten.permute.default)
    assert weight.meta["val"].shape == (10, 100) and weight.meta["val"].stride() == (1, 10)


def test_other_sums_and_scaled_products_are_kept():
    a, b = matrices(*LARGE)
    assert routed(torch.addmm, torch.randn(500, 10), a, b)[1] == 0  # a matrix is no bias
    assert routed(lambda c, a, b: torch.addmm(c, a, b, beta=2.0), torch.randn(10), a, b)[1] == 0
    assert routed(lambda a, b: (a[:10] @ b).exp() + 1, a, b)[1] == 0


def test_every_product_of_a_graph_is_replaced():
    a, b = matrices(*LARGE)
    graph, count = routed(lambda a, b: (a @ b).relu() + (2 * a) @ b, a, b)
    assert count == 2
    expected = (a @ b).relu() + 2 * a @ b
    torch.testing.assert_close(graph(a, b), expected, rtol=0, atol=3e-4)


def test_the_operator_knows_its_shape_without_numbers():
    _, operator = engine_pass._register_operator()
    a, weight = (torch.empty(shape, device="meta") for shape in ((5, 3), (7, 3)))
    assert operator(a, weight, None).shape == (5, 7)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch itself
@pytest.mark.parametrize("faster", [True, False])
def test_there_is_a_pass_where_onednn_is_faster(monkeypatch, faster):
    registered, register = [], engine_pass._register_operator
    monkeypatch.setattr(engine_pass, "onednn_is_faster", lambda: faster)
    monkeypatch.setattr(
        engine_pass, "_register_operator", lambda: registered.append(None) or register()
    )
    found = engine_pass.onednn_graph_pass()
    # a graph of the cache has the operator without a pass over it
    assert (found is not None) == bool(registered) == faster
    if found is not None:
        a, b = matrices(*LARGE)
        graph = make_fx(product)(a, b)
        found(graph.graph)
        assert torch.ops.aevb.product.default in {node.target for node in graph.graph.nodes}
        assert str(MIN_ONEDNN_MULTIPLICATIONS) in found.uuid()
