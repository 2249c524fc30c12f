"""The relative change of weights, by Pythagorean triples."""

import pytest
import torch

from aevb.training._weight_change import WeightChange


def test_change_of_all_parameters_together():
    """The start has the norm |(2, 3, 6)| = 7, and the way |(-1, 2, 2)| = 3."""
    parameters = [torch.tensor([2.0, 3.0]), torch.nn.Parameter(torch.tensor([[6.0]]))]
    change = WeightChange(iter(parameters))
    assert change.measure().item() == 0
    parameters[0] += torch.tensor([-1.0, 2.0])
    parameters[1].data += 2
    assert change.measure().shape == () and change.measure().item() == pytest.approx(3 / 7)


def test_each_model_of_a_stack_has_its_own_change():
    """From (3 | 4) to (3 | 9) moves 5 of 5; from (1, 0 | 0) to (1, 2 | 1) moves sqrt 5 of 1."""
    parameters = [torch.tensor([[[3.0], [0.0]], [[1.0], [0.0]]]), torch.tensor([4.0, 0.0])]
    change = WeightChange(parameters, stacked=True)
    parameters[0][1, 1] = 2.0
    parameters[1] += torch.tensor([5.0, 1.0])
    assert change.measure().tolist() == pytest.approx([1.0, 5**0.5])


def test_an_epoch_begins_at_the_present_or_at_a_given_place():
    weight = torch.tensor([3.0, 4.0])
    change = WeightChange([weight])
    weight *= 2
    change.restart()
    assert change.measure().item() == 0
    weight += torch.tensor([8.0, 6.0])
    assert change.measure().item() == pytest.approx(10 / 10)
    change.restart([torch.tensor([14.0, 10.0])])
    assert change.measure().item() == pytest.approx(4 / 296**0.5)


@pytest.mark.parametrize("stacked", [False, True])
def test_no_parameters_do_not_change(stacked):
    change = WeightChange([], stacked=stacked)
    change.restart()
    assert torch.equal(change.measure(), torch.zeros(()))
