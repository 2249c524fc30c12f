"""Many 16-64-4 nets at once in plain PyTorch, as in its tutorial on ensembles.

Stacked weights, ``vmap`` over ``grad``, eager.
"""

from __future__ import annotations

import copy
import sys

import torch
from gate import TABLE_BATCH, Gate, table
from torch import Tensor
from torch.func import functional_call, grad, stack_module_state, vmap
from torch_nets import Table

threads, count = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(threads)
torch.manual_seed(0)
weights, buffers = stack_module_state([Table() for _ in range(count)])
skeleton = copy.deepcopy(Table()).to("meta")


def loss(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
    """The negative ELBO of one model."""
    return functional_call(skeleton, (weights, buffers), (x,))


gradients = vmap(grad(loss), in_dims=(0, 0, 0), randomness="different")
optimizer = torch.optim.Adam(weights.values(), lr=1e-3)
data = torch.from_numpy(table())
steps = len(data) // TABLE_BATCH
gate = Gate(count * steps * TABLE_BATCH, steps, torch=torch.__version__)
while True:
    orders = torch.stack(
        [torch.randperm(len(data)) for _ in range(count)]
    )  # each model has its own batches
    for step in range(steps):
        x = data[orders[:, step * TABLE_BATCH : (step + 1) * TABLE_BATCH]]
        for name, gradient in gradients(weights, buffers, x).items():
            weights[name].grad = gradient
        optimizer.step()
    gate()
