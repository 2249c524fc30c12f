"""Compilation of the training step: guards checked once per epoch, products routed to oneDNN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..._compilation import CompileOption, Compiler
from ..._random import TURN
from ...notes import Note
from ._onednn_pass import onednn_graph_pass


class StepCompiler:
    """Compile the step of a run.

    A compiled graph checks its assumptions (shapes, modes, every attribute that the function reads)
    at each call, which takes as long as a small matrix product. With ``skip_guards`` the graph is
    checked once, and again after ``invalidate_guards``.

    Args:
        option: ``True``, ``False``, or ``"auto"``: compile where the steps pay for it.
        steps: Planned number of steps.
        skip_guards: Whether only the values of tensors change between two calls.
    """

    def __init__(self, option: CompileOption, steps: float, skip_guards: bool = False) -> None:
        self.guards = object()  # another one after each change that graphs must check
        wrap = self._skip_guards if skip_guards else lambda graph: graph
        self.compiler = Compiler(option, steps, onednn_graph_pass, wrap)

    @property
    def enabled(self) -> bool:
        """Whether functions are compiled."""
        return self.compiler.enabled

    @property
    def notes(self) -> list[Note]:
        """Why the step is compiled, or why it is not."""
        return self.compiler.notes

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled function, or the function itself."""
        return self.compiler(function)

    def invalidate_guards(self) -> None:
        """Check the graph at the next call: more than values of tensors may have changed."""
        self.guards = object()

    def _skip_guards(self, graph: Callable[..., Any]) -> Callable[..., Any]:
        traced, checked = False, None  # the guards for which the graph was found to hold

        def call(*inputs: Any) -> Any:
            nonlocal traced, checked
            if checked is self.guards:
                # the stance belongs to the process
                with TURN, torch.compiler.set_stance("default", skip_guard_eval_unsafe=True):
                    return graph(*inputs)
            result = graph(*inputs)
            checked, traced = (self.guards if traced else None), True
            return result

        return call
