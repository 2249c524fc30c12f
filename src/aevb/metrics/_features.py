"""What samples are compared in: their numbers as they are, principal components, codes, or what a network of one's own makes of them."""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._memory import default_block_size
from ..data import Rows
from ..data._formatting import format_count
from ..errors import AevbError, ArgumentError, DataError, missing_extra
from ..models import VAE
from ._blocks import model_dtype, seeded_evaluation

PRINCIPAL_COMPONENTS = (
    64  # principal components: a covariance of these is settled by some hundred rows
)
EXAMPLE_INPUTS_ENTRY = re.compile(r"(^|/)data/sample_inputs/")
UNPICKLED_ENTRY = re.compile(
    r"(^|/)(archive_\w+|byteorder|version|\.data/\w+|models/\w+\.json|data/(weights|constants)/(\w+\.json|weight_\d+|tensor_\d+))$"
)
SIZE_EXPRESSION = re.compile(  # of an axis, in terms of the batch
    r"(Symbol|Integer|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|positive|nonnegative|integer|True|False"
    r"|'[su]\d+'|[su](?=\d)|[\d\s+\-*/(),<>=])*"
)


@dataclass(frozen=True)
class Features:
    """A function from data ``[N, *event]`` to features ``[N, ...]``, and the hash of what it computes with.

    ``digest`` is the beginning of a SHA-256: numbers are comparable where names and digests agree. A Python function has none.

    >>> mean = Features("mean", lambda x: x.flatten(1).mean(1, keepdim=True))
    >>> mean(torch.ones(3, 2, 2)).tolist(), str(mean)
    ([[1.0], [1.0], [1.0]], 'mean (no hash: a function)')
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    digest: str | None = None

    @torch.no_grad()
    def __call__(self, x: Any) -> Tensor:
        """Features ``[N, D]``, float64 on the CPU. Raises ``DataError`` where they are not finite, or not one row for each datum."""
        rows = Rows.from_array(x)
        block = default_block_size(math.prod(rows.event_shape), max_rows=1024)
        parts = [
            self._compute_block(rows[start : start + block], start)
            for start in range(0, len(rows), block)
        ]
        if not parts:
            raise DataError("there are no rows: give at least 2.")
        return torch.cat(parts)

    def __str__(self) -> str:
        return f"{self.name} ({f'sha256 {self.digest}' if self.digest else 'no hash: a function'})"

    def _compute_block(self, x: Tensor, start: int) -> Tensor:
        try:
            found = self.function(x)
        except AevbError:
            raise
        except Exception as error:  # whatever the function of somebody else raises
            raise DataError(
                f'features "{self.name}" cannot be computed of rows of shape {tuple(x.shape)} ({_first_line(error)}): they must take batches '
                '[N, *event] of these data, of any size (a .pt2 file: dynamic_shapes=({0: torch.export.Dim("batch")},)).'
            ) from error
        if not isinstance(found, Tensor) or found.dim() == 0 or len(found) != len(x):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise DataError(
                f'features "{self.name}" made {shape} of {len(x)} rows: return a tensor with a row for each, [N, D].'
            )
        features = found.detach().double().cpu().reshape(len(x), -1)
        broken = (~features.isfinite().all(1)).nonzero()
        if len(broken):
            raise DataError(
                f'features "{self.name}" are NaN or infinite for {format_count(len(broken), "row")}, the first of them row '
                f"{start + int(broken[0])}; compare rows without empty cells, or features that exist for all of them."
            )
        return features


def as_features(
    features: Features | Callable[[Tensor], Tensor] | str | Path, reference: Any
) -> Features:
    """What ``features=`` may be: ``"pixels"``, ``"standardised"``, ``"pca"``, a ``.pt2`` or ``.onnx`` file, a function, ``Features``.

    Scales and principal components are those of the ``reference`` rows.
    """
    if isinstance(features, Features):
        return features
    if callable(features):
        return function_features(features)
    if isinstance(features, str) and features in _NAMED:
        return _NAMED[features](reference)
    if isinstance(features, str | Path) and Path(features).suffix in _LOADERS:
        return load_features(features)
    raise ArgumentError(
        f'`features` is {features!r}; use "pixels", "standardised", "pca", the path of a .pt2 or .onnx file, a function, '
        "or `metrics.features.encoder(model)`."
    )


def pixel_features(unit: float | Tensor = 1.0) -> Features:
    """The numbers of a datum in this unit (255 for bytes, to compare pictures of 0 to 1), or each in one of its own, ``[*event]``."""
    if isinstance(unit, Tensor):
        scale = unit.flatten().cpu().double()
        return Features(
            "values in units of their own",
            lambda x: x.flatten(1).cpu().double() / scale,
            tensor_digest([scale]),
        )
    name = "pixels" if unit == 1 else f"pixels over {unit:g}"
    return Features(name, lambda x: x.flatten(1).cpu().double() / unit, _digest(name.encode()))


def standardised_features(x: Any) -> Features:
    """Each number less its mean over the rows ``x``, over its deviation: columns of a table in units that compare."""
    table = pixel_features()(x)
    mean, scale = table.mean(0), table.std(0, correction=0)
    scale = torch.where(scale > 0, scale, 1.0)
    return Features(
        "standardised values",
        lambda x: (x.flatten(1).cpu().double() - mean) / scale,
        tensor_digest([mean, scale]),
    )


def pca_features(
    x: Any, n_components: int = PRINCIPAL_COMPONENTS, unit: float | Tensor = 1.0
) -> Features:
    """The first principal components of the rows ``x`` in this unit, or each number in one of its own, as many as they can have.

    Raises ``DataError`` for a single row.
    """
    measured = pixel_features(unit)
    table = measured(x)
    if len(table) < 2:
        raise DataError("`x` has 1 row, and principal components need at least 2.")
    mean, kept = table.mean(0), min(n_components, table.shape[1], len(table) - 1)
    basis = _principal_directions(table - mean)[:, :kept].contiguous()
    scaled, units = measured.function, [unit] if isinstance(unit, Tensor) else []
    return Features(
        f"{kept} principal components",
        lambda x: (scaled(x) - mean) @ basis,
        tensor_digest([mean, basis, *units]),
    )


def _principal_directions(centred: Tensor) -> Tensor:
    """Principal directions of centred rows ``[N, D]`` as columns, the widest first, by whichever of both ways has less to do."""
    if len(centred) > centred.shape[1]:
        return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    return torch.linalg.svd(centred, full_matrices=False).Vh.T


def encoder_features(model: VAE) -> Features:
    """Codes of a model: means of its posterior."""

    def codes(x: Tensor) -> Tensor:
        with seeded_evaluation(model, seed=0):
            return model.encode(x.to(model.device, model_dtype(model)))

    return Features("codes of the encoder", codes, module_digest(model.posterior))


def function_features(function: Callable[[Tensor], Tensor]) -> Features:
    """A network or a function of one's own; a network is put into evaluation mode while it is asked."""
    if not isinstance(function, nn.Module):
        return Features(str(getattr(function, "__name__", type(function).__name__)), function)
    return Features(type(function).__name__, _in_eval_mode(function), module_digest(function))


