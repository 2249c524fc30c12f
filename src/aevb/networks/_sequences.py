"""Networks for sequences and for sets, of one length or of several.

An event is ``[T, D]``: ``T`` steps, or members, of ``D`` numbers. One that holds NaN only is not there: shorter sequences are filled up
with such steps, and ``likelihoods.Missing`` does not score them. ``seed``, ``dtype`` and
``device`` are those of the initial weights, as for ``MLP``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ArgumentError
from ..types import Configurable
from ._activations import build_activation as named
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import MLP, check_sizes, glorot


class GRU(Configurable, nn.Module):
    """Gated recurrent units: sequences ``[N, T, inputs]`` to their state after the last step that is there, ``[N, width]``.

    ``context`` counts the numbers of the context, which every step sees. Steps are missing at the end of a sequence; a gap within is
    read as a step of zeros. Cho et al., Learning phrase representations using RNN encoder-decoder (2014).

    >>> network = GRU(3, 16)
    >>> x = torch.zeros(5, 7, 3)
    >>> x[0, 4:] = torch.nan
    >>> network(x).shape, bool(torch.allclose(network(x)[0], network(x[:1, :4])[0], atol=1e-6))
    (torch.Size([5, 16]), True)
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        layers: int = 1,
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes("a GRU", inputs=inputs, width=width, layers=layers)
        self.inputs = inputs
        with weight_initialisation(self, seed, dtype, device):
            self.cells = nn.GRU(inputs + context, width, layers, batch_first=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, there = split_missing_steps(x, self.inputs)
        states, _ = self.cells(append_context_to_steps(x, context))
        numbers = torch.arange(1, x.shape[1] + 1, device=x.device)
        last = (numbers * there).amax(1)  # 0 where no step is there
        reached = states.gather(
            1, (last - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        ).squeeze(1)
        return torch.where(last[:, None] > 0, reached, torch.zeros_like(reached))


class SequenceConv(Configurable, nn.Module):
    """Convolutions along sequences ``[N, T, inputs]``, then the mean over the steps that are there: ``[N, channels[-1]]``.

    Each layer sees ``kernel`` steps around one; ``dilation`` doubles from layer to layer, so that few layers see far. Missing steps are
    zeros to every layer, as the ends of a sequence are: how far it was filled up changes nothing. ``kernel`` is odd.

    >>> network = SequenceConv(3, [8, 16])
    >>> network(torch.zeros(5, 7, 3)).shape
    torch.Size([5, 16])
    """

    def __init__(
        self,
        inputs: int,
        channels: Sequence[int] = (32, 64),
        kernel: int = 3,
        activation: str = "relu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes(
            "a convolution",
            inputs=inputs,
            **{f"channels[{i}]": size for i, size in enumerate(channels)},
        )
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(
                f"`kernel` is {kernel}; give an odd number, so that a step stands in the middle."
            )
        self.inputs = inputs
        self.activation = named(activation)
        widths = [inputs + context, *channels]
        with weight_initialisation(self, seed, dtype, device):
            self.layers = nn.ModuleList(
                glorot(nn.Conv1d(width, size, kernel, padding="same", dilation=2**depth))
                for depth, (width, size) in enumerate(zip(widths, channels, strict=False))
            )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, there = split_missing_steps(x, self.inputs)
        mask = there[:, None, :].to(x.dtype)
        x = append_context_to_steps(x, context).transpose(1, 2) * mask
        for layer in self.layers:
            x = self.activation(layer(x)) * mask
        return x.sum(2) / mask.sum(2).clamp(min=1)


class DeepSets(Configurable, nn.Module):
    """Sets ``[N, T, inputs]`` to features ``[N, *]``: ``outer(pool over the members of inner(member))``, whatever their order.

    ``inner`` and ``outer`` are the widths of two MLPs; ``pool`` is ``"sum"``, ``"mean"`` (blind to how many there are) or ``"max"``.
    Zaheer et al., Deep sets (2017).

    >>> network, x = DeepSets(3, [16], [8]), torch.randn(5, 7, 3)
    >>> bool(torch.allclose(network(x), network(x.flip(1)), atol=1e-5))
    True
    """

    def __init__(
        self,
        inputs: int,
        inner: Sequence[int] = (64, 64),
        outer: Sequence[int] = (64,),
        pool: str = "mean",
        activation: str = "relu",
        context: int = 0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        if pool not in ("sum", "mean", "max"):
            raise ArgumentError(f"`pool` is {pool!r}; use sum, mean or max.")
        self.inputs = inputs
        self.pool = pool
        with weight_initialisation(self, seed, dtype, device):
            self.inner = MLP(inputs, inner, activation)
            self.outer = MLP([inputs, *inner][-1], outer, activation, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, there = split_missing_steps(x, self.inputs)
        mask = there[..., None]
        return self.outer(self._pool_members(self.inner(x), mask), context)

    def _pool_members(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.pool == "max":
            highest = x.masked_fill(~mask, -torch.inf).amax(1)
            return highest.masked_fill(~mask.any(1), 0.0)  # of nobody
        total = (x * mask).sum(1)
        return total if self.pool == "sum" else total / mask.sum(1).clamp(min=1)


class Embed(Configurable, nn.Module):
    """Whole numbers 0 ... ``vocabulary``-1, ``[N, T]``, to learned vectors ``[N, T, width]`` for ``network``; NaN stays NaN.

    The door of an encoder of tokens: ``Embed(GRU(32, 128), vocabulary=1000, width=32)``, with ``likelihoods.Categorical(decoder, (T,),
    categories=1000)``.

    >>> Embed(nn.Identity(), vocabulary=10, width=4)(torch.tensor([[1.0, 9.0, torch.nan]])).shape
    torch.Size([1, 3, 4])
    """

    def __init__(
        self,
        network: nn.Module,
        vocabulary: int,
        width: int,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes("an embedding", vocabulary=vocabulary, width=width)
        self.network = network
        with weight_initialisation(self, seed, dtype, device):
            self.table = nn.Parameter(torch.randn(vocabulary, width) / width**0.5)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        missing = x.isnan()
        vectors = F.embedding(x.masked_fill(missing, 0).long(), self.table)
        return self.network(vectors.masked_fill(missing[..., None], torch.nan), *context)


def split_missing_steps(x: Tensor, inputs: int) -> tuple[Tensor, Tensor]:
    """The steps ``[N, T, inputs]`` with empty cells as zeros, and which of them are there, ``[N, T]``."""
    if x.dim() == 2 and inputs == 1:
        x = x.unsqueeze(-1)
    if x.dim() != 3 or x.shape[-1] != inputs:
        raise ArgumentError(
            f"the network takes sequences [N, T, {inputs}], got a tensor of shape {tuple(x.shape)}; build it with inputs=D."
        )
    missing = x.isnan()
    return x.masked_fill(missing, 0), ~missing.all(-1)


def append_context_to_steps(x: Tensor, context: Tensor | None) -> Tensor:
    """Every step ``[N, T, D]`` with the context ``[N, C]`` appended."""
    if context is None:
        return x
    return torch.cat([x, context.unsqueeze(1).expand(*x.shape[:2], -1)], -1)
