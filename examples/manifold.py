"""The latent space of handwritten digits at equally spaced percentiles of the prior, as a picture. Takes about a minute.

With two latent variables the whole of the space can be seen; neighbours are alike, and one digit turns into another.
Usage: python examples/manifold.py [FILE.png]
"""

import os
import sys

import aevb
from aevb import plots
from aevb.random import seeded

SMOKE = bool(os.environ.get("AEVB_SMOKE"))
FILE = sys.argv[1] if len(sys.argv) > 1 else "manifold.png"

data = aevb.data.load("digits")
with seeded(0):
    recipe = aevb.presets.vae(data.spec, latent=2, hidden=[400, 400])
result = aevb.fit(recipe, data, epochs=3 if SMOKE else 500, average=0.99)
axes = plots.manifold(result.model, n=10 if SMOKE else 24)
axes.figure.savefig(FILE, bbox_inches="tight", dpi=110)
print(f"{FILE}: held-out ELBO {max(epoch.validation for epoch in result.history):.1f} nats per digit")
