"""Matrix products by the library that is faster on this processor.

PyTorch sends float32 products on x86 to MKL, which has no AVX-512 kernels for processors of other makers. There oneDNN, which PyTorch
carries too, is about twice as fast (``benchmarks/speed/products.py``). Compiled steps and evaluation use it; the choice depends on the
processor alone, so the same machine always gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx
from torch.overrides import TorchFunctionMode

from ._hardware import cpu_description

MIN_ONEDNN_MULTIPLICATIONS = (
    500_000  # multiplications below which the call costs more than it saves
)


@cache
def onednn_is_faster() -> bool:
    """Whether float32 products belong to oneDNN here: AVX-512 on a processor that is not Intel's."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    return "avx512f" in cpu_description() and "GenuineIntel" not in cpu_description()


def use_onednn_linear() -> AbstractContextManager[object]:
    """Inside the block linear layers that need no gradient go to oneDNN, where that is faster."""
    return _OneDNNLinearMode() if onednn_is_faster() else nullcontext()


class _OneDNNLinearMode(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs and _is_eligible(*args):
            x, weight = args[:2]
            flat = x.reshape(-1, x.shape[-1])
            return _onednn_linear(flat, weight, args[2] if len(args) > 2 else None).reshape(
                *x.shape[:-1], -1
            )
        return func(*args, **(kwargs or {}))


def _is_eligible(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    plain = (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )
    return (
        plain
        and not torch.is_grad_enabled()
        and x.numel() * weight.shape[0] >= MIN_ONEDNN_MULTIPLICATIONS
    )


def _onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def onednn_graph_pass() -> Any:
    """A pass over a compiled graph that gives its float32 products to oneDNN, or ``None`` where they are well where they are."""
    if not onednn_is_faster():
        return None
    _register_operator()
    from torch._inductor.custom_graph_pass import CustomGraphPass

    class ToOneDNN(CustomGraphPass):
        def __call__(self, graph: fx.Graph) -> None:
            replace_matmuls(graph)

        def uuid(self) -> str:
            return f"aevb-onednn-{MIN_ONEDNN_MULTIPLICATIONS}"

    return ToOneDNN()


@cache
def _register_operator() -> Any:
    """The product as an operator of our own: the compiler leaves such a call, and the strides of what it is given, as they are."""
    library = torch.library.Library("aevb", "DEF")
    library.define(
        "product(Tensor x, Tensor weight, Tensor? bias) -> Tensor",
        tags=(torch.Tag.needs_exact_strides,),
    )
    library.impl("product", _onednn_linear, "CPU")
    library.impl(
        "product", lambda x, weight, bias: x.new_empty(x.shape[0], weight.shape[0]), "Meta"
    )
    return (
        library,
        torch.ops.aevb.product.default,
    )  # the library is kept: with it the operator would go


def replace_matmuls(graph: fx.Graph) -> None:
    """Replace ``a @ b`` and ``bias + a @ b`` by a linear layer with the weight ``b^T``: a view, which oneDNN reads as it lies."""
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
