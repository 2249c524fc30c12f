"""Standardisation of a network's input."""

import torch
from torch import nn

from aevb.networks import Standardise


class TestStandardise:
    def test_per_element_follows_the_shape_of_the_event(self):
        door = Standardise(nn.Identity(), [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 4.0, 8.0])
        assert (
            door(torch.tensor([[[0.0, 3.0], [6.0, 11.0]]]))
            == torch.tensor([[[0.0, 1.0], [1.0, 1.0]]])
        ).all()
