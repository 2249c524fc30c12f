"""Fit, evaluate, save, load and sample a model of handwritten digits. Takes about 20 seconds."""

import os
import tempfile

import aevb

SMOKE = bool(os.environ.get("AEVB_SMOKE"))

data = aevb.data.load("digits")
print(*data.spec.notes, sep="\n")

recipe = aevb.presets.vae(data.spec, latent=8, hidden=[256])
with tempfile.TemporaryDirectory() as folder:
    result = aevb.fit(recipe, data, epochs=3 if SMOKE else 300, out=f"{folder}/run", ema=0.99)
    model = aevb.load(f"{folder}/run")

likelihood = aevb.metrics.log_likelihood(model, data.test, samples=20 if SMOKE else 500)
terms = aevb.metrics.rate_distortion(model, data.test)
print(f"held-out log p(x): {likelihood}")
print(f"ELBO {terms.elbo} = -({terms.distortion}) - ({terms.rate}) nats")
print(f"active latent variables: {aevb.metrics.active_units(model, data.test).count} of 8")
print(f"a sample, grey levels 0 to 16:\n{model.sample(1, mean=True)[0].round().int()}")
