"""In which numbers the networks of a run multiply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from ..errors import ArgumentError
from ..processor import description

Precision = Literal["float32", "bfloat16", "auto"]
LARGE = 50_000  # weights of the largest matrix from which products, and not what is around them, decide the speed


@dataclass(frozen=True)
class Chosen:
    """The precision of a run, and the sentence that says so where there is something to say."""

    name: Literal["float32", "bfloat16"]
    said: tuple[str, ...] = ()

    @property
    def dtype(self) -> torch.dtype | None:
        """What networks are cast to; ``None`` leaves them as they are."""
        return torch.bfloat16 if self.name == "bfloat16" else None


def choose(wanted: Precision, model: nn.Module, device: torch.device) -> Chosen:
    """The precision asked for; with ``"auto"`` bfloat16 where the processor multiplies it natively and the networks are large enough.

    Where bfloat16 is asked for and would be emulated, it is granted, with a warning in ``said``. Raises ``ArgumentError`` for another name.
    """
    if wanted == "float32":
        return Chosen("float32")
    if wanted not in ("bfloat16", "auto"):
        raise ArgumentError(f'`precision` is {wanted!r}; use "float32", "bfloat16" or "auto".')
    native = multiplies_bfloat16(device)
    if wanted == "bfloat16":
        warning = "Networks run in bfloat16, which this processor only emulates: it may be hundreds of times slower than float32."
        return Chosen("bfloat16", () if native else (warning,))
    if not native:
        return Chosen("float32", ("Networks run in float32: this processor does not multiply bfloat16.",))
    largest = max((parameter.numel() for parameter in model.parameters()), default=0)
    if largest < LARGE:
        return Chosen("float32", (f"Networks run in float32: the largest matrix has {largest:,} weights, too few to gain from bfloat16.",))
    return Chosen("bfloat16", ("Networks run in bfloat16, which this processor multiplies natively; densities stay in float32.",))


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and ("avx512_bf16" in description() or "amx_bf16" in description())
