"""The structure of the package: one-way imports, private modules, light and safe loading."""

import ast
import importlib
import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "aevb"
FILES = sorted(PACKAGE.rglob("*.py"))

# A part is a module or package directly under src/aevb. It may import itself, every part of an
# earlier line, and parts of its own line as long as no cycle arises.
ORDER = [
    "types errors notes _random _row_noise _files _config_file _grad_mode _locks _records",
    "_build_limits _compilation _hardware _matmul _memory _offset _registry _sandbox _shapes",
    "_loop _skipped_steps",
    "distributions networks",
    "_conditional",
    "priors posteriors likelihoods",
    "models",
    "objectives gradients _recipe",
    "data _persistence",
    "inference",
    "metrics",
    "training",
    "presets",
    "plots report testing",
    "runs",
    "aevb",  # the root package: what `import aevb` gives
    "cells sklearn cli __main__",
    "pyod",  # the estimator of scikit-learn under another contract
]
RANK = {part: rank for rank, line in enumerate(ORDER) for part in line.split()}
HEAVY = {"PIL", "cyclopts", "matplotlib", "pandas", "polars", "pyod", "sklearn"}
PICKLERS = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def module_name(path: Path) -> str:
    """The dotted name of a file: `aevb.priors._normal`, and `aevb.priors` for its `__init__.py`."""
    parts = ("aevb", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """The part that contains a dotted name; the root is the part `aevb`."""
    return module.split(".")[1] if "." in module else "aevb"


def run_time_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that runs: all but the bodies of `if TYPE_CHECKING:`."""
    yield node
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = iter(node.orelse)
    for child in children:
        yield from run_time_nodes(child)


def from_base(node: ast.ImportFrom, package: str) -> str:
    """The module that `from ... import` names, relative to the package of the file."""
    if not node.level:
        return node.module or ""
    above = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*above, *([node.module] if node.module else [])])


def imported(tree: ast.AST, package: str) -> Iterator[tuple[int, str]]:
    """Line and name of every import at run time, inside functions and by `import_module` too."""
    for node in run_time_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = from_base(node, package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).endswith("import_module")
            and isinstance(node.args[0], ast.Constant)
        ):
            name = node.args[0].value
            dots = len(name) - len(name.lstrip("."))
            yield (
                node.lineno,
                from_base(ast.ImportFrom(module=name.lstrip("."), names=[], level=dots), package),
            )


def parts_imported(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and part of every import of the package; `from .. import VAE` imports the root."""
    package = module if is_package else module.rpartition(".")[0]
    for line, name in imported(ast.parse(source), package):
        if name != "aevb" and not name.startswith("aevb."):
            continue
        part = part_of(name)
        if part != "__version__":  # set before anything else in the root package
            is_part = part in RANK or (PACKAGE / part).exists() or (PACKAGE / f"{part}.py").exists()
            yield line, part if is_part else "aevb"


def edges() -> list[tuple[str, str, str]]:
    """(where, importing part, imported part) of imports between parts; the root may import all."""
    imports = []
    for path in FILES:
        module, is_package = module_name(path), path.name == "__init__.py"
        if module == "aevb":
            continue
        for line, part in parts_imported(path.read_text(encoding="utf-8"), module, is_package):
            if part != part_of(module):
                imports.append((f"{path.relative_to(ROOT)}:{line}", part_of(module), part))
    return imports


def test_every_part_is_listed_in_the_import_order():
    unknown = {part_of(module_name(path)) for path in FILES} - RANK.keys()
    assert not unknown, f"add to ORDER, as early as possible: {sorted(unknown)}"


def test_imports_run_one_way():
    back = [
        f"{where}: {importer} imports {part}"
        for where, importer, part in edges()
        if RANK.get(part, 0) > RANK.get(importer, 99)
    ]
    assert not back, "imports against the order:\n" + "\n".join(back)


def test_no_cycle_between_parts():
    graph: dict[str, set[str]] = {}
    for _, importer, part in edges():
        graph.setdefault(importer, set()).add(part)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"parts import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize(
    "source, parts",
    [
        ("import torch\nfrom torch import nn", []),
        ("from ..types import Batch", ["types"]),
        ("from .. import errors, types", ["errors", "types"]),
        ("from . import normal", ["priors"]),
        ("from .normal import Normal", ["priors"]),
        ("import aevb.models._vae as vae", ["models"]),
        ("from aevb import VAE", ["aevb"]),
        ("from aevb import __version__", []),
        ("def f():\n    from ..models import VAE", ["models"]),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..models import VAE\n"
            "else:\n    from ..types import Batch",
            ["types"],
        ),
        (
            "import importlib\nimportlib.import_module('aevb.models')\n"
            "importlib.import_module('..types', __package__)",
            ["models", "types"],
        ),
    ],
)
def test_import_check_detects_every_kind_of_import(source, parts):
    assert [
        part for _, part in parts_imported(source, "aevb.priors._flow", is_package=False)
    ] == parts


