"""Compilation of functions of tensors, with the plain function as fallback."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from ._hardware import uses_plain_engine
from ._random import TURN
from .notes import Note

# Compiling takes some ten seconds and saves about a millisecond per step. A warm cache would pay
# earlier, but whether a run is compiled must not depend on earlier runs: compiled and eager steps
# agree to rounding, not to the bit.
MIN_STEPS_TO_COMPILE = 15_000
CompileOption = bool | Literal["auto"]


class Compiler:
    """Compile a function of tensors into one graph, or leave it as it is.

    ``notes`` say why a function is compiled, or why it is not although it should be.

    Args:
        option: ``True``, ``False``, or ``"auto"``: compile where the steps pay for it.
        steps: Planned number of calls.
        graph_pass: Makes the pass over the graph that Inductor runs last, or ``None``.
        wrap: Replaces the compiled function, for instance to skip its guards.
    """

    def __init__(
        self,
        option: CompileOption,
        steps: float,
        graph_pass: Callable[[], Any] = lambda: None,
        wrap: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda graph: graph,
    ) -> None:
        self.notes: list[Note] = []
        self.graph_pass, self.wrap = graph_pass, wrap
        self.enabled = self._resolve_enabled(option, steps)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile for fixed shapes and the function's own random numbers.

        A function that cannot be traced is called as it is.
        """
        if not self.enabled:
            return function
        from torch._dynamo.exc import Unsupported  # takes a second to import

        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(inductor_cache_dir()))
        options = {"fallback_random": True, "post_grad_custom_post_pass": self.graph_pass()}
        graph = self.wrap(torch.compile(function, fullgraph=True, dynamic=False, options=options))
        traced: bool | None = None

        def call(*inputs: Any) -> Any:
            nonlocal traced
            if traced is False:
                return function(*inputs)
            if traced:  # without the patch below, which costs as much as a small product
                with suppress(Unsupported):  # another shape: traced anew
                    return graph(*inputs)
            try:
                with TURN, torch._dynamo.config.patch(trace_autograd_ops=True):
                    result = graph(*inputs)
            except Exception as error:
                if traced:
                    raise
                traced = False
                self._note_not_compiled(f"it could not be compiled ({_first_line(error)})")
                return function(*inputs)
            traced = True
            return result

        return call

    def _resolve_enabled(self, option: CompileOption, steps: float) -> bool:
        if option is False or uses_plain_engine():
            return False
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            if option is True:
                self._note_not_compiled("there is no C++ compiler (install g++)")
            return False
        if option is True:
            return True
        if steps < MIN_STEPS_TO_COMPILE:
            return False
        self.notes.append(
            Note(
                "compiled",
                f"The step is compiled: {steps:,.0f} steps are planned, and compiling pays from "
                f"about {MIN_STEPS_TO_COMPILE:,}.",
                data={"steps": steps, "minimum_steps": MIN_STEPS_TO_COMPILE},
            )
        )
        return True

    def _note_not_compiled(self, reason: str) -> None:
        self.notes.append(
            Note(
                "not_compiled",
                f"The step runs without compiling: {reason}.",
                "warning",
                {"reason": reason},
            )
        )


def inductor_cache_dir() -> Path:
    """The folder that keeps compiled steps; Inductor's default is lost at the next restart."""
    configured = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if configured:
        return Path(configured)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aevb" / "inductor"


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
