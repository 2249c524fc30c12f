"""A hand-written PyTorch loop as in tutorials: eager, Adam, a DataLoader.

Tables and photographs are indexed in memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator

import torch
from gate import (
    BATCH,
    DEEP_BATCH,
    IMAGE_BATCH,
    TABLE_BATCH,
    Gate,
    binarized_mnist,
    photographs,
    table,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch_nets import Digits, Photographs, Table, Weighted


def loader(data: Tensor, batch: int, layout: torch.memory_format) -> Callable[[], Iterable[Tensor]]:
    """Batches of a DataLoader."""
    rows = DataLoader(TensorDataset(data), batch_size=batch, shuffle=True, drop_last=True)
    return lambda: (x for (x,) in rows)


def resident(
    data: Tensor, batch: int, layout: torch.memory_format
) -> Callable[[], Iterable[Tensor]]:
    """Batches of a tensor in memory."""

    def epoch() -> Iterator[Tensor]:
        for index in torch.randperm(len(data))[: len(data) // batch * batch].split(batch):
            yield data[index].float().contiguous(memory_format=layout)

    return epoch


def held_out(model: nn.Module, part: str) -> float:
    """The ELBO from one draw per datum, with the exact KL divergence."""
    with torch.no_grad():
        return -model(torch.from_numpy(binarized_mnist(part))).item()


NETS = {
    "mnist": (Digits, binarized_mnist, loader, BATCH),
    "weighted": (Weighted, binarized_mnist, loader, DEEP_BATCH),
    "table": (Table, table, resident, TABLE_BATCH),
    "photographs": (Photographs, photographs, resident, IMAGE_BATCH),
}


def main() -> None:
    """Train at the gate."""
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int)
    parser.add_argument("--net", default="mnist", choices=NETS)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--layout", default="contiguous", choices=["contiguous", "channels_last"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    layout = torch.channels_last if options.layout == "channels_last" else torch.contiguous_format
    net, read, batches, batch = NETS[options.net]
    data = torch.from_numpy(read())[: options.rows]
    model = net().to(memory_format=layout)
    epoch, steps = batches(data, batch, layout), len(data) // batch
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    gate = Gate(
        steps * batch, steps, score=lambda part: held_out(model, part), torch=torch.__version__
    )
    low = torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bfloat16")
    while True:
        total = 0.0
        for x in epoch():
            optimizer.zero_grad()
            with low:
                loss = model(x)
            loss.backward()
            optimizer.step()
            total += loss.item()
        gate()


if __name__ == "__main__":
    main()
