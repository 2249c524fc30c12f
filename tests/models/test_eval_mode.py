"""Evaluation leaves the mode of every module as the caller has set it."""

import pytest
import torch
from torch import nn

import aevb
from aevb import VAE, gradients, inference, likelihoods, metrics, networks, objectives, priors
from aevb.models._eval_mode import eval_mode
from aevb.posteriors import NonAmortised, Normal
from aevb.training import adam

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


def mixed_model(posterior=None):
    """A model in training mode, with an encoder in evaluation mode that still uses its dropout."""
    encoder = nn.Sequential(networks.MLP(4, [8]), nn.Dropout(0.5))
    model = VAE(
        priors.Normal(2),
        posterior or Normal(encoder, 2),
        likelihoods.Normal(networks.MLP(2, [8]), (4,)),
    ).train()
    model.posterior.eval()
    encoder[1].train()
    return model


def modes(module):
    return {name: part.training for name, part in module.named_modules()}


def test_the_block_restores_every_module_and_not_the_mode_of_the_root():
    model = mixed_model()
    before = modes(model)
    assert len(set(before.values())) == 2
    with eval_mode(model):
        assert not any(modes(model).values())
    assert modes(model) == before


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda model: model.probe(),
        lambda model: inference.encode(model, X),
        lambda model: inference.refine(model, X, steps=1),
        lambda model: metrics.log_likelihood(model, X, samples=2),
        lambda model: aevb.evaluate(model, X, samples=2),
        lambda model: aevb.fit_prior(model, X, components=2),
        lambda model: gradients.MonteCarloEM(rows=40, latent=2)(
            model,
            objectives.ELBO(kl="sampled"),
            aevb.Batch(X, index=torch.arange(40), dataset_size=40),
        ),
    ],
    ids=["probe", "encode", "refine", "log_likelihood", "evaluate", "fit_prior", "monte_carlo_em"],
)
def test_evaluation_changes_no_mode(evaluate):
    model = mixed_model()
    before = modes(model)
    evaluate(model)
    assert modes(model) == before


def test_a_critic_and_features_leave_the_modes_of_a_network():
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval()
    network[1].train()
    before = modes(network)
    objectives.PriorCritic(network, latent=4)
    metrics.function_features(network).function(X)
    assert modes(network) == before


def test_a_run_with_parameters_per_row_leaves_the_modes_of_its_model():
    data = aevb.data.load(X.numpy())
    posterior = NonAmortised(Normal(networks.MLP(4, [4]), 2), len(data.train))
    model = mixed_model(posterior)
    result = aevb.fit(model, data, optimizer=adam(1e-3), epochs=1, progress=False)
    model.likelihood.train()
    before = modes(model)
    run = aevb.Run.from_fit(result, data)
    run.encode(X[:2])
    run.fit_prior(components=2)
    assert modes(model) == before
