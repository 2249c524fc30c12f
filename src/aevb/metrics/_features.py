"""Features in which samples are compared: values, principal components, latents, a network's."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .._memory import default_block_size
from ..data import Rows
from ..data._formatting import format_count
from ..errors import AevbError, ArgumentError, DataError, missing_extra
from ..inference._batches import seeded_evaluation
from ..models import VAE, first_member
from ..models._eval_mode import eval_mode
from ..notes import Part, message
from ._program_file import load_program

PRINCIPAL_COMPONENTS = 64
"""Number of principal components: some hundred rows determine their covariance."""


@dataclass(frozen=True)
class Features:
    """A function from data to features, with a hash of its parameters.

    Args:
        name: The name in tables.
        function: From rows ``[N, *event]`` to features ``[N, ...]``.
        digest: The beginning of the SHA-256 of the parameters; numbers are comparable where names
            and digests agree. A Python function has none.

    Example:
        >>> mean = Features("mean", lambda x: x.flatten(1).mean(1, keepdim=True))
        >>> mean(torch.ones(3, 2, 2)).tolist(), str(mean)
        ([[1.0], [1.0], [1.0]], 'mean (no hash: a function)')
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    digest: str | None = None

    @torch.no_grad()
    def __call__(self, x: Any) -> Tensor:
        """Compute features, a block of rows at a time.

        Args:
            x: Rows ``[N, *event]``: a tensor, an array or ``Rows``.

        Returns:
            Features ``[N, D]``, float64 on the CPU.

        Raises:
            DataError: Features are not finite, or not one row for each row of ``x``.
        """
        rows = Rows.from_array(x)
        block = default_block_size(math.prod(rows.event_shape), max_rows=1024)
        parts = [
            self._compute_block(rows[start : start + block], start)
            for start in range(0, len(rows), block)
        ]
        if not parts:
            raise DataError("there are no rows", suggestions=("Give at least 2",))
        return torch.cat(parts)

    def __str__(self) -> str:
        return f"{self.name} ({f'sha256 {self.digest}' if self.digest else 'no hash: a function'})"

    def _compute_block(self, x: Tensor, start: int) -> Tensor:
        """Features of consecutive rows, of which the first has the number ``start``."""
        try:
            values = self.function(x)
        except AevbError:
            raise
        except Exception as error:  # the user's function may raise anything
            raise DataError(
                f'features "{self.name}" cannot be computed for rows of shape {tuple(x.shape)} '
                f"({_first_line(error)})",
                suggestions=(
                    "They must take batches [N, *event] of these data, of any size (a .pt2 file: "
                    'dynamic_shapes=({0: torch.export.Dim("batch")},))',
                ),
            ) from error
        if not isinstance(values, Tensor) or values.dim() == 0 or len(values) != len(x):
            shape = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise DataError(
                f'features "{self.name}" returned {shape} for {len(x)} rows',
                suggestions=("Return a tensor with one row for each, [N, D]",),
            )
        features = values.detach().double().cpu().reshape(len(x), -1)
        broken = (~features.isfinite().all(1)).nonzero()
        if len(broken):
            raise DataError(
                f'features "{self.name}" are NaN or infinite for '
                f"{format_count(len(broken), 'row')}, the first of them row "
                f"{start + int(broken[0])}",
                suggestions=(
                    "Compare rows without missing cells, or features that exist for all rows",
                ),
            )
        return features


def as_features(
    features: Features | Callable[[Tensor], Tensor] | str | Path, reference: Any
) -> Features:
    """Resolve the argument ``features`` of the sample metrics.

    Args:
        features: ``"pixels"``, ``"standardised"``, ``"pca"``, the path of a ``.pt2`` or ``.onnx``
            file, a function, or ``Features``.
        reference: Rows ``[N, *event]`` that scales and principal components are computed from.

    Returns:
        The features.

    Raises:
        ArgumentError: ``features`` is none of these.
        DataError: The file cannot be read.
    """
    check_features(features)
    if isinstance(features, Features):
        return features
    if callable(features):
        return function_features(features)
    return _NAMED[features](reference) if features in _NAMED else load_features(features)


def check_features(features: Any) -> None:
    """Raise ``ArgumentError`` for anything but the argument ``features`` of ``as_features``."""
    is_file = isinstance(features, str | Path) and Path(features).suffix in _LOADERS
    if callable(features) or is_file or (isinstance(features, str) and features in _NAMED):
        return
    raise ArgumentError(
        "this is not known",
        argument="features",
        value=features,
        suggestions=(
            message(
                "Use {names}, the path of a .pt2 or .onnx file, a function, or {encoder}",
                names=", ".join(f'"{name}"' for name in _NAMED),
                encoder=Part("metrics.encoder_features"),
            ),
        ),
    )


def pixel_features(unit: float | Tensor = 1.0) -> Features:
    """Make features of the values themselves.

    Args:
        unit: What counts as 1 (255 for bytes, to compare images from 0 to 1), for all values or
            for each of them, ``[*event]``.

    Returns:
        The features.
    """
    if isinstance(unit, Tensor):
        scale = unit.flatten().cpu().double()
        return Features(
            "values in units of their own",
            lambda x: x.flatten(1).cpu().double() / scale,
            tensor_digest([scale]),
        )
    name = "pixels" if unit == 1 else f"pixels over {unit:g}"
    return Features(
        name, lambda x: x.flatten(1).cpu().double() / unit, content_digest(name.encode())
    )


