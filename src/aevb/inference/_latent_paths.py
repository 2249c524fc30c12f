"""Paths through the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import ArgumentError, DataError, check_choice, check_counts
from ..models import VAE, first_member
from ..models._input_checks import as_tensor
from ._geodesic import geodesic
from ._inputs import TrainedModel, resolve_model

PathKind = Literal["linear", "spherical", "geodesic"]


@dataclass(frozen=True)
class LatentPath:
    """A path of latents and the data expected there.

    Args:
        z: Latents ``[steps, *latent]``.
        x: Expected data ``[steps, *event]``.
    """

    z: Tensor
    x: Tensor

    @property
    def step_lengths(self) -> Tensor:
        """Distances of the data of successive steps, ``[steps - 1]``, in the units of the data."""
        return self.x.diff(dim=0).flatten(1).norm(dim=1)


def interpolate(
    model: VAE | TrainedModel,
    start: Any,
    end: Any,
    steps: int = 11,
    path: PathKind = "linear",
    *,
    context: Tensor | None = None,
    label: Any = None,
    unit: Tensor | None = None,
) -> LatentPath:
    """Interpolate between two rows in the latent space; the ends are their reconstructions.

    A spherical path rotates one latent into the other while its length changes steadily (Shoemake,
    1985; White, 2016), because a straight line passes closer to the origin than draws from a
    Gaussian prior. A geodesic is the shortest path in the expected data.

    Args:
        model: The model, or a run.
        start: First row ``[*event]``: a tensor, an array or a list.
        end: Last row ``[*event]``.
        steps: Number of points, both ends included.
        path: ``"linear"``, ``"spherical"`` or ``"geodesic"``.
        context: Contexts ``[2, C]`` of the ends, interpolated linearly.
        label: Labels in place of ``context``: one for both ends, or two.
        unit: Unit of each element of the data for a geodesic, ``[*event]``; 1 by default.

    Returns:
        The path.

    Raises:
        ArgumentError: ``steps`` is below 2, or ``path`` is unknown.
        IncompatibleError: The model allows no geodesic, or the context does not fit the model.
        DataError: The model cannot take the rows.
    """
    check_counts(steps=steps)
    if steps < 2:
        raise ArgumentError(
            "an interpolation has at least its 2 ends", argument="steps", value=steps
        )
    check_choice("path", path, get_args(PathKind))
    model = first_member(resolve_model(model))
    context = model.resolve_context(2, context, label)
    ends = [_as_event(model, start, "start"), _as_event(model, end, "end")]
    a, b = model.encode(torch.stack(ends), context)
    share = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device).reshape(-1, *[1] * a.dim())
    if path == "geodesic":
        z = geodesic(model, a, b, steps, context=context, unit=unit)
    else:
        z = _slerp(a, b, share) if path == "spherical" else torch.lerp(a, b, share)
    if context is not None:
        context = torch.lerp(context[0], context[1], share.reshape(-1, 1))
    return LatentPath(z, model.decode(z, context))


def _as_event(model: VAE, row: Any, name: str) -> Tensor:
    event = as_tensor(row, name, "inference.encode")
    if tuple(event.shape) != model.event_shape:
        raise DataError(
            f"it has the shape {tuple(event.shape)}; give a row of shape {model.event_shape}",
            argument=name,
        )
    return event


def traverse(
    model: VAE,
    z: Tensor,
    dimension: int,
    values: Sequence[float] | Tensor,
    *,
    context: Tensor | None = None,
    label: Any = None,
) -> LatentPath:
    """Set one variable of a latent to each of several values.

    Args:
        model: The model.
        z: A latent ``[*latent]``.
        dimension: Index of the variable in the flattened latent.
        values: Values of the variable.
        context: Context ``[C]`` of a conditional model.
        label: Label in place of ``context``.

    Returns:
        The path.

    Raises:
        ArgumentError: ``dimension`` is not a variable of the latent.
    """
    if not 0 <= dimension < z.numel():
        raise ArgumentError(
            f"this latent has variables 0 to {z.numel() - 1}", argument="dimension", value=dimension
        )
    steps = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    latents = z.flatten().repeat(len(steps), 1)
    latents[:, dimension] = steps
    latents = latents.reshape(-1, *z.shape)
    return LatentPath(latents, model.decode(latents, context, label=label))


def _slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    length_a, length_b = a.norm(), b.norm()
    angle = torch.acos((a * b).sum() / (length_a * length_b))
    # parallel, opposite or zero latents have no unique arc, and an angle of 0, pi or NaN
    if not angle.sin() > 1e-4:
        return torch.lerp(a, b, share)
    length = torch.lerp(length_a, length_b, share)
    turned = torch.sin((1 - share) * angle) * a / length_a + torch.sin(share * angle) * b / length_b
    return length * turned / angle.sin()
