"""Estimates and bounds of a model with a known likelihood. Takes about 10 seconds."""

import os

import torch

import aevb
from aevb import likelihoods, networks, posteriors, priors
from aevb._random import seed_scope

SMOKE = bool(os.environ.get("AEVB_SMOKE"))

with seed_scope(0):
    loadings = torch.randn(6, 2)
    x = torch.randn(2000, 2) @ loadings.T + 0.5 * torch.randn(2000, 6)
    model = aevb.VAE(
        prior=priors.Normal(2),
        posterior=posteriors.Normal(networks.MLP(6), latent=2),  # no hidden layers: linear
        likelihood=likelihoods.Normal(networks.MLP(2), event_shape=(6,), scale="shared"),
    )
aevb.fit(
    model,
    x[:1600],
    epochs=5 if SMOKE else 150,
    validation=x[1600:1800],
    optimizer=aevb.training.adam(1e-2),
)

model, held_out = model.double(), x[1800:].double()
truth = aevb.metrics.decomposition(model, held_out)
estimate = aevb.metrics.log_likelihood(model, x[1800:], samples=100 if SMOKE else 1000)
print(f"exact log p(x)            {truth.log_likelihood.mean():.4f} nats")
print(f"importance sampling       {estimate}")
print(f"ELBO                      {truth.elbo.mean():.4f} nats")
print(f"gap KL(q || p(z|x))       {truth.gap.mean():.4f} nats")
print(
    f"ELBO + gap - log p(x)     {(truth.elbo + truth.gap - truth.log_likelihood).abs().max():.1e}"
)
