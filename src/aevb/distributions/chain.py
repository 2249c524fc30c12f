"""Layers of latent variables, each given others, as one distribution over one vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from ..random import seeded
from . import kl
from .estimated import Estimated
from .moments import variables
from .product import Parts, cut
from .support import core

Choose = Callable[[int, Distribution], Tensor]  # a layer's number and its distribution to its value [N, *event]
AT_ONCE = 4  # draws that moments are estimated from: a few at a time, so that the memory is that of a training step


@dataclass(frozen=True)
class Kind:
    """What is known of the layers before any of them is drawn, each a tuple with one entry per layer, from the data up."""

    shapes: tuple[Size, ...]  # of the events
    variables: tuple[int, ...]  # how many there are; the categories of one variable are one
    supports: tuple[constraints.Constraint, ...]
    reparameterised: bool  # whether draws of all layers can be differentiated

    @staticmethod
    def of(layers: Sequence[Distribution]) -> Kind:
        """The kind of these layers."""
        return Kind(
            tuple(layer.event_shape for layer in layers),
            tuple(variables(layer) for layer in layers),
            tuple(layer.support or constraints.real for layer in layers),
            all(layer.has_rsample for layer in layers),
        )


@dataclass(frozen=True)
class Passage:
    """What one way through all layers finds, for ``N`` points side by side; layers from the data up."""

    layers: tuple[Distribution, ...]  # given those passed before; batch shape [N], or that of what does not depend on others
    values: tuple[Tensor, ...]  # [N, *event] each
    prior: tuple[Distribution, ...] | None = None  # p of each layer, where a posterior passes through the prior on its way
    features: Tensor | None = None  # [N, ...], of the decoder, where the way leads there
    source: object = None  # the layers that `prior` and `features` come from


Walk = Callable[[int, Choose], Passage]  # copies of the batch, and what is to be done at each layer


class Chain(Estimated):
    """``p(z) = prod_i p(z_i | layers before)``, ``z`` ``[*batch, D]`` the layers' events, flattened and put end to end, from the data up.

    ``walk(copies, choose)`` goes through the layers in the order in which they depend on each other, for as many copies of the batch as
    there are draws, and asks ``choose`` for each value. ``downward`` says that it begins with the last layer. ``source`` are the layers
    themselves: a posterior that meets those of the prior need not go through them twice. Mean and variance are averages of each layer's
    own, given ``draws`` draws of those before: exact for the layer that it begins with.

    >>> from torch.distributions import Independent, Normal
    >>> def walk(copies, choose):
    ...     top = Independent(Normal(torch.zeros(1), 1.0), 1)
    ...     high = choose(1, top)
    ...     low = Independent(Normal(high, 0.5), 1)
    ...     return Passage((low, top), (choose(0, low), high))
    >>> one = Independent(Normal(torch.zeros(1), 1.0), 1)
    >>> p = Chain(walk, Kind.of([one, one]), Size(), torch.zeros(()), downward=True)
    >>> p.rsample((5,)).shape, p.log_prob(torch.zeros(5, 2)).shape
    (torch.Size([5, 2]), torch.Size([5]))
    """

    def __init__(
        self, walk: Walk, kind: Kind, batch_shape: Size, like: Tensor, downward: bool, source: object = None, draws: int = 64
    ) -> None:
        self.walk, self.kind, self.like, self.downward, self.source, self.draws = walk, kind, like, downward, source, draws
        self.has_rsample = kind.reparameterised
        self.sizes = [shape.numel() for shape in kind.shapes]
        self.last: tuple[Tensor, Passage, bool] | None = None
        super().__init__(batch_shape, Size((sum(self.sizes),)), validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=1)
    def support(self) -> constraints.Constraint:
        if all(isinstance(core(support), type(constraints.real)) for support in self.kind.supports):
            return constraints.real_vector
        return Parts(list(zip(self.kind.supports, self.kind.shapes, strict=True)), self.sizes)

    @property
    def mean(self) -> Tensor:
        return self._moments()[0]

    @property
    def variance(self) -> Tensor:
        return self._moments()[1]

    def sample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        with torch.no_grad():
            return self._drawn_along(Size(sample_shape), lambda layer, shape: layer.sample(shape))

    def rsample(self, sample_shape: tuple[int, ...] | Size = Size()) -> Tensor:
        return self._drawn_along(Size(sample_shape), lambda layer, shape: layer.rsample(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_probs(value).sum(0)

    def log_probs(self, value: Tensor) -> Tensor:
        """The logarithm of each factor, ``[L, *samples, *batch]``."""
        return self.scored(self.through(value).layers, value)

    def through(self, value: Tensor) -> Passage:
        """The passage on which every layer takes its part of ``value`` ``[*samples, *batch, D]``; of a draw, the one that drew it."""
        # what was drawn without a gradient says nothing to one that asks for it later
        if self.last is not None and value is self.last[0] and (self.last[2] or not torch.is_grad_enabled()):
            return self.last[1]
        lead = self._lead(value)
        pieces = cut(value.expand(*lead, -1).reshape(-1, value.shape[-1]), self.kind.shapes)
        return self.walk(lead.numel() // self.batch_shape.numel(), lambda i, layer: pieces[i])

    def scored(self, layers: Sequence[Distribution], value: Tensor) -> Tensor:
        """``log p_i`` of these layers at their parts of ``value``, ``[L, *samples, *batch]``."""
        lead = self._lead(value)
        pieces = cut(value.expand(*lead, -1).reshape(-1, value.shape[-1]), self.kind.shapes)
        return torch.stack([_log_prob(layer, piece) for layer, piece in zip(layers, pieces, strict=True)]).reshape(-1, *lead)

    def _lead(self, value: Tensor) -> Size:
        return torch.broadcast_shapes(value.shape[:-1], self.batch_shape)

    def _drawn_along(self, sample_shape: Size, draw: Callable[[Distribution, Size], Tensor]) -> Tensor:
        lead = sample_shape + self.batch_shape
        points = lead.numel()
        passage = self.walk(sample_shape.numel(), lambda i, layer: _rows(layer, points, draw))
        z = torch.cat([value.reshape(points, -1) for value in passage.values], -1).reshape(*lead, -1)
        self.last = z, passage, torch.is_grad_enabled()
        return z

    def _like(self) -> Tensor:
        return self.like

    def _moments(self) -> tuple[Tensor, Tensor]:
        with seeded(0, self.like.device):
            found = [self._moments_along(min(AT_ONCE, self.draws - start)) for start in range(0, self.draws, AT_ONCE)]
        means, variances = (torch.cat(parts) for parts in zip(*found, strict=True))
        return means.mean(0), variances.mean(0) + means.var(0, correction=0)

    def _moments_along(self, copies: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of each layer given one draw of those before, ``[copies, *batch, D]``."""
        points = copies * self.batch_shape.numel()
        passage = self.walk(copies, lambda i, layer: _rows(layer, points, _any_draw))
        return tuple(  # pyright: ignore[reportReturnType]
            torch.cat([_spread(moment(layer), layer, points) for layer in passage.layers], -1).reshape(copies, *self.batch_shape, -1)
            for moment in (lambda layer: layer.mean, lambda layer: layer.variance)
        )


