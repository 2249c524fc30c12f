"""The precision of the networks while training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

from .._hardware import cpu_description
from ..errors import check_choice
from ..notes import Level, Note

Precision = Literal["float32", "bfloat16", "auto"]
# Weights of the largest matrix from which matrix products decide the speed of a step.
LARGE_MATRIX_WEIGHTS = 50_000


@dataclass(frozen=True)
class PrecisionChoice:
    """The precision of a run, with a note where there is something to report."""

    name: Literal["float32", "bfloat16"]
    notes: tuple[Note, ...] = ()

    @property
    def dtype(self) -> torch.dtype | None:
        """The type to which networks cast; ``None``: no cast."""
        return torch.bfloat16 if self.name == "bfloat16" else None


def choose_precision(
    precision: Precision, model: nn.Module, device: torch.device
) -> PrecisionChoice:
    """Choose the precision of a run.

    Args:
        precision: ``"auto"`` takes bfloat16 where the processor multiplies it natively and the
            networks are large enough. An explicit ``"bfloat16"`` is always used, with a warning
            where the processor only emulates it.
        model: The model.
        device: The device of the run.

    Raises:
        ArgumentError: ``precision`` has another value.
    """
    check_choice("precision", precision, get_args(Precision))
    if precision == "float32":
        return PrecisionChoice("float32")
    native = has_native_bfloat16(device)
    largest = max((parameter.numel() for parameter in model.parameters()), default=0)
    if precision == "bfloat16":
        text = (
            "Networks run in bfloat16, which this processor only emulates: it may be hundreds of "
            "times slower than float32."
        )
        return PrecisionChoice("bfloat16", () if native else _note("emulated", text, "warning"))
    if not native:
        text = "Networks run in float32: this processor does not multiply bfloat16."
        return PrecisionChoice("float32", _note("not_native", text))
    if largest < LARGE_MATRIX_WEIGHTS:
        text = (
            f"Networks run in float32: the largest matrix has {largest:,} weights, too few to gain "
            "from bfloat16."
        )
        return PrecisionChoice("float32", _note("small_matrices", text, weights=largest))
    text = (
        "Networks run in bfloat16, which this processor multiplies natively; densities stay in "
        "float32."
    )
    return PrecisionChoice("bfloat16", _note("native", text))


def _note(reason: str, text: str, level: Level = "info", **data: Any) -> tuple[Note, ...]:
    return (Note("precision", text, level, {"reason": reason, **data}),)


def has_native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has instructions for bfloat16 products."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and (
        "avx512_bf16" in cpu_description() or "amx_bf16" in cpu_description()
    )
