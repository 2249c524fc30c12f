"""Gaussian posteriors pushed through learned invertible maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Transform

from .. import distributions
from .._conditional import Conditional
from .._registry import register
from .._shapes import as_shape
from ..distributions import soft_clip, to_scale
from ..distributions._flow_steps import householder_columns
from ..errors import ArgumentError, check_counts
from ..networks import Heads
from ..notes import Argument, message
from ..priors._flow import CapturedTransform, FlowKind, InvertibleMap
from ._registration import PosteriorRegistration

FLOW_PARAMETER_BOUND = 8.0  # of the parameters of a map


@register(
    PosteriorRegistration(
        name="coupling",
        title="coupling flow",
        paper="Dinh et al. 2017",
        fixed={"kind": "coupling"},
        use_when="a posterior of any shape whose density is needed at any point",
        cost="one pass for draws and densities",
        avoid_when="the latent has one variable",
    )
)
@register(
    PosteriorRegistration(
        name="spline",
        title="spline flow",
        paper="Durkan et al. 2019",
        fixed={"kind": "spline"},
        use_when="a posterior of any shape whose density is needed at any point",
        cost="one pass for draws and densities, expensive layers",
        avoid_when="the latent has one variable",
    )
)
@register(
    PosteriorRegistration(
        name="maf",
        title="masked autoregressive flow",
        paper="Papamakarios et al. 2017",
        fixed={"kind": "maf"},
        use_when="a posterior of any shape whose density is needed at any point",
        cost="one pass per variable for each draw",
        avoid_when="the latent has one variable",
    )
)
@register(
    PosteriorRegistration(
        name="iaf",
        title="inverse autoregressive flow",
        paper="Kingma et al. 2016",
        fixed={"kind": "iaf"},
        use_when="a posterior of any shape",
        cost="one pass per draw and map",
        avoid_when="the latent has one variable, or densities of other points are needed",
    )
)
class Flow(Conditional):
    """``z = mu(x) + sigma(x) f(e; h(x))``: a Gaussian whose noise passes through invertible maps.

    Mean and variance are estimated. Kingma et al., Improved variational inference with inverse
    autoregressive flow (2016).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of latent variables, at least 2.
        kind: ``"iaf"`` draws in one pass and knows the density of its own draws: the choice for
            training; ``"maf"`` has the density of any point in one pass and draws in ``latent``
            passes; ``"coupling"`` and ``"spline"`` have both.
        transforms: Number of maps.
        hidden: Widths of the layers of their networks.
        features: Number of features of the data that the maps see.

    Raises:
        ArgumentError: ``kind`` is unknown, a count is less than 1, or ``latent`` is less than 2.

    Example:
        >>> Flow(nn.Identity(), latent=2, hidden=[8])(torch.zeros(5, 3)).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    lazy_networks = True

    def __init__(
        self,
        network: nn.Module,
        latent: int,
        kind: FlowKind = "iaf",
        transforms: int = 2,
        hidden: Sequence[int] = (64,),
        features: int = 32,
    ) -> None:
        super().__init__()
        check_counts(features=features)
        self.invertible_map = InvertibleMap(latent, features, kind, transforms, hidden)
        self.heads = Heads(network, (latent,), (latent,), (features,))

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Flow:
        loc, raw, features = self.heads(input, context)
        return distributions.Flow(
            loc, to_scale(raw), CapturedTransform(self.invertible_map, torch.tanh(features))
        )


