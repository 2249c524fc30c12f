"""A model whose likelihood is known exactly, and what each number says beside the truth. Takes about 10 seconds."""

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
parts = aevb.metrics.decomposition(model, held_out)
weighted = aevb.metrics.log_likelihood(model, x[1800:], samples=100 if SMOKE else 1000)
print(f"exact log p(x)            {parts.log_likelihood.mean():.4f} nats")
print(f"importance sampling       {weighted}")
print(f"ELBO                      {parts.elbo.mean():.4f} nats")
print(f"gap KL(q || p(z|x))       {parts.gap.mean():.4f} nats")
print(
    f"ELBO + gap - log p(x)     {(parts.elbo + parts.gap - parts.log_likelihood).abs().max():.1e}"
)
