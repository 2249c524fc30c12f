"""The matrix products of a step alone, to compare machines."""

import sys

import torch
from gate import BATCH, DEEP, DEEP_BATCH, DEEP_LATENT, DEEP_SAMPLES, HIDDEN, LATENT, PIXELS, Gate

torch.set_num_threads(int(sys.argv[1]))
dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[sys.argv[2]]
# (rows, inputs, outputs) of the layers in their order
NETS = {
    "mnist": [
        (BATCH, PIXELS, HIDDEN),
        (BATCH, HIDDEN, 2 * LATENT),
        (BATCH, LATENT, HIDDEN),
        (BATCH, HIDDEN, PIXELS),
    ],
    "weighted": [
        (DEEP_BATCH, PIXELS, DEEP[0]),
        (DEEP_BATCH, *DEEP),
        (DEEP_BATCH, DEEP[1], 2 * DEEP_LATENT),
        (DEEP_SAMPLES * DEEP_BATCH, DEEP_LATENT, DEEP[1]),
        (DEEP_SAMPLES * DEEP_BATCH, *DEEP[::-1]),
        (DEEP_SAMPLES * DEEP_BATCH, DEEP[0], PIXELS),
    ],
}
LAYERS = NETS[sys.argv[3]]
# forward, and the gradients by weights and by inputs (the first layer has none by its input)
SHAPES = (
    [(n, i, o) for n, i, o in LAYERS]
    + [(o, n, i) for n, i, o in LAYERS]
    + [(n, o, i) for n, i, o in LAYERS[1:]]
)
pairs = [(torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)) for m, k, n in SHAPES]
outputs = [torch.empty(a.shape[0], b.shape[1], dtype=dtype) for a, b in pairs]
STEPS = 100
gate = Gate(STEPS * LAYERS[0][0], STEPS, torch=torch.__version__)
while True:
    for _ in range(STEPS):
        for (a, b), c in zip(pairs, outputs, strict=True):
            torch.mm(a, b, out=c)
    gate()
