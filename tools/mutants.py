"""Mutation test: change one expression of the library and see whether its tests fail.

A mutant is a copy of ``src`` with one change: another comparison, sign, constant or condition, or
a statement left out. Text is left alone: tests check numbers, codes and fields, not wording.
A comparison of whole numbers moves by one (``<`` becomes ``<=``); any other is negated, since real
numbers are equal with probability 0. Tests run in stages, from the nearest to the widest, and stop
at the first failure. A process imports the library once and forks a child for each stage, which
exchanges the code of the changed functions; a change of code that runs on import needs a new
process. The script prints the survivors with the changed line: each is a missing test or a change
without effect. 100 mutants took 24 minutes with one job, beside other work.

Usage: python tools/mutants.py [--count 100] [--seed 0] [--jobs 2] [--package objectives ...]
       python tools/mutants.py --only src/aevb/training/_fit_prior.py:120
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import functools
import gc
import importlib
import json
import multiprocessing
import os
import pkgutil
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import CodeType, FunctionType
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("objectives", "gradients", "metrics", "inference", "training")
SECONDS_PER_STAGE = 900
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
    "PYTHONDONTWRITEBYTECODE": "1",
}
LIBRARIES = (  # slow to import, and used inside functions
    "torch.func",
    "torch.fx.experimental.proxy_tensor",
    "torch._dynamo",
    "torch._inductor.custom_graph_pass",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.mixture",
    "polars",
    "pandas",
    "matplotlib.pyplot",
    "PIL.Image",
)
LEFT_OUT = (".git", ".venv", ".references", "__pycache__", ".*_cache")
BOUNDARIES = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
COMPARISONS = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
LEFT_ALONE = (ast.Raise, ast.AnnAssign, ast.arguments, ast.Assert)
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "minimum": "maximum",
    "amin": "amax",
}


@dataclass(frozen=True)
class Mutant:
    """One change: the file, the line, both versions of the line and the new source."""

    path: Path
    line: int
    name: str
    before: str
    after: str
    source: str


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutant: killed by a stage, or survived all of them."""

    mutant: Mutant
    killed_by: str | None
    seconds: float


def is_text(node: ast.AST) -> bool:
    """Whether an expression is text, or a statement makes some."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str)
    if isinstance(node, ast.IfExp):
        return is_text(node.body) or is_text(node.orelse)
    if isinstance(node, ast.BinOp):
        return is_text(node.left) or is_text(node.right)
    if isinstance(node, ast.AugAssign):
        return is_text(node.value)
    return isinstance(node, ast.JoinedStr)


def is_whole(node: ast.AST) -> bool:
    """Whether an expression is a whole number for certain: a literal, a length or a shape."""
    if isinstance(node, ast.Subscript):
        return is_whole(node.value)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "len"
    if isinstance(node, ast.Attribute):
        return node.attr in ("shape", "ndim")
    return isinstance(node, ast.Constant) and type(node.value) is int


def mutate(node: ast.AST) -> ast.AST | None:
    """The node with one change, ``None`` where it is of no kind that is changed."""
    new = copy.deepcopy(node)
    if is_text(new):
        return None
    if isinstance(new, ast.Compare) and type(new.ops[0]) in COMPARISONS:
        changes = COMPARISONS | (BOUNDARIES if any(map(is_whole, new.comparators)) else {})
        new.ops[0] = changes[type(new.ops[0])]()
        return new
    if isinstance(new, ast.BinOp) and type(new.op) in OPERATORS:
        new.op = OPERATORS[type(new.op)]()
        return new
    if isinstance(new, ast.BoolOp):
        new.op = ast.Or() if isinstance(new.op, ast.And) else ast.And()
        return new
    if isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not | ast.USub):
        return new.operand
    if isinstance(new, ast.Constant) and type(new.value) in (int, float, bool):
        new.value = not new.value if isinstance(new.value, bool) else new.value + 1
        return new
    if isinstance(new, ast.IfExp):
        new.body, new.orelse = new.orelse, new.body
        return new
    if isinstance(new, ast.Call):
        function = new.func
        if isinstance(function, ast.Name) and function.id in NAMES:
            function.id = NAMES[function.id]
            return new
        if isinstance(function, ast.Attribute) and function.attr in NAMES:
            function.attr = NAMES[function.attr]
            return new
    if isinstance(new, ast.Expr) and isinstance(new.value, ast.Call):
        return ast.Pass()
    if isinstance(new, ast.AugAssign):
        return ast.Pass()
    return None


def iter_nodes(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield every node of a function body that may change, with the name of the function.

    Text, errors, assertions and annotations are left alone.
    """

    def visit(node: ast.AST, name: str) -> Iterator[tuple[ast.AST, str]]:
        if isinstance(node, LEFT_ALONE) or is_text(node):
            return
        if isinstance(node, ast.keyword) and node.arg == "strict":  # of zip: an assertion
            return
        if isinstance(node, ast.FunctionDef):
            for statement in node.body:
                yield from visit(statement, node.name)
            return
        if name and mutate(node) is not None:
            yield node, name
        for child in ast.iter_child_nodes(node):
            yield from visit(child, name)

    yield from visit(tree, "")


