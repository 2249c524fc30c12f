"""The same net in ``aevb.fit``."""

import sys

import torch
from gate import TABLE_BATCH, Gate, table

import aevb
from aevb import likelihoods, networks, posteriors, priors

torch.set_num_threads(int(sys.argv[1]))
torch.manual_seed(0)
model = aevb.VAE(
    priors.Normal(4), posteriors.Normal(networks.MLP(16, [64]), 4), likelihoods.Normal(networks.MLP(4, [64]), (16,), scale="shared")
)
data = table()
gate = Gate(warmup=2, samples=len(data) // TABLE_BATCH * TABLE_BATCH, torch=torch.__version__)
aevb.fit(
    model,
    data,
    batch_size=TABLE_BATCH,
    epochs=10**6,
    rate=lambda step, total: 1.0,
    compile=sys.argv[2] == "compiled",
    progress=False,
    callbacks=[lambda epoch, model: gate()],
)
