"""The machine's yardstick: the matrix products of a step of the 784-400-20 net, and nothing else."""

import sys

import torch
from gate import BATCH, HIDDEN, LATENT, PIXELS, Gate

torch.set_num_threads(int(sys.argv[1]))
dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[sys.argv[2]]
# (rows, inner, columns): forward, and the gradients by weights and by inputs (the first layer needs none by its input)
LAYERS = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
SHAPES = [(BATCH, i, o) for i, o in LAYERS] + [(o, BATCH, i) for i, o in LAYERS] + [(BATCH, o, i) for i, o in LAYERS[1:]]
pairs = [(torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)) for m, k, n in SHAPES]
outputs = [torch.empty(a.shape[0], b.shape[1], dtype=dtype) for a, b in pairs]
STEPS = 390
gate = Gate(warmup=2, samples=STEPS * BATCH, torch=torch.__version__)
while True:
    for _ in range(STEPS):
        for (a, b), c in zip(pairs, outputs, strict=True):
            torch.mm(a, b, out=c)
    gate()
