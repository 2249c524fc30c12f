"""Networks in ``.pt2`` files: programs of a few known operators, and no other code."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .._files import parse_json
from .._sandbox import run_without_writing
from ..errors import DataError

EXAMPLE_INPUTS_ENTRY = re.compile(r"(^|/)data/sample_inputs/")
UNPICKLED_ENTRY = re.compile(
    r"(^|/)(archive_\w+|byteorder|version|\.data/\w+|models/\w+\.json|data/(weights|constants)/(\w+\.json|weight_\d+|tensor_\d+))$"
)
SIZE_EXPRESSION = re.compile(  # size of an axis in terms of the batch
    r"(Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|positive|nonnegative|integer|True|False"
    r"|'[su]\d+'|[su](?=\d)|[\d\s+\-*/(),<>=])*"
)
PLAIN_TEXT = re.compile(r"[\w.:+\-]*")  # names become parts of Python code when a file is loaded
STRUCTURE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")
# Fields that torch evaluates as code, or that only explain a program: they are left out.
DROPPED_FIELDS: dict[str, Any] = {
    "guards_code": [],
    "metadata": {},
    "treespec_namedtuple_fields": {},
}
SIZE_OPERATORS = re.compile(
    r"_operator\.(add|and_|eq|floordiv|ge|getitem|gt|le|lt|mod|mul|ne|neg|not_|or_|pos|pow|sub"
    r"|truediv)|math\.(ceil|floor|trunc)|torch\.sym_(float|int|ite|max|min|not|sum)"
)
CONTEXT_OPERATORS = (  # their inner graphs are checked like any other
    "torch.ops.higher_order.wrap_with_autocast",
    "torch.ops.higher_order.wrap_with_set_grad_enabled",
)
TENSOR_OPERATOR = re.compile(r"torch\.ops\.aten\.(\w+)\.(\w+)")
TENSOR_TAGS = {torch.Tag.core, torch.Tag.pointwise}  # operators of tensors alone
UNINITIALISED = {"empty", "empty_strided", "resize_"}  # whose values are those of foreign memory
COMPOSITE_NAMES = """
_assert_async _assert_scalar _assert_tensor_metadata _safe_softmax _unsafe_view
_upsample_bicubic2d_aa _upsample_bilinear2d_aa adaptive_avg_pool2d adaptive_avg_pool3d
adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d affine_grid_generator alpha_dropout
argsort baddbmm batch_norm bernoulli broadcast_tensors broadcast_to bucketize celu
channel_shuffle chunk concat contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d
conv_transpose3d cosine_similarity count_nonzero cross cummax cummin cumprod detach detach_ diag
diag_embed diff dot dropout dropout_ einsum expand_as eye feature_dropout fft_fft fft_fft2
fft_fftn fft_ifft fft_ifft2 fft_irfft fft_irfft2 fft_rfft fft_rfft2 flatten floor_divide
fractional_max_pool2d frobenius_norm full_like glu grid_sampler group_norm gru gru_cell
hann_window hardswish hardswish_ im2col index_add index_fill inner instance_norm is_nonzero item
layer_norm lift_fresh lift_fresh_copy linalg_norm linalg_vector_norm linear linspace log_sigmoid
log_softmax logcumsumexp logsumexp lstm lstm_cell masked_fill_ matmul max_pool1d max_pool2d
max_pool3d median movedim mv narrow new_full new_ones new_zeros norm normalize numpy_T one_hot
ones ones_like outer pad pairwise_distance pixel_shuffle pixel_unshuffle prelu quantile
rand_like randn_like repeat_interleave replication_pad1d reshape reshape_as rms_norm rnn_relu
rnn_tanh roll rot90 scaled_dot_product_attention scatter_ silu softmax softmin split split_copy
square stack std std_mean swapaxes sym_constrain_range sym_constrain_range_for_size t take
take_along_dim tensor_split tile to to_copy trace transpose tril triu type_as unbind unflatten
unfold unsafe_chunk unsafe_split upsample_bicubic2d upsample_bilinear2d upsample_linear1d
upsample_nearest1d upsample_nearest3d upsample_trilinear3d var_mean vector_norm view_as
view_as_complex view_as_real zero_ zeros zeros_like
"""
COMPOSITE_OPERATORS = frozenset(COMPOSITE_NAMES.split())  # of layers, as torch.export keeps them


def load_program(path: Path) -> Callable[[Tensor], Tensor]:
    """The network of a ``.pt2`` file, which runs without the right to write files.

    Raises:
        DataError: The file is damaged, or has an operator that is not on the list.
    """
    program = _copy_of_known_parts(path)
    try:
        module = run_without_writing(lambda: torch.export.load(program).module())
    except Exception as error:  # the parser's errors share no base class
        raise _unreadable(path, error) from error
    device = next((tensor.device for tensor in module.state_dict().values()), None)
    return lambda x: run_without_writing(module, x if device is None else x.to(device))


def is_known_operator(target: Any) -> bool:
    """Whether an operator computes with tensors and sizes, and does nothing else.

    Example:
        >>> is_known_operator("torch.ops.aten.conv2d.default")
        True
        >>> is_known_operator("torch.ops.aten.from_file.default")
        False
    """
    if not isinstance(target, str):
        return False
    if SIZE_OPERATORS.fullmatch(target) or target in CONTEXT_OPERATORS:
        return True
    found = TENSOR_OPERATOR.fullmatch(target)
    if found is None or found[1] in UNINITIALISED:
        return False
    if found[1] in COMPOSITE_OPERATORS or found[1] == "sym_size":
        return True
    overload = getattr(getattr(torch.ops.aten, found[1], None), found[2], None)
    return bool(TENSOR_TAGS & set(getattr(overload, "tags", ())))


def _copy_of_known_parts(path: Path) -> io.BytesIO:
    """The graph and its tensors without the pickled example inputs; other pickles are refused."""
    copy = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(path) as archive,
            zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as kept,
        ):
            for entry in archive.infolist():
                if EXAMPLE_INPUTS_ENTRY.search(entry.filename):
                    kept.writestr(entry.filename, b"")
                elif UNPICKLED_ENTRY.search(entry.filename):
                    kept.writestr(entry.filename, _checked_content(path, archive, entry))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise _unreadable(path, error) from error
    copy.seek(0)
    return copy


def _checked_content(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of an entry; that of JSON without the fields that are left out."""
    if entry.compress_type != zipfile.ZIP_STORED:  # which might expand without end
        raise _refused(path, "a compressed part")
    content = archive.read(entry)
    if not entry.filename.endswith(".json"):
        return content
    record = parse_json(content)
    for each in _iter_objects(record):
        _check_object(path, each)
    return json.dumps(record).encode()


