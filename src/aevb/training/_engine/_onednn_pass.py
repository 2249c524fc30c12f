"""An Inductor pass that routes the float32 products of a compiled step to oneDNN."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import fx

from ..._matmul import MIN_ONEDNN_MULTIPLICATIONS, onednn_is_faster, onednn_linear


def onednn_graph_pass() -> Any:
    """The Inductor pass that routes float32 products to oneDNN; ``None`` where MKL is as fast."""
    if not onednn_is_faster():
        return None
    _register_operator()
    from torch._inductor.custom_graph_pass import CustomGraphPass

    class ToOneDNN(CustomGraphPass):
        def __call__(self, graph: fx.Graph) -> None:
            route_products(graph)

        def uuid(self) -> str:
            return f"aevb-onednn-{MIN_ONEDNN_MULTIPLICATIONS}"

    return ToOneDNN()


@cache
def _register_operator() -> Any:
    """Define the product as a custom operator, whose strides the compiler does not change.

    The library is returned too: the operator lives as long as the library.
    """
    library = torch.library.Library("aevb", "DEF")
    library.define(
        "product(Tensor x, Tensor weight, Tensor? bias) -> Tensor",
        tags=(torch.Tag.needs_exact_strides,),
    )
    library.impl("product", onednn_linear, "CPU")
    library.impl(
        "product", lambda x, weight, bias: x.new_empty(x.shape[0], weight.shape[0]), "Meta"
    )
    return library, torch.ops.aevb.product.default


def route_products(graph: fx.Graph) -> None:
    """Replace ``a @ b`` and ``bias + a @ b`` by a linear layer with the weight ``b^T``.

    The transpose is a view, which oneDNN reads in place.
    """
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in (
            torch.ops.aten.mm.default,
            torch.ops.aten.addmm.default,
        ):
            bias, a, b = (
                (None, *node.args) if node.target is torch.ops.aten.mm.default else node.args
            )
            if _is_eligible_node(a, b, bias) and not node.kwargs:
                _replace_node(graph, node, a, b, bias)
    graph.lint()


def _is_eligible_node(a: fx.Node, b: fx.Node, bias: fx.Node | None) -> bool:
    left, right = a.meta["val"], b.meta["val"]
    added = None if bias is None else bias.meta["val"]
    plain = left.dtype == torch.float32 and left.device.type == "cpu"
    return (
        plain
        and left.numel() * right.shape[1] >= MIN_ONEDNN_MULTIPLICATIONS
        and (added is None or added.dim() == 1)
    )


def _replace_node(
    graph: fx.Graph, node: fx.Node, a: fx.Node, b: fx.Node, bias: fx.Node | None
) -> None:
    with graph.inserting_before(node):
        weight = graph.call_function(torch.ops.aten.permute.default, (b, [1, 0]))
        weight.meta["val"] = b.meta["val"].permute(1, 0)
        product = graph.call_function(_register_operator()[1], (a, weight, bias))
        product.meta.update(node.meta)
    node.replace_all_uses_with(product)
    graph.erase_node(node)