def test_import_is_light():
    script = f"import sys, json, aevb; print(json.dumps(sorted({HEAVY} & sys.modules.keys())))"
    assert json.loads(run_python(script)) == []


def run_python(script: str) -> str:
    """The output of a script in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize(
    "module",
    ["aevb.metrics._disentanglement._scores", "aevb.inference", "aevb.distributions", "aevb.data"],
)
def test_a_module_can_be_imported_first(module):
    run_python(f"import {module}")


def imported_modules(path: Path) -> set[str]:
    """The modules of the package that a file imports when it is loaded, outside functions."""
    module, is_package = module_name(path), path.name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):  # imports inside functions run later
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            node.body = [] if not isinstance(node, ast.Lambda) else node.body
    names = (name for _, name in imported(tree, package))
    loaded = {name if name in MODULES else name.rpartition(".")[0] for name in names}
    return loaded & MODULES - {module, "aevb"}


MODULES = {module_name(path) for path in FILES}


def test_no_module_imports_itself_through_others():
    """Packages stand for their `__init__`: a module that needs a sibling imports the sibling."""
    graph = {module_name(path): imported_modules(path) for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_modules_inside_packages_are_private():
    public = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        for inside in [path.relative_to(PACKAGE).with_suffix("").parts[1:]]
        if any(not name.startswith("_") for name in inside)
    ]
    assert not public, f"rename to a leading underscore: {public}"


PUBLIC_PACKAGES = [
    path.parent
    for path in FILES
    if path.name == "__init__.py"
    and not any(part.startswith("_") for part in path.parent.relative_to(PACKAGE).parts)
]


@pytest.mark.parametrize("package", PUBLIC_PACKAGES, ids=lambda path: path.name)
def test_public_packages_list_their_names(package):
    name = module_name(package / "__init__.py")
    module = importlib.import_module(name)
    assert module.__all__, "`__all__` lists what is public"
    assert len(set(module.__all__)) == len(module.__all__)
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert not missing, f"{name}.__all__ names what does not exist: {missing}"
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    functions = {public for public in module.__all__ if inspect.isroutine(getattr(module, public))}
    assert not functions & modules, "a module has the name of a function next to it"


def dangers(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of whatever could execute what it reads."""
    tree = ast.parse(source)
    for line, name in imported(tree, "aevb"):
        if name.split(".")[0] in PICKLERS or name in {"torch.load", "torch.save"}:
            yield line, name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"torch.load", "torch.save"}:
            yield node.lineno, ast.unparse(node)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"eval", "exec"}
        ):
            yield node.lineno, f"{node.func.id}()"
        elif (
            isinstance(node, ast.keyword)
            and node.arg == "allow_pickle"
            and ast.unparse(node.value) != "False"
        ):
            yield node.value.lineno, "allow_pickle"


def test_no_module_executes_loaded_content():
    violations = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in FILES
        for line, name in dangers(path.read_text(encoding="utf-8"))
    ]
    assert not violations, "\n".join(violations)


@pytest.mark.parametrize(
    "source, names",
    [
        ("import pickle", ["pickle"]),
        ("from pickle import loads", ["pickle.loads"]),
        ("import torch\ntorch.load('x')", ["torch.load"]),
        ("from torch import load", ["torch.load"]),
        ("eval('1')\nexec('1')", ["eval()", "exec()"]),
        ("import numpy as np\nnp.load('x', allow_pickle=True)", ["allow_pickle"]),
        ("import numpy as np\nnp.load('x', allow_pickle=False)\nmodel.eval()", []),
    ],
)
def test_safety_check_detects_every_dangerous_call(source, names):
    assert [name for _, name in dangers(source)] == names


def test_the_dev_extra_is_the_dev_group():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    included = [
        requirement for entry in groups["dev"] for requirement in groups[entry["include-group"]]
    ]
    assert sorted(included) == sorted(project["project"]["optional-dependencies"]["dev"])
