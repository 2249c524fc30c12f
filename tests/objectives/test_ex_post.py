"""A prior that is fitted to the encodings while encoder and decoder are trained."""

import torch

import aevb
from aevb import Batch, likelihoods, networks, objectives, posteriors, priors
from aevb.training._validation import validation_terms


def test_held_out_rows_are_scored_by_what_is_maximised():
    torch.manual_seed(0)
    plain, weighted = (
        objectives.ExPost(objectives.ELBO(beta=beta), priors.Normal(2)) for beta in (1.0, 0.2)
    )
    assert plain.validation_criterion == objectives.ELBO().validation_criterion
    criterion = weighted.validation_criterion
    assert criterion.kl_weight == 0.2
    model = aevb.VAE(
        priors.Normal(2),
        posteriors.Normal(networks.MLP(3, [4]), 2),
        likelihoods.Normal(networks.MLP(2, [4]), [3]),
    )
    bound, rate, distortion = validation_terms(model, Batch(torch.randn(5, 3)), criterion)
    torch.testing.assert_close(bound, -distortion - 0.2 * rate)
