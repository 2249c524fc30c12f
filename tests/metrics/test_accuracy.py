"""Accuracy of inferred classes and of the nearest labelled neighbour."""

import math
from types import SimpleNamespace

import pytest
import torch

from aevb.data import Rows
from aevb.errors import DataError
from aevb.metrics import _accuracy as accuracy

LABELS = torch.tensor([2, -1, 0, 1, -1, 2, 0])
PREDICTED = torch.tensor([2, 0, 0, 2, 0, 2, 1])  # of all rows; 3 of the 5 labelled ones are right


@pytest.fixture(autouse=True)
def predictions(monkeypatch):
    def classify(model, rows):
        return SimpleNamespace(class_indices=PREDICTED[rows.tensor()[:, 0].long()])

    monkeypatch.setattr(accuracy, "classify", classify)


def numbered_rows():
    return Rows(torch.arange(7.0)[:, None], labels=LABELS)


def test_share_of_labelled_rows():
    found = accuracy.accuracy(None, numbered_rows())
    assert found.value.mean == pytest.approx(3 / 5)
    assert found.value.standard_error == pytest.approx(math.sqrt(0.6 * 0.4 / 5))
    assert (found.n_rows, found.nearest_neighbour, found.n_labels) == (5, None, None)


@pytest.mark.parametrize("labels", [None, torch.full((7,), -1)])
def test_rows_without_labels_are_refused(labels):
    with pytest.raises(DataError):
        accuracy.accuracy(None, Rows(torch.zeros(7, 1), labels=labels))


def test_class_zero_is_a_label():
    rows = Rows(torch.tensor([[1.0], [2.0]]), labels=torch.tensor([-1, 0]))
    assert accuracy.accuracy(None, rows).n_rows == 1


def test_the_nearest_labelled_row(monkeypatch):
    """Distances are in units of the deviation of all training rows; constants have the unit 1."""
    x = torch.tensor([[0.0, 0.0, 5.0], [0.1, 100.0, 5.0], [0.3, 90.0, 5.0], [0.05, -300.0, 5.0]])
    train = Rows(x, labels=torch.tensor([1, 0, 2, 0]))
    monkeypatch.setattr(accuracy, "labelled_row_index", lambda rows: torch.tensor([0, 1, 2]))
    query = torch.tensor([[0.02, 60.0, 5.0], [0.21, 80, 5.0], [0.1, 40.0, 5.0], [0.29, 0.0, 8.0]])
    unit = torch.cat([x.std(0)[:2], torch.ones(1)])
    nearest = ((query[:, None] - x[:3]) / unit).square().sum(2).argmin(1)
    truth = torch.tensor([1, 2, 2, 2])
    expected = (torch.tensor([1, 0, 2])[nearest] == truth).double().mean().item()
    rows = Rows(query, labels=truth)
    monkeypatch.setattr(
        accuracy, "classify", lambda model, rows: SimpleNamespace(class_indices=truth)
    )
    found = accuracy.accuracy(None, rows, train)
    assert (found.value.mean, found.value.standard_error, found.n_labels) == (1.0, 0.0, 3)
    assert found.nearest_neighbour.mean == expected
    classes = accuracy._nearest_neighbour_classes(rows, train.subset(torch.arange(3)), train)
    assert torch.equal(classes, torch.tensor([1, 0, 2])[nearest])
    monkeypatch.setattr(accuracy, "labelled_row_index", lambda rows: torch.arange(0))
    with pytest.raises(DataError):
        accuracy.accuracy(None, rows, train)


@pytest.mark.parametrize(
    "condition, labels, shown",
    [
        (SimpleNamespace(is_optional=True), LABELS, True),
        (SimpleNamespace(is_optional=True), torch.tensor([0, -1, 0, -1, -1, 0, -1]), True),
        (SimpleNamespace(is_optional=False), LABELS, False),
        (None, LABELS, False),
        (SimpleNamespace(is_optional=True), None, False),
        (SimpleNamespace(is_optional=True), torch.full((7,), -1), False),
    ],
)
def test_only_models_that_infer_labels_have_an_accuracy(condition, labels, shown):
    rows = Rows(torch.arange(7.0)[:, None], labels=labels)
    context = SimpleNamespace(model=SimpleNamespace(condition=condition), rows=rows)
    numbers = list(accuracy._accuracy_number(context))
    assert [number.key for number in numbers] == ["accuracy"] * shown
    if shown and labels is LABELS:
        assert numbers[0].value == pytest.approx(0.6)
        assert str(numbers[0]) == "60.0 ± 21.9 %"
