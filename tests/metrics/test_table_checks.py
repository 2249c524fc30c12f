"""Checks of the number of rows and of columns that a density does not suit."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb.data import Rows
from aevb.metrics import DoctorThresholds
from aevb.metrics._doctor import _table_checks as checks
from aevb.metrics._unbounded_density import UnboundedDensity


def code(result):
    return result.finding and result.finding.code


def context_of(x=None, **changes):
    x = torch.randn(30, 2) if x is None else x
    fields = {
        "thresholds": DoctorThresholds(),
        "has_few_rows": False,
        "spec": None,
        "rows": Rows(x),
        "fitted_rows": Rows(x),
        "model": SimpleNamespace(
            likelihood=SimpleNamespace(measure="density"), event_shape=tuple(x.shape[1:])
        ),
    }
    return SimpleNamespace(**fields | changes)


@pytest.mark.parametrize("few", [True, False])
def test_few_rows(few):
    assert code(checks._few_rows(context_of(has_few_rows=few))) == ("too_few_rows" if few else None)


def spec_of(columns, excluded=(), note="columns_excluded"):
    notes = [SimpleNamespace(code=note, data={"columns": [name]}) for name in excluded]
    notes.append(SimpleNamespace(code=note, data={}))
    return SimpleNamespace(columns=columns, notes=notes, schema=None)


@pytest.mark.parametrize(
    "spec, numbers, found",
    [
        (spec_of(("a", "b", "c"), ("d", "e")), (3, 2), False),
        (spec_of(("a", "b"), ("d", "e")), (2, 2), True),  # half of the columns
        (spec_of(("a",), ("d", "e", "f")), (1, 3), True),
        (spec_of(("a",), ("d", "e"), note="other"), (1, 0), False),
    ],
)
def test_columns_that_the_model_sees(spec, numbers, found):
    result = checks._columns_seen(context_of(spec=spec))
    assert code(result) == ("columns_set_aside" if found else None)
    assert result.numbers == {"columns": numbers[0], "excluded": numbers[1]}


def test_images_have_no_columns():
    assert checks._columns_seen(context_of()) is None
    assert checks._columns_seen(context_of(spec=spec_of(None))) is None


@pytest.mark.parametrize(
    "repeated, floor", [((), ()), (("a",), ()), ((), ("b",)), (("a",), ("b", "c"))]
)
def test_columns_without_a_bound(repeated, floor, monkeypatch):
    found = UnboundedDensity(repeated, floor)
    monkeypatch.setattr(checks, "find_unbounded_density", lambda *args: found)
    result = checks._unbounded_density(context_of())
    assert code(result) == ("density_unbounded" if repeated or floor else None)
    assert result.numbers == {"columns": len(repeated) + len(floor)}
    assert checks._unbounded_density(context_of(has_few_rows=True)) is None
    discrete = SimpleNamespace(likelihood=SimpleNamespace(measure="probability"), event_shape=(2,))
    assert checks._unbounded_density(context_of(model=discrete)) is None


@pytest.mark.parametrize("factor, found", [(2.0, True), (None, False)])
def test_columns_that_follow_from_others(factor, found):
    x = torch.randn(60, 3)
    if factor:
        x[:, 2] = factor * x[:, 0]
    result = checks._dependent_columns(context_of(x))
    assert code(result) == ("dependent_columns" if found else None)
    assert result.value == str(int(found))


@pytest.mark.parametrize("counts", [True, False])
def test_columns_of_counts(counts):
    x = torch.randn(200, 2)
    if counts:
        x[:, 1] = torch.poisson(torch.full((200,), 3.0))
    result = checks._column_kinds(context_of(x))
    assert (result.finding is not None) == counts
    assert result.value.startswith(str(int(counts)))


@pytest.mark.parametrize(
    "x, changes, known",
    [
        (torch.randn(30, 2), {}, True),
        (torch.randn(30, 2, 1), {}, False),
        (torch.tensor([[math.nan, 1.0], [2.0, 3.0]]), {}, False),
        (torch.randn(30, 2), {"has_few_rows": True}, False),
    ],
)
def test_tables_under_a_density(x, changes, known):
    context = context_of(x, **changes)
    found = checks._density_table(context)
    assert (found is not None) == known
    for check in (checks._dependent_columns, checks._column_kinds):
        assert (check(context) is not None) == known
    if known:
        assert torch.equal(torch.from_numpy(found[0]), x.double())
        assert found[1] == ["column 1", "column 2"]
        named = context_of(x, spec=SimpleNamespace(columns=("a", "b"), schema=None))
        assert checks._density_table(named)[1] == ["a", "b"]
    discrete = SimpleNamespace(likelihood=SimpleNamespace(measure="probability"), event_shape=(2,))
    assert checks._density_table(context_of(x, model=discrete)) is None
