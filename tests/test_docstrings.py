"""Public docstrings are complete and in Google style: summary, every argument, the result."""

import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from docstring_parser import DocstringStyle, parse
from torch import nn

PACKAGES = (
    "aevb", "aevb.cells",
    "aevb.data", "aevb.distributions", "aevb.errors", "aevb.gradients", "aevb.inference",
    "aevb.likelihoods", "aevb.metrics", "aevb.models", "aevb.networks", "aevb.notes",
    "aevb.objectives", "aevb.plots", "aevb.posteriors", "aevb.presets", "aevb.priors",
    "aevb.report", "aevb.runs", "aevb.sklearn", "aevb.testing", "aevb.training", "aevb.types",
)  # fmt: skip
INHERITED = {name for base in (object, nn.Module, Exception, dict, tuple) for name in dir(base)}


def public_objects() -> Iterator[tuple[str, Any]]:
    """Every class and function that a public package lists, once, under its shortest name."""
    seen: set[int] = set()
    for package in PACKAGES:
        module = importlib.import_module(package)
        names = getattr(module, "__all__", None) or [
            name for name, value in vars(module).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == package
        ]  # fmt: skip
        for name in names:
            value = getattr(module, name)
            if id(value) not in seen and (inspect.isclass(value) or inspect.isfunction(value)):
                seen.add(id(value))
                yield f"{package}.{name}", value


def arguments_of(function: Callable[..., Any]) -> list[str]:
    """Names of the arguments that a caller passes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    names = [
        p.name for p in parameters if p.name not in ("self", "cls") and not p.name.startswith("_")
    ]
    return [] if names == ["args", "kwargs"] else names  # passed on, or a protocol's


def documented(docstring: str) -> tuple[set[str], bool]:
    """The arguments and attributes that a docstring describes, and whether it has a result."""
    parsed = parse(docstring, style=DocstringStyle.GOOGLE)
    names = {name.lstrip("*") for p in parsed.params for name in p.arg_name.split(", ")}
    return names, parsed.returns is not None


PUBLIC = dict(public_objects())
METHODS = {
    f"{name}.{attribute}": (owner, attribute)
    for name, owner in PUBLIC.items()
    if inspect.isclass(owner)
    for attribute, value in vars(owner).items()
    if not attribute.startswith("_")
    and attribute not in INHERITED - {"forward"}
    and (inspect.isfunction(value) or isinstance(value, classmethod | staticmethod))
}


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_documented(name):
    value = PUBLIC[name]
    docstring = inspect.getdoc(value) if value.__doc__ else None
    assert docstring and docstring.split("\n")[0].strip(), "no docstring"
    if inspect.isclass(value) and (
        value.__init__ is object.__init__ or issubclass(value, Exception)
    ):
        return
    arguments = arguments_of(value)
    bases = value.__mro__ if inspect.isclass(value) else (value,)
    names = set().union(*(documented(inspect.cleandoc(base.__doc__ or ""))[0] for base in bases))
    fields = set(getattr(value, "__annotations__", ()))
    if inspect.isclass(value):
        fields |= set(re.findall(r"self\.(\w+) = ", inspect.getsource(value)))
    assert set(arguments) - names == set(), "arguments without a description"
    own = documented(docstring)[0]
    assert own - set(arguments) - fields - set(dir(value)) == set(), "descriptions of no argument"


@pytest.mark.parametrize("name", [n for n, value in PUBLIC.items() if inspect.isfunction(value)])
def test_every_result_is_documented(name):
    returned = inspect.signature(PUBLIC[name]).return_annotation
    if returned not in (None, "None", inspect.Signature.empty):
        assert documented(inspect.getdoc(PUBLIC[name]) or "")[1], "no Returns section"


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_documented_where_it_is_defined_first(name):
    owner, attribute = METHODS[name]
    assert any(
        (getattr(base.__dict__.get(attribute), "__doc__", None) or "").strip()
        for base in owner.__mro__
    )
