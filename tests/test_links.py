"""Links, names, paths and calls in the pages lead to files, headings and code that exist."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import aevb
from aevb import testing

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PACKAGES = sorted(
    path.parent.name
    for path in (ROOT / "src" / "aevb").glob("*/__init__.py")
    if path.parent.name != "data"  # in the pages, `data` is a variable
)
NAME = re.compile(rf"(?<![\w./])((?:aevb|{'|'.join(PACKAGES)}|Run)(?:\.[A-Za-z_]\w*)+)(?![\w/*])")
PATH = re.compile(r"`((?:src|tests|docs|examples|benchmarks|tools)/[\w./-]+)")
FILE_ENDINGS = {"py", "md", "json", "csv", "npy", "npz", "toml", "html", "png", "svg", "parquet"}


def prose(page):
    """The text of a page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page):
    """The anchors of the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page, root=ROOT):
    """Relative links that lead to no file inside the repository, or to no heading."""
    broken = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        exists = target.is_relative_to(root) and target.exists()
        if not exists or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


def is_missing(name):
    """Whether a dotted name leads to no public object of the library."""
    first, *steps = name.split(".")
    found = aevb.Run if first == "Run" else aevb
    steps = steps if first in ("aevb", "Run") else [first, *steps]
    for step in steps:
        try:
            found = getattr(found, step)
        except AttributeError:
            try:
                found = importlib.import_module(f"{found.__name__}.{step}")
            except (AttributeError, ImportError):
                return True
    return False


def unknown_names(page):
    """Names of the library in backquotes that do not exist."""
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    names = {name for span in spans for name in NAME.findall(span)}
    return sorted(
        name
        for name in names
        if (last := name.split(".")[-1]) not in FILE_ENDINGS
        and not last.isupper()  # a placeholder, as in aevb.presets.NAME
        and is_missing(name)
    )


def calls(page):
    """Calls in backquotes: the text, and the names of the function and of its keywords."""
    for span in re.findall(r"`([^`\n]+)`", prose(page)):
        try:
            tree = ast.parse(span, mode="eval")
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield span, ast.unparse(node.func), [word.arg for word in node.keywords]


def unknown_keywords(page):
    """Calls of functions and classes of the library with an argument that they do not take."""
    unknown = []
    for span, name, keywords in calls(page):
        first, *rest = name.split(".")
        homes = [getattr(aevb, package) for package in PACKAGES] if not rest else [aevb]
        if rest and first != "aevb" and first not in PACKAGES:
            continue  # a method of an object
        steps = rest if first == "aevb" else [first, *rest]
        found = [resolve(home, steps) for home in homes]
        taken = [inspect.signature(each).parameters for each in found if callable(each)]
        if taken and not any(accepts(parameters, keywords) for parameters in taken):
            unknown.append(span)
    return unknown


def resolve(found, steps):
    """The object behind a dotted name, or None."""
    for step in steps:
        found = getattr(found, step, None)
    return found


def accepts(parameters, keywords):
    """Whether a signature has these keywords."""
    free = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    return free or all(word in parameters for word in keywords)


def unknown_paths(page):
    """Paths in backquotes that are no files of the repository."""
    return sorted({path for path in PATH.findall(prose(page)) if not (ROOT / path).exists()})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
@pytest.mark.parametrize("find", [broken_links, unknown_names, unknown_paths, unknown_keywords])
def test_what_a_page_refers_to_exists(find, page):
    assert find(page) == []


def test_the_checks_find_what_does_not_exist(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "[a](nowhere.md) [b](../out.md) [c](#title) [d](#none) [e](https://x.org)\n\n# Title\n\n"
        "`aevb.fit`, `aevb.nothing`, `metrics.compare(a)`, `Run.open`, `Run.nothing`, "
        "`tests/nowhere.py`, `tests/test_links.py::test_a`, `ELBO(beta=4)`, `IWAE(5, colour=1)`\n"
    )
    assert broken_links(page, tmp_path) == ["nowhere.md", "../out.md", "#none"]
    assert unknown_names(page) == ["Run.nothing", "aevb.nothing"]
    assert unknown_paths(page) == ["tests/nowhere.py"]
    assert unknown_keywords(page) == ["IWAE(5, colour=1)"]


def test_every_law_has_a_line():
    """In the table of laws of docs/extend.md."""
    text = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8").partition("## Laws")[2]
    tables = [
        testing._checks.POSTERIOR_LAWS,
        testing._checks.POSTERIOR_PRIOR_LAWS,
        testing._checks.LIKELIHOOD_LAWS,
        testing._objective_laws.OBJECTIVE_LAWS,
        testing._column_laws.COLUMN_LAWS,
    ]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set().union(*tables)
