"""Walks through the latent space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..models import VAE
from ._geodesic import geodesic

PathKind = Literal["linear", "spherical", "geodesic"]


@dataclass(frozen=True)
class LatentPath:
    """Codes along a path ``[steps, *latent]`` and the data expected there ``[steps, *event]``."""

    z: Tensor
    x: Tensor

    @property
    def step_lengths(self) -> Tensor:
        """How far apart the data of successive steps are, ``[steps - 1]``, in the units of the data."""
        return self.x.diff(dim=0).flatten(1).norm(dim=1)


def interpolate(
    model: VAE,
    start: Tensor,
    end: Tensor,
    steps: int = 11,
    path: PathKind = "linear",
    *,
    context: Tensor | None = None,
    label: Any = None,
    unit: Tensor | None = None,
) -> LatentPath:
    """From one datum ``[*event]`` to another, between their codes; the ends are the two reconstructions.

    What a model is told of the two, ``context`` ``[2, C]`` or ``label`` (one for both, or two), changes evenly from one to the other.

    ``spherical`` turns from one code to the other at a steadily changing length (Shoemake 1985; White 2016): a straight line passes
    through regions nearer to the origin than draws from a Gaussian prior ever are. ``geodesic`` is the shortest path as measured in the
    expected data, where ``unit`` ``[*event]`` counts as a difference of one in each element: ``inference.geodesic.geodesic`` says more.
    """
    if steps < 2:
        raise ArgumentError(f"`steps` is {steps}; an interpolation has at least its 2 ends.")
    if path not in ("linear", "spherical", "geodesic"):
        raise ArgumentError(f'`path` is {path!r}; use "linear", "spherical" or "geodesic".')
    context = model.resolve_context(2, context, label)
    a, b = model.encode(torch.stack([start, end]), context)
    share = torch.linspace(0, 1, steps, dtype=a.dtype, device=a.device).reshape(-1, *[1] * a.dim())
    ways = {
        "linear": lambda: torch.lerp(a, b, share),
        "spherical": lambda: _slerp(a, b, share),
        "geodesic": lambda: geodesic(model, a, b, steps, context=context, unit=unit),
    }
    z = ways[path]()
    between = None if context is None else torch.lerp(context[0], context[1], share.reshape(-1, 1))
    return LatentPath(z, model.decode(z, between))


def traverse(
    model: VAE,
    z: Tensor,
    dimension: int,
    values: Sequence[float] | Tensor,
    *,
    context: Tensor | None = None,
    label: Any = None,
) -> LatentPath:
    """One code ``[latent]`` with one of its variables set to each of ``values``; ``context`` ``[C]`` or ``label`` as for ``VAE.decode``."""
    if not 0 <= dimension < z.numel():
        raise ArgumentError(
            f"`dimension` is {dimension}; this latent has variables 0 to {z.numel() - 1}."
        )
    steps = torch.as_tensor(values, dtype=z.dtype, device=z.device)
    codes = z.flatten().repeat(len(steps), 1)
    codes[:, dimension] = steps
    codes = codes.reshape(-1, *z.shape)
    return LatentPath(codes, model.decode(codes, context, label=label))


def _slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    length_a, length_b = a.norm(), b.norm()
    angle = torch.acos((a * b).sum().div(length_a * length_b).clamp(-1, 1))
    if (
        not angle.sin() > 1e-4
    ):  # parallel, opposite or zero codes: the arc is not defined, the chord is
        return torch.lerp(a, b, share)
    length = torch.lerp(length_a, length_b, share)
    turned = torch.sin((1 - share) * angle) * a / length_a + torch.sin(share * angle) * b / length_b
    return length * turned / angle.sin()
