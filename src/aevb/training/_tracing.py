"""A function of tensors as a graph of plain operations whose random numbers are inputs, to be run for many models at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

aten = torch.ops.aten
# Fills that depend on nothing but their shape, and the arguments that they begin with.
_RANDOM_FILLS: dict[Any, tuple[str, int | None]] = {
    aten.normal_.default: ("normal_", 1),
    aten.uniform_.default: ("uniform_", 1),
    aten.exponential_.default: ("exponential_", 1),
    aten.bernoulli_.float: ("bernoulli_", 1),
    aten.randn.default: ("normal_", None),
    aten.randn_like.default: ("normal_", None),
    aten.rand.default: ("uniform_", None),
    aten.rand_like.default: ("uniform_", None),
    aten.normal.Tensor_Tensor: ("normal_", None),
}
# Operations on lists have no rule for one more axis; each is the plain operation for every member.
_LIST_DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten._foreach_norm.Scalar: lambda tensors, order=2, dtype=None: [
        torch.linalg.vector_norm(each, order) for each in tensors
    ]
}


class UntraceableError(Exception):
    """Why a function cannot be run for many models at once."""


@dataclass(frozen=True)
class RandomDraw:
    """Random numbers that a function asks for: their shape, and the tensor method that fills them."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    method: str
    arguments: tuple[float, ...]

    def fill_into(self, numbers: Tensor, generator: torch.Generator) -> None:
        """Fill one model's share as the function itself would have from this generator."""
        getattr(numbers, self.method)(*self.arguments, generator=generator)


@dataclass(frozen=True)
class TracedFunction:
    """``graph(*inputs, *drawn)``, and what has to be drawn for it, in this order."""

    graph: fx.GraphModule
    random_draws: tuple[RandomDraw, ...]

    def vectorise(self, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        """The graph for inputs with one more axis in front, one entry per model: plain operations again, each for all models."""
        drawn = [
            torch.zeros(len(inputs[0]), *draw.shape, dtype=draw.dtype, device=inputs[0].device)
            for draw in self.random_draws
        ]
        copies = [
            tensor.clone() for tensor in inputs
        ]  # tracing runs the graph, which may change what it is given
        try:
            return make_fx(torch.vmap(self.graph, randomness="error"))(*copies, *drawn)
        except Exception as error:  # an operation without a rule for one more axis
            raise UntraceableError(str(error).splitlines()[0][:120]) from error


def trace(function: Callable[..., Any], inputs: Sequence[Tensor]) -> TracedFunction:
    """Run ``function(*inputs)`` once and write its operations down, gradients included; raises ``UntraceableError``.

    The inputs and the default random stream are left as they were.
    """
    state = torch.get_rng_state()
    try:
        graph = make_fx(function, _LIST_DECOMPOSITIONS)(*(tensor.clone() for tensor in inputs))
    except Exception as error:
        raise UntraceableError(str(error).splitlines()[0][:120]) from error
    finally:
        torch.set_rng_state(state)
    draws = tuple(
        _lift_random_node(graph, node) for node in list(graph.graph.nodes) if _is_random(node)
    )
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return TracedFunction(graph, draws)


def _is_random(node: fx.Node) -> bool:
    return (
        isinstance(node.target, torch._ops.OpOverload)
        and torch.Tag.nondeterministic_seeded in node.target.tags
    )


def _lift_random_node(graph: fx.GraphModule, node: fx.Node) -> RandomDraw:
    """Replace a node that draws by an input."""
    fill, first = _RANDOM_FILLS.get(node.target, ("", 0))
    arguments = () if first is None else node.args[first:]
    if not fill or any(isinstance(argument, fx.Node) for argument in arguments):
        raise UntraceableError(f"its draws by `{node.target}` depend on its parameters")
    value = node.meta["val"]
    after = [n for n in graph.graph.nodes if n.op == "placeholder"][-1]
    with graph.graph.inserting_after(after):
        numbers = graph.graph.placeholder(f"drawn_{node.name}")
    replacement = numbers
    if (
        node.target is aten.normal.Tensor_Tensor
    ):  # as the kernel does it: a standard normal number, then scale and shift
        with graph.graph.inserting_before(node):
            scaled = graph.graph.call_function(aten.mul.Tensor, (numbers, node.args[1]))
            replacement = graph.graph.call_function(aten.add.Tensor, (scaled, node.args[0]))
    node.replace_all_uses_with(replacement)
    graph.graph.erase_node(node)
    return RandomDraw(
        tuple(value.shape), value.dtype, fill, tuple(float(argument) for argument in arguments)
    )  # pyright: ignore[reportArgumentType]
