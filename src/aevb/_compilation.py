"""Whether to compile, and what to do where it cannot be done."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from ._matmul import onednn_graph_pass

# Steps after which compiling has paid for itself: some ten seconds against about a millisecond a step. A warm cache would pay earlier, but
# whether a run is compiled must not depend on what ran before it: compiled and eager steps agree to rounding, not to the bit.
MIN_STEPS_TO_COMPILE = 15_000
CompileOption = bool | Literal["auto"]


class Compiler:
    """Turns a function of tensors into one graph, or leaves it as it is; ``said`` tells which and why.

    A graph takes much for granted (shapes, modes, whatever the function reads), and checks it at each call, which takes as long as a
    product of matrices. Where calls are ``skip_guards`` it is checked once, and again after ``invalidate_guards``.
    """

    def __init__(self, option: CompileOption, steps: float, skip_guards: bool = False) -> None:
        self.notes: list[str] = []
        self.enabled = self._resolve_enabled(option, steps)
        self.skip_guards, self.guard_version = skip_guards, 0

    def invalidate_guards(self) -> None:
        """Something else than the values of tensors may have changed since the last call."""
        self.guard_version += 1

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """One graph, for fixed shapes, that draws the numbers the function itself would draw; the function where it cannot be traced."""
        if not self.enabled:
            return function
        from torch._dynamo.exc import Unsupported  # a second to import

        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(inductor_cache_dir()))
        options = {"fallback_random": True, "post_grad_custom_post_pass": onednn_graph_pass()}
        graph = torch.compile(function, fullgraph=True, dynamic=False, options=options)
        traced: bool | None = None
        checked = -1  # the doubt after which the graph was found to hold

        def call(*inputs: Any) -> Any:
            nonlocal traced, checked
            if traced is False:
                return function(*inputs)
            if traced and self.skip_guards and checked == self.guard_version:
                with torch.compiler.set_stance("default", skip_guard_eval_unsafe=True):
                    return graph(*inputs)
            if traced:  # entering the patch below costs as much as a small product, and only tracing asks for it
                with suppress(Unsupported):  # another shape: traced anew
                    result = graph(*inputs)
                    checked = self.guard_version
                    return result
            try:
                with torch._dynamo.config.patch(trace_autograd_ops=True):
                    result = graph(*inputs)
            except Exception as error:
                if traced:
                    raise
                traced = False
                self.notes.append(
                    f"The step runs without compiling: it could not be compiled ({_first_line(error)})."
                )
                return function(*inputs)
            traced = True
            return result

        return call

    def _resolve_enabled(self, option: CompileOption, steps: float) -> bool:
        if option is False:
            return False
        if shutil.which(os.environ.get("CXX", "g++")) is None and shutil.which("clang++") is None:
            if option is True:
                self.notes.append(
                    "The step runs without compiling: there is no C++ compiler (install g++)."
                )
            return False
        if option is True:
            return True
        if steps < MIN_STEPS_TO_COMPILE:
            return False
        self.notes.append(
            f"The step is compiled: {steps:,.0f} steps are planned, and compiling pays from about {MIN_STEPS_TO_COMPILE:,}."
        )
        return True


def inductor_cache_dir() -> Path:
    """Where compiled steps are kept from run to run: a folder of our own, since the default one goes with the next restart."""
    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    return (
        Path(given)
        if given
        else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "aevb" / "inductor"
    )


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:120]}" if lines else type(error).__name__
