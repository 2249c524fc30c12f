"""Networks for sequences and sets of one or several lengths.

An event is ``[T, D]``: ``T`` steps (members) of ``D`` numbers. A step with NaN only is missing:
shorter sequences are padded with such steps, and ``likelihoods.Missing`` does not score them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .._registry import register
from ..errors import ArgumentError, check_choice
from ..notes import Argument, message
from ..types import Configurable
from ._activations import build_activation
from ._initialisation import Device, Dtype, weight_initialisation
from ._mlp import MLP, check_dropout, check_sizes, glorot
from ._registration import NetworkRegistration


@register(
    NetworkRegistration(
        kind="encoder",
        events=("sequence",),
        title="GRU",
        paper="Cho et al. (2014)",
        use_when="order matters over many steps",
        cost="one pass per step",
        avoid_when="sequences are long and dependence is local",
    )
)
class GRU(Configurable, nn.Module):
    """Gated recurrent units: sequences ``[N, T, inputs]`` to the last state, ``[N, width]``.

    Missing steps at the end of a sequence are ignored; a gap within it is read as a step of zeros.
    Cho et al., Learning phrase representations using RNN encoder-decoder (2014).

    Args:
        inputs: Number of values per step.
        width: Number of units.
        layers: Number of layers.
        context: Number of context values, which every step sees.
        dropout: Dropout probability of the states of each layer.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: A size is below 1, or, at a call, the input is no sequence of this size.

    Example:
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
        dropout: float = 0.0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes(self, inputs=inputs, width=width, layers=layers)
        check_dropout(dropout)
        self.inputs = inputs
        self.dropout = nn.Dropout(dropout)
        with weight_initialisation(self, seed, dtype, device):
            between = dropout if layers > 1 else 0.0  # torch drops between layers only
            self.cells = nn.GRU(inputs + context, width, layers, batch_first=True, dropout=between)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, present = split_missing_steps(x, self.inputs)
        states, _ = self.cells(append_context_to_steps(x, context))
        numbers = torch.arange(1, x.shape[1] + 1, device=x.device)
        last = (numbers * present).amax(1)  # 0 for a sequence without steps
        index = (last - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        final = states.gather(1, index).squeeze(1)
        return self.dropout(torch.where(last[:, None] > 0, final, torch.zeros_like(final)))


@register(
    NetworkRegistration(
        kind="encoder",
        events=("sequence",),
        use_when="dependence along the sequence is local",
        cost="less than a GRU",
        avoid_when="distant steps interact",
    )
)
class SequenceConv(Configurable, nn.Module):
    """Convolutions along sequences ``[N, T, inputs]``: ``[N, channels[-1]]``, the mean over steps.

    The dilation doubles from layer to layer, so that few layers have a wide receptive field.
    Missing steps are zeros for every layer, as beyond the ends of a sequence, so that padding
    changes nothing.

    Args:
        inputs: Number of values per step.
        channels: Number of channels of each layer.
        kernel: Odd kernel size.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values, which every step sees.
        pool: ``"mean"`` averages over steps, for sequences of any length; ``"none"`` keeps the
            features of every step, ``[N, T * channels[-1]]``, and so what happens when.
        dropout: Dropout probability after each layer.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``pool`` is unknown, the kernel is even, a size is below 1, or, at a call,
            the input is no sequence of this size.

    Example:
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
        pool: str = "mean",
        dropout: float = 0.0,
        seed: int | None = None,
        dtype: Dtype = None,
        device: Device = None,
    ) -> None:
        super().__init__()
        check_sizes(self, inputs=inputs, channels=channels)
        check_choice("pool", pool, ("mean", "none"))
        if kernel < 1 or kernel % 2 == 0:
            raise ArgumentError(
                "give an odd number, so that the step is in the middle",
                argument="kernel",
                value=kernel,
            )
        self.inputs = inputs
        self.pool = pool
        check_dropout(dropout)
        self.activation, self.dropout = build_activation(activation), nn.Dropout(dropout)
        widths = [inputs + context, *channels]
        with weight_initialisation(self, seed, dtype, device):
            self.layers = nn.ModuleList(
                glorot(nn.Conv1d(width, size, kernel, padding="same", dilation=2**depth))
                for depth, (width, size) in enumerate(zip(widths, channels, strict=False))
            )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, present = split_missing_steps(x, self.inputs)
        mask = present[:, None, :].to(x.dtype)
        x = append_context_to_steps(x, context).transpose(1, 2) * mask
        for layer in self.layers:
            x = self.dropout(self.activation(layer(x))) * mask
        return x.flatten(1) if self.pool == "none" else x.sum(2) / mask.sum(2).clamp(min=1)


@register(
    NetworkRegistration(
        kind="encoder",
        events=("set",),
        paper="Zaheer et al. (2017)",
        use_when="a row is a set whose order has no meaning",
        cost="that of an MLP per member",
        avoid_when="members interact in pairs",
    )
)
class DeepSets(Configurable, nn.Module):
    """Permutation-invariant features of sets ``[N, T, inputs]``: ``outer(pool(inner(member)))``.

    Zaheer et al., Deep sets (2017).

    Args:
        inputs: Number of values per member.
        inner: Widths of the MLP of each member.
        outer: Widths of the MLP of the pooled features.
        pool: ``"sum"``, ``"mean"`` (independent of the number of members) or ``"max"``.
        activation: Name of the activation: ``"relu"``, ``"tanh"``, ``"gelu"``, ``"silu"``,
            ``"elu"``, ``"softplus"`` or ``"glu"``.
        context: Number of context values per row; 0: the network takes no context.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: ``pool`` is unknown, a size is below 1, or, at a call, the input is no set of
            this size.

    Example:
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
        check_choice("pool", pool, ("sum", "mean", "max"))
        self.inputs = inputs
        self.pool = pool
        with weight_initialisation(self, seed, dtype, device):
            self.inner = MLP(inputs, inner, activation)
            self.outer = MLP([inputs, *inner][-1], outer, activation, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x, present = split_missing_steps(x, self.inputs)
        mask = present[..., None]
        return self.outer(self._pool_members(self.inner(x), mask), context)

    def _pool_members(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.pool == "max":
            highest = x.masked_fill(~mask, -torch.inf).amax(1)
            return highest.masked_fill(~mask.any(1), 0.0)  # for an empty set
        total = (x * mask).sum(1)
        return total if self.pool == "sum" else total / mask.sum(1).clamp(min=1)


@register(
    NetworkRegistration(
        kind="wrapper",
        events=("tokens",),
        use_when="a row is a sequence of tokens",
        cost="a table of vectors",
        avoid_when="values are numbers",
    )
)
class Embed(Configurable, nn.Module):
    """Embed tokens 0 ...

    ``vocabulary``-1, ``[N, T]``, as learned vectors ``[N, T, width]``; NaN stays NaN.

    The input of an encoder of tokens: ``Embed(GRU(32, 128), vocabulary=1000, width=32)``, with
    ``likelihoods.Categorical(decoder, (T,), categories=1000)``.

    Args:
        network: Network that takes the vectors.
        vocabulary: Number of tokens.
        width: Size of a vector.
        seed: Seed of the initial weights, which moves no other random stream; ``None``: the default
            stream.
        dtype: Precision of the weights, ``"float32"`` or ``"float64"``; ``None``: the default
            precision.
        device: Device of the weights; ``None``: the CPU.

    Raises:
        ArgumentError: A size is below 1.

    Example:
        >>> Embed(nn.Identity(), vocabulary=10, width=4)(
        ...     torch.tensor([[1.0, 9.0, torch.nan]])
        ... ).shape
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
        check_sizes(self, vocabulary=vocabulary, width=width)
        self.network = network
        with weight_initialisation(self, seed, dtype, device):
            self.table = nn.Parameter(torch.randn(vocabulary, width) / width**0.5)

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        missing = x.isnan()
        vectors = F.embedding(x.masked_fill(missing, 0).long(), self.table)
        return self.network(vectors.masked_fill(missing[..., None], torch.nan), *context)


def split_missing_steps(x: Tensor, inputs: int) -> tuple[Tensor, Tensor]:
    """Steps ``[N, T, inputs]`` with missing cells as zeros, and the present steps, ``[N, T]``.

    Steps of several axes, such as the frames of a video, become vectors.
    """
    x = x.unsqueeze(-1) if x.dim() == 2 and inputs == 1 else x.flatten(2) if x.dim() > 3 else x
    if x.dim() != 3 or x.shape[-1] != inputs:
        raise ArgumentError(
            f"the network takes sequences [N, T, {inputs}], and received a tensor of shape "
            f"{tuple(x.shape)}",
            argument="x",
            suggestions=(
                message("Build the network with the right {inputs}", inputs=Argument("inputs")),
            ),
        )
    missing = x.isnan()
    return x.masked_fill(missing, 0), ~missing.all(-1)


def append_context_to_steps(x: Tensor, context: Tensor | None) -> Tensor:
    """Append the context ``[N, C]`` to every step ``[N, T, D]``."""
    if context is None:
        return x
    return torch.cat([x, context.unsqueeze(1).expand(*x.shape[:2], -1)], -1)
