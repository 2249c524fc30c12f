"""A hand-written PyTorch loop, as tutorials have it: eager, float32, a DataLoader, Adam."""

import sys

import torch
import torch.nn.functional as F
from gate import BATCH, HIDDEN, LATENT, PIXELS, Gate, binarized_mnist
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.set_num_threads(int(sys.argv[1]))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.mean, self.log_variance = nn.Linear(PIXELS, HIDDEN), nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.back, self.out = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = F.relu(self.hidden(x))
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.out(F.relu(self.back(z)))
        error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(-1)
        return (error + divergence).mean()


torch.manual_seed(0)
loader = DataLoader(TensorDataset(torch.from_numpy(binarized_mnist())), batch_size=BATCH, shuffle=True, drop_last=True)
model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
gate = Gate(warmup=2, samples=len(loader) * BATCH, torch=torch.__version__)
while True:
    total = 0.0
    for (x,) in loader:
        optimizer.zero_grad()
        loss = model(x)
        loss.backward()
        optimizer.step()
        total += loss.item()
    gate()