def load_features(path: str | Path) -> Features:
    """A network in a file: ``.pt2`` (``torch.export.save``) or ``.onnx`` (needs onnxruntime). Its input is float32 ``[N, *event]``.

    A batch of any size must be allowed (``torch.export.Dim("batch")``). A ``.pt2`` file with pickled parts is refused, since reading one
    can run code; what is left is a program: take it from where you would take a program.

    Raises ``DataError`` for a file that cannot be read, and ``MissingExtraError`` where onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix not in _LOADERS:
        raise ArgumentError(
            f'`path` is "{path}"; give a .pt2 file of torch.export.save, or an .onnx file.'
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f'features "{path}" cannot be read ({error.strerror or error}).') from error
    return Features(path.name, _LOADERS[path.suffix](path), _digest(content))


def tensor_digest(tensors: Iterable[Any]) -> str:
    """The beginning of the SHA-256 of tensors: of their types, shapes and bytes, in order.

    >>> (
    ...     tensor_digest([torch.zeros(2)]) == tensor_digest([torch.zeros(2)]),
    ...     tensor_digest([torch.zeros(2)]) == tensor_digest([torch.zeros(2, 1)]),
    ... )
    (True, False)
    """
    found = hashlib.sha256()
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            found.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
    return found.hexdigest()[:12]


def module_digest(module: nn.Module) -> str | None:
    """The same of a network: of how it describes itself, and of its tensors under their names; ``None`` where it has no tensors."""
    state = module.state_dict()
    if not state:
        return None
    return _digest(f"{module!r} {list(state)} {tensor_digest(state.values())}".encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _in_eval_mode(module: nn.Module) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        modes = {part: part.training for part in module.modules()}
        module.eval()
        try:
            return _on_module_device(module)(x)
        finally:
            for part, training in modes.items():
                part.training = training

    return function


def _on_module_device(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network on rows from anywhere: they are taken to where its weights are."""
    home = next((tensor.device for tensor in module.state_dict().values()), None)
    return module if home is None else lambda x: module(x.to(home))