def _check_object(path: Path, record: dict[str, Any]) -> None:
    """Check the fields of an object of JSON, and empty those that are left out.

    Raises:
        DataError: A field would be unpickled or evaluated, or names an unknown operator.
    """
    record |= {name: empty for name, empty in DROPPED_FIELDS.items() if name in record}
    if record.get("use_pickle"):
        raise DataError(
            f'features "{path}" holds pickled parts, and reading these can run code',
            suggestions=("Save plain tensors only",),
        )
    nodes = record.get("nodes", [])
    operators = [node.get("target") if isinstance(node, dict) else node for node in nodes]
    operators += [record["as_operator"]] if "as_operator" in record else []
    for operator in operators:
        if not is_known_operator(operator):
            raise _refused(path, f"the operator {operator!r:.80}")
    for name, value in record.items():
        _check_text(path, "", name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                _check_text(path, name, text)


def _check_text(path: Path, name: str, text: str) -> None:
    """Raise ``DataError`` for a text that could become other code than it seems."""
    if name == "expr_str":
        if not SIZE_EXPRESSION.fullmatch(text):
            raise DataError(
                f'features "{path}" has a size that is no arithmetic, {text!r:.80}: it was not '
                "written by torch.export.save"
            )
    elif name in ("in_spec", "out_spec"):
        if not _is_structure(text):
            raise _refused(path, f"the structure {text!r:.80}")
    elif name not in ("as_string", "as_strings") and not PLAIN_TEXT.fullmatch(text):
        raise _refused(path, f"the name {text!r:.80}")


def _is_structure(text: str) -> bool:
    """Whether a text describes tuples, lists and dicts with plain keys."""
    if not text:
        return True
    for each in _iter_objects(parse_json(text)):
        context = each.get("context")
        keys = parse_json(context) if isinstance(context, str) else None
        plain = keys is None or (
            isinstance(keys, list)
            and all(isinstance(key, str) and PLAIN_TEXT.fullmatch(key) for key in keys)
        )
        if each.get("type") not in STRUCTURE_TYPES or not plain:
            return False
    return True


def _iter_objects(record: Any) -> Iterator[dict[str, Any]]:
    """Every object of JSON, the outer ones first."""
    if isinstance(record, dict):
        yield record
    inner = record.values() if isinstance(record, dict) else record
    for value in inner if isinstance(record, dict | list) else ():
        yield from _iter_objects(value)


def _refused(path: Path, what: str) -> DataError:
    return DataError(
        f'features "{path}" has {what}, which networks do not need: it is not loaded',
        suggestions=("Export the network with standard layers, or pass it as a function",),
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    """The error for a broken ``.pt2`` file."""
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
    return DataError(f'features "{path}" cannot be read as a program of torch.export ({reason})')
