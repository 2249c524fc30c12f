"""Rows that differ from the training rows where these are constant."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb.data import Rows
from aevb.metrics import _constant_cells as cells

NAN = math.nan


@pytest.mark.parametrize("chunk", [1, 2, 4096])
def test_changed_rows_of_each_element(chunk, monkeypatch):
    monkeypatch.setattr(cells, "CHUNK_ROWS", chunk)
    x = torch.tensor([[[1.0, 5.0], [7.0, 0.0]], [[2.0, 5.0], [7.0, NAN]], [[3.0, 4.0], [7.0, 1.0]]])
    constant = torch.tensor([[1.0, 5.0], [NAN, 0.0]])
    assert cells.count_changed(Rows(x), constant).tolist() == [2, 1, 0, 1]
    model = SimpleNamespace(constant_cells=constant)
    (note,) = cells.constant_notes(model, Rows(x), None)
    assert note.code == "constant_changed"
    assert note.data == {"columns": {"element 0": 2, "element 1": 1, "element 3": 1}}
    spec = SimpleNamespace(columns=("a", "b", "c", "d"))
    (note,) = cells.constant_notes(model, Rows(x), spec)
    assert note.data == {"columns": {"a": 2, "b": 1, "d": 1}}
    (note,) = cells.constant_notes(model, Rows(x), SimpleNamespace(columns=None))
    assert list(note.data["columns"]) == ["element 0", "element 1", "element 3"]


def test_rows_without_a_change_have_no_note():
    model = SimpleNamespace(constant_cells=torch.tensor([1.0, NAN]))
    assert cells.constant_notes(model, Rows(torch.tensor([[1.0, 2.0], [NAN, 3.0]])), None) == ()
    model.constant_cells = None
    assert cells.constant_notes(model, Rows(torch.ones(2, 2)), None) == ()
