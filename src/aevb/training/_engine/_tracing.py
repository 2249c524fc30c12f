"""Functions as graphs of plain operations whose random numbers are inputs, for many models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from ..._random import keep_stream

aten = torch.ops.aten
# Random operations that depend on a shape only; the method that draws the same numbers, and the
# position of its first argument.
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
# Operations on lists cannot be vectorised; they are replaced by one operation per member.
_LIST_DECOMPOSITIONS: dict[Any, Callable[..., Any]] = {
    aten._foreach_norm.Scalar: lambda tensors, order=2, dtype=None: [
        torch.linalg.vector_norm(each, order) for each in tensors
    ]
}


class UntraceableError(Exception):
    """A function that cannot run for many models at once; the message says why."""


@dataclass(frozen=True)
class RandomDraw:
    """Random numbers that a function draws: their shape, and the tensor method that fills them."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    method: str
    arguments: tuple[float, ...]

    def fill_into(self, numbers: Tensor, generator: torch.Generator) -> None:
        """Draw the numbers that the function itself would draw from the generator."""
        getattr(numbers, self.method)(*self.arguments, generator=generator)


@dataclass(frozen=True)
class TracedFunction:
    """A graph ``(*inputs, *random numbers)``, and the random numbers in their order."""

    graph: fx.GraphModule
    random_draws: tuple[RandomDraw, ...]

    def vectorise(self, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        """Vectorise the graph over a first axis with one entry per model.

        Raises:
            UntraceableError: An operation cannot be vectorised.
        """
        drawn = [
            torch.zeros(len(inputs[0]), *draw.shape, dtype=draw.dtype, device=inputs[0].device)
            for draw in self.random_draws
        ]
        copies = [tensor.clone() for tensor in inputs]  # tracing may change them in place
        try:
            return make_fx(torch.vmap(self.graph, randomness="error"))(*copies, *drawn)
        except Exception as error:  # torch raises many classes
            raise UntraceableError(str(error).splitlines()[0][:120]) from error


def trace(function: Callable[..., Any], inputs: Sequence[Tensor]) -> TracedFunction:
    """Trace ``function(*inputs)`` with its gradients.

    The inputs and the default random stream do not change.

    Raises:
        UntraceableError: The function cannot be traced, or its draws depend on parameters.
    """
    try:
        with keep_stream():
            graph = make_fx(function, _LIST_DECOMPOSITIONS)(*(tensor.clone() for tensor in inputs))
    except Exception as error:
        raise UntraceableError(str(error).splitlines()[0][:120]) from error
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
    """Replace a node that draws random numbers by an input."""
    fill, first = _RANDOM_FILLS.get(node.target, ("", None))
    arguments = () if first is None else node.args[first:]
    if not fill or any(isinstance(argument, fx.Node) for argument in arguments):
        raise UntraceableError(f"its draws by `{node.target}` depend on its parameters")
    value = node.meta["val"]
    after = [n for n in graph.graph.nodes if n.op == "placeholder"][-1]
    with graph.graph.inserting_after(after):
        numbers = graph.graph.placeholder(f"drawn_{node.name}")
    replacement = numbers
    if node.target is aten.normal.Tensor_Tensor:  # scale and shift a standard normal number
        with graph.graph.inserting_before(node):
            scaled = graph.graph.call_function(aten.mul.Tensor, (numbers, node.args[1]))
            replacement = graph.graph.call_function(aten.add.Tensor, (scaled, node.args[0]))
    node.replace_all_uses_with(replacement)
    graph.graph.erase_node(node)
    numbers_only = tuple(float(argument) for argument in arguments)  # pyright: ignore[reportArgumentType]
    return RandomDraw(tuple(value.shape), value.dtype, fill, numbers_only)