def apply_mutation(source: str, tree: ast.Module, node: ast.AST) -> str | None:
    """Return the source with one node changed; every other line stays as it is."""
    assert isinstance(node, ast.expr | ast.stmt)
    new = mutate(node)
    if new is None or node.end_lineno is None or node.end_col_offset is None:
        return None
    lines = source.splitlines(keepends=True)
    first, last = lines[node.lineno - 1].encode(), lines[node.end_lineno - 1].encode()
    text = ast.unparse(ast.fix_missing_locations(new))
    text = (
        f"({text})"
        if isinstance(node, ast.expr) and not isinstance(node, ast.Constant | ast.Call)
        else text
    )
    head, tail = first[: node.col_offset].decode(), last[node.end_col_offset :].decode()
    lines[node.lineno - 1 : node.end_lineno] = [head + text + tail]
    made = "".join(lines)
    try:
        return made if ast.dump(ast.parse(made)) != ast.dump(tree) else None
    except SyntaxError:
        return None


def all_mutants(packages: list[str]) -> list[Mutant]:
    """Every mutant that there is, in the order of the files."""
    made = []
    for package in packages:
        for path in sorted((ROOT / "src/aevb" / package).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
            for node, name in iter_nodes(tree):
                text = apply_mutation(source, tree, node)
                if text is not None:
                    assert isinstance(node, ast.expr | ast.stmt)
                    before = source.splitlines()[node.lineno - 1].strip()
                    after = text.splitlines()[node.lineno - 1].strip()
                    place = path.relative_to(ROOT)
                    made.append(Mutant(place, node.lineno, name, before, after, text))
    return made


def stages(mutant: Mutant) -> list[list[str]]:
    """List the tests of a mutant in stages: mirrored file, its folder, files that name it."""
    package, stem = mutant.path.parts[2], mutant.path.stem.lstrip("_")
    words = {mutant.name, *_public_names(ROOT / mutant.path)} - {"forward", "__init__", "check"}
    every = sorted((ROOT / "tests").rglob("test_*.py"))
    naming = {
        path for path in every if any(word in path.read_text(encoding="utf-8") for word in words)
    }
    folder = [path for path in every if path.is_relative_to(ROOT / "tests" / package)]
    mirrored = [path for path in folder if path.name == f"test_{stem}.py"]
    others = [path for path in folder if path not in mirrored]
    wider = sorted(others, key=lambda path: path not in naming)  # stable: those that name it first
    widest = sorted(naming - {*folder})
    found = [[str(path.relative_to(ROOT)) for path in stage] for stage in (mirrored, wider, widest)]
    return [stage for stage in ([str(mutant.path), *found[0]], *found[1:]) if stage]


def _public_names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    }


@dataclass(frozen=True)
class Workplace:
    """A copy of the tree, its functions as imported, and all code that ran on import."""

    folder: Path
    functions: list[FunctionType]
    run_on_import: set[CodeType]


@functools.cache
def workplace(parent: Path) -> Workplace:
    """Copy the tree and import the library from the copy, once per process."""
    folder = Path(tempfile.mkdtemp(dir=parent)).resolve()
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*LEFT_OUT), dirs_exist_ok=True)
    source = str(folder / "src")
    os.environ.update(ENVIRONMENT, PYTHONPATH=source, TORCHINDUCTOR_CACHE_DIR=f"{folder}.compiled")
    os.chdir(folder)
    sys.path.insert(0, source)
    sys.dont_write_bytecode = True
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    run: set[CodeType] = set()
    sys.setprofile(lambda frame, event, _: run.add(frame.f_code) if event == "call" else None)
    for module in pkgutil.walk_packages([source]):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    sys.setprofile(None)
    functions = [
        item
        for item in gc.get_objects()
        if type(item) is FunctionType and item.__code__.co_filename.startswith(source)
    ]
    gc.freeze()  # a child then copies little of the memory of its parent
    return Workplace(folder, functions, run)