def _load_pt2(path: Path) -> Callable[[Tensor], Tensor]:
    copy = _copy_without_pickles(path)
    try:
        return _on_module_device(torch.export.load(copy).module())
    except (
        Exception
    ) as error:  # whatever is wrong with a file, its parser says it in an error of its own kind
        raise DataError(
            f'features "{path}" cannot be read as a program of torch.export ({_first_line(error)}).'
        ) from error


def _copy_without_pickles(path: Path) -> io.BytesIO:
    """The graph and its tensors alone. Example inputs are pickled and of no use here; where anything else is pickled, ``DataError``."""
    copy = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(path) as archive,
            zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as kept,
        ):
            for name in archive.namelist():
                if EXAMPLE_INPUTS_ENTRY.search(name):
                    kept.writestr(name, b"")
                elif UNPICKLED_ENTRY.search(name):
                    kept.writestr(name, _check_archive_entry(path, name, archive.read(name)))
    except zipfile.BadZipFile as error:
        raise DataError(
            f'features "{path}" cannot be read as a program of torch.export ({_first_line(error)}).'
        ) from error
    copy.seek(0)
    return copy


def _check_archive_entry(path: Path, name: str, content: bytes) -> bytes:
    """The contents of an entry of the archive. Raises ``DataError`` for what would be unpickled or evaluated while it is read."""
    fields = list(_iter_items(json.loads(content))) if name.endswith(".json") else []
    if any(key == "use_pickle" and value for key, value in fields):
        raise DataError(
            f'features "{path}" holds pickled parts, and reading these can run code: save plain tensors only.'
        )
    odd = [
        value
        for key, value in fields
        if key == "expr_str" and not SIZE_EXPRESSION.fullmatch(str(value))
    ]
    if odd:
        raise DataError(
            f'features "{path}" has a size that is no arithmetic, {odd[0]!r}: it was not made by torch.export.save.'
        )
    return content


def _iter_items(record: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(record, dict):
        yield from record.items()
    for value in (
        record.values() if isinstance(record, dict) else record if isinstance(record, list) else ()
    ):
        yield from _iter_items(value)


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise missing_extra("onnx", "features of an .onnx file") from error
    try:  # from the bytes that are hashed: weights in other files would not be
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors share no base but Python's
        raise DataError(
            f'features "{path}" cannot be read as an ONNX network with its weights inside ({_first_line(error)}): export it with '
            "external_data=False."
        ) from error
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.float().cpu().numpy()})[0])


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


_NAMED: dict[Any, Callable[[Any], Features]] = {
    "pixels": lambda x: pixel_features(),
    "standardised": standardised_features,
    "pca": pca_features,
}
_LOADERS: dict[str, Callable[[Path], Callable[[Tensor], Tensor]]] = {
    ".pt2": _load_pt2,
    ".onnx": _load_onnx,
}