class AmortisedFlow(Conditional, ABC):
    """A Gaussian whose noise passes through ``steps`` maps with parameters from the network."""

    def __init__(
        self, network: nn.Module, latent: int, steps: int, shapes: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        check_counts(steps=steps)
        self.steps = steps
        self.heads = Heads(network, (latent,), (latent,), *[(steps, *shape) for shape in shapes])

    @abstractmethod
    def make_step(self, *raw: Tensor) -> Transform:
        """One map from the network's outputs, any real numbers."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Flow:
        from zuko.transforms import ComposedTransform

        loc, raw, *parameters = self.heads(input, context)
        steps = [
            self.make_step(*[soft_clip(part[:, k], FLOW_PARAMETER_BOUND) for part in parameters])
            for k in range(self.steps)
        ]
        return distributions.Flow(loc, to_scale(raw), ComposedTransform(*steps))


@register(
    PosteriorRegistration(
        title="planar flow",
        paper="Rezende and Mohamed 2015",
        use_when="a small correction of the diagonal normal",
        cost="a few outputs per step; densities of other points by a scalar root",
        avoid_when="the latent has many variables; use iaf",
    )
)
class Planar(AmortisedFlow):
    """``f(e) = e + u tanh(w . e + b)``, ``steps`` times: each step folds space along one direction.

    The density of other points needs a scalar root per step. Mean and variance are estimated.

    Rezende and Mohamed, Variational inference with normalizing flows (2015).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of latent variables.
        steps: Number of maps.

    Raises:
        ArgumentError: ``steps`` is less than 1.

    Example:
        >>> Planar(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, steps: int = 8) -> None:
        size = check_vector_size(latent)
        super().__init__(network, size, steps, [(size,), (size,), ()])

    def make_step(self, *raw: Tensor) -> Transform:
        return distributions.PlanarStep(*raw)


@register(
    PosteriorRegistration(
        title="radial flow",
        paper="Rezende and Mohamed 2015",
        use_when="a small correction of the diagonal normal",
        cost="a few outputs per step",
        avoid_when="the latent has many variables; use iaf",
    )
)
class Radial(AmortisedFlow):
    """``f(e) = e + beta (e - c) / (alpha + |e - c|)``, ``steps`` times.

    Each step expands or contracts space around a point. Mean and variance are estimated.

    Rezende and Mohamed, Variational inference with normalizing flows (2015).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of latent variables.
        steps: Number of maps.

    Raises:
        ArgumentError: ``steps`` is less than 1.

    Example:
        >>> Radial(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, steps: int = 8) -> None:
        size = check_vector_size(latent)
        super().__init__(network, size, steps, [(size,), (), ()])

    def make_step(self, *raw: Tensor) -> Transform:
        centre, alpha, beta = raw
        return distributions.RadialStep(centre, to_scale(alpha), beta)


@register(
    PosteriorRegistration(
        title="Sylvester flow",
        paper="van den Berg et al. 2018",
        use_when="more flexible steps than planar ones",
        cost="columns times latent outputs per step",
        avoid_when="iaf reaches the same bound",
    )
)
class Sylvester(AmortisedFlow):
    """``f(e) = e + Q R tanh(S Q^T e + b)``, ``steps`` times.

    ``Q`` is a product of Householder reflections; each step equals ``columns`` planar steps. Mean
    and variance are estimated.

    van den Berg et al., Sylvester normalizing flows for variational inference (2018).

    Args:
        network: Maps data to features; the parameters are a linear map of the features.
        latent: Number of latent variables.
        steps: Number of maps.
        columns: Number of columns of ``Q``, by default ``latent``, at most 8.

    Raises:
        ArgumentError: ``steps`` is less than 1, or ``columns`` is not between 1 and ``latent``.

    Example:
        >>> Sylvester(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample((4,)).shape
        torch.Size([4, 5, 2])
    """

    def __init__(
        self, network: nn.Module, latent: int, steps: int = 4, columns: int | None = None
    ) -> None:
        size = check_vector_size(latent)
        self.columns = min(size, 8) if columns is None else columns
        if not 1 <= self.columns <= size:
            raise ArgumentError(
                message("give a number between 1 and {latent}", latent=Argument("latent", latent)),
                argument="columns",
                value=columns,
            )
        m = self.columns
        super().__init__(network, size, steps, [(m, size), (m, m), (m, m), (m,)])

    def make_step(self, *raw: Tensor) -> Transform:
        vectors, r, s, b = raw
        return distributions.SylvesterStep(
            householder_columns(vectors, self.columns),
            _bounded_upper_triangular(r),
            _bounded_upper_triangular(s),
            b,
        )


def _bounded_upper_triangular(raw: Tensor) -> Tensor:
    """Upper triangular, with a diagonal within 0.99 of 0, so that the map stays invertible."""
    return torch.triu(raw, 1) + torch.diag_embed(0.99 * torch.tanh(raw.diagonal(dim1=-2, dim2=-1)))


def check_vector_size(latent: int) -> int:
    """The size of a latent that is a vector, or an ``ArgumentError``."""
    size, *more = as_shape("latent", latent)
    if more:
        raise ArgumentError("a flow needs one number", argument="latent", value=latent)
    return size
