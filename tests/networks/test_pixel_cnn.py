"""The receptive field of a PixelCNN."""

import torch

from aevb import networks


def test_rows_outside_the_receptive_field_have_no_effect():
    """The radius used by sampling equals the radius of non-zero gradients."""
    net = networks.PixelCNN((9, 9), 1, condition=2, features=3, layers=2, kernel=3)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter)
    x, condition = torch.zeros(1, 9, 9, requires_grad=True), torch.randn(1, 2, 9, 9)
    slopes = torch.autograd.grad(net(x, condition)[0, 0, 0, 6, 4], x)[0][0] != 0
    assert net.vertical.receptive_radius == 2 and net.horizontal.receptive_radius == 2
    assert (
        not slopes[:4].any()
        and slopes[4].any()
        and slopes[6, 2:4].all()
        and not slopes[6, :2].any()
    )
    assert (
        not slopes[6, 4:].any() and not slopes[7:].any() and slopes[5, 5]
    )  # no blind spot to the upper right
