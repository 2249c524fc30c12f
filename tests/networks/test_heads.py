"""Heads: folded axes, context, initial weights and precision."""

import pytest
import torch
from tests import catalogue
from torch import nn

from aevb import gradients, objectives
from aevb.errors import ArgumentError
from aevb.networks import MLP, Heads, set_precision


class TestHeads:
    def test_leading_axes_are_folded_and_unfolded(self):
        heads = Heads(catalogue.Flat(3), (2,), (4, 5), input_ndim=1)
        x = torch.randn(7, 6, 3)
        first, second = heads(x)
        assert first.shape == (7, 6, 2) and second.shape == (7, 6, 4, 5)
        # rounding of a matrix product in another order
        assert torch.allclose(heads(x[2, 3])[1], second[2, 3], atol=1e-6)

    def test_context_is_matched_to_its_row(self):
        heads = Heads(MLP(3, [4], context=2), (1,), input_ndim=1)
        x, context = torch.randn(7, 6, 3), torch.randn(6, 2)
        (together,) = heads(x, context)
        (alone,) = heads(x[5, 1:2], context[1:2])
        assert torch.allclose(together[5, 1], alone[0], atol=1e-6)

    def test_each_parameter_is_initialised_like_a_separate_map(self):
        heads = Heads(nn.Identity(), (3,), (500,), input_ndim=1)
        heads(torch.zeros(1, 7))
        bound = (6 / (7 + 3)) ** 0.5  # Glorot and Bengio: 7 inputs, 3 outputs
        small = heads.head.weight[:3].abs().max()
        assert 0.5 * bound < small <= bound and heads.head.bias.abs().sum() == 0

    def test_a_network_without_weights_keeps_the_precision_of_its_input(self):
        assert (
            Heads(nn.Identity(), (2,))(torch.zeros(3, 4, dtype=torch.float64))[0].dtype
            == torch.float64
        )

    def test_features_without_rows_are_refused(self):
        class Scalar(nn.Module):
            def forward(self, x):
                return x.sum()

        with pytest.raises(ArgumentError, match="one row per datum"):
            Heads(Scalar(), (2,))(torch.zeros(3, 4))


class TestPrecision:
    def test_networks_in_bfloat16_leave_densities_in_float32(self):
        """A whole model; the law of this name checks each family."""
        model = catalogue.make_vae()
        batch = catalogue.make_batch(model)
        set_precision(model, torch.bfloat16)
        seen = []
        heads = next(module for module in model.likelihood.modules() if isinstance(module, Heads))
        heads.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
        terms = model.draw_terms(batch, 3)
        assert seen == [torch.bfloat16]
        densities = [
            terms.log_likelihood,
            terms.log_prior,
            terms.log_posterior,
            terms.z,
            terms.reconstruction.mean,
        ]
        assert all(value.dtype == torch.float32 for value in densities)
        set_precision(model, None)
        model.draw_terms(batch, 3)
        assert seen[-1] == torch.float32

    def test_bfloat16_is_close_and_trains(self):
        model = catalogue.make_vae("normal-diagonal", "bernoulli")
        batch = catalogue.make_batch(model)
        exact = model.likelihood(torch.ones(1, 2)).log_prob(batch.x)
        set_precision(model, torch.bfloat16)
        # 8 bits of mantissa: 1/256 per logit of about unit size, four of them
        assert torch.allclose(
            model.likelihood(torch.ones(1, 2)).log_prob(batch.x), exact, atol=0.05
        )
        gradients.Pathwise()(model, objectives.ELBO(), batch).loss.backward()
        assert all(
            p.grad.dtype == torch.float32 and p.grad.isfinite().all() for p in model.parameters()
        )
