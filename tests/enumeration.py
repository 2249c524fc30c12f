"""Discrete models whose expectations are sums over all states, and gradients compared with them."""

import itertools
import math

import torch
from torch import nn

from aevb import VAE, Batch, likelihoods, networks, posteriors, priors


def flat(values):
    return torch.cat([value.flatten() for value in values])


def gradient_of(model, objective, rule, batch):
    """The gradient of the loss in all parameters, ``[P]``."""
    model.zero_grad()
    rule(model, objective, batch).loss.backward()
    return flat([torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()])


def agrees_with(exact, model, objective, rule, x, copies=400, most=600):
    """Whether the mean of many gradients at one datum is this one, to within five standard errors
    in every parameter.

    As many gradients are drawn as it takes for the errors together to be at most 2 % of the
    gradient's norm.
    """
    rule.check(model, objective)
    batch, draws = Batch(x.expand(copies, *x.shape[1:])), torch.zeros(0, len(exact))
    while len(draws) < most:
        draws = torch.cat(
            [draws, torch.stack([gradient_of(model, objective, rule, batch) for _ in range(30)])]
        )
        error = draws.std(0) / math.sqrt(len(draws))
        if error.norm() <= 0.02 * exact.norm():
            # with 30 draws Student's t beyond 5 errors has probability 3e-5; rounding where nothing
            # is random
            return bool(((draws.mean(0) - exact).abs() <= 5 * error + 1e-12).all())
    raise AssertionError(
        f"too noisy: errors of {error.norm() / exact.norm():.1%} after {most} batches"
    )


def discrete_vae(kind):
    family, prior, shape = {
        "bernoulli": (posteriors.Bernoulli, priors.Bernoulli, (2,)),
        "two categories": (posteriors.Categorical, priors.Categorical, (1, 2)),
        "categorical": (posteriors.Categorical, priors.Categorical, (2, 3)),
    }[kind]
    decoder = networks.MLP(math.prod(shape), [4], activation="tanh")
    likelihood = likelihoods.Bernoulli(decoder, (3,), latent_rank=len(shape))
    model = VAE(
        prior(shape, learned=True),
        family(networks.MLP(3, [4], activation="tanh"), shape),
        likelihood,
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    return model


def states(shape):
    if len(shape) == 1:
        return torch.tensor(list(itertools.product((0.0, 1.0), repeat=shape[0])))
    return torch.stack(
        [torch.stack(rows) for rows in itertools.product(torch.eye(shape[-1]), repeat=shape[0])]
    )


def tuples(model, objective, x):
    """The terms of every tuple of K states, as a batch, and the probability of each."""
    listed = states(model.latent_shape)
    index = torch.tensor(list(itertools.product(range(len(listed)), repeat=objective.samples)))
    batch = Batch(x.expand(len(index), *x.shape[1:]))
    q = model.posterior(batch.x)
    terms = model.terms(batch, listed[index.T], q, exact_kl=objective.kl != "sampled")
    return terms, terms.log_posterior.sum(0).exp()
