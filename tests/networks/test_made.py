"""Masked layers: which inputs an output depends on."""

import pytest
import torch

from aevb import networks

pytestmark = pytest.mark.usefixtures("float64")


class TestMADE:
    @pytest.mark.parametrize("hidden", [(), (7,), (6, 5)])
    @pytest.mark.parametrize("parameters", [1, 2])
    def test_outputs_depend_on_preceding_inputs_and_the_context(self, hidden, parameters):
        network = networks.MADE(4, hidden, parameters, activation="tanh", context=2)
        x, context = torch.randn(4), torch.randn(2)
        slopes, context_slopes = torch.autograd.functional.jacobian(
            lambda x, c: network(x[None], c[None])[0], (x, context)
        )
        earlier = torch.ones(4, 4).tril(-1).bool()
        seen = (slopes != 0).any(1) if parameters > 1 else (slopes != 0).squeeze(1)
        assert not seen[~earlier].any() and seen[1:, 0].all() and (context_slopes != 0).any()

    def test_shapes(self):
        assert networks.MADE(6, [8], parameters=3)(torch.zeros(5, 2, 3)).shape == (5, 6, 3)
