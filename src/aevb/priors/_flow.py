"""A prior that is a Gaussian pushed through learned invertible maps, and the maps themselves, which are zuko's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .. import distributions
from .._conditional import Unconditional
from .._shapes import as_shape
from ..errors import ArgumentError

FlowKind = Literal["maf", "iaf", "coupling", "spline"]


class Flow(Unconditional):
    """``z = f(e)``, ``e ~ N(0, I)``, with ``transforms`` learned invertible maps of ``latent`` numbers.

    ``kind``: ``"maf"`` autoregressive, density in one pass and draws in ``latent``; ``"iaf"`` the other way round; ``"coupling"`` both in
    one, less flexible each; ``"spline"`` couplings by rational-quadratic splines, which bend within 5 of the origin. Papamakarios et al.
    (2017); Dinh et al., RealNVP (2017); Durkan et al., Neural spline flows (2019). Mean and variance are estimated.

    Raises ``ArgumentError`` for an unknown kind, no transform, or a single latent number.

    >>> Flow(2, kind="spline", hidden=[16])().log_prob(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    lazy_networks = True
    zero: Tensor

    def __init__(
        self,
        latent: int,
        kind: FlowKind = "maf",
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__()
        self.invertible_map = InvertibleMap(latent, 0, kind, transforms, hidden)
        self.register_buffer("zero", torch.zeros(latent), persistent=False)

    def forward(
        self, input: Tensor | None = None, context: Tensor | None = None
    ) -> distributions.Flow:
        return distributions.Flow(
            self.zero, self.zero + 1, CapturedTransform(self.invertible_map, None)
        )


class InvertibleMap(nn.Module):
    """Noise to data, or back where ``inverse``, with the log-Jacobian; for the kinds whose maps are zuko's from data to noise as well."""

    def __init__(
        self, latent: int, context: int, kind: str, transforms: int, hidden: Sequence[int]
    ) -> None:
        super().__init__()
        self.maps_to_noise = maps_data_to_noise(kind)
        self.lazy_transform = _build_zuko_transform(latent, context, kind, transforms, hidden)

    def forward(self, context: Tensor | None, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        transform = self.lazy_transform(context)
        return (transform if inverse == self.maps_to_noise else transform.inv).call_and_ladj(x)


class CapturedTransform:
    """The map for one context, with the parameters that the module has now: also where these are stopped for the time of a call."""

    def __init__(
        self,
        invertible_map: InvertibleMap,
        context: Tensor | None,
        inverse: bool = False,
        parameters: dict[str, Tensor] | None = None,
    ) -> None:
        self.invertible_map, self.context, self.inverse = invertible_map, context, inverse
        self.parameters: dict[str, Tensor] = (
            {**dict(invertible_map.named_parameters())} if parameters is None else parameters
        )

    @property
    def inv(self) -> CapturedTransform:
        return CapturedTransform(
            self.invertible_map, self.context, not self.inverse, self.parameters
        )

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return functional_call(
            self.invertible_map, self.parameters, (self.context, x, self.inverse)
        )


def _build_zuko_transform(
    latent: int, context: int, kind: str, transforms: int, hidden: Sequence[int]
) -> nn.Module:
    """zuko's module that gives the invertible map of a context ``[*batch, context]``."""
    from zuko import flows

    (size, *more) = as_shape("latent", latent)
    if size < 2 or more:
        raise ArgumentError(f"`latent` of a flow is {latent}; give one number, at least 2.")
    if transforms < 1:
        raise ArgumentError(f"`transforms` is {transforms}; give at least 1.")
    shared: dict[str, Any] = {
        "transforms": transforms,
        "hidden_features": list(hidden),
        "activation": nn.SiLU,
    }
    if kind == "coupling":
        return flows.NICE(size, context, **shared).transform
    if kind == "spline":
        return flows.NSF(size, context, passes=2, **shared).transform
    return flows.MAF(size, context, **shared).transform


def maps_data_to_noise(kind: str) -> bool:
    """Whether the maps of this kind go from data to noise, so that noise takes their inverse."""
    if kind not in get_args(FlowKind):
        raise ArgumentError(f"`kind` is {kind!r}; use one of {', '.join(get_args(FlowKind))}.")
    return kind != "iaf"
