"""The precision of a run, by processor, size of the networks and choice."""

import pytest
import torch
from torch import nn

from aevb.errors import ArgumentError
from aevb.training import _precision
from aevb.training._precision import LARGE_MATRIX_WEIGHTS, choose_precision, has_native_bfloat16

CPU = torch.device("cpu")


def sized(*sizes: int) -> nn.Module:
    return nn.ParameterList([torch.zeros(size) for size in sizes])


@pytest.mark.parametrize(
    "choice, native, largest, name, reason, level",
    [
        ("float32", True, 10**6, "float32", None, None),
        ("bfloat16", True, 10, "bfloat16", None, None),
        ("bfloat16", False, 10**6, "bfloat16", "emulated", "warning"),
        ("auto", False, 10**6, "float32", "not_native", "info"),
        ("auto", True, LARGE_MATRIX_WEIGHTS - 1, "float32", "small_matrices", "info"),
        ("auto", True, LARGE_MATRIX_WEIGHTS, "bfloat16", "native", "info"),
    ],
)
def test_precision_and_its_reason(choice, native, largest, name, reason, level, monkeypatch):
    monkeypatch.setattr(_precision, "has_native_bfloat16", lambda device: native)
    chosen = choose_precision(choice, sized(3, largest, 5), CPU)
    assert chosen.name == name
    assert chosen.dtype == (torch.bfloat16 if name == "bfloat16" else None)
    found = [(note.code, note.data["reason"], note.level) for note in chosen.notes]
    assert found == ([] if reason is None else [("precision", reason, level)])
    if reason == "small_matrices":
        assert chosen.notes[0].data["weights"] == largest


def test_a_model_without_weights_is_small(monkeypatch):
    monkeypatch.setattr(_precision, "has_native_bfloat16", lambda device: True)
    (note,) = choose_precision("auto", nn.Module(), CPU).notes
    assert (note.data["reason"], note.data["weights"]) == ("small_matrices", 0)
    with pytest.raises(ArgumentError) as caught:
        choose_precision("float16", nn.Module(), CPU)
    assert caught.value.argument == "precision"


@pytest.mark.parametrize("supported", [False, True])
@pytest.mark.parametrize("flags", ["sse", "avx512_bf16", "amx_bf16", "amx_bf16 avx512_bf16"])
def test_a_processor_has_bfloat16_where_library_and_instructions_have(
    supported, flags, monkeypatch
):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    monkeypatch.setattr(_precision, "cpu_description", lambda: flags)
    assert has_native_bfloat16(CPU) is (supported and flags != "sse")
    assert has_native_bfloat16(torch.device("mps")) is False


@pytest.mark.parametrize("supported", [False, True])
def test_an_accelerator_must_not_emulate(supported, monkeypatch):
    def is_supported(including_emulation: bool) -> bool:
        assert including_emulation is False
        return supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert has_native_bfloat16(torch.device("cuda")) is supported
