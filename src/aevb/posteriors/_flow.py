"""Gaussian posteriors pushed through learned invertible maps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Transform

from .. import distributions
from .._conditional import Conditional
from .._shapes import as_shape
from ..distributions import soft_clip, to_scale
from ..distributions._flow_steps import householder_columns
from ..errors import ArgumentError
from ..networks import Heads
from ..priors._flow import CapturedTransform, FlowKind, InvertibleMap

FLOW_PARAMETER_BOUND = 8.0  # of what bends a map


class Flow(Conditional):
    """``z = mu(x) + sigma(x) f(e; h(x))``: a diagonal Gaussian whose noise goes through invertible maps that see ``features`` of the datum.

    ``kind="iaf"`` (Kingma et al., Inverse autoregressive flow, 2016) draws in one pass, and knows the density of its own draws: take it
    for training. ``"maf"`` has the density of any point in one pass and draws in ``latent`` passes; ``"coupling"`` and ``"spline"`` have
    both. Mean and variance are estimated. Raises ``ArgumentError`` for an unknown kind, no transform or feature, or one latent number only.

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
        if features < 1:
            raise ArgumentError(f"`features` is {features}; give at least 1.")
        self.invertible_map = InvertibleMap(latent, features, kind, transforms, hidden)
        self.heads = Heads(network, (latent,), (latent,), (features,))

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Flow:
        loc, raw, features = self.heads(input, context)
        return distributions.Flow(
            loc, to_scale(raw), CapturedTransform(self.invertible_map, torch.tanh(features))
        )


class AmortisedFlow(Conditional, ABC):
    """A diagonal Gaussian whose noise goes through ``steps`` maps of a few parameters each, all from the network."""

    def __init__(
        self, network: nn.Module, latent: int, steps: int, shapes: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ArgumentError(f"`steps` is {steps}; give at least 1.")
        self.steps = steps
        self.heads = Heads(network, (latent,), (latent,), *[(steps, *shape) for shape in shapes])

    @abstractmethod
    def make_step(self, *raw: Tensor) -> Transform:
        """One map from what the network says of it, any real numbers."""

    def forward(self, input: Tensor, context: Tensor | None = None) -> distributions.Flow:
        from zuko.transforms import ComposedTransform

        loc, raw, *bends = self.heads(input, context)
        steps = [
            self.make_step(*[soft_clip(bend[:, k], FLOW_PARAMETER_BOUND) for bend in bends])
            for k in range(self.steps)
        ]
        return distributions.Flow(loc, to_scale(raw), ComposedTransform(*steps))


class Planar(AmortisedFlow):
    """``f(e) = e + u tanh(w . e + b)``, ``steps`` times: each folds space along one direction. Mean and variance are estimated.

    Rezende and Mohamed, Variational inference with normalizing flows (2015). The density of any point is known, by a scalar root for each
    step. Raises ``ArgumentError`` for no step.

    >>> Planar(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, steps: int = 8) -> None:
        size = check_vector_size(latent)
        super().__init__(network, size, steps, [(size,), (size,), ()])

    def make_step(self, *raw: Tensor) -> Transform:
        return distributions.PlanarStep(*raw)


class Radial(AmortisedFlow):
    """``f(e) = e + beta (e - c) / (alpha + |e - c|)``, ``steps`` times: each pushes away from a point, or pulls.

    Rezende and Mohamed (2015). Mean and variance are estimated. Raises ``ArgumentError`` for no step.

    >>> Radial(nn.Identity(), latent=2)(torch.ones(5, 3)).rsample((4,)).shape
    torch.Size([4, 5, 2])
    """

    def __init__(self, network: nn.Module, latent: int, steps: int = 8) -> None:
        size = check_vector_size(latent)
        super().__init__(network, size, steps, [(size,), (), ()])

    def make_step(self, *raw: Tensor) -> Transform:
        centre, alpha, beta = raw
        return distributions.RadialStep(centre, to_scale(alpha), beta)


class Sylvester(AmortisedFlow):
    """``f(e) = e + Q R tanh(S Q^T e + b)``, ``steps`` times, ``Q`` a product of Householder reflections with ``columns`` columns.

    Each step is worth ``columns`` planar ones (``None``: as many as there are latent variables, at most 8). van den Berg et al.,
    Sylvester normalizing flows (2018). Mean and variance are estimated. Raises ``ArgumentError`` for no step, or ``columns`` that are not
    between 1 and ``latent``.

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
                f"`columns` is {columns}; give a number between 1 and latent={latent}."
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
    """Upper triangular, with a diagonal within 0.99 of 0: the product of two is above -1, so the map does not fold."""
    return torch.triu(raw, 1) + torch.diag_embed(0.99 * torch.tanh(raw.diagonal(dim1=-2, dim2=-1)))


def check_vector_size(latent: int) -> int:
    """The size of a latent that is one vector, or an error."""
    size, *more = as_shape("latent", latent)
    if more:
        raise ArgumentError(f"`latent` of a flow is {latent}; give one number.")
    return size
