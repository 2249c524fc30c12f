"""In which numbers the networks of a run multiply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from .._hardware import cpu_description
from ..errors import ArgumentError

Precision = Literal["float32", "bfloat16", "auto"]
LARGE_MATRIX_WEIGHTS = 50_000  # weights of the largest matrix from which products, and not what is around them, decide the speed


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision of a run, and the sentence that says so where there is something to say."""

    name: Literal["float32", "bfloat16"]
    notes: tuple[str, ...] = ()

    @property
    def dtype(self) -> torch.dtype | None:
        """What networks are cast to; ``None`` leaves them as they are."""
        return torch.bfloat16 if self.name == "bfloat16" else None


def choose_precision(
    precision: Precision, model: nn.Module, device: torch.device
) -> PrecisionChoice:
    """The precision asked for; with ``"auto"`` bfloat16 where the processor multiplies it natively and the networks are large enough.

    Where bfloat16 is asked for and would be emulated, it is granted, with a warning in ``said``. Raises ``ArgumentError`` for another name.
    """
    if precision == "float32":
        return PrecisionChoice("float32")
    if precision not in ("bfloat16", "auto"):
        raise ArgumentError(f'`precision` is {precision!r}; use "float32", "bfloat16" or "auto".')
    native = has_native_bfloat16(device)
    if precision == "bfloat16":
        warning = "Networks run in bfloat16, which this processor only emulates: it may be hundreds of times slower than float32."
        return PrecisionChoice("bfloat16", () if native else (warning,))
    if not native:
        return PrecisionChoice(
            "float32", ("Networks run in float32: this processor does not multiply bfloat16.",)
        )
    largest = max((parameter.numel() for parameter in model.parameters()), default=0)
    if largest < LARGE_MATRIX_WEIGHTS:
        return PrecisionChoice(
            "float32",
            (
                f"Networks run in float32: the largest matrix has {largest:,} weights, too few to gain from bfloat16.",
            ),
        )
    return PrecisionChoice(
        "bfloat16",
        (
            "Networks run in bfloat16, which this processor multiplies natively; densities stay in float32.",
        ),
    )


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for products of bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and (
        "avx512_bf16" in cpu_description() or "amx_bf16" in cpu_description()
    )
