"""Networks for data with missing cells."""

import math

import pytest
import torch

from aevb import networks

pytestmark = pytest.mark.usefixtures("float64")


class TestFillAndFlag:
    def test_images(self):
        for shape, channels in (((5, 4), 2), ((3, 5, 4), 6)):
            network = networks.FillMissing(networks.ConvEncoder((channels, 5, 4), [2]))
            assert network(torch.full((7, *shape), math.nan)).isfinite().all()

    def test_missing_cells_differ_from_cells_with_the_fill_value(self):
        network = networks.FillMissing(networks.MLP(4, [8]), fill=0.5)
        x = torch.tensor([[0.5, 1.0]])
        assert not torch.allclose(network(x), network(torch.tensor([[math.nan, 1.0]])))
