"""When a compiled step checks its guards."""

import pytest
import torch

from aevb.training._engine._compiler import StepCompiler


def checks(monkeypatch, skip_guards: bool) -> tuple[StepCompiler, list[bool], object]:
    """A compiler whose graphs are plain functions, and whether each call of them was checked."""
    checked = []
    skipping = False

    class Stance:
        def __init__(self, stance, *, skip_guard_eval_unsafe):
            assert stance == "default"
            self.skip = skip_guard_eval_unsafe

        def __enter__(self):
            nonlocal skipping
            skipping = self.skip

        def __exit__(self, *error):
            nonlocal skipping
            skipping = False

    def graph(x):
        checked.append(not skipping)
        return x + 1

    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    monkeypatch.setattr(torch.compiler, "set_stance", Stance)
    compiler = StepCompiler(True, 0, skip_guards)
    compiler.compiler.enabled = True  # also without a C++ compiler
    return compiler, checked, compiler(graph)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch itself
def test_guards_are_checked_when_traced_and_once_more_and_after_a_change(monkeypatch):
    compiler, checked, step = checks(monkeypatch, True)
    assert [step(x) for x in range(5)] == [1, 2, 3, 4, 5]
    assert checked == [True, True, False, False, False]
    for _ in range(2):
        checked.clear()
        compiler.invalidate_guards()
        assert [step(x) for x in range(3)] == [1, 2, 3]
        assert checked == [True, False, False]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # of torch itself
def test_guards_are_always_checked_by_default(monkeypatch):
    _, checked, step = checks(monkeypatch, False)
    assert [step(x) for x in range(4)] == [1, 2, 3, 4] and checked == [True] * 4


def test_a_compiler_that_is_off_returns_the_function():
    compiler = StepCompiler(False, 1e9)
    assert not compiler.enabled and compiler.notes == [] and compiler(abs) is abs
