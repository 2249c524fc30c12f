"""A Gaussian pushed through learned invertible maps, which are zuko's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .. import distributions
from .._conditional import Unconditional
from .._registry import register
from .._shapes import as_shape
from ..errors import ArgumentError, check_choice, check_counts
from ._registration import PriorRegistration

FlowKind = Literal["maf", "iaf", "coupling", "spline"]


@register(
    PriorRegistration(
        name="iaf",
        title="inverse autoregressive flow",
        fixed={"kind": "iaf"},
        use_when="a learned prior of a shape other than clusters",
        cost="one pass per draw; one pass per variable for each density",
        avoid_when="the latent has one variable",
    )
)
@register(
    PriorRegistration(
        name="spline",
        title="spline flow",
        fixed={"kind": "spline"},
        use_when="a learned prior of a shape other than clusters",
        cost="one pass for draws and densities, expensive layers",
        avoid_when="the latent has one variable",
    )
)
@register(
    PriorRegistration(
        name="coupling",
        title="coupling flow",
        fixed={"kind": "coupling"},
        use_when="a learned prior of a shape other than clusters",
        cost="one pass for draws and densities",
        avoid_when="the latent has one variable",
    )
)
@register(
    PriorRegistration(
        name="flow",
        title="masked autoregressive flow",
        paper="Papamakarios et al. 2017, Chen et al. 2017",
        fixed={"kind": "maf"},
        use_when="a learned prior of any shape",
        cost="one pass per density; one pass per variable for each draw",
        avoid_when="the latent has one variable, or samples must be fast",
    )
)
class Flow(Unconditional):
    """``z = f(e)`` with ``e ~ N(0, I)`` and learned invertible maps ``f``.

    Mean and variance are estimated. Papamakarios et al., Masked autoregressive flow for density
    estimation (2017); Dinh et al., Density estimation using RealNVP (2017); Durkan et al., Neural
    spline flows (2019).

    Args:
        latent: Number of latent variables, at least 2.
        kind: ``"maf"``, autoregressive, with densities in one pass and draws in ``latent`` passes;
            ``"iaf"``, the other way round; ``"coupling"``, both in one pass and less flexible per
            map; ``"spline"``, couplings by rational-quadratic splines, which are not linear within
            5 of the origin.
        transforms: Number of maps.
        hidden: Widths of the layers of their networks.

    Raises:
        ArgumentError: ``kind`` is unknown, ``transforms`` is less than 1 or ``latent`` less than 2.

    Example:
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
    """Noise to data, or back where ``inverse``, with the log-Jacobian."""

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
    """The map for one context with the parameters at construction, detached or not."""

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
        raise ArgumentError("a flow needs one number, at least 2", argument="latent", value=latent)
    check_counts(transforms=transforms)
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
    """Whether zuko's maps of this kind go from data to noise, so that noise takes their inverse."""
    check_choice("kind", kind, get_args(FlowKind))
    return kind != "iaf"
