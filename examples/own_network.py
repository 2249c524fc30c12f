"""A network of one's own in each slot, and a model put together by hand. Takes about 15 seconds."""

import os
import tempfile

import torch
from torch import Tensor, nn

import aevb
from aevb import gradients, likelihoods, objectives, posteriors, priors
from aevb._random import seed_scope

SMOKE = bool(os.environ.get("AEVB_SMOKE"))


class Rows(nn.Module):
    """Reads an image row by row with a recurrent network: nothing in the library knows of it."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.GRU(8, 32, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.recurrent(x / 16)
        return state[0]


def build() -> aevb.VAE:
    """Features in, parameters out: the families add their own heads."""
    return aevb.VAE(
        prior=priors.Normal(4),
        posterior=posteriors.Normal(Rows(), latent=4, covariance="low_rank", rank=2),
        likelihood=likelihoods.DiscretisedLogistic(
            nn.Sequential(nn.Linear(4, 128), nn.SiLU()), event_shape=(8, 8), levels=17
        ),
    )


data = aevb.data.load("digits")
with seed_scope(0):
    model = build()
with tempfile.TemporaryDirectory() as run:
    result = aevb.fit(
        model,
        data,
        epochs=2 if SMOKE else 60,
        objective=objectives.IWAE(4),
        gradient=gradients.DoublyReparameterised(),
        out=f"{run}/own",
    )
    again = aevb.load(
        f"{run}/own", model=build()
    )  # a network of one's own is given, not found in the folder
last = result.history[-1]
print(
    f"{last.bound_name} after {last.epoch} epochs: {last.bound:.1f} nats; held out, plain ELBO: {last.validation:.1f}"
)
print(
    "loaded weights are the trained ones:",
    torch.equal(model.encode(data.test[:5]), again.encode(data.test[:5])),
)