@dataclass(frozen=True)
class Layered:
    """Posterior and prior of a hierarchy at one draw ``z``, layer by layer from the data up."""

    log_posterior: Tensor  # [K, B]
    log_prior: Tensor  # [K, B]
    divergence: Tensor  # [L, K, B]: what each layer adds to log q(z|x) - log p(z), by formula given the layers before where that is known
    passage: Passage  # through the prior's layers


def layered(q: Distribution, p: Distribution, z: Tensor, formulas: Sequence[bool] = ()) -> Layered | None:
    """Both distributions at ``z`` ``[K, B, D]``, in as few passages as may be; ``None`` where they are not chains of the same layers.

    ``formulas`` says of each layer whether its divergence is to be taken by formula.
    """
    if not (isinstance(q, Chain) and isinstance(p, Chain)) or q.kind.shapes != p.kind.shapes:
        return None
    mine = q.through(z)
    theirs = mine if mine.prior is not None and mine.source is p.source else p.through(z)
    priors = theirs.layers if theirs.prior is None else theirs.prior
    log_q, log_p = q.scored(mine.layers, z), q.scored(priors, z)
    each = log_q - log_p
    if any(formulas):
        points = math.prod(z.shape[:-1])
        pairs = zip(mine.layers, priors, formulas, each, strict=True)
        each = torch.stack([_spread(kl.exact(a, b), a, points).reshape(z.shape[:-1]) if known else r for a, b, known, r in pairs])
    return Layered(log_q.sum(0), log_p.sum(0), each, theirs)


def layers_of(q: Distribution) -> tuple[int, ...]:
    """How many variables each layer has, from the data up; nothing for what is no hierarchy."""
    return q.kind.variables if isinstance(q, Chain) else ()


def formulas(q: Distribution, p: Distribution) -> tuple[bool, ...]:
    """Of which layers ``KL(q_i || p_i)``, given the layers before, has a formula; nothing where they are not chains of the same layers.

    It must be known at the same point of the way what both of them depend on: layers of two chains of one direction, or one that the
    prior begins with.
    """
    if not (isinstance(q, Chain) and isinstance(p, Chain)) or q.kind.shapes != p.kind.shapes:
        return ()
    zeros = q.like.new_zeros(*q.batch_shape, sum(q.sizes))
    pairs = list(zip(q.through(zeros).layers, p.through(zeros).layers, strict=True))
    first = len(pairs) - 1 if p.downward else 0
    return tuple((q.downward == p.downward or i == first) and kl.registered(*pair) for i, pair in enumerate(pairs))


def _rows(layer: Distribution, points: int, draw: Callable[[Distribution, Size], Tensor]) -> Tensor:
    """As many draws from one layer as there are points, ``[N, *event]``: several of each datum where the layer depends on it alone."""
    several = points // layer.batch_shape.numel()
    return draw(layer, Size() if layer.batch_shape == Size((points,)) else Size((several,))).reshape(points, *layer.event_shape)


def _any_draw(layer: Distribution, shape: Size) -> Tensor:
    return layer.rsample(shape) if layer.has_rsample else layer.sample(shape)


def _log_prob(layer: Distribution, piece: Tensor) -> Tensor:
    """``[N]`` of values ``[N, *event]``."""
    return layer.log_prob(piece.reshape(-1, *layer.batch_shape, *layer.event_shape)).reshape(-1)


def _spread(value: Tensor, layer: Distribution, points: int) -> Tensor:
    """What a layer says once for all of its batch, said for each of the points: ``[*batch, ...]`` to ``[N, -1]``."""
    rows = value.reshape(layer.batch_shape.numel(), -1)
    return rows.expand(points // len(rows), *rows.shape).reshape(points, -1)
