"""``aevb.fit`` itself: its whole loop, on data as it loads them."""

import sys

import torch
from gate import BATCH, HIDDEN, LATENT, Gate

import aevb
from aevb.random import seeded

threads, precision, compile = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "compiled"
torch.set_num_threads(threads)
data = aevb.data.load("binarized-mnist")
with seeded(0):
    recipe = aevb.presets.vae(data.spec, latent=LATENT, hidden=[HIDDEN])
gate = Gate(warmup=2, samples=len(data.train) // BATCH * BATCH, torch=torch.__version__)
aevb.fit(
    recipe,
    data.train,
    batch_size=BATCH,
    epochs=10**6,
    rate=lambda step, total: 1.0,
    precision=precision,
    compile=compile,
    progress=False,
    callbacks=[lambda epoch, model: gate()],
)
