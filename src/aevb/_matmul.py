"""Matrix products by the library that is faster on this processor.

PyTorch sends float32 products on x86 to MKL, which has no AVX-512 kernels for processors of other
makers. There oneDNN, which PyTorch contains too, is about twice as fast
(``benchmarks/speed/products.py``). The choice depends on the processor alone, so that a machine
always gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ._hardware import cpu_description, uses_plain_engine

MIN_ONEDNN_MULTIPLICATIONS = 500_000  # fewer multiplications save less than the call costs


@cache
def onednn_is_faster() -> bool:
    """Whether oneDNN is faster for float32: AVX-512 on a processor that Intel did not make."""
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    return "avx512f" in cpu_description() and "GenuineIntel" not in cpu_description()


def use_onednn_linear() -> AbstractContextManager[object]:
    """Send linear layers without gradient to oneDNN inside the block, where that is faster."""
    if uses_plain_engine() or not onednn_is_faster():
        return nullcontext()
    return _OneDNNLinearMode()


class _OneDNNLinearMode(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs and _is_eligible(*args):
            x, weight = args[:2]
            flat = x.reshape(-1, x.shape[-1])
            return onednn_linear(flat, weight, args[2] if len(args) > 2 else None).reshape(
                *x.shape[:-1], -1
            )
        return func(*args, **(kwargs or {}))


def _is_eligible(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> bool:
    plain = (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
    )
    return (
        plain
        and not torch.is_grad_enabled()
        and x.numel() * weight.shape[0] >= MIN_ONEDNN_MULTIPLICATIONS
    )


def onednn_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias`` by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
