"""The net for tables, 16-64-4, in a hand-written eager PyTorch loop over resident data."""

import sys

import torch
import torch.nn.functional as F
from gate import TABLE_BATCH, Gate, table
from torch import nn

torch.set_num_threads(int(sys.argv[1]))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.code = nn.Linear(16, 64), nn.Linear(64, 8)
        self.back, self.out = nn.Linear(4, 64), nn.Linear(64, 16)
        self.raw = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, log_variance = self.code(F.relu(self.hidden(x))).chunk(2, -1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        fit = torch.distributions.Normal(self.out(F.relu(self.back(z))), self.raw.exp()).log_prob(x).sum(-1)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)
        return (divergence - fit).mean()


torch.manual_seed(0)
data = torch.from_numpy(table())
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
steps = len(data) // TABLE_BATCH
gate = Gate(warmup=2, samples=steps * TABLE_BATCH, torch=torch.__version__)
while True:
    order = torch.randperm(len(data))
    for step in range(steps):
        optimizer.zero_grad()
        loss = model(data[order[step * TABLE_BATCH : (step + 1) * TABLE_BATCH]])
        loss.backward()
        optimizer.step()
    gate()
