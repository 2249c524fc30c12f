"""Training does not depend on the mode of autograd in which it is called."""

import pytest
import torch

import aevb
from aevb import VAE, Batch, inference, likelihoods, networks, posteriors, priors
from aevb._random import seed_scope
from aevb.inference import AISOptions, annealed_importance_sampling
from aevb.inference._geodesic import geodesic


def small(seed=0):
    with seed_scope(seed):
        return VAE(
            priors.Normal(2),
            posteriors.Normal(networks.MLP(4, [8]), 2),
            likelihoods.Normal(networks.MLP(2, [8]), [4]),
        )


def rows():
    return torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def annealed(model, batch):
    with seed_scope(2):
        return annealed_importance_sampling(
            model, batch, chains=2, annealing=AISOptions(temperatures=4)
        )


RUN = {"epochs": 2, "batch_size": 32, "progress": False}
TASKS = {
    "fit": lambda model, x: weights(aevb.fit(model, x, validation=x[:8], **RUN).model),
    "batches": lambda model, x: weights(aevb.fit(model, [x[:32], x[32:]], **RUN).model),
    "fit_many": lambda model, x: weights(aevb.fit_many([model], x, **RUN)[0].model),
    "fit_prior": lambda model, x: weights(aevb.fit_prior(model, x, "two_stage", steps=2).prior),
    "refine": lambda model, x: inference.refine(model, x[:4], steps=2).elbo_after,
    "annealed": lambda model, x: annealed(model, Batch(x[:4])).log_mean,
    "geodesic": lambda model, x: geodesic(model, torch.zeros(2), torch.ones(2), steps=3),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_mode_of_the_caller_changes_nothing(task, mode):
    expected = task(small(), rows())
    model, x = small(), rows()
    with mode():
        called = task(model, x)
        built = task(small(), rows())  # whose tensors belong to the mode
        assert not torch.is_grad_enabled()
    assert torch.equal(called, expected) and torch.equal(built, expected)


def test_tied_weights_stay_tied():
    with torch.inference_mode():
        layer = torch.nn.Linear(4, 4)
        network = torch.nn.Sequential(layer, torch.nn.ReLU(), layer)
        model = VAE(
            priors.Normal(2),
            posteriors.Normal(network, 2),
            likelihoods.Normal(networks.MLP(2, [8]), [4]),
        )
    aevb.fit(model, rows(), **RUN)
    first, _, second = model.posterior.heads.network
    assert first.weight is second.weight and first.weight.requires_grad