def standardised_features(x: Any) -> Features:
    """Make features of values with mean 0 and standard deviation 1: comparable table columns.

    Args:
        x: Rows ``[N, *event]`` that mean and standard deviation are computed from.

    Returns:
        The features.
    """
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
    """Make features of the first principal components of rows.

    Args:
        x: Rows ``[N, *event]`` that the components are computed from.
        n_components: Number of components; fewer where the rows do not have as many.
        unit: What counts as 1, for all values or for each of them, ``[*event]``.

    Returns:
        The features.

    Raises:
        DataError: There is a single row.
    """
    pixels = pixel_features(unit)
    table = pixels(x)
    if len(table) < 2:
        raise DataError("`x` has 1 row, and principal components need at least 2")
    mean, number = table.mean(0), min(n_components, table.shape[1], len(table) - 1)
    basis = _principal_directions(table - mean)[:, :number].contiguous()
    scaled, units = pixels.function, [unit] if isinstance(unit, Tensor) else []
    return Features(
        f"{number} principal components",
        lambda x: (scaled(x) - mean) @ basis,
        tensor_digest([mean, basis, *units]),
    )


def _principal_directions(centred: Tensor) -> Tensor:
    """Principal directions of centred rows ``[N, D]`` as columns, in falling order of variance."""
    if len(centred) > centred.shape[1]:
        return torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1)
    return torch.linalg.svd(centred, full_matrices=False).Vh.T


def encoder_features(model: VAE) -> Features:
    """Make features of the posterior means of a model.

    Args:
        model: The model.

    Returns:
        The features.
    """

    model = first_member(model)

    def posterior_mean(x: Tensor) -> Tensor:
        with seeded_evaluation(model, seed=0):
            return model.encode(x)

    return Features("latents of the encoder", posterior_mean, module_digest(model.posterior))


def function_features(function: Callable[[Tensor], Tensor]) -> Features:
    """Make features of a function or of a network, which runs in evaluation mode.

    Args:
        function: From rows ``[N, *event]`` to features ``[N, ...]``.

    Returns:
        The features.
    """
    if not isinstance(function, nn.Module):
        return Features(str(getattr(function, "__name__", type(function).__name__)), function)
    return Features(type(function).__name__, _in_eval_mode(function), module_digest(function))


def load_features(path: str | Path) -> Features:
    """Make features of a network in a file.

    Its input is float32 ``[N, *event]`` with any N (``torch.export.Dim("batch")``). A ``.pt2`` file
    is a program: one with pickled parts, or with an operator that is not on a list of operators of
    tensors, is refused, and it is loaded and run without the right to write files where the system
    offers this (Linux with Landlock).

    Args:
        path: A ``.pt2`` file (``torch.export.save``) or an ``.onnx`` file (needs onnxruntime).

    Returns:
        The features.

    Raises:
        ArgumentError: The file has another ending.
        DataError: The file cannot be read.
        MissingExtraError: onnxruntime is not installed.
    """
    path = Path(path)
    if path.suffix not in _LOADERS:
        raise ArgumentError(
            "give a .pt2 file of torch.export.save, or an .onnx file",
            argument="path",
            value=str(path),
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f'features "{path}" cannot be read ({error.strerror or error})') from error
    return Features(path.name, _LOADERS[path.suffix](path), content_digest(content))


def tensor_digest(tensors: Iterable[Any]) -> str:
    """The beginning of the SHA-256 of the types, shapes and bytes of tensors, in order.

    >>> (
    ...     tensor_digest([torch.zeros(2)]) == tensor_digest([torch.zeros(2)]),
    ...     tensor_digest([torch.zeros(2)]) == tensor_digest([torch.zeros(2, 1)]),
    ... )
    (True, False)
    """
    digest = hashlib.sha256()
    for tensor in tensors:
        if isinstance(tensor, Tensor):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(
                tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
            )
    return digest.hexdigest()[:12]


def module_digest(module: nn.Module) -> str | None:
    """The digest of a network's description and tensors; ``None`` where it has no tensors."""
    state = module.state_dict()
    if not state:
        return None
    return content_digest(f"{module!r} {list(state)} {tensor_digest(state.values())}".encode())


def content_digest(content: bytes) -> str:
    """The beginning of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


def _in_eval_mode(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network in evaluation mode; its mode is restored afterwards."""

    def function(x: Tensor) -> Tensor:
        with eval_mode(module):
            return _on_module_device(module)(x)

    return function


def _on_module_device(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network as a function that moves rows to its own device."""
    device = next((tensor.device for tensor in module.state_dict().values()), None)
    return module if device is None else lambda x: module(x.to(device))


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """The network of an ``.onnx`` file."""
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise missing_extra("onnx", "features of an .onnx file") from error
    try:  # from the hashed bytes, which do not include weights in other files
        session = onnxruntime.InferenceSession(
            path.read_bytes(), providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors share no base class
        raise DataError(
            f'features "{path}" cannot be read as an ONNX network that contains its weights '
            f"({_first_line(error)})",
            suggestions=("Export it with external_data=False",),
        ) from error
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.float().cpu().numpy()})[0])


def _first_line(error: Exception) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


_NAMED: dict[Any, Callable[[Any], Features]] = {
    "pixels": lambda x: pixel_features(),
    "standardised": standardised_features,
    "pca": pca_features,
}
_LOADERS: dict[str, Callable[[Path], Callable[[Tensor], Tensor]]] = {
    ".pt2": load_program,
    ".onnx": _load_onnx,
}