def iter_code(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and all that it holds."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from iter_code(constant)


def exchanges(place: Workplace, path: Path, new: str) -> dict[FunctionType, CodeType] | None:
    """The functions of a file with their new code, ``None`` where that takes a new process."""
    versions = [
        list(iter_code(compile(source, str(path), "exec", dont_inherit=True)))
        for source in (path.read_text(encoding="utf-8"), new)
    ]
    names = [[(code.co_qualname, code.co_freevars) for code in codes] for codes in versions]
    if names[0] != names[1]:
        return None
    pairs = dict(zip(*versions, strict=True))
    found = {f: pairs[f.__code__] for f in place.functions if f.__code__ in pairs}
    loaded = {function.__code__ for function in found} - place.run_on_import
    changed = {
        old
        for old, new in pairs.items()
        if old != new and old.co_flags & CO_OPTIMIZED and "<locals>" not in old.co_qualname
    }
    return found if changed <= loaded else None


def run_stage(
    place: Workplace, tests: list[str], functions: dict[FunctionType, CodeType] | None
) -> str | None:
    """Run tests on the changed source; return what failed, ``None`` where all pass."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    options += [f"--basetemp={place.folder}.tests", "--doctest-modules", *tests]
    with open(f"{place.folder}.log", "w+", encoding="utf-8") as log:
        child = os.fork()
        if not child:
            run_child(options, functions, log.fileno())
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # also what the tests left running
        log.seek(0)
        failed = [line.strip() for line in log if line.startswith(("FAILED", "ERROR"))]
    if code == -signal.SIGALRM:
        return f"no end within {SECONDS_PER_STAGE} s"
    return None if code in (0, 5) else (failed or [f"exit code {code}"])[0]


def run_child(
    options: list[str], functions: dict[FunctionType, CodeType] | None, log: int
) -> NoReturn:
    """Run pytest in this process with the functions exchanged, or in a new one; end with both."""
    status = 3
    try:
        os.setsid()
        signal.alarm(SECONDS_PER_STAGE)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if functions is None:
            os.execv(sys.executable, [sys.executable, "-m", "pytest", *options])
        for function, code in functions.items():
            function.__code__ = code
        status = int(pytest.main(options))
        sys.stdout.flush()
    finally:
        os._exit(status)


def run_tests(parent: Path, mutant: Mutant) -> Outcome:
    """Run the stages on a copy of the tree with the change in it."""
    place = workplace(parent)
    start = time.monotonic()
    path = place.folder / mutant.path
    functions = exchanges(place, path, mutant.source)
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.source, encoding="utf-8")
    try:
        failures = (run_stage(place, tests, functions) for tests in stages(mutant))
        killed_by = next((failed for failed in failures if failed is not None), None)
    finally:
        path.write_text(before, encoding="utf-8")
        shutil.rmtree(f"{place.folder}.compiled", ignore_errors=True)  # a mutant's compiled code
    return Outcome(mutant, killed_by, time.monotonic() - start)


def main() -> int:
    """Print one line per mutant, then the survivors; exit with 1 below 90 % killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--package", nargs="*", default=list(PACKAGES))
    parser.add_argument("--only", help="FILE:LINE: every mutant of one line")
    parser.add_argument("--out", type=Path, help="also write the outcomes as JSON")
    options = parser.parse_args()
    every = all_mutants(options.package)
    if options.only:
        chosen = [m for m in every if f"{m.path}:{m.line}" == options.only]
    else:
        chosen = random.Random(options.seed).sample(every, min(options.count, len(every)))
    print(f"{len(chosen)} of {len(every):,} mutants, seed {options.seed}", flush=True)
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as name,
        ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool,
    ):
        for outcome in pool.map(functools.partial(run_tests, Path(name)), chosen):
            outcomes.append(outcome)
            mutant = outcome.mutant
            word = f"killed: {outcome.killed_by[:70]}" if outcome.killed_by else "SURVIVED"
            print(
                f"{len(outcomes):3} {mutant.path}:{mutant.line} {word} ({outcome.seconds:.0f} s)",
                flush=True,
            )
    survivors = [outcome.mutant for outcome in outcomes if outcome.killed_by is None]
    print(f"\n{len(outcomes) - len(survivors)} of {len(outcomes)} killed")
    for mutant in survivors:
        print(
            f"\n{mutant.path}:{mutant.line} in {mutant.name}\n"
            f"  - {mutant.before}\n  + {mutant.after}"
        )
    if options.out:
        rows = [
            {
                "file": str(o.mutant.path),
                "line": o.mutant.line,
                "before": o.mutant.before,
                "after": o.mutant.after,
                "killed_by": o.killed_by,
            }
            for o in outcomes
        ]
        options.out.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0 if len(survivors) <= 0.1 * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
